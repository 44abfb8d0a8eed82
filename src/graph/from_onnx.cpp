#include "graph/from_onnx.h"

#include <algorithm>

namespace linnet {
namespace {

using onnx::AttributeType;

Result<ValueInfo> tensor_info(const onnx::TensorType& type, SymbolTable& symbols) {
  LINNET_REQUIRE(is_dtype(type.elem_type), invalid_model("the element type ", type.elem_type, " is unknown"));
  ValueInfo info = ValueInfo::tensor(static_cast<DType>(type.elem_type));
  if (!type.shape) return info;
  info.ranked = true;
  for (const onnx::Dimension& dim : type.shape->dim) {
    if (dim.dim_value) {
      info.shape.push_back(*dim.dim_value >= 0 ? Dim(*dim.dim_value) : Dim());
    } else {
      info.shape.push_back(dim.dim_param.empty() ? Dim() : symbols.named(dim.dim_param));
    }
  }
  return info;
}

Result<ValueInfo> container_info(ValueKind kind, const onnx::Type* element, SymbolTable& symbols) {
  ValueInfo info;
  info.kind = kind;
  if (!element) return info;
  LINNET_ASSIGN(ValueInfo inner, to_value_info(*element, symbols));
  info.dtype = inner.dtype;
  info.element = std::make_shared<ValueInfo>(std::move(inner));
  return info;
}

std::vector<std::string> to_strings(const std::vector<std::string_view>& texts) { return {texts.begin(), texts.end()}; }

// A tensor that owns `elements`.
template <class T>
Tensor owning(std::vector<T> elements, Shape shape) {
  auto owner = std::make_shared<std::vector<T>>(std::move(elements));
  return Tensor{dtype_of<T>, std::move(shape), owner->data(), owner};
}
template <class T>
Tensor list_of(const std::vector<T>& elements) {
  return owning(elements, Shape{static_cast<int64_t>(elements.size())});
}

}  // namespace

Result<ValueInfo> to_value_info(const onnx::Type& type, SymbolTable& symbols) {
  if (type.tensor_type) return tensor_info(*type.tensor_type, symbols);
  if (type.sequence_type) return container_info(ValueKind::sequence, type.sequence_type->elem_type.get(), symbols);
  if (type.optional_type) return container_info(ValueKind::optional, type.optional_type->elem_type.get(), symbols);
  if (type.map_type) {
    LINNET_REQUIRE(is_dtype(type.map_type->key_type), invalid_model("a map with keys of an unknown type"));
    LINNET_ASSIGN(ValueInfo info, container_info(ValueKind::map, type.map_type->value_type.get(), symbols));
    info.key = static_cast<DType>(type.map_type->key_type);
    return info;
  }
  if (type.sparse_tensor_type) return unsupported("values that are sparse tensors are not supported");
  return ValueInfo();
}

Result<Attribute::Data> to_attribute_data(const onnx::Attribute& attribute, const onnx::DataSource& source,
                                          SymbolTable& symbols) {
  switch (attribute.type) {
    case AttributeType::real: return Attribute::Data(attribute.f);
    case AttributeType::integer: return Attribute::Data(attribute.i);
    case AttributeType::string: return Attribute::Data(std::string(attribute.s));
    case AttributeType::reals: return Attribute::Data(attribute.floats);
    case AttributeType::integers: return Attribute::Data(attribute.ints);
    case AttributeType::strings: return Attribute::Data(to_strings(attribute.strings));
    case AttributeType::tensor: {
      LINNET_REQUIRE(attribute.t, invalid_model("its tensor is missing"));
      LINNET_ASSIGN(Tensor tensor, onnx::to_tensor(*attribute.t, source));
      return Attribute::Data(std::move(tensor));
    }
    case AttributeType::sparse_tensor: {
      LINNET_REQUIRE(attribute.sparse_tensor, invalid_model("its tensor is missing"));
      LINNET_ASSIGN(Tensor tensor, onnx::to_tensor(*attribute.sparse_tensor, source));
      return Attribute::Data(std::move(tensor));
    }
    case AttributeType::tensors: {
      std::vector<Tensor> tensors;
      for (const onnx::Tensor& message : attribute.tensors) {
        LINNET_ASSIGN(Tensor tensor, onnx::to_tensor(message, source));
        tensors.push_back(std::move(tensor));
      }
      return Attribute::Data(std::move(tensors));
    }
    case AttributeType::type_proto: {
      LINNET_REQUIRE(attribute.tp, invalid_model("its type is missing"));
      LINNET_ASSIGN(ValueInfo info, to_value_info(*attribute.tp, symbols));
      return Attribute::Data(std::move(info));
    }
    default: break;
  }
  return unsupported("its kind ", static_cast<int>(attribute.type), " is not supported");
}

Result<Tensor> constant_of(const Attribute& attribute) {
  const auto wrong = [&] { return invalid_model("the attribute '", attribute.name, "' is none that a Constant has"); };
  const std::string& name = attribute.name;
  if (name == "value" || name == "sparse_value") {
    const Tensor* tensor = std::get_if<Tensor>(&attribute.data);
    return tensor ? Result<Tensor>(*tensor) : wrong();
  }
  if (name == "value_float" && std::holds_alternative<float>(attribute.data))
    return owning(std::vector<float>{std::get<float>(attribute.data)}, {});
  if (name == "value_int" && std::holds_alternative<int64_t>(attribute.data))
    return owning(std::vector<int64_t>{std::get<int64_t>(attribute.data)}, {});
  if (name == "value_string" && std::holds_alternative<std::string>(attribute.data))
    return owning(std::vector<std::string>{std::get<std::string>(attribute.data)}, {});
  if (const auto* floats = std::get_if<std::vector<float>>(&attribute.data); floats && name == "value_floats")
    return list_of(*floats);
  if (const auto* ints = std::get_if<std::vector<int64_t>>(&attribute.data); ints && name == "value_ints")
    return list_of(*ints);
  if (const auto* texts = std::get_if<std::vector<std::string>>(&attribute.data); texts && name == "value_strings")
    return list_of(*texts);
  return wrong();
}

}  // namespace linnet
