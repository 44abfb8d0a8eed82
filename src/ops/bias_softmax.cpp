// Softmax of scores with a bias, and scores without repeated n-grams.
// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.BiasSoftmax,
// ...NGramRepeatBlock
#include <limits>

#include "kernels/softmax/softmax.h"
#include "ops/float_scratch.h"
#include "ops/infer_shapes.h"

namespace linnet {
namespace {

// Rows are the axes before `axis`. A bias of fewer rows is repeated over the innermost or the outermost of them.
class BiasSoftmax final : public Op {
 public:
  Status parse(NodeReader& reader) {
    axis_ = reader.integer("axis", 1);
    inner_ = reader.flag("is_inner_broadcast", false);
    return {};
  }
  Status infer(InferContext& context) const override {
    const DType type = context.dtype(0);
    LINNET_REQUIRE((type == DType::f32 || type == DType::f16 || type == DType::bf16) && context.dtype(1) == type,
                   unsupported("scores of type ", dtype_name(type)));
    if (context.ranked(0) && context.shape(0).known() && context.ranked(1) && context.shape(1).known())
      LINNET_TRY(sizes(context.shape(0).values(), context.shape(1).values()).status());
    return infer_same_as_input(context);
  }
  Status bind(BindContext& context) const override {
    request_float_scratch(context);
    return {};
  }
  Status run(RunContext& context) const override {
    LINNET_ASSIGN(const Sizes s, sizes(context.in(0).shape, context.in(1).shape));
    FloatScratch floats(context);
    const float* x = floats.in(context.in(0));
    const float* bias = floats.in(context.in(1));
    float* y = floats.out(context.out(0));
    if (s.rows * s.columns == 0) return {};
    const size_t repeat = s.rows / s.bias_rows;
    context.parallel.for_range(s.rows, grain_for(static_cast<double>(s.columns)),
                               [&](size_t first, size_t last, size_t) {
                                 for (size_t r = first; r < last; ++r) {
                                   const float* row = bias + (inner_ ? r / repeat : r % s.bias_rows) * s.columns;
                                   for (size_t i = 0; i < s.columns; ++i)
                                     y[r * s.columns + i] = x[r * s.columns + i] + row[i];
                                   softmax_row(false, y + r * s.columns, y + r * s.columns, s.columns);
                                 }
                               });
    floats.finish(context.out(0), y);
    return {};
  }

 private:
  struct Sizes {
    size_t rows, columns, bias_rows;
  };
  Result<Sizes> sizes(const Shape& x, const Shape& bias) const {
    LINNET_ASSIGN(const size_t axis, checked_axis(axis_, x.rank()));
    const int64_t rows = x.count(0, axis), columns = x.count(axis, x.rank());
    const int64_t bias_rows = columns == 0 ? 1 : bias.count() / columns;
    LINNET_REQUIRE(columns == 0 || (bias_rows * columns == bias.count() && bias_rows > 0 && rows % bias_rows == 0),
                   invalid_argument("a bias of shape ", bias, " does not fit scores of shape ", x));
    return Sizes{static_cast<size_t>(rows), static_cast<size_t>(columns), static_cast<size_t>(bias_rows)};
  }

  int64_t axis_ = 1;
  bool inner_ = false;
};

// Tokens that would complete an n-gram that the sequence has already get the score -infinity.
class NGramRepeatBlock final : public Op {
 public:
  Status parse(NodeReader& reader) {
    size_ = reader.integer("ngram_size", 0);
    LINNET_REQUIRE(size_ > 0, invalid_model("ngram_size is ", size_, "; it must be positive"));
    return {};
  }
  Status infer(InferContext& context) const override {
    LINNET_REQUIRE(
        context.dtype(0) == DType::i64 && context.dtype(1) == DType::f32,
        unsupported("n-grams of ", dtype_name(context.dtype(0)), " with scores of ", dtype_name(context.dtype(1))));
    for (const size_t i : {size_t{0}, size_t{1}})
      LINNET_REQUIRE(!context.ranked(i) || context.shape(i).size() == 2,
                     invalid_argument("input ", i, " must have two axes"));
    if (context.ranked(0) && context.ranked(1)) {
      const Dim a = context.shape(0)[0], b = context.shape(1)[0];
      LINNET_REQUIRE(!a.known() || !b.known() || a == b,
                     invalid_argument("there are ", a.value(), " sequences and ", b.value(), " rows of scores"));
    }
    if (context.ranked(1)) {
      context.set(0, DType::f32, context.shape(1));
    } else {
      context.set_unranked(0, DType::f32);
    }
    return {};
  }
  Status run(RunContext& context) const override {
    const Tensor& ids = context.in(0);
    Tensor& out = context.out(0);
    copy_elements(context.in(1), out);
    const int64_t length = ids.shape[1], vocabulary = out.shape[1];
    for (int64_t b = 0; b < ids.shape[0]; ++b) {
      const int64_t* sequence = ids.ptr<int64_t>() + b * length;
      for (int64_t i = 0; i + size_ <= length; ++i) {
        if (!std::equal(sequence + i, sequence + i + size_ - 1, sequence + length + 1 - size_)) continue;
        const int64_t token = sequence[i + size_ - 1];
        LINNET_REQUIRE(token >= 0 && token < vocabulary,
                       invalid_argument("token ", token, " is outside of the ", vocabulary, " scores"));
        out.ptr<float>()[b * vocabulary + token] = -std::numeric_limits<float>::infinity();
      }
    }
    return {};
  }
  bool can_overwrite(size_t input, size_t) const override { return input == 1; }

 private:
  int64_t size_ = 1;
};

constexpr OpDef kDefs[] = {
    {"com.microsoft", "BiasSoftmax", 1, 2, 2, 1, 1, create<BiasSoftmax>},
    {"com.microsoft", "NGramRepeatBlock", 1, 2, 2, 1, 1, create<NGramRepeatBlock>},
};

}  // namespace

extern const std::span<const OpDef> kBiasSoftmaxOps = kDefs;

}  // namespace linnet
