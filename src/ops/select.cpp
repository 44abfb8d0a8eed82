// Elements chosen by their values, and sequences turned round.
// https://onnx.ai/onnx/operators/onnx__NonZero.html, ...Compress, ...TopK, ...ReverseSequence
#include "kernels/movement/gather.h"
#include "kernels/movement/topk.h"
#include "ops/element_types.h"
#include "ops/infer_shapes.h"

namespace linnet {
namespace {

class NonZero final : public Op {
 public:
  Status parse(NodeReader&) { return {}; }
  Status infer(InferContext& context) const override {
    LINNET_TRY(expect_type(context, 0, kNumberTypes | TypeSet{DType::boolean, DType::string, DType::c64, DType::c128}));
    context.set(0, DType::i64, {context.ranked(0) ? Dim(static_cast<int64_t>(context.shape(0).size())) : Dim(), Dim()});
    return {};
  }
  Status run(RunContext& context) const override {
    const Tensor& in = context.in(0);
    switch (in.dtype) {
      case DType::boolean: return find<uint8_t>(context);
      case DType::string: return find<std::string>(context);  // an empty one counts as zero
      case DType::c64: return find<std::complex<float>>(context);
      case DType::c128: return find<std::complex<double>>(context);
      default: break;
    }
    return visit_number(in.dtype, [&]<class T>(TypeTag<T>) { return find<T>(context); });
  }

 private:
  template <class T>
  static Status find(RunContext& context) {
    const Tensor& in = context.in(0);
    const std::span<const T> elements = in.as<T>();
    const auto set = [](const T& v) { return v != T{}; };
    const size_t rank = in.shape.rank();
    const int64_t found = std::count_if(elements.begin(), elements.end(), set);
    LINNET_TRY(context.allocate(0, DType::i64, {static_cast<int64_t>(rank), found}));
    if (found == 0 || rank == 0) return {};
    int64_t* out = context.out(0).ptr<int64_t>();
    const int64_t row = in.shape[rank - 1];
    int64_t* last = out + static_cast<int64_t>(rank - 1) * found;
    int64_t n = 0;
    for (int64_t first = 0; n < found; first += row) {
      const int64_t before = n;
      const T* element = elements.data() + first;
      for (int64_t i = 0; i < row && n < found; ++i) {  // without a branch on the element
        last[n] = i;
        n += set(element[i]);
      }
      int64_t rest = first / row;
      for (size_t a = rank - 1; a-- > 0 && n > before; rest /= in.shape[a])
        std::fill(out + static_cast<int64_t>(a) * found + before, out + static_cast<int64_t>(a) * found + n,
                  rest % in.shape[a]);
    }
    return {};
  }
};

class Compress final : public Op {
 public:
  Status parse(NodeReader& reader) {
    flat_ = !reader.has("axis");
    axis_ = reader.integer("axis", 0);
    return {};
  }
  Status infer(InferContext& context) const override {
    LINNET_TRY(expect_type(context, 0, kWholeTypes));
    LINNET_TRY(expect_type(context, 1, TypeSet{DType::boolean}));
    LINNET_REQUIRE(!context.ranked(1) || context.shape(1).size() == 1, invalid_argument("'condition' must be a list"));
    if (flat_) {
      LINNET_REQUIRE(context.ranked(0) || context.symbolic(), invalid_argument("the input is not a tensor"));
      context.set(0, context.dtype(0), {Dim()});
    } else if (context.ranked(0)) {
      SymShape shape = context.shape(0);
      LINNET_ASSIGN(const size_t axis, checked_axis(axis_, shape.size()));
      shape[axis] = Dim();
      context.set(0, context.dtype(0), std::move(shape));
    } else {
      context.set_unranked(0, context.dtype(0));
    }
    return {};
  }
  Status bind(BindContext& context) const override {
    context.request_scratch(static_cast<size_t>(context.shape(1).count()) * sizeof(int64_t));
    return {};
  }
  Status run(RunContext& context) const override {
    const Tensor &in = context.in(0), &condition = context.in(1);
    const Shape shape = flat_ ? Shape{in.count()} : in.shape;
    LINNET_ASSIGN(const size_t axis, checked_axis(flat_ ? 0 : axis_, shape.rank()));
    auto* kept = reinterpret_cast<int64_t*>(context.scratch());
    int64_t count = 0;
    for (int64_t i = 0; i < std::min(shape[axis], condition.count()); ++i) {
      kept[count] = i;  // without a branch, which would be guessed wrong half the time
      count += condition.ptr<uint8_t>()[i] != 0;
    }
    Shape out_shape = shape;
    out_shape[axis] = count;
    LINNET_TRY(context.allocate(0, in.dtype, out_shape));
    Tensor& out = context.out(0);
    const size_t outer = static_cast<size_t>(shape.count(0, axis)),
                 run = static_cast<size_t>(shape.count(axis + 1, shape.rank()));
    if (in.dtype == DType::string) {
      std::string* dst = out.ptr<std::string>();
      for (size_t o = 0; o < outer; ++o)
        for (int64_t k = 0; k < count; ++k, dst += run)
          std::copy_n(
              in.ptr<std::string>() + (o * static_cast<size_t>(shape[axis]) + static_cast<size_t>(kept[k])) * run, run,
              dst);
    } else {
      gather({outer, static_cast<size_t>(shape[axis]), static_cast<size_t>(count), run * element_size(in.dtype)}, kept,
             in.data, out.data, context.parallel);
    }
    return {};
  }

