#include "quality/errors.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "quality/decibels.h"

namespace linnet {

bool has_float_elements(const Tensor& tensor) noexcept {
  return is_float(tensor.dtype) || is_float8(tensor.dtype) || tensor.dtype == DType::f4e2m1;
}

void read_floats(const Tensor& tensor, int64_t at, std::span<double> out) noexcept {
  if (tensor.dtype == DType::f32) {
    const float* const from = tensor.ptr<float>() + at;
    for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<double>(from[i]);
  } else {
    for (double& x : out) x = number_at(tensor, at++);
  }
}

bool without_numbers(const Tensor& tensor) noexcept {
  if (!has_float_elements(tensor) || tensor.count() == 0) return false;
  for (int64_t i = 0; i < tensor.count(); ++i)
    if (std::isfinite(number_at(tensor, i))) return false;
  return true;
}

void FloatErrors::add(std::span<const double> reference, std::span<const double> other) noexcept {
  for (size_t i = 0; i < reference.size(); ++i) {
    const double r = reference[i], o = other[i];
    if (!std::isfinite(r) || !std::isfinite(o)) {
      comparable = comparable && (r == o || (std::isnan(r) && std::isnan(o)));
      continue;
    }
    const double error = o - r;
    signal += r * r;
    other_signal += o * o;
    product += r * o;
    noise += error * error;
    max_abs = std::max(max_abs, std::fabs(error));
  }
}

void FloatErrors::add(const FloatErrors& more) noexcept {
  signal += more.signal;
  other_signal += more.other_signal;
  product += more.product;
  noise += more.noise;
  max_abs = std::max(max_abs, more.max_abs);
  comparable = comparable && more.comparable;
}

void FloatErrors::add(const Tensor& reference, const Tensor& other) {
  constexpr int64_t kChunk = 1024;
  if (!(reference.shape == other.shape)) {
    comparable = false;
    return;
  }
  double r[kChunk], o[kChunk];
  for (int64_t at = 0; at < reference.count(); at += kChunk) {
    const auto n = static_cast<size_t>(std::min(kChunk, reference.count() - at));
    read_floats(reference, at, {r, n});
    read_floats(other, at, {o, n});
    add({r, n}, {o, n});
  }
}

double FloatErrors::cosine() const noexcept {
  if (!comparable) return 0;
  if (signal == 0 || other_signal == 0) return signal == other_signal ? 1 : 0;
  const double cosine = product / std::sqrt(signal) / std::sqrt(other_signal);
  return std::isnan(cosine) ? 0 : std::clamp(cosine, -1.0, 1.0);
}

double FloatErrors::snr_db() const noexcept { return linnet::snr_db(signal, noise); }

}  // namespace linnet
