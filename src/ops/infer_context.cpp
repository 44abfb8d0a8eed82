#include "base/checked.h"
#include "ops/op.h"

namespace linnet {
namespace {

// Operators multiply known sizes; declared ones may be any.
Status check_count(const SymShape& shape) {
  int64_t count = 1;
  for (const Dim& size : shape) {
    const std::optional<int64_t> next =
        size.known() && size.value() != 0 ? checked_mul(count, size.value()) : std::optional(count);
    LINNET_REQUIRE(next, invalid_argument("a tensor with an axis of ", size.value(), " has too many elements"));
    count = *next;
  }
  return {};
}

}  // namespace

bool InferContext::ints(size_t i, DimVector& elements) const {
  if (!has(i)) return false;
  if (const Tensor* value = known(i)) {
    if (!is_integer(value->dtype) && value->dtype != DType::boolean) return false;
    if (value->shape.rank() > 1) return false;
    const int64_t count = value->count();
    elements.resize(static_cast<size_t>(count));
    for (int64_t k = 0; k < count; ++k) elements[static_cast<size_t>(k)] = integer_at(*value, k);
    return true;
  }
  if (i < tracked_.size() && tracked_[i]) {
    elements = *tracked_[i];
    return true;
  }
  if (is_integer(info(i).dtype) && ranked(i) && shape(i).size() == 1 && shape(i)[0].is(0)) {
    elements.clear();
    return true;
  }
  return false;
}

bool InferContext::list(size_t i, DimVector& elements) {
  if (!has(i)) return false;
  const Tensor* value = known(i);
  const DType dtype = value ? value->dtype : info(i).dtype;
  const size_t rank = value ? value->shape.rank() : info(i).ranked ? info(i).shape.size() : 0;
  if ((dtype != DType::undefined && !is_integer(dtype)) || rank > 1) {
    if (wrong_list_.ok()) wrong_list_ = invalid_argument("input ", i, " must be a list of integers");
    return false;
  }
  return ints(i, elements);
}

Status InferContext::infer(const Op& op) {
  for (const ValueInfo* info : in_)
    if (info) LINNET_TRY(check_count(info->shape));
  LINNET_TRY(op.infer(*this));
  return std::move(wrong_list_);
}

std::optional<int64_t> InferContext::known_int(size_t i) const {
  DimVector elements;
  if (!ints(i, elements) || elements.size() != 1 || !elements[0].known()) return std::nullopt;
  return elements[0].value();
}

void InferContext::set(size_t o, DType dtype, SymShape shape) {
  if (!wants(o)) return;
  ValueInfo& info = *out_[o];
  info.kind = ValueKind::tensor;
  info.dtype = dtype;
  info.ranked = true;
  info.shape = std::move(shape);
}

void InferContext::set_unranked(size_t o, DType dtype) {
  if (!wants(o)) return;
  ValueInfo& info = *out_[o];
  info.kind = ValueKind::tensor;
  info.dtype = dtype;
  info.ranked = false;
  info.shape.clear();
}

void InferContext::set_info(size_t o, ValueInfo info) {
  if (wants(o)) *out_[o] = std::move(info);
}

void InferContext::set_ints(size_t o, const DimVector& elements) {
  if (o < out_tracked_.size() && out_tracked_[o]) *out_tracked_[o] = elements;
}

}  // namespace linnet
