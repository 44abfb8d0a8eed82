#include "compare.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "quality/quality.h"

namespace linnet::cli {
namespace {

// With as many digits as tell the two apart.
std::string apart(double a, double e) {
  const auto text = [](double x, int digits) {
    char buffer[40];
    std::snprintf(buffer, sizeof buffer, "%.*g", digits, x);
    return std::string(buffer);
  };
  int digits = 6;
  while (digits < 17 && text(a, digits) == text(e, digits)) ++digits;
  return concat(text(a, digits), " instead of ", text(e, digits));
}

void fail(Difference& d, std::string message) {
  if (d.equal) d.message = std::move(message);
  d.equal = false;
}

void compare_number(Difference& d, double a, double e, const Tolerance& tolerance, int64_t index) {
  if (a == e || (std::isnan(a) && std::isnan(e))) return;
  const double difference = std::fabs(a - e);
  if (std::isfinite(difference)) {
    d.max_abs = std::max(d.max_abs, difference);
    if (e != 0) d.max_rel = std::max(d.max_rel, difference / std::fabs(e));
  }
  if (std::isfinite(difference) && difference <= tolerance.atol + tolerance.rtol * std::fabs(e)) return;
  fail(d, concat("element ", index, " is ", apart(a, e)));
}

template <class T>
void compare_complex(Difference& d, const Tensor& actual, const Tensor& expected, const Tolerance& tolerance) {
  for (int64_t i = 0; i < actual.count(); ++i) {
    const auto a = actual.ptr<std::complex<T>>()[i], e = expected.ptr<std::complex<T>>()[i];
    compare_number(d, static_cast<double>(a.real()), static_cast<double>(e.real()), tolerance, i);
    compare_number(d, static_cast<double>(a.imag()), static_cast<double>(e.imag()), tolerance, i);
  }
}

void compare_tensors(Difference& d, const Tensor& actual, const Tensor& expected, const Tolerance& tolerance) {
  // A classifier's bool labels are integers in its model (ai.onnx.ml knows no other), but may be stored as they were.
  const bool label = expected.dtype == DType::boolean && is_integer(actual.dtype);
  const bool floats = tolerance.any_float && is_float(actual.dtype) && is_float(expected.dtype);
  if ((actual.dtype != expected.dtype && !label && !floats) || !(actual.shape == expected.shape))
    return fail(d, concat("is ", actual, " instead of ", expected));
  if (actual.dtype != expected.dtype && floats)
    d.types = concat(dtype_name(actual.dtype), " instead of ", dtype_name(expected.dtype));
  if (label) {
    for (int64_t i = 0; i < actual.count(); ++i) compare_number(d, number_at(actual, i), number_at(expected, i), {}, i);
    return;
  }
  switch (actual.dtype) {
    case DType::string:
      for (int64_t i = 0; i < actual.count(); ++i)
        if (actual.ptr<std::string>()[i] != expected.ptr<std::string>()[i])
          return fail(d, concat("element ", i, " is '", actual.ptr<std::string>()[i], "' instead of '",
                                expected.ptr<std::string>()[i], "'"));
      return;
    case DType::c64: return compare_complex<float>(d, actual, expected, tolerance);
    case DType::c128: return compare_complex<double>(d, actual, expected, tolerance);
    case DType::i64:
    case DType::u64:
      for (int64_t i = 0; i < actual.count(); ++i)
        if (actual.ptr<int64_t>()[i] != expected.ptr<int64_t>()[i])
          compare_number(d, number_at(actual, i), number_at(expected, i), tolerance, i);
      return;
    default:
      for (int64_t i = 0; i < actual.count(); ++i)
        compare_number(d, number_at(actual, i), number_at(expected, i), tolerance, i);
  }
}

const char* kind_name(const Value& v) {
  return v.is_sequence() ? "a sequence" : v.is_map() ? "a map" : v.is_tensor() ? "a tensor" : "nothing";
}

void compare_values(Difference& d, const Value& actual, const Value& expected, const Tolerance& tolerance) {
  if (actual.is_sequence() != expected.is_sequence() || actual.is_map() != expected.is_map() ||
      actual.is_tensor() != expected.is_tensor())
    return fail(d, concat("is ", kind_name(actual), " instead of ", kind_name(expected)));
  if (actual.is_sequence()) {
    const auto &a = actual.sequence->values, &e = expected.sequence->values;
    if (a.size() != e.size()) return fail(d, concat("has ", a.size(), " elements instead of ", e.size()));
    for (size_t i = 0; i < a.size(); ++i) compare_values(d, a[i], e[i], tolerance);
  } else if (actual.is_map()) {
    compare_tensors(d, actual.map->keys, expected.map->keys, {});
    compare_tensors(d, actual.map->values, expected.map->values, tolerance);
  } else if (actual.is_tensor()) {
    compare_tensors(d, actual.tensor, expected.tensor, tolerance);
  }
}

}  // namespace

Difference compare(const Value& actual, const Value& expected, const Tolerance& tolerance) {
  Difference d;
  compare_values(d, actual, expected, tolerance);
  d.compared = !without_numbers({&expected, 1});
  return d;
}

double rounding_of(DType floats) noexcept { return floats == DType::f16 ? 1e-2 : floats == DType::bf16 ? 5e-2 : 1e-3; }

Result<Value> as_floats(const Value& value, DType type) {
  if (!value.is_tensor() || value.tensor.dtype == type || !is_float(value.tensor.dtype) || !is_float(type))
    return value;
  LINNET_ASSIGN(Tensor out, make_tensor(type, value.tensor.shape));
  for (int64_t i = 0; i < out.count(); ++i) {
    const auto number = static_cast<float>(number_at(value.tensor, i));
    if (type == DType::f16) out.ptr<f16>()[i] = f16(number);
    if (type == DType::bf16) out.ptr<bf16>()[i] = bf16(number);
    if (type == DType::f32) out.ptr<float>()[i] = number;
    if (type == DType::f64) out.ptr<double>()[i] = number_at(value.tensor, i);
  }
  return Value(std::move(out));
}

double greatest(const Value& value) {
  double most = 0;
  if (value.is_tensor() && is_float(value.tensor.dtype))
    for (int64_t i = 0; i < value.tensor.count(); ++i)
      if (const double number = std::fabs(number_at(value.tensor, i)); std::isfinite(number))
        most = std::max(most, number);
  return most;
}

}  // namespace linnet::cli
