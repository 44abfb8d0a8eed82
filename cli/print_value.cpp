#include "print_value.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "files/json_tensor.h"
#include "terminal.h"

namespace linnet::cli {
namespace {

constexpr int64_t kShown = 6;      // elements of a summary
constexpr size_t kShownText = 24;  // characters of a string

bool is_complex(const Tensor& tensor) { return tensor.dtype == DType::c64 || tensor.dtype == DType::c128; }

template <class T>
std::string complex_text(const Tensor& tensor, int64_t i) {
  const std::complex<T> z = tensor.ptr<std::complex<T>>()[i];
  const std::string imaginary = number_text(static_cast<double>(z.imag()));
  return number_text(static_cast<double>(z.real())) + (imaginary[0] == '-' ? "" : "+") + imaginary + "i";
}

std::string element_text(const Tensor& tensor, int64_t i) {
  switch (tensor.dtype) {
    case DType::string: {
      const std::string& text = tensor.ptr<std::string>()[i];
      return "\"" + printable(text.substr(0, kShownText)) + (text.size() > kShownText ? "...\"" : "\"");
    }
    case DType::boolean: return tensor.ptr<uint8_t>()[i] ? "true" : "false";
    case DType::u64: return std::to_string(tensor.ptr<uint64_t>()[i]);
    case DType::c64: return complex_text<float>(tensor, i);
    case DType::c128: return complex_text<double>(tensor, i);
    default:
      return is_integer(tensor.dtype) ? std::to_string(integer_at(tensor, i)) : number_text(number_at(tensor, i));
  }
}

std::string tensor_summary(const Tensor& tensor) {
  const int64_t count = tensor.count();
  if (count <= 1 || tensor.dtype == DType::string || tensor.dtype == DType::boolean || is_complex(tensor))
    return first_elements(tensor);
  double least = INFINITY, greatest = -INFINITY, sum = 0;
  int64_t nans = 0;
  for (int64_t i = 0; i < count; ++i) {
    const double x = number_at(tensor, i);
    nans += std::isnan(x);
    if (std::isnan(x)) continue;
    least = std::min(least, x);
    greatest = std::max(greatest, x);
    sum += x;
  }
  std::string out;
  if (nans < count)
    out = concat("min ", number_text(least), "  max ", number_text(greatest), "  mean ",
                 number_text(sum / static_cast<double>(count - nans)), "  ");
  if (nans) out += concat(nans, " NaN  ");
  return out + first_elements(tensor);
}

// json_tensor.h's text without its line end.
Result<std::string> tensor_json(const Tensor& tensor) {
  LINNET_ASSIGN(std::string text, json_text(tensor));
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

}  // namespace

std::string number_text(double number) {
  char text[40];
  std::snprintf(text, sizeof text, "%.6g", number);
  return text;
}

std::string first_elements(const Tensor& tensor) {
  std::string out = "[";
  for (int64_t i = 0; i < std::min(tensor.count(), kShown); ++i) out += (i ? ", " : "") + element_text(tensor, i);
  return out + (tensor.count() > kShown ? ", ...]" : "]");
}

std::string type_text(const Value& value) {
  if (value.is_sequence()) return concat("sequence of ", value.sequence->values.size());
  if (value.is_map()) return concat("map of ", value.map->keys.count());
  return value.is_tensor() ? value.tensor.to_string() : "nothing";
}

std::string type_text(const ValueInfo& info, const SymbolTable& symbols) {
  const std::string name = info.dtype == DType::undefined ? "?" : to_string(info.dtype);
  const std::string inner = info.element ? type_text(*info.element, symbols) : name;
  switch (info.kind) {
    case ValueKind::sequence: return "sequence(" + inner + ")";
    case ValueKind::optional: return "optional(" + inner + ")";
    case ValueKind::map: return concat("map(", dtype_name(info.key), ", ", name, ")");
    default: return name + (info.ranked ? symbols.to_string(info.shape) : "[...]");
  }
}

std::string summary(const Value& value) {
  if (value.is_tensor()) return tensor_summary(value.tensor);
  if (value.is_map()) return first_elements(value.map->keys) + " -> " + first_elements(value.map->values);
  std::string out;
  if (value.is_sequence()) {
    const auto& values = value.sequence->values;
    for (size_t i = 0; i < std::min<size_t>(values.size(), 3); ++i)
      out += concat(i ? "; " : "", type_text(values[i]), " ", summary(values[i]));
    if (values.size() > 3) out += "; ...";
  }
  return out;
}

Result<std::string> json_text(const Value& value) {
  if (value.is_tensor()) return tensor_json(value.tensor);
  if (value.is_map()) {
    LINNET_ASSIGN(const std::string keys, tensor_json(value.map->keys));
    LINNET_ASSIGN(const std::string values, tensor_json(value.map->values));
    return concat("{\"map\":{\"keys\":", keys, ",\"values\":", values, "}}");
  }
  if (value.is_none()) return std::string("{\"nothing\":true}");
  std::string out = "{\"sequence\":[";
  for (size_t i = 0; i < value.sequence->values.size(); ++i) {
    LINNET_ASSIGN(const std::string element, json_text(value.sequence->values[i]));
    out += (i ? "," : "") + element;
  }
  return out + "]}";
}

}  // namespace linnet::cli
