// https://onnx.ai/onnx/operators/onnx__Transpose.html
#include "ops/infer_shapes.h"
#include "ops/transpose_elements.h"

namespace linnet {
namespace {

class Transpose final : public Op {
 public:
  Status parse(NodeReader& reader) {
    if (reader.has("perm")) perm_ = reader.integers("perm");
    return {};
  }

  Status infer(InferContext& context) const override {
    DimVector elements;
    if (context.ints(0, elements)) context.set_ints(0, elements);  // of rank 0 or 1: nothing moves
    if (!context.ranked(0)) {
      context.set_unranked(0, context.dtype(0));
      return {};
    }
    const SymShape& in = context.shape(0);
    LINNET_ASSIGN(const auto order, order_for(in.size()));
    SymShape shape(in.size());
    for (size_t i = 0; i < in.size(); ++i) shape[i] = in[order[i]];
    context.set(0, context.dtype(0), std::move(shape));
    return {};
  }

  Status bind(BindContext& context) const override {
    const Shape& in = context.shape(0);
    const DType type = context.dtype(0);
    LINNET_ASSIGN(const auto order, order_for(in.rank()));
    const std::optional<TransposePlan> plan =
        plan_transpose(in.sizes(), {order.data(), order.size()}, transposed_width(type));
    LINNET_REQUIRE(plan, unsupported("the permutation of ", in, " leaves more than 16 axes"));
    context.state<TransposePlan>() = *plan;
    request_transpose_scratch(context);
    if (type != DType::string && !is_packed(type) && plan->runs && plan->outer.empty()) context.alias(0, 0, 0);
    return {};
  }

  Status run(RunContext& context) const override {
    transpose_elements(context.state<TransposePlan>(), context);
    return {};
  }

 private:
  Result<InlineVector<size_t, 8>> order_for(size_t rank) const {
    InlineVector<size_t, 8> order(rank);
    if (!perm_) {
      for (size_t i = 0; i < rank; ++i) order[i] = rank - 1 - i;
      return order;
    }
    LINNET_REQUIRE(perm_->size() == rank, invalid_argument("perm has ", perm_->size(), " axes, the input ", rank));
    return checked_axes(*perm_, rank);
  }

  std::optional<std::vector<int64_t>> perm_;  // none: the axes in reverse
};

constexpr OpDef kDefs[] = {{"", "Transpose", 1, 1, 1, 1, 1, create<Transpose>}};

}  // namespace

extern const std::span<const OpDef> kTransposeOps = kDefs;

}  // namespace linnet
