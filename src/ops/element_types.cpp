#include "ops/element_types.h"

namespace linnet {
namespace {

// Nothing is known yet; only the load sees that.
bool open(const InferContext& context, size_t i) {
  return context.symbolic() && context.info(i).kind == ValueKind::tensor && context.dtype(i) == DType::undefined;
}

}  // namespace

Status expect_type(const InferContext& context, size_t i, TypeSet allowed) {
  if (!context.has(i) || open(context, i)) return {};
  LINNET_REQUIRE(context.info(i).kind == ValueKind::tensor, invalid_argument("input ", i, " is not a tensor"));
  LINNET_REQUIRE(allowed.has(context.dtype(i)),
                 unsupported("input ", i, " of type ", dtype_name(context.dtype(i)), " is not supported"));
  return {};
}

Status expect_same_type(const InferContext& context, size_t i, size_t j) {
  if (!context.has(i) || open(context, i) || open(context, j)) return {};
  LINNET_REQUIRE(context.info(i).kind == ValueKind::tensor, invalid_argument("input ", i, " is not a tensor"));
  LINNET_REQUIRE(context.dtype(i) == context.dtype(j),
                 invalid_argument("input ", i, " is of type ", dtype_name(context.dtype(i)), ", input ", j, " of type ",
                                  dtype_name(context.dtype(j))));
  return {};
}

Status expect_one_element(const InferContext& context, size_t i) {
  if (!context.has(i) || !context.ranked(i)) return {};
  for (const Dim& size : context.shape(i))
    LINNET_REQUIRE(!size.known() || size.is(1), invalid_argument("input ", i, " must have one element"));
  return {};
}

Shape integers_of(const Tensor& tensor) {
  Shape values(static_cast<size_t>(tensor.count()));
  for (size_t i = 0; i < values.size(); ++i) values[i] = integer_at(tensor, static_cast<int64_t>(i));
  return values;
}

}  // namespace linnet
