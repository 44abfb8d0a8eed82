// Rotary position embedding.
// https://onnx.ai/onnx/operators/onnx__RotaryEmbedding.html; com.microsoft's form has the positions as second input and
// takes a first position for all rows. MRotaryEmbedding has three positions for each place (time, height, width), each
// of which gives its section of the angles:
// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.MRotaryEmbedding
#include "kernels/attention/rotary.h"

#include "ops/float_scratch.h"
#include "ops/infer_shapes.h"

namespace linnet {
namespace {

class RotaryEmbedding final : public Op {
 public:
  Status parse(NodeReader& reader) {
    contrib_ = reader.domain() == "com.microsoft";
    interleaved_ = reader.flag("interleaved", false);
    heads_ = reader.integer("num_heads", 0);
    rotary_dim_ = reader.integer("rotary_embedding_dim", 0);
    sections_ = reader.integers("mrope_section");
    if (reader.op_type() == "MRotaryEmbedding") {
      LINNET_REQUIRE(sections_.size() == 3, invalid_model("mrope_section must have three numbers"));
      for (const int64_t size : sections_)
        LINNET_REQUIRE(size >= 0 && size <= kMostFeatures, invalid_model("a section of ", size, " features"));
      const int64_t layout = reader.integer("mrope_layout", 0);
      LINNET_REQUIRE(layout == 0 || layout == 1, unsupported("mrope_layout ", layout, " is not known"));
      every_third_ = layout == 1;
      scale_ = reader.number("scale", 1.0f);
    } else {
      LINNET_REQUIRE(sections_.empty(), invalid_model("attribute 'mrope_section' is not known to RotaryEmbedding"));
    }
    if (contrib_) {
      reader.ignore("scale");
      reader.ignore("is_packed_batching");
    }
    LINNET_REQUIRE(heads_ >= 0 && rotary_dim_ >= 0 && rotary_dim_ % 2 == 0,
                   invalid_model("num_heads ", heads_, " and rotary_embedding_dim ", rotary_dim_,
                                 " must not be negative, the latter even"));
    return {};
  }

  Status infer(InferContext& context) const override {
    LINNET_REQUIRE(is_float_or_half(context.dtype(0)),
                   unsupported("the input is of type ", dtype_name(context.dtype(0))));
    for (const size_t i : {cos_at(), cos_at() + 1})
      LINNET_REQUIRE(context.dtype(i) == context.dtype(0),
                     invalid_model("the caches and the input are of different types"));
    if (context.has(position_at()))
      LINNET_REQUIRE(context.dtype(position_at()) == DType::i64, invalid_model("position_ids are not int64"));
    if (context.ranked(0) && context.shape(0).known() && context.ranked(cos_at()) && context.shape(cos_at()).known() &&
        context.ranked(cos_at() + 1) && context.shape(cos_at() + 1).known()) {
      const Shape empty;
      const bool positions = context.has(position_at());
      if (!positions || (context.ranked(position_at()) && context.shape(position_at()).known()))
        LINNET_TRY(sizes_of(context.shape(0).values(), context.shape(cos_at()).values(),
                            context.shape(cos_at() + 1).values(), positions,
                            positions ? context.shape(position_at()).values() : empty)
                       .status());
    }
    return infer_same_as_input(context);
  }

  Status bind(BindContext& context) const override {
    context.request_scratch(
        2 * FloatScratch::bytes(context.dtype(0), context.shape(0).count()) +
        2 * FloatScratch::bytes(context.dtype(0), context.shape(cos_at()).count()) +
        (sections_.empty() ? 0 : scratch_size(context.shape(position_at()).count() / 3, angles_bytes(context))));
    return {};
  }

