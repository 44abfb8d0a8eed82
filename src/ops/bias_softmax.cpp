// Softmax of scores with a bias.
// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.BiasSoftmax
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

constexpr OpDef kDefs[] = {
    {"com.microsoft", "BiasSoftmax", 1, 2, 2, 1, 1, create<BiasSoftmax>},
};

}  // namespace

extern const std::span<const OpDef> kBiasSoftmaxOps = kDefs;

}  // namespace linnet
