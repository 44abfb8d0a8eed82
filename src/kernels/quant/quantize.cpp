#include "kernels/quant/quantize.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/checked.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/quant/quantize.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/quant/int_store-inl.h"

HWY_BEFORE_NAMESPACE();
namespace linnet::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;

// Numbers that, rounded to even and with `zero` added, are codes of T.
template <class T, class V, class VI>
HWY_INLINE void store_codes(V x, VI zero, T* dst) {
  const hn::Rebind<T, Floats> dt;
  const SumVector codes = hn::Add(nearest(x), zero);
#if HWY_TARGET == HWY_AVX3
  if constexpr (sizeof(T) == 1) {
    hn::StoreU(hn::Vec<decltype(dt)>{_mm512_cvtepi32_epi8(codes.raw)}, dt, dst);
  } else {
    hn::StoreU(hn::Vec<decltype(dt)>{_mm512_cvtepi32_epi16(codes.raw)}, dt, dst);
  }
#else
  hn::StoreU(hn::DemoteTo(dt, codes), dt, dst);
#endif
}

template <class T>
HWY_INLINE void quantize_vector(Floats d, const float* src, T* dst, float scale, float low, float high,
                                int32_t zero_point) {
  const hn::RebindToSigned<Floats> di;
  auto x = hn::Div(hn::LoadU(d, src), hn::Set(d, scale));
  x = hn::Min(hn::Max(x, hn::Set(d, low)), hn::Set(d, high));  // NaN: Max gives its second argument
  store_codes(x, hn::Set(di, zero_point), dst);
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

template <class T>
void quantize_each_simd(const float* src, T* dst, size_t n, const float* scales, const T* zero_points) {
  const Floats d;
  const hn::Rebind<T, Floats> dt;
  const hn::RebindToSigned<Floats> di;
  constexpr size_t kLanes = hn::MaxLanes(d);
  if (n < kLanes) {
    float in[kLanes] = {}, in_scales[kLanes] = {};
    T out[kLanes], in_zeros[kLanes] = {};
    std::copy_n(src, n, in);
    std::copy_n(scales, n, in_scales);
    if (zero_points) std::copy_n(zero_points, n, in_zeros);
    quantize_each_simd(in, out, kLanes, in_scales, in_zeros);
    std::copy_n(out, n, dst);
    return;
  }
  const auto least = hn::Set(di, std::numeric_limits<T>::min()), most = hn::Set(di, std::numeric_limits<T>::max());
  for (size_t first = 0; first < n; first += kLanes) {
    const size_t i = std::min(first, n - kLanes);  // the last vector overlaps the one before
    const auto zero = zero_points ? hn::PromoteTo(di, hn::LoadU(dt, zero_points + i)) : hn::Zero(di);
    auto x = hn::Div(hn::LoadU(d, src + i), hn::LoadU(d, scales + i));
    x = hn::Max(x, hn::ConvertTo(d, hn::Sub(least, zero)));  // NaN: the second argument
    x = hn::Min(x, hn::ConvertTo(d, hn::Sub(most, zero)));
    store_codes(x, zero, dst + i);
  }
}

template <class T>
void dequantize_each_simd(const T* src, float* dst, size_t n, const float* scales, const T* zero_points) {
  const Floats d;
  const hn::Rebind<T, Floats> dt;
  const hn::RebindToSigned<Floats> di;
  const size_t lanes = hn::Lanes(d);
  if (n < lanes) {
    for (size_t i = 0; i < n; ++i) dst[i] = static_cast<float>(src[i] - (zero_points ? zero_points[i] : 0)) * scales[i];
    return;
  }
  for (size_t first = 0; first < n; first += lanes) {
    const size_t i = std::min(first, n - lanes);
    auto x = hn::PromoteTo(di, hn::LoadU(dt, src + i));
    if (zero_points) x = hn::Sub(x, hn::PromoteTo(di, hn::LoadU(dt, zero_points + i)));
    hn::StoreU(hn::Mul(hn::ConvertTo(d, x), hn::LoadU(d, scales + i)), d, dst + i);
  }
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

void quantize_each_u8(const float* src, uint8_t* dst, size_t n, const float* scales, const uint8_t* zero_points) {
  quantize_each_simd(src, dst, n, scales, zero_points);
}
void quantize_each_s8(const float* src, int8_t* dst, size_t n, const float* scales, const int8_t* zero_points) {
  quantize_each_simd(src, dst, n, scales, zero_points);
}
void dequantize_each_u8(const uint8_t* src, float* dst, size_t n, const float* scales, const uint8_t* zero_points) {
  dequantize_each_simd(src, dst, n, scales, zero_points);
}
void dequantize_each_s8(const int8_t* src, float* dst, size_t n, const float* scales, const int8_t* zero_points) {
  dequantize_each_simd(src, dst, n, scales, zero_points);
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

template <class T>
void quantize_each_reference(const float* src, T* dst, size_t n, const float* scales, const T* zero_points) {
  for (size_t i = 0; i < n; ++i) quantize_reference(src + i, dst + i, 1, scales[i], zero_points ? zero_points[i] : 0);
}

template <class T>
void dequantize_each_reference(const T* src, float* dst, size_t n, const float* scales, const T* zero_points) {
  for (size_t i = 0; i < n; ++i) dequantize_reference(src + i, dst + i, 1, scales[i], zero_points ? zero_points[i] : 0);
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
void quantize_each(const float* src, uint8_t* dst, size_t n, const float* scales, const uint8_t* zero_points) noexcept {
  LINNET_DISPATCH(quantize_each_u8, quantize_each_reference<uint8_t>)(src, dst, n, scales, zero_points);
}
void quantize_each(const float* src, int8_t* dst, size_t n, const float* scales, const int8_t* zero_points) noexcept {
  LINNET_DISPATCH(quantize_each_s8, quantize_each_reference<int8_t>)(src, dst, n, scales, zero_points);
}
void dequantize_each(const uint8_t* src, float* dst, size_t n, const float* scales,
                     const uint8_t* zero_points) noexcept {
  LINNET_DISPATCH(dequantize_each_u8, dequantize_each_reference<uint8_t>)(src, dst, n, scales, zero_points);
}
void dequantize_each(const int8_t* src, float* dst, size_t n, const float* scales, const int8_t* zero_points) noexcept {
  LINNET_DISPATCH(dequantize_each_s8, dequantize_each_reference<int8_t>)(src, dst, n, scales, zero_points);
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