  Status run(RunContext& context) const override {
    const Tensor& x = context.in(0);
    const Tensor* positions = context.maybe(position_at());
    LINNET_ASSIGN(const Sizes s, sizes_of(x.shape, context.in(cos_at()).shape, context.in(cos_at() + 1).shape,
                                          positions != nullptr, positions ? positions->shape : Shape()));
    const bool offset = positions && positions->count() == 1 && (contrib_ && positions->shape.rank() == 1);
    for (int64_t i = 0; positions && i < positions->count(); ++i) {
      const int64_t position = positions->ptr<int64_t>()[i], last = offset ? static_cast<int64_t>(s.rows) - 1 : 0;
      LINNET_REQUIRE(
          position >= 0 && position < static_cast<int64_t>(s.positions) &&
              position + last < static_cast<int64_t>(s.positions),
          invalid_argument("position ", position, " is outside of the ", s.positions, " that the caches have"));
    }
    FloatScratch floats(context);
    const float* cos = floats.in(context.in(cos_at()));
    const float* sin = floats.in(context.in(cos_at() + 1));
    const float* src = floats.in(x);
    float* dst = floats.out(context.out(0));
    if (!sections_.empty()) {
      auto* angles = reinterpret_cast<float*>(floats.raw(0));
      choose_angles(s, positions->ptr<int64_t>(), cos, sin, angles, context.parallel);
      cos = angles;
      sin = angles + s.batch * s.rows * s.half;
      positions = nullptr;
    }
    const size_t items = s.batch * s.rows * s.heads;
    context.parallel.for_range(
        items, grain_for(static_cast<double>(s.head_size)), [&](size_t first, size_t last, size_t) {
          for (size_t i = first; i < last; ++i) {
            // The input's order is (batch, row, head), or (batch, head, row) with four axes.
            const size_t b = i / (s.rows * s.heads), within = i % (s.rows * s.heads);
            const size_t row = s.heads_first ? within % s.rows : within / s.heads;
            const size_t place = b * s.rows + row;
            size_t at = s.one_cache ? row : place;
            if (positions) at = static_cast<size_t>(positions->ptr<int64_t>()[offset ? 0 : place]) + (offset ? row : 0);
            rotate_head(src + i * s.head_size, dst + i * s.head_size, cos + at * s.half, sin + at * s.half, s.half,
                        s.head_size, interleaved_);
          }
        });
    floats.finish(context.out(0), dst);
    return {};
  }

 private:
  struct Sizes {
    size_t batch, rows, heads, head_size, half, positions;
    bool heads_first;
    bool one_cache;  // a row of angles for each row of the input, the same for the whole batch
  };

  static constexpr int64_t kMostFeatures = int64_t{1} << 30;

  // Of one place.
  size_t angles_bytes(const BindContext& context) const {
    return scratch_size(std::max<int64_t>(context.shape(cos_at()).sizes().back(), 1), 2 * sizeof(float));
  }

  // The cosines of all places, then their sines, each from the position that turns it.
  void choose_angles(const Sizes& s, const int64_t* positions, const float* cos, const float* sin, float* angles,
                     const Parallel& parallel) const {
    const size_t places = s.batch * s.rows;
    parallel.for_range(places, grain_for(static_cast<double>(s.half)), [&](size_t begin, size_t end, size_t) {
      for (size_t at = begin; at < end; ++at)
        for (size_t c = 0; c < s.half; ++c) {
          const size_t stream = stream_of(static_cast<int64_t>(c)) * places;
          const size_t from = static_cast<size_t>(positions[stream + at]) * s.half + c;
          angles[at * s.half + c] = cos[from] * scale_;
          angles[(places + at) * s.half + c] = sin[from] * scale_;
        }
    });
  }

  // Which of the three positions turns a pair of features.
  size_t stream_of(int64_t c) const noexcept {
    if (!every_third_) return c < sections_[0] ? 0 : c < sections_[0] + sections_[1] ? 1 : 2;
    const size_t stream = static_cast<size_t>(c % 3);
    return c < 3 * sections_[stream] ? stream : 0;
  }

