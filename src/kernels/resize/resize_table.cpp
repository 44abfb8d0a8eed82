#include <algorithm>
#include <cmath>

#include "kernels/resize/resize.h"

namespace linnet {
namespace {

// The input coordinate of output index x. Quotients are those of numbers, rounded once: a scale that sizes give is
// exact enough for a coordinate halfway between two neighbours to stay there.
float coordinate(const ResizeSpec& spec, float x, float src, float dst, double scale, float start, float end) noexcept {
  const auto over_scale = [scale](float at) { return static_cast<float>(static_cast<double>(at) / scale); };
  const auto length = static_cast<float>(scale * static_cast<double>(src));  // before it was rounded to dst
  switch (spec.transform) {
    case ResizeTransform::half_pixel: return over_scale(x + 0.5f) - 0.5f;
    case ResizeTransform::half_pixel_symmetric: return src / 2.0f * (1.0f - dst / length) + over_scale(x + 0.5f) - 0.5f;
    case ResizeTransform::pytorch_half_pixel: return dst > 1.0f ? over_scale(x + 0.5f) - 0.5f : 0.0f;
    case ResizeTransform::align_corners: {
      // The standard's text has the corners of the resized tensor, as torch and others do; its reference and its test
      // cases those of a length that is not rounded yet. Those cases all shrink, and enlarging is what models do.
      const float corners = scale > 1.0 ? dst : length;
      return corners == 1.0f || dst == 1.0f ? 0.0f : x * (src - 1.0f) / (corners - 1.0f);
    }
    case ResizeTransform::asymmetric: return over_scale(x);
    case ResizeTransform::tf_crop_and_resize:
      return dst > 1.0f ? start * (src - 1.0f) + x * (end - start) * (src - 1.0f) / (dst - 1.0f)
                        : 0.5f * (start + end) * (src - 1.0f);
    case ResizeTransform::tf_half_pixel_for_nn: return over_scale(x + 0.5f);
  }
  return x;
}

float nearest(ResizeNearest mode, float x, bool shrinks) noexcept {
  switch (mode) {
    case ResizeNearest::round_prefer_floor: return std::ceil(x - 0.5f);
    case ResizeNearest::round_prefer_ceil: return std::floor(x + 0.5f);
    case ResizeNearest::floor: return std::floor(x);
    case ResizeNearest::ceil: return std::ceil(x);
    case ResizeNearest::simple: return shrinks ? std::ceil(x) : std::floor(x);
  }
  return x;
}

// The interpolation kernel at distance x.
float kernel_at(const ResizeSpec& spec, float x) noexcept {
  x = std::fabs(x);
  if (spec.mode == ResizeMode::linear) return std::max(0.0f, 1.0f - x);
  const float a = spec.cubic_coeff_a;
  if (x <= 1.0f) return ((a + 2.0f) * x - (a + 3.0f)) * x * x + 1.0f;
  return x < 2.0f ? ((x - 5.0f) * x + 8.0f) * x * a - 4.0f * a : 0.0f;
}

// Widens the kernel where the axis shrinks.
float stretch_of(const ResizeSpec& spec, float scale) noexcept {
  return spec.antialias ? std::clamp(scale, kLeastResizeScale, 1.0f) : 1.0f;
}

// Input indices on either side of the coordinate.
size_t reach(const ResizeSpec& spec, float scale) noexcept {
  const float radius = spec.mode == ResizeMode::linear ? 1.0f : 2.0f;
  return static_cast<size_t>(std::ceil(radius / stretch_of(spec, scale)));
}

}  // namespace

size_t resize_taps(const ResizeSpec& spec, size_t src, float scale) noexcept {
  // A window wider than the input is folded onto it.
  return spec.mode == ResizeMode::nearest ? 1 : std::min(src, 2 * reach(spec, scale));
}

size_t resize_table_size(const ResizeSpec& spec, size_t src, size_t dst, float scale) noexcept {
  return dst * resize_taps(spec, src, scale) * (sizeof(int32_t) + sizeof(float));
}

ResizeAxis resize_table(const ResizeSpec& spec, size_t src, size_t dst, double exact_scale, float roi_start,
                        float roi_end, std::byte* memory) noexcept {
  const auto scale = static_cast<float>(exact_scale);
  const size_t taps = resize_taps(spec, src, scale);
  int32_t* index = reinterpret_cast<int32_t*>(memory);
  float* weight = reinterpret_cast<float*>(memory + dst * taps * sizeof(int32_t));
  const bool interpolates = spec.mode != ResizeMode::nearest;
  const float last = static_cast<float>(src - 1);
  const float stretch = stretch_of(spec, scale);
  const ptrdiff_t radius = static_cast<ptrdiff_t>(reach(spec, scale));

  for (size_t o = 0; o < dst; ++o) {
    int32_t* at = index + o * taps;
    float* w = weight + o * taps;
    const float x = coordinate(spec, static_cast<float>(o), static_cast<float>(src), static_cast<float>(dst),
                               exact_scale, roi_start, roi_end);
    // Not a number (a hostile region) counts as outside too.
    if (spec.transform == ResizeTransform::tf_crop_and_resize && !(x >= 0.0f && x <= last)) {
      std::fill_n(at, taps, 0);
      if (interpolates) std::fill_n(w, taps, 0.0f);
      at[0] = -1;
      continue;
    }
    if (!interpolates) {
      at[0] = static_cast<int32_t>(std::clamp(nearest(spec.nearest, x, dst < src), 0.0f, last));
      continue;
    }
    // Far outside, only the border counts; keeps the indices within integers.
    const float near = std::clamp(x, -3.0f - static_cast<float>(radius), last + 3.0f + static_cast<float>(radius));
    const ptrdiff_t floor = static_cast<ptrdiff_t>(std::floor(near));
    const ptrdiff_t end = static_cast<ptrdiff_t>(src) - 1;
    const ptrdiff_t first = std::clamp<ptrdiff_t>(floor - radius + 1, 0, static_cast<ptrdiff_t>(src - taps));
    for (size_t t = 0; t < taps; ++t) {
      at[t] = static_cast<int32_t>(first + static_cast<ptrdiff_t>(t));
      w[t] = 0.0f;
    }
    float sum = 0.0f;
    for (ptrdiff_t i = floor - radius + 1; i <= floor + radius; ++i) {
      if (spec.exclude_outside && (i < 0 || i > end)) continue;
      const float value = kernel_at(spec, (static_cast<float>(i) - near) * stretch);
      w[std::clamp<ptrdiff_t>(i, 0, end) - first] += value;
      sum += value;
    }
    // A plain kernel sums to one by itself.
    if ((spec.antialias || spec.exclude_outside) && sum != 0.0f)
      for (size_t t = 0; t < taps; ++t) w[t] /= sum;
  }
  return {src, dst, taps, index, interpolates ? weight : nullptr};
}

}  // namespace linnet
