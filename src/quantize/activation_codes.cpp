#include "quantize/activation_codes.h"

#include <cstring>
#include <utility>

namespace linnet {
namespace {

Tensor scalar(DType type, const void* element) {
  const auto owner = std::make_shared<uint64_t>(0);
  std::memcpy(owner.get(), element, element_size(type));
  return Tensor{type, {}, owner.get(), owner};
}

}  // namespace

void ActivationCodes::set_range(ValueId root, float least, float greatest, bool symmetric) {
  const auto [at, is_new] = parameters_.try_emplace(root);
  if (!is_new) return;
  Parameters& made = at->second;
  made.quantization = choose_quantization(least, greatest, code_range(type_, symmetric), symmetric);
  const std::string name = graph_.value(root).name;
  made.scale = graph_.add_constant(name + "_scale", scalar(DType::f32, &made.quantization.scale));
  // The low bytes of a two's complement integer are the same integer in a narrower type.
  const int32_t zero_point = made.quantization.zero_point;
  const auto low = static_cast<uint16_t>(zero_point);
  const auto lowest = static_cast<uint8_t>(zero_point);
  made.zero_point = graph_.add_constant(name + "_zero_point",
                                        element_size(type_) == 2 ? scalar(type_, &low) : scalar(type_, &lowest));
}

ValueId ActivationCodes::add(std::string_view op_type, std::vector<ValueId> inputs, std::string named_after, DType type,
                             std::vector<Attribute> attributes) {
  Node node;
  node.op_type = op_type;
  node.version = opset_;
  node.name = std::move(named_after.append("_").append(op_type));
  node.inputs = std::move(inputs);
  node.attributes = std::move(attributes);
  std::string output = node.name + "_Output";
  return graph_.add_node(std::move(node), std::move(output), ValueInfo::tensor(type));
}

ValueId ActivationCodes::cast(ValueId value, DType type) {
  if (graph_.value(value).info.dtype == type) return value;
  ValueId& known = casts_.try_emplace({value, type}, kNoValue).first->second;
  if (known == kNoValue)
    known = add("Cast", {value}, graph_.value(value).name, type, {{"to", static_cast<int64_t>(type)}});
  return known;
}

ValueId ActivationCodes::codes(ValueId value, ValueId root) {
  ValueId& known = forms_[value].codes;
  if (known == kNoValue) {
    const Parameters& p = parameters_.at(root);
    known = add("QuantizeLinear", {cast(value, DType::f32), p.scale, p.zero_point}, graph_.value(value).name, type_);
  }
  return known;
}

ValueId ActivationCodes::floats(ValueId value, ValueId root) {
  const ValueId coded = codes(value, root);
  ValueId& known = forms_[value].floats;
  if (known == kNoValue) {
    const Parameters& p = parameters_.at(root);
    known = add("DequantizeLinear", {coded, p.scale, p.zero_point}, graph_.value(value).name, DType::f32);
  }
  return known;
}

void ActivationCodes::replace(ValueId value, ValueId root) {
  const DType type = std::exchange(graph_.value(value).info.dtype, DType::f32);
  const ValueId coded = codes(value, root), restored = cast(floats(value, root), type);
  graph_.replace_uses(value, restored);
  graph_.set_input(graph_.value(coded).producer, 0, value);
}

void ActivationCodes::supply(ValueId value, ValueId root, ValueId codes) {
  forms_[value].codes = codes;
  graph_.replace_uses(value, cast(floats(value, root), graph_.value(value).info.dtype));
}

void ActivationCodes::unite(ValueId value, ValueId with) {
  const Forms forms = forms_.at(with);
  forms_[value] = forms;
  graph_.replace_uses(value, cast(forms.floats, graph_.value(value).info.dtype));
}

}  // namespace linnet