  size_t cos_at() const noexcept { return contrib_ ? 2 : 1; }
  size_t position_at() const noexcept { return contrib_ ? 1 : 3; }

  Result<Sizes> sizes_of(const Shape& x, const Shape& cos, const Shape& sin, bool has_positions,
                         const Shape& positions) const {
    LINNET_REQUIRE(x.rank() == 3 || x.rank() == 4,
                   invalid_argument("the input has ", x.rank(), " axes; it must have 3 or 4"));
    int64_t batch = x[0], rows, heads, head_size;
    if (x.rank() == 4) {
      heads = x[1], rows = x[2], head_size = x[3];
    } else {
      rows = x[1];
      // com.microsoft may leave the number of heads to be told from the caches' width.
      heads = heads_ > 0                                                       ? heads_
              : contrib_ && rotary_dim_ == 0 && !cos.empty() && cos.back() > 0 ? x[2] / (2 * cos.back())
                                                                               : 0;
      LINNET_REQUIRE(heads > 0 && x[2] % heads == 0,
                     invalid_argument("cannot split ", x[2], " features into ", heads, " heads"));
      head_size = x[2] / heads;
    }
    const int64_t rotary = rotary_dim_ > 0 ? rotary_dim_ : head_size;
    LINNET_REQUIRE(rotary % 2 == 0 && rotary <= head_size,
                   invalid_argument("cannot rotate ", rotary, " features of heads of ", head_size));
    const size_t rank = has_positions ? 2 : 3;
    LINNET_REQUIRE(
        cos.rank() == rank && cos.sizes().back() == rotary / 2 &&
            std::equal(cos.begin(), cos.end(), sin.begin(), sin.end()),
        invalid_argument("the caches' shapes ", cos, " and ", sin, " do not fit ", rotary, " rotated features"));
    if (!sections_.empty()) {
      LINNET_REQUIRE(sections_[0] + sections_[1] + sections_[2] == rotary / 2,
                     invalid_argument("mrope_section does not cut ", rotary / 2, " angles into three"));
      LINNET_REQUIRE(
          positions.rank() == 3 && positions[0] == 3 && positions[1] == batch && positions[2] == rows,
          invalid_argument("position_ids of shape ", positions, " do not fit 3 x ", batch, " x ", rows, " positions"));
    } else if (has_positions) {
      const bool one = contrib_ && positions.rank() == 1 && positions[0] == 1;
      LINNET_REQUIRE(
          one || (positions.rank() == 2 && positions[0] == batch && positions[1] == rows),
          invalid_argument("position_ids of shape ", positions, " do not fit ", batch, " x ", rows, " positions"));
    } else {
      LINNET_REQUIRE((cos[0] == batch || cos[0] == 1) && cos[1] == rows,
                     invalid_argument("the caches' shape ", cos, " does not fit ", batch, " x ", rows, " positions"));
    }
    const auto size = [](int64_t n) { return static_cast<size_t>(n); };
    return Sizes{size(batch),      size(rows),   size(heads),   size(head_size),
                 size(rotary / 2), size(cos[0]), x.rank() == 4, !has_positions && cos[0] == 1};
  }

  bool contrib_ = false, interleaved_ = false, every_third_ = false;
  std::vector<int64_t> sections_;  // empty without
  float scale_ = 1.0f;
  int64_t heads_ = 0, rotary_dim_ = 0;
};

constexpr OpDef kDefs[] = {
    {"", "RotaryEmbedding", 23, 3, 4, 1, 1, create<RotaryEmbedding>},
    {"com.microsoft", "RotaryEmbedding", 1, 4, 4, 1, 1, create<RotaryEmbedding>},
    {"com.microsoft", "MRotaryEmbedding", 1, 4, 4, 1, 1, create<RotaryEmbedding>},
};

}  // namespace

extern const std::span<const OpDef> kRotaryEmbeddingOps = kDefs;

}  // namespace linnet
