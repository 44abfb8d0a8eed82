// https://onnx.ai/onnx/operators/onnx__Transpose.html
#include "kernels/transpose/transpose.h"

#include "ops/float_scratch.h"
#include "ops/infer_shapes.h"
#include "ops/op.h"

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
    // Packed elements travel as bytes; strings by number.
    const size_t width = type == DType::string ? sizeof(uint64_t) : is_packed(type) ? 1 : element_size(type);
    const std::optional<TransposePlan> plan = plan_transpose(in.sizes(), {order.data(), order.size()}, width);
    LINNET_REQUIRE(plan, unsupported("the permutation of ", in, " leaves more than 16 axes"));
    context.state<TransposePlan>() = *plan;
    if (is_packed(type)) context.request_scratch(scratch_size(in.count(), 2));
    if (type == DType::string) context.request_scratch(scratch_size(in.count(), 2 * sizeof(uint64_t)));
    if (type != DType::string && !is_packed(type) && plan->runs && plan->outer.empty()) context.alias(0, 0, 0);
    return {};
  }

  Status run(RunContext& context) const override {
    const TransposePlan& plan = context.state<TransposePlan>();
    const Tensor& src = context.in(0);
    Tensor& dst = context.out(0);
    const size_t count = static_cast<size_t>(src.count());
    if (is_packed(src.dtype)) {
      // The bits of a signed or floating-point element travel as those of an unsigned one.
      const NumberType packed = dtype_bits(src.dtype) == 4 ? NumberType::u4 : NumberType::u2;
      std::byte* unpacked = context.scratch();
      cast(packed, src.data, NumberType::u8, unpacked, count, {}, context.parallel);
      transpose(plan, unpacked, unpacked + count, context.parallel);
      cast(NumberType::u8, unpacked + count, packed, dst.data, count, {}, context.parallel);
    } else if (src.dtype == DType::string) {
      uint64_t* index = reinterpret_cast<uint64_t*>(context.scratch());
      for (size_t i = 0; i < count; ++i) index[i] = i;
      transpose(plan, index, index + count, context.parallel);
      for (size_t i = 0; i < count; ++i) dst.ptr<std::string>()[i] = src.ptr<std::string>()[index[count + i]];
    } else {
      transpose(plan, src.data, dst.data, context.parallel);
    }
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
