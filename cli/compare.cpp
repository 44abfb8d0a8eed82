#include "compare.h"

#include <algorithm>
#include <cmath>

namespace linnet::cli {
namespace {

void fail(Difference& d, std::string message) {
  if (d.equal) d.message = std::move(message);
  d.equal = false;
}

void compare_number(Difference& d, double a, double e, double rtol, double atol, int64_t index) {
  if (a == e || (std::isnan(a) && std::isnan(e))) return;
  const double difference = std::fabs(a - e);
  if (std::isfinite(difference)) {
    d.max_abs = std::max(d.max_abs, difference);
    if (e != 0) d.max_rel = std::max(d.max_rel, difference / std::fabs(e));
  }
  if (difference <= atol + rtol * std::fabs(e)) return;
  fail(d, concat("element ", index, " is ", a, " instead of ", e));
}

template <class T>
void compare_complex(Difference& d, const Tensor& actual, const Tensor& expected, double rtol, double atol) {
  for (int64_t i = 0; i < actual.count(); ++i) {
    const auto a = actual.ptr<std::complex<T>>()[i], e = expected.ptr<std::complex<T>>()[i];
    compare_number(d, static_cast<double>(a.real()), static_cast<double>(e.real()), rtol, atol, i);
    compare_number(d, static_cast<double>(a.imag()), static_cast<double>(e.imag()), rtol, atol, i);
  }
}

void compare_tensors(Difference& d, const Tensor& actual, const Tensor& expected, double rtol, double atol) {
  // A classifier's bool labels are integers in its model (ai.onnx.ml knows no other), but may be stored as they were.
  const bool label = expected.dtype == DType::boolean && is_integer(actual.dtype);
  if ((actual.dtype != expected.dtype && !label) || !(actual.shape == expected.shape))
    return fail(d, concat("is ", actual, " instead of ", expected));
  if (label) {
    for (int64_t i = 0; i < actual.count(); ++i)
      compare_number(d, number_at(actual, i), number_at(expected, i), 0, 0, i);
    return;
  }
  switch (actual.dtype) {
    case DType::string:
      for (int64_t i = 0; i < actual.count(); ++i)
        if (actual.ptr<std::string>()[i] != expected.ptr<std::string>()[i])
          return fail(d, concat("element ", i, " is '", actual.ptr<std::string>()[i], "' instead of '",
                                expected.ptr<std::string>()[i], "'"));
      return;
    case DType::c64: return compare_complex<float>(d, actual, expected, rtol, atol);
    case DType::c128: return compare_complex<double>(d, actual, expected, rtol, atol);
    case DType::i64:
    case DType::u64:
      for (int64_t i = 0; i < actual.count(); ++i)
        if (actual.ptr<int64_t>()[i] != expected.ptr<int64_t>()[i])
          compare_number(d, number_at(actual, i), number_at(expected, i), rtol, atol, i);
      return;
    default:
      for (int64_t i = 0; i < actual.count(); ++i)
        compare_number(d, number_at(actual, i), number_at(expected, i), rtol, atol, i);
  }
}

const char* kind_name(const Value& v) {
  return v.is_sequence() ? "a sequence" : v.is_map() ? "a map" : v.is_tensor() ? "a tensor" : "nothing";
}

void compare_values(Difference& d, const Value& actual, const Value& expected, double rtol, double atol) {
  if (actual.is_sequence() != expected.is_sequence() || actual.is_map() != expected.is_map() ||
      actual.is_tensor() != expected.is_tensor())
    return fail(d, concat("is ", kind_name(actual), " instead of ", kind_name(expected)));
  if (actual.is_sequence()) {
    const auto &a = actual.sequence->values, &e = expected.sequence->values;
    if (a.size() != e.size()) return fail(d, concat("has ", a.size(), " elements instead of ", e.size()));
    for (size_t i = 0; i < a.size(); ++i) compare_values(d, a[i], e[i], rtol, atol);
  } else if (actual.is_map()) {
    compare_tensors(d, actual.map->keys, expected.map->keys, 0, 0);
    compare_tensors(d, actual.map->values, expected.map->values, rtol, atol);
  } else if (actual.is_tensor()) {
    compare_tensors(d, actual.tensor, expected.tensor, rtol, atol);
  }
}

}  // namespace

Difference compare(const Value& actual, const Value& expected, double rtol, double atol) {
  Difference d;
  compare_values(d, actual, expected, rtol, atol);
  return d;
}

}  // namespace linnet::cli
