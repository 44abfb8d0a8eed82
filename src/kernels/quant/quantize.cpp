#include "kernels/quant/quantize.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/checked.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/quant/quantize.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace linnet::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;

template <class T>
HWY_INLINE void quantize_vector(Floats d, const float* src, T* dst, float scale, float low, float high,
                                int32_t zero_point) {
  const hn::Rebind<T, Floats> dt;
  const hn::RebindToSigned<Floats> di;
  auto x = hn::Div(hn::LoadU(d, src), hn::Set(d, scale));
  x = hn::Min(hn::Max(x, hn::Set(d, low)), hn::Set(d, high));  // NaN: Max gives its second argument
  hn::StoreU(hn::DemoteTo(dt, hn::Add(hn::NearestInt(x), hn::Set(di, zero_point))), dt, dst);
}

template <class T>
void quantize_all(const float* src, T* dst, size_t n, float scale, int32_t zero_point) {
  const Floats d;
  const size_t lanes = hn::Lanes(d);
  const float low = static_cast<float>(int32_t{std::numeric_limits<T>::min()} - zero_point);
  const float high = static_cast<float>(int32_t{std::numeric_limits<T>::max()} - zero_point);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) quantize_vector<T>(d, src + i, dst + i, scale, low, high, zero_point);
  if (i < n) {
    float in[hn::MaxLanes(d)] = {};
    T out[hn::MaxLanes(d)];
    for (size_t j = 0; j < n - i; ++j) in[j] = src[i + j];
    quantize_vector<T>(d, in, out, scale, low, high, zero_point);
    for (size_t j = 0; j < n - i; ++j) dst[i + j] = out[j];
  }
}

template <class T>
void dequantize_all(const T* src, float* dst, size_t n, float scale, int32_t zero_point) {
  const Floats d;
  const hn::Rebind<T, Floats> dt;
  const hn::RebindToSigned<Floats> di;
  const size_t lanes = hn::Lanes(d);
  const auto zero = hn::Set(di, zero_point);
  const auto factor = hn::Set(d, scale);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes)
    hn::StoreU(hn::Mul(hn::ConvertTo(d, hn::Sub(hn::PromoteTo(di, hn::LoadU(dt, src + i)), zero)), factor), d, dst + i);
  for (; i < n; ++i) dst[i] = static_cast<float>(src[i] - zero_point) * scale;
}

void quantize_u8(const float* src, uint8_t* dst, size_t n, float scale, int32_t zero_point) {
  quantize_all(src, dst, n, scale, zero_point);
}
void quantize_s8(const float* src, int8_t* dst, size_t n, float scale, int32_t zero_point) {
  quantize_all(src, dst, n, scale, zero_point);
}
void quantize_u16(const float* src, uint16_t* dst, size_t n, float scale, int32_t zero_point) {
  quantize_all(src, dst, n, scale, zero_point);
}
void quantize_s16(const float* src, int16_t* dst, size_t n, float scale, int32_t zero_point) {
  quantize_all(src, dst, n, scale, zero_point);
}
void dequantize_u8(const uint8_t* src, float* dst, size_t n, float scale, int32_t zero_point) {
  dequantize_all(src, dst, n, scale, zero_point);
}
void dequantize_s8(const int8_t* src, float* dst, size_t n, float scale, int32_t zero_point) {
  dequantize_all(src, dst, n, scale, zero_point);
}
void dequantize_u16(const uint16_t* src, float* dst, size_t n, float scale, int32_t zero_point) {
  dequantize_all(src, dst, n, scale, zero_point);
}
void dequantize_s16(const int16_t* src, float* dst, size_t n, float scale, int32_t zero_point) {
  dequantize_all(src, dst, n, scale, zero_point);
}

FloatRange range_of(const float* src, size_t n) {
  const Floats d;
  const size_t lanes = hn::Lanes(d);
  auto low0 = hn::Zero(d), low1 = low0, high0 = low0, high1 = low0;
  size_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    const auto x0 = hn::LoadU(d, src + i), x1 = hn::LoadU(d, src + i + lanes);
    low0 = hn::Min(x0, low0);  // NaN: the second argument
    low1 = hn::Min(x1, low1);
    high0 = hn::Max(x0, high0);
    high1 = hn::Max(x1, high1);
  }
  FloatRange range{hn::GetLane(hn::MinOfLanes(d, hn::Min(low0, low1))),
                   hn::GetLane(hn::MaxOfLanes(d, hn::Max(high0, high1)))};
  for (; i < n; ++i) {
    if (src[i] < range.min) range.min = src[i];
    if (src[i] > range.max) range.max = src[i];
  }
  return range;
}

}  // namespace
}  // namespace linnet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/dispatch.h"

