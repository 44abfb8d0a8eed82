#include "ops/sequence_values.h"

namespace linnet {

ValueInfo sequence_info(DType dtype) {
  ValueInfo info;
  info.kind = ValueKind::sequence;
  info.dtype = dtype;
  return info;
}

ValueInfo sequence_info(const ValueInfo& element) {
  ValueInfo info = sequence_info(element.dtype);
  if (element.kind != ValueKind::tensor) info.element = std::make_shared<const ValueInfo>(element);
  return info;
}

ValueInfo element_info(const ValueInfo& sequence) {
  if (!sequence.element) return ValueInfo::tensor(sequence.dtype);
  ValueInfo info = *sequence.element;
  if (info.dtype == DType::undefined) info.dtype = sequence.dtype;
  info.ranked = false;
  info.shape.clear();
  return info;
}

Result<const Sequence*> sequence_input(const RunContext& context, size_t i) {
  if (!context.in_value(i).is_sequence()) return invalid_argument("input ", i, " holds no sequence");
  return context.in_value(i).sequence.get();
}

Result<Value> keep(RunContext& context, const Value& value) {
  if (!value.is_tensor()) return value;
  LINNET_ASSIGN(Tensor copy, context.make(value.tensor.dtype, value.tensor.shape));
  copy_elements(value.tensor, copy);
  return Value(std::move(copy));
}

Status write_value(RunContext& context, size_t o, const Value& value) {
  if (!context.wants(o)) return {};
  if (!value.is_tensor()) {
    context.out_value(o) = value;
    return {};
  }
  LINNET_TRY(context.allocate(o, value.tensor.dtype, value.tensor.shape));
  copy_elements(value.tensor, context.out(o));
  return {};
}

Result<size_t> position_input(const RunContext& context, size_t i, size_t count) {
  const Tensor& tensor = context.in(i);
  if (tensor.count() != 1 || !is_integer(tensor.dtype)) return invalid_argument("the position must be one integer");
  const int64_t position = integer_at(tensor, 0);
  const std::optional<size_t> normal = normalize_axis(position, count);
  if (!normal) return invalid_argument("position ", position, " is outside of a sequence of ", count);
  return *normal;
}

}  // namespace linnet
