// https://onnx.ai/onnx/operators/onnx__Where.html
#include "kernels/elementwise/binary.h"
#include "ops/broadcast_plan.h"
#include "ops/infer_shapes.h"
#include "ops/op.h"

namespace linnet {
namespace {

class Where final : public Op {
 public:
  Status parse(NodeReader&) { return {}; }

  Status infer(InferContext& context) const override {
    const DType type = context.dtype(1);
    LINNET_REQUIRE(context.dtype(0) == DType::boolean,
                   invalid_model("the condition is of type ", dtype_name(context.dtype(0)), " instead of bool"));
    LINNET_REQUIRE(context.dtype(2) == type,
                   invalid_model("mixes elements of types ", dtype_name(type), " and ", dtype_name(context.dtype(2))));
    LINNET_REQUIRE(!is_packed(type), unsupported("cannot take elements of type ", dtype_name(type)));
    LINNET_ASSIGN(const std::optional<SymShape> shape, broadcast_inputs(context, 0, 3));
    if (shape) {
      context.set(0, type, *shape);
    } else {
      context.set_unranked(0, type);
    }
    DimVector condition, x, y;
    if (context.ints(0, condition) && context.ints(1, x) && context.ints(2, y)) track(context, condition, x, y);
    return {};
  }
  Status bind(BindContext& context) const override {
    LINNET_ASSIGN(context.state<BroadcastPlan>(),
                  broadcast_plan(context.out_shape(0), context.shape(0), context.shape(1), context.shape(2)));
    return {};
  }
  Status run(RunContext& context) const override {
    const BroadcastPlan& plan = context.state<BroadcastPlan>();
    const Tensor& x = context.in(1);
    const Tensor& y = context.in(2);
    Tensor& dst = context.out(0);
    const bool* condition = context.in(0).ptr<bool>();
    if (dst.dtype != DType::string) {
      select(element_size(dst.dtype), plan, condition, x.data, y.data, dst.data, context.parallel);
      return {};
    }
    for_each_block(plan, 50.0, Parallel(), [&](const BroadcastBlock& block) {
      for (size_t r = 0; r < block.rows; ++r) {
        const auto at = [&](size_t operand, size_t i) {
          return block.src[operand] + r * block.row_stride[operand] + i * block.stride[operand];
        };
        for (size_t i = 0; i < block.columns; ++i)
          dst.ptr<std::string>()[block.dst + r * block.columns + i] =
              condition[at(0, i)] ? x.ptr<std::string>()[at(1, i)] : y.ptr<std::string>()[at(2, i)];
      }
    });
    return {};
  }
  bool can_overwrite(size_t input, size_t) const override { return input != 0; }

 private:
  static void track(InferContext& context, const DimVector& condition, const DimVector& x, const DimVector& y) {
    const size_t n = std::max({condition.size(), x.size(), y.size()});
    DimVector out(n);
    for (const DimVector* operand : {&condition, &x, &y})
      if (operand->size() != n && operand->size() != 1) return;
    for (size_t i = 0; i < n; ++i) {
      const Dim c = condition[condition.size() == 1 ? 0 : i], a = x[x.size() == 1 ? 0 : i],
                b = y[y.size() == 1 ? 0 : i];
      out[i] = c.known() ? (c.value() != 0 ? a : b) : a == b ? a : Dim();
    }
    context.set_ints(0, out);
  }
};

constexpr OpDef kDefs[] = {{"", "Where", 9, 3, 3, 1, 1, create<Where>}};

}  // namespace

extern const std::span<const OpDef> kWhereOps = kDefs;

}  // namespace linnet