namespace linnet {
namespace {

template <class T>
void quantize_reference(const float* src, T* dst, size_t n, float scale, int32_t zero_point) {
  constexpr float kLeast = std::numeric_limits<T>::min(), kGreatest = std::numeric_limits<T>::max();
  for (size_t i = 0; i < n; ++i) {
    const float x = std::nearbyint(src[i] / scale) + static_cast<float>(zero_point);
    dst[i] = static_cast<T>(x > kLeast ? std::min(x, kGreatest) : kLeast);
  }
}

template <class T>
void dequantize_reference(const T* src, float* dst, size_t n, float scale, int32_t zero_point) {
  for (size_t i = 0; i < n; ++i) dst[i] = static_cast<float>(src[i] - zero_point) * scale;
}

FloatRange range_reference(const float* src, size_t n) {
  FloatRange range;
  for (size_t i = 0; i < n; ++i) {
    if (src[i] < range.min) range.min = src[i];
    if (src[i] > range.max) range.max = src[i];
  }
  return range;
}

}  // namespace

void quantize(const float* src, uint8_t* dst, size_t n, float scale, int32_t zero_point) noexcept {
  LINNET_DISPATCH(quantize_u8, quantize_reference<uint8_t>)(src, dst, n, scale, zero_point);
}
void quantize(const float* src, int8_t* dst, size_t n, float scale, int32_t zero_point) noexcept {
  LINNET_DISPATCH(quantize_s8, quantize_reference<int8_t>)(src, dst, n, scale, zero_point);
}
void quantize(const float* src, uint16_t* dst, size_t n, float scale, int32_t zero_point) noexcept {
  LINNET_DISPATCH(quantize_u16, quantize_reference<uint16_t>)(src, dst, n, scale, zero_point);
}
void quantize(const float* src, int16_t* dst, size_t n, float scale, int32_t zero_point) noexcept {
  LINNET_DISPATCH(quantize_s16, quantize_reference<int16_t>)(src, dst, n, scale, zero_point);
}
void dequantize(const uint8_t* src, float* dst, size_t n, float scale, int32_t zero_point) noexcept {
  LINNET_DISPATCH(dequantize_u8, dequantize_reference<uint8_t>)(src, dst, n, scale, zero_point);
}
void dequantize(const int8_t* src, float* dst, size_t n, float scale, int32_t zero_point) noexcept {
  LINNET_DISPATCH(dequantize_s8, dequantize_reference<int8_t>)(src, dst, n, scale, zero_point);
}
void dequantize(const uint16_t* src, float* dst, size_t n, float scale, int32_t zero_point) noexcept {
  LINNET_DISPATCH(dequantize_u16, dequantize_reference<uint16_t>)(src, dst, n, scale, zero_point);
}
void dequantize(const int16_t* src, float* dst, size_t n, float scale, int32_t zero_point) noexcept {
  LINNET_DISPATCH(dequantize_s16, dequantize_reference<int16_t>)(src, dst, n, scale, zero_point);
}
FloatRange range_with_zero(const float* src, size_t n) noexcept {
  return LINNET_DISPATCH(range_of, range_reference)(src, n);
}

QuantizationU8 quantization_for(FloatRange range) noexcept {
  QuantizationU8 q;
  if (range.max > range.min) q.scale = (range.max - range.min) / 255.0f;
  const float zero = std::nearbyint(std::clamp(-range.min / q.scale, 0.0f, 255.0f));
  q.zero_point = std::isnan(zero) ? uint8_t{0} : static_cast<uint8_t>(zero);
  return q;
}

QuantizationU8 dynamic_quantize(const float* src, uint8_t* dst, size_t n, FloatRange* ranges,
                                const Parallel& parallel) noexcept {
  constexpr size_t kBlock = 1024;
  const size_t blocks = ceil_div(n, kBlock);
  std::fill_n(ranges, parallel.threads(), FloatRange{});
  parallel.for_range(blocks, 64, [&](size_t first, size_t last, size_t worker) {
    const FloatRange range = range_with_zero(src + first * kBlock, std::min(n, last * kBlock) - first * kBlock);
    ranges[worker] = {std::min(ranges[worker].min, range.min), std::max(ranges[worker].max, range.max)};
  });
  FloatRange range;
  for (size_t i = 0; i < parallel.threads(); ++i)
    range = {std::min(range.min, ranges[i].min), std::max(range.max, ranges[i].max)};
  const QuantizationU8 q = quantization_for(range);
  parallel.for_range(blocks, 32, [&](size_t first, size_t last, size_t) {
    quantize(src + first * kBlock, dst + first * kBlock, std::min(n, last * kBlock) - first * kBlock, q.scale,
             q.zero_point);
  });
  return q;
}

}  // namespace linnet
#endif
