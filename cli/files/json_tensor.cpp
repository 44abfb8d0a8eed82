#include "files/json_tensor.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "files/store_number.h"
#include "files/utf8.h"

namespace linnet::cli {
namespace {

using Json = nlohmann::json;
constexpr size_t kDeepest = 64;  // arrays within arrays; recursion below goes as deep

const Json& first_leaf(const Json& data) {
  const Json* at = &data;
  while (at->is_array() && !at->empty()) at = &at->front();
  return *at;
}

Result<Shape> shape_of(const Json& data) {
  Shape shape;
  for (const Json* at = &data; at->is_array(); at = &at->front()) {
    LINNET_REQUIRE(shape.rank() < kDeepest, invalid_argument("JSON arrays nested deeper than ", kDeepest));
    shape.push_back(static_cast<int64_t>(at->size()));
    if (at->empty()) break;
  }
  return shape;
}

std::optional<double> special_float(std::string_view text) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (text == "NaN") return std::numeric_limits<double>::quiet_NaN();
  if (text == "Infinity") return kInfinity;
  if (text == "-Infinity") return -kInfinity;
  return std::nullopt;
}

bool store_element(const Json& element, Tensor& tensor, int64_t i) {
  if (tensor.dtype == DType::string) {
    if (!element.is_string()) return false;
    tensor.ptr<std::string>()[i] = element.get_ref<const std::string&>();
    return true;
  }
  if (element.is_boolean()) return store_integer(tensor, i, element.get<bool>());
  if (element.is_number_unsigned() && element.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) {
    if (tensor.dtype != DType::u64) return store_number(tensor, i, static_cast<double>(element.get<uint64_t>()));
    tensor.ptr<uint64_t>()[i] = element.get<uint64_t>();
    return true;
  }
  if (element.is_number_integer()) return store_integer(tensor, i, element.get<int64_t>());
  if (element.is_number_float()) return store_number(tensor, i, element.get<double>());
  if (element.is_string()) {
    const std::optional<double> number = special_float(element.get_ref<const std::string&>());
    return number && store_number(tensor, i, *number);
  }
  return false;
}

// Fills the tensor from `data`, nested as `shape` says.
Status fill(const Json& data, const Shape& shape, size_t axis, Tensor& tensor, int64_t& next) {
  if (axis == shape.rank()) {
    LINNET_REQUIRE(store_element(data, tensor, next),
                   invalid_argument("JSON element ", next, " (",
                                    data.dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 40),
                                    ") is not a ", dtype_name(tensor.dtype)));
    ++next;
    return {};
  }
  LINNET_REQUIRE(
      data.is_array() && static_cast<int64_t>(data.size()) == shape[axis],
      invalid_argument("the JSON arrays are ragged: at depth ", axis, " one does not have ", shape[axis], " elements"));
  for (const Json& element : data) LINNET_TRY(fill(element, shape, axis + 1, tensor, next));
  return {};
}

Result<Shape> declared_shape(const Json& sizes) {
  Shape shape;
  bool valid = sizes.is_array() && sizes.size() <= kDeepest;
  for (size_t i = 0; valid && i < sizes.size(); ++i) {
    valid = sizes[i].is_number_integer() && sizes[i].get<int64_t>() >= 0;
    if (valid) shape.push_back(sizes[i].get<int64_t>());
  }
  LINNET_REQUIRE(valid && shape.checked_count(), invalid_argument("\"shape\" is not a list of sizes"));
  return shape;
}

std::string float_text(double value, bool single) {
  if (std::isnan(value)) return "\"NaN\"";
  if (std::isinf(value)) return value > 0 ? "\"Infinity\"" : "\"-Infinity\"";
  char buffer[32];
  const std::to_chars_result end = single ? std::to_chars(buffer, buffer + sizeof(buffer), static_cast<float>(value))
                                          : std::to_chars(buffer, buffer + sizeof(buffer), value);
  return {buffer, end.ptr};
}

