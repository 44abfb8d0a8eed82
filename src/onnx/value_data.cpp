#include "onnx/value_data.h"

#include <algorithm>
#include <exception>

#include "onnx/reader.h"
#include "onnx/tensor_data.h"
#include "onnx/writer.h"
#include "tensor/alignment.h"

namespace linnet::onnx {
namespace {

// ---- from messages ----

Result<Value> to_value(const SequenceValue& message, const DataSource& source);

Result<linnet::Tensor> to_aligned(const Tensor& message, const DataSource& source) {
  LINNET_ASSIGN(const linnet::Tensor tensor, to_tensor(message, source));
  return aligned(tensor);
}

// The tensors, one element each, as one tensor.
Result<linnet::Tensor> joined(const std::vector<Tensor>& messages, const DataSource& source) {
  const int64_t count = static_cast<int64_t>(messages.size());
  linnet::Tensor all;
  for (int64_t i = 0; i < count; ++i) {
    LINNET_ASSIGN(const linnet::Tensor one, to_tensor(messages[static_cast<size_t>(i)], source));
    if (i == 0) {
      LINNET_ASSIGN(all, make_tensor(one.dtype, Shape{count}));
    }
    LINNET_REQUIRE(one.count() == 1 && one.dtype == all.dtype && !is_packed(one.dtype),
                   unsupported("a map whose values are not numbers or strings of one type"));
    linnet::Tensor slot{
        all.dtype, one.shape, all.ptr<std::byte>() + static_cast<size_t>(i) * element_size(all.dtype), {}};
    copy_elements(one, slot);
  }
  return all;
}

Result<Value> to_value(const MapValue& message, const DataSource& source) {
  Map map;
  const bool text = message.key_type == static_cast<int32_t>(DType::string);
  const size_t count = text ? message.string_keys.size() : message.keys.size();
  LINNET_REQUIRE(message.values && message.values->tensor_values.size() == count,
                 invalid_model("a map needs as many values as keys"));
  LINNET_ASSIGN(map.keys, make_tensor(text ? DType::string : DType::i64, Shape{static_cast<int64_t>(count)}));
  if (text) {
    std::copy(message.string_keys.begin(), message.string_keys.end(), map.keys.ptr<std::string>());
  } else {
    std::copy(message.keys.begin(), message.keys.end(), map.keys.ptr<int64_t>());
  }
  LINNET_ASSIGN(map.values, joined(message.values->tensor_values, source));
  Value value;
  value.map = std::make_shared<Map>(std::move(map));
  return value;
}

Result<Value> to_value(const OptionalValue& message, const DataSource& source) {
  const auto as_value = [](Result<linnet::Tensor> tensor) -> Result<Value> {
    LINNET_ASSIGN(linnet::Tensor held, std::move(tensor));
    return Value(std::move(held));
  };
  if (message.tensor_value) return as_value(to_aligned(*message.tensor_value, source));
  if (message.sparse_tensor_value) return as_value(to_tensor(*message.sparse_tensor_value, source));
  if (message.sequence_value) return to_value(*message.sequence_value, source);
  if (message.map_value) return to_value(*message.map_value, source);
  if (message.optional_value) return to_value(*message.optional_value, source);
  return Value();
}

Result<Value> to_value(const SequenceValue& message, const DataSource& source) {
  Sequence sequence;
  for (const Tensor& tensor : message.tensor_values) {
    LINNET_ASSIGN(linnet::Tensor element, to_aligned(tensor, source));
    sequence.values.emplace_back(std::move(element));
  }
  for (const SparseTensor& tensor : message.sparse_tensor_values) {
    LINNET_ASSIGN(linnet::Tensor element, to_tensor(tensor, source));
    sequence.values.emplace_back(std::move(element));
  }
  const auto append_all = [&](const auto& messages) -> Status {
    for (const auto& inner : messages) {
      LINNET_ASSIGN(Value element, to_value(inner, source));
      sequence.values.push_back(std::move(element));
    }
    return {};
  };
  LINNET_TRY(append_all(message.sequence_values));
  LINNET_TRY(append_all(message.map_values));
  LINNET_TRY(append_all(message.optional_values));
  if (!sequence.values.empty()) sequence.dtype = sequence.values.front().tensor.dtype;
  Value value;
  value.sequence = std::make_shared<Sequence>(std::move(sequence));
  return value;
}

template <class M>
Result<NamedValue> converted(Result<M> message, const DataSource& source) {
  if (!message.ok()) return std::move(message).status();
  LINNET_ASSIGN(Value value, to_value(*message, source));
  return NamedValue{std::string(message->name), std::move(value)};
}

// ---- to messages ----

SequenceValue from_sequence(const Sequence& sequence);

MapValue from_map(const Map& map) {
  MapValue message;
  message.key_type = static_cast<int32_t>(map.keys.dtype);
  if (map.keys.dtype == DType::string) {
    const auto keys = map.keys.as<std::string>();
    message.string_keys.assign(keys.begin(), keys.end());
  } else {
    const auto keys = map.keys.as<int64_t>();
    message.keys.assign(keys.begin(), keys.end());
  }
  message.values = std::make_unique<SequenceValue>();
  message.values->elem_type = ElementKind::tensor;
  const size_t width = element_size(map.values.dtype);
  for (int64_t i = 0; i < map.values.count(); ++i) {
    auto* element = static_cast<std::byte*>(map.values.data) + static_cast<size_t>(i) * width;
    message.values->tensor_values.push_back(from_tensor({map.values.dtype, Shape{}, element, {}}, {}));
  }
  return message;
}

SequenceValue from_sequence(const Sequence& sequence) {
  SequenceValue message;
  message.elem_type = ElementKind::tensor;
  for (const Value& value : sequence.values) {
    if (value.is_map()) {
      message.elem_type = ElementKind::map;
      message.map_values.push_back(from_map(*value.map));
    } else if (value.is_sequence()) {
      message.elem_type = ElementKind::sequence;
      message.sequence_values.push_back(from_sequence(*value.sequence));
    } else {
      message.tensor_values.push_back(from_tensor(value.tensor, {}));
    }
  }
  return message;
}

OptionalValue from_optional(const Value& value) {
  OptionalValue message;
  if (value.is_tensor()) {
    message.elem_type = ElementKind::tensor;
    message.tensor_value = std::make_unique<Tensor>(from_tensor(value.tensor, {}));
  } else if (value.is_sequence()) {
    message.elem_type = ElementKind::sequence;
    message.sequence_value = std::make_unique<SequenceValue>(from_sequence(*value.sequence));
  } else if (value.is_map()) {
    message.elem_type = ElementKind::map;
    message.map_value = std::make_unique<MapValue>(from_map(*value.map));
  }
  return message;
}

template <class M>
Result<std::vector<std::byte>> encode_named(M message, std::string_view name) {
  message.name = name;
  return encode(message);
}

}  // namespace

Result<NamedValue> decode_value(Bytes bytes, ElementKind kind, const std::shared_ptr<const void>& owner) try {
  const DataSource source{owner};
  const auto named = [](const Tensor& message, Result<linnet::Tensor> tensor) -> Result<NamedValue> {
    LINNET_ASSIGN(linnet::Tensor held, std::move(tensor));
    return NamedValue{std::string(message.name), Value(std::move(held))};
  };
  switch (kind) {
    case ElementKind::tensor: {
      LINNET_ASSIGN(const Tensor message, read_tensor(bytes));
      return named(message, to_aligned(message, source));
    }
    case ElementKind::sparse_tensor: {
      LINNET_ASSIGN(const SparseTensor message, read_sparse_tensor(bytes));
      return named(message.values, to_tensor(message, source));
    }
    case ElementKind::sequence: return converted(read_sequence(bytes), source);
    case ElementKind::map: return converted(read_map(bytes), source);
    case ElementKind::optional: return converted(read_optional(bytes), source);
    case ElementKind::undefined: break;
  }
  return invalid_argument("a value of unknown kind cannot be read");
} catch (const std::exception&) {
  return error(Code::out_of_memory, "not enough memory to read a value");
}

Result<std::vector<std::byte>> encode_value(const Value& value, std::string_view name, ElementKind kind) try {
  if (kind == ElementKind::optional) return encode_named(from_optional(value), name);
  if (kind == ElementKind::tensor && value.is_tensor()) return encode(from_tensor(value.tensor, name));
  if (kind == ElementKind::sequence && value.is_sequence()) return encode_named(from_sequence(*value.sequence), name);
  if (kind == ElementKind::map && value.is_map()) return encode_named(from_map(*value.map), name);
  return invalid_argument("the value '", name, "' is not of the kind that is to be written");
} catch (const std::exception&) {
  return error(Code::out_of_memory, "not enough memory to write the value '", name, "'");
}

}  // namespace linnet::onnx
