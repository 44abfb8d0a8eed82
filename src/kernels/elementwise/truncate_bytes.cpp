#include "kernels/elementwise/truncate_bytes.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/elementwise/truncate_bytes.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace linnet::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using Floats = hn::ScalableTag<float>;
using Integers = hn::RebindToSigned<Floats>;

// What does not fit becomes the least integer.
HWY_INLINE hn::Vec<Integers> truncated(hn::Vec<Floats> x) {
#if HWY_TARGET == HWY_AVX3
  return hn::Vec<Integers>{_mm512_cvttps_epi32(x.raw)};
#elif HWY_TARGET == HWY_AVX2
  return hn::Vec<Integers>{_mm256_cvttps_epi32(x.raw)};
#elif HWY_TARGET == HWY_SSE4
  return hn::Vec<Integers>{_mm_cvttps_epi32(x.raw)};
#else
#error "add the conversion of this target"
#endif
}

void truncate_to_bytes_simd(const float* src, uint8_t* dst, size_t n) {
  const Floats d;
  const Integers di;
  const hn::Rebind<uint8_t, Floats> d8;
  const size_t lanes = hn::Lanes(d);
  const auto convert = [&](const float* from, uint8_t* to) HWY_ATTR {
    hn::StoreU(hn::DemoteTo(d8, hn::And(truncated(hn::LoadU(d, from)), hn::Set(di, 255))), d8, to);
  };
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) convert(src + i, dst + i);
  if (i == n) return;
  float in[hn::MaxLanes(d)] = {};
  uint8_t out[hn::MaxLanes(d)];
  for (size_t j = 0; j < n - i; ++j) in[j] = src[i + j];
  convert(in, out);
  for (size_t j = 0; j < n - i; ++j) dst[i + j] = out[j];
}

}  // namespace
}  // namespace linnet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/dispatch.h"

namespace linnet {
namespace {

void truncate_to_bytes_reference(const float* src, uint8_t* dst, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    const bool fits = src[i] >= -0x1p31f && src[i] < 0x1p31f;
    dst[i] = fits ? static_cast<uint8_t>(static_cast<int32_t>(src[i])) : uint8_t{0};
  }
}

}  // namespace

void truncate_to_bytes(const float* src, uint8_t* dst, size_t n) noexcept {
  LINNET_DISPATCH(truncate_to_bytes_simd, truncate_to_bytes_reference)(src, dst, n);
}

}  // namespace linnet
#endif