Result<std::string> element_text(const Tensor& tensor, int64_t i) {
  switch (tensor.dtype) {
    case DType::string: {
      const std::string& text = tensor.ptr<std::string>()[i];
      LINNET_REQUIRE(decode_utf8(text),
                     unsupported("element ", i, " is not UTF-8 text, which is all that JSON can hold"));
      return Json(text).dump();
    }
    case DType::boolean: return std::string(tensor.ptr<uint8_t>()[i] ? "true" : "false");
    case DType::u64: return std::to_string(tensor.ptr<uint64_t>()[i]);
    case DType::f64: return float_text(tensor.ptr<double>()[i], false);
    default: break;
  }
  if (is_integer(tensor.dtype)) return std::to_string(integer_at(tensor, i));
  return float_text(number_at(tensor, i), true);
}

Status write(const Tensor& tensor, size_t axis, int64_t& next, std::string& out) {
  if (axis == tensor.shape.rank()) {
    LINNET_ASSIGN(const std::string text, element_text(tensor, next));
    out += text;
    ++next;
    return {};
  }
  out += '[';
  for (int64_t i = 0; i < tensor.shape[axis]; ++i) {
    if (i) out += ',';
    LINNET_TRY(write(tensor, axis + 1, next, out));
  }
  out += ']';
  return {};
}

}  // namespace

Result<Tensor> parse_json_tensor(std::string_view text, const TensorSpec& spec) {
  const Json document = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  LINNET_REQUIRE(!document.is_discarded(), invalid_argument("not valid JSON"));
  const bool has_fields = document.is_object();
  LINNET_REQUIRE(!has_fields || document.contains("data"), invalid_argument("the JSON object has no \"data\""));
  const Json& data = has_fields ? document["data"] : document;

  DType dtype = spec.dtype;
  if (has_fields && document.contains("dtype")) {
    const Json& name = document["dtype"];
    const std::optional<DType> named =
        name.is_string() ? parse_dtype(name.get_ref<const std::string&>()) : std::nullopt;
    LINNET_REQUIRE(named, invalid_argument("\"dtype\" ", name.is_string() ? name.get<std::string>() : "",
                                           " is not an element type"));
    dtype = *named;
  } else if (dtype == DType::undefined) {
    const Json& leaf = first_leaf(data);
    dtype = leaf.is_string() && !special_float(leaf.get_ref<const std::string&>()) ? DType::string
            : leaf.is_boolean()                                                    ? DType::boolean
                                                                                   : DType::f32;
  }
  LINNET_REQUIRE(dtype != DType::c64 && dtype != DType::c128,
                 unsupported("complex tensors have no JSON form; use .npy"));

  LINNET_ASSIGN(const Shape nested, shape_of(data));
  Shape shape = nested;
  if (has_fields && document.contains("shape")) {
    LINNET_ASSIGN(shape, declared_shape(document["shape"]));
    LINNET_REQUIRE(shape.count() == nested.count() && (nested.rank() == 1 || nested == shape || shape.count() == 0),
                   invalid_argument("\"shape\" says ", shape, " but \"data\" is ", nested));
  }
  LINNET_ASSIGN(Tensor tensor, make_tensor(dtype, shape));
  int64_t next = 0;
  LINNET_TRY(fill(data, nested, 0, tensor, next));
  return tensor;
}

Result<std::string> json_text(const Tensor& tensor) {
  LINNET_REQUIRE(tensor.dtype != DType::c64 && tensor.dtype != DType::c128 && tensor.shape.rank() <= kDeepest,
                 unsupported(tensor, " has no JSON form; use .npy"));
  std::string out = concat("{\"dtype\":\"", dtype_name(tensor.dtype), "\",\"shape\":[");
  for (size_t i = 0; i < tensor.shape.rank(); ++i) out += concat(i ? "," : "", tensor.shape[i]);
  out += "],\"data\":";
  int64_t next = 0;
  if (tensor.count() == 0) {
    out += "[]";
  } else {
    LINNET_TRY(write(tensor, 0, next, out));
  }
  out += "}\n";
  return out;
}

}  // namespace linnet::cli
