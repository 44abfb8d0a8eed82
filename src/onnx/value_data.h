// Values as the messages of onnx-data.proto: what test data files and saved outputs hold.
#pragma once

#include "onnx/model.h"
#include "tensor/tensor.h"

namespace linnet::onnx {

struct NamedValue {
  std::string name;
  Value value;
};

// Reads a TensorProto, SparseTensorProto (made dense), SequenceProto, MapProto or OptionalProto; nothing in the bytes
// tells which it is. Tensors that are aligned view the bytes where `owner` keeps them alive.
Result<NamedValue> decode_value(Bytes bytes, ElementKind kind, const std::shared_ptr<const void>& owner = nullptr);

// An optional wraps whatever the value is, or nothing; for the other kinds the value must be of that kind.
Result<std::vector<std::byte>> encode_value(const Value& value, std::string_view name, ElementKind kind);

}  // namespace linnet::onnx