 private:
  bool flat_ = true;
  int64_t axis_ = 0;
};

class TopK final : public Op {
 public:
  Status parse(NodeReader& reader) {
    axis_ = reader.integer("axis", -1);
    largest_ = reader.flag("largest", true);
    reader.ignore("sorted");  // they always are
    return {};
  }

  Status infer(InferContext& context) const override {
    LINNET_TRY(expect_type(context, 0, kNumberTypes));
    LINNET_TRY(expect_type(context, 1, TypeSet{DType::i64}));
    LINNET_TRY(expect_one_element(context, 1));
    if (!context.ranked(0)) {
      context.set_unranked(0, context.dtype(0));
      context.set_unranked(1, DType::i64);
      return {};
    }
    SymShape shape = context.shape(0);
    LINNET_ASSIGN(const size_t axis, checked_axis(axis_, shape.size()));
    DimVector k;
    const Dim count = context.list(1, k) && k.size() == 1 ? k[0] : Dim();
    LINNET_REQUIRE(
        !count.known() || (count.value() >= 0 && (!shape[axis].known() || count.value() <= shape[axis].value())),
        invalid_argument("k is ", count.value(), "; the axis has ", context.symbols().to_string(shape[axis]),
                         " elements"));
    LINNET_REQUIRE(!shape[axis].known() || shape[axis].value() < int64_t{0xffffffff},
                   unsupported("an axis of ", shape[axis].value(), " elements is too long"));
    shape[axis] = count;
    context.set(0, context.dtype(0), shape);
    context.set(1, DType::i64, shape);
    return {};
  }

  Status bind(BindContext& context) const override {
    const Shape& in = context.shape(0);
    LINNET_ASSIGN(const size_t axis, checked_axis(axis_, in.rank()));
    context.request_scratch(context.threads() * worker_bytes(in[axis]));
    return {};
  }

  Status run(RunContext& context) const override {
    const Tensor& in = context.in(0);
    LINNET_ASSIGN(const size_t axis, checked_axis(axis_, in.shape.rank()));
    Tensor* const outs[] = {context.wants(0) ? &context.out(0) : nullptr, context.wants(1) ? &context.out(1) : nullptr};
    if (!outs[0] && !outs[1]) return {};
    const int64_t n = in.shape[axis], k = outs[outs[0] ? 0 : 1]->shape[axis],
                  inner = in.shape.count(axis + 1, in.shape.rank());
    const size_t rows = static_cast<size_t>(in.shape.count(0, axis) * inner);
    visit_number(in.dtype, [&]<class T>(TypeTag<T>) {
      context.parallel.for_range(
          rows, grain_for(static_cast<double>(n) * 2.0), [&](size_t begin, size_t end, size_t worker) {
            for (int64_t row = static_cast<int64_t>(begin); row < static_cast<int64_t>(end); ++row) {
              const int64_t from = row / inner * n * inner + row % inner, to = row / inner * k * inner + row % inner;
              top_k(in.ptr<T>() + from, inner, static_cast<size_t>(n), static_cast<size_t>(k), largest_,
                    outs[0] ? outs[0]->ptr<T>() + to : nullptr, outs[1] ? outs[1]->ptr<int64_t>() + to : nullptr, inner,
                    context.scratch() + worker * worker_bytes(n));
            }
          });
    });
    return {};
  }

