#include "kernels/attention/rotary.h"

#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention/rotary.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

namespace linnet {
// The pairs from `first` on, one by one.
void rotate_pairs(const float* src, float* dst, const float* cos, const float* sin, size_t half, bool interleaved,
                  size_t first) noexcept;
}  // namespace linnet

HWY_BEFORE_NAMESPACE();
namespace linnet::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

void rotate_simd(const float* src, float* dst, const float* cos, const float* sin, size_t half, bool interleaved) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= half; i += lanes) {
    const auto c = hn::LoadU(d, cos + i), s = hn::LoadU(d, sin + i);
    auto x = hn::Zero(d), y = x;
    if (interleaved) {
      hn::LoadInterleaved2(d, src + 2 * i, x, y);
    } else {
      x = hn::LoadU(d, src + i);
      y = hn::LoadU(d, src + half + i);
    }
    const auto turned = hn::Sub(hn::Mul(x, c), hn::Mul(y, s)), other = hn::Add(hn::Mul(x, s), hn::Mul(y, c));
    if (interleaved) {
      hn::StoreInterleaved2(turned, other, d, dst + 2 * i);
    } else {
      hn::StoreU(turned, d, dst + i);
      hn::StoreU(other, d, dst + half + i);
    }
  }
  rotate_pairs(src, dst, cos, sin, half, interleaved, i);
}

}  // namespace
}  // namespace linnet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/dispatch.h"

namespace linnet {
void rotate_pairs(const float* src, float* dst, const float* cos, const float* sin, size_t half, bool interleaved,
                  size_t first) noexcept {
  const size_t apart = interleaved ? 1 : half, step = interleaved ? 2 : 1;
  for (size_t i = first; i < half; ++i) {
    const float x = src[i * step], y = src[i * step + apart];
    dst[i * step] = x * cos[i] - y * sin[i];
    dst[i * step + apart] = x * sin[i] + y * cos[i];
  }
}

static void rotate_reference(const float* src, float* dst, const float* cos, const float* sin, size_t half,
                             bool interleaved) {
  rotate_pairs(src, dst, cos, sin, half, interleaved, 0);
}

void rotate_head(const float* src, float* dst, const float* cos, const float* sin, size_t half, size_t head_size,
                 bool interleaved) noexcept {
  LINNET_DISPATCH(rotate_simd, rotate_reference)(src, dst, cos, sin, half, interleaved);
  if (src != dst && head_size > 2 * half)
    std::memcpy(dst + 2 * half, src + 2 * half, (head_size - 2 * half) * sizeof(float));
}

}  // namespace linnet
#endif