 private:
  static size_t worker_bytes(int64_t n) { return round_up(static_cast<size_t>(n) * sizeof(Ranked), 64); }

  int64_t axis_ = -1;
  bool largest_ = true;
};

class ReverseSequence final : public Op {
 public:
  Status parse(NodeReader& reader) {
    batch_axis_ = reader.integer("batch_axis", 1);
    const int64_t time_axis = reader.integer("time_axis", 0);
    LINNET_REQUIRE(
        (batch_axis_ == 0 || batch_axis_ == 1) && time_axis == 1 - batch_axis_,
        invalid_model("batch_axis is ", batch_axis_, " and time_axis ", time_axis, "; one must be 0, the other 1"));
    return {};
  }
  Status infer(InferContext& context) const override {
    LINNET_TRY(expect_type(context, 0, kWholeTypes));
    LINNET_TRY(expect_type(context, 1, TypeSet{DType::i64}));
    if (context.ranked(0)) {
      const SymShape& in = context.shape(0);
      LINNET_REQUIRE(in.size() >= 2, invalid_argument("the input must have a batch and a time axis"));
      const Dim batch = in[static_cast<size_t>(batch_axis_)];
      if (context.ranked(1)) {
        const SymShape& lengths = context.shape(1);
        LINNET_REQUIRE(lengths.size() == 1 && (!lengths[0].known() || !batch.known() || lengths[0] == batch),
                       invalid_argument("'sequence_lens' must have one length for each sample"));
      }
    }
    return infer_same_as_input(context);
  }
  Status run(RunContext& context) const override {
    const Tensor& in = context.in(0);
    const int64_t batches = in.shape[static_cast<size_t>(batch_axis_)],
                  times = in.shape[static_cast<size_t>(1 - batch_axis_)];
    const int64_t run = in.shape.count(2, in.shape.rank());
    const int64_t batch_step = batch_axis_ == 0 ? times * run : run, time_step = batch_axis_ == 0 ? run : batches * run;
    const auto lengths = context.in(1).as<int64_t>();
    for (const int64_t length : lengths)
      LINNET_REQUIRE(length >= 0 && length <= times,
                     invalid_argument("a sequence length is ", length, "; there are ", times, " steps"));
    visit_width(in.dtype, [&]<class T>(TypeTag<T>) {
      const T* src = in.ptr<T>();
      T* dst = context.out(0).ptr<T>();
      context.parallel.for_range(static_cast<size_t>(batches), grain_for(static_cast<double>(times * run)),
                                 [&](size_t begin, size_t end, size_t) {
                                   for (size_t b = begin; b < end; ++b)
                                     for (int64_t t = 0; t < times; ++t) {
                                       const int64_t from = t < lengths[b] ? lengths[b] - 1 - t : t;
                                       const int64_t base = static_cast<int64_t>(b) * batch_step;
                                       std::copy_n(src + base + from * time_step, run, dst + base + t * time_step);
                                     }
                                 });
    });
    return {};
  }

 private:
  int64_t batch_axis_ = 1;
};

constexpr OpDef kDefs[] = {
    {"", "NonZero", 9, 1, 1, 1, 1, create<NonZero>, OpDef::kAllocates},
    {"", "Compress", 9, 2, 2, 1, 1, create<Compress>, OpDef::kAllocates},
    {"", "TopK", 10, 2, 2, 1, 2, create<TopK>},
    {"", "ReverseSequence", 10, 2, 2, 1, 1, create<ReverseSequence>},
};

}  // namespace

extern const std::span<const OpDef> kSelectOps = kDefs;

}  // namespace linnet
