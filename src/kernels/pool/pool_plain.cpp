#include <cmath>
#include <limits>
#include <type_traits>

#include "base/half.h"
#include "kernels/pool/pool_window.h"

namespace linnet {
namespace {

template <class T>
T least() noexcept {
  if constexpr (std::is_integral_v<T>) {
    return std::numeric_limits<T>::lowest();
  } else {
    return T(-std::numeric_limits<float>::infinity());
  }
}

// Calls visit with the place in the plane of each tap inside the input.
template <class Visit>
void for_each_tap(const PoolGeometry& g, const PoolSpan (&spans)[kSpatialAxes], Visit visit) {
  const auto at = [&](size_t axis, size_t tap) {
    return static_cast<size_t>(spans[axis].start + static_cast<ptrdiff_t>(tap * g.dilation[axis]));
  };
  for (size_t a = spans[0].first; a < spans[0].last; ++a)
    for (size_t b = spans[1].first; b < spans[1].last; ++b) {
      size_t i = (at(0, a) * g.src[1] + at(1, b)) * g.src[2] + at(2, spans[2].first);
      for (size_t c = spans[2].first; c < spans[2].last; ++c, i += g.dilation[2]) visit(i);
    }
}

template <class T>
T rounded(double x) noexcept {
  if constexpr (sizeof(T) == 2) {
    return T(static_cast<float>(x));
  } else {
    return static_cast<T>(x);
  }
}

template <class T>
T pool_sum(const PoolGeometry& g, const PoolSpan (&spans)[kSpatialAxes], const T* plane, size_t step) {
  double sum = 0;
  if (g.kind == PoolKind::average) {
    for_each_tap(g, spans, [&](size_t i) { sum += static_cast<double>(plane[i * step]); });
    return rounded<T>(sum / static_cast<double>(pool_divisor(g, spans)));
  }
  const double p = static_cast<double>(g.p);
  for_each_tap(g, spans, [&](size_t i) {
    const double x = std::abs(static_cast<double>(plane[i * step]));
    sum += g.p == 1 ? x : g.p == 2 ? x * x : std::pow(x, p);
  });
  return rounded<T>(g.p == 1 ? sum : g.p == 2 ? std::sqrt(sum) : std::pow(sum, 1 / p));
}

// The greatest element of a window, and its place in the plane.
template <class T>
struct Greatest {
  T value;
  size_t place;
  bool found;
};

template <class T>
Greatest<T> pool_greatest(const PoolGeometry& g, const PoolSpan (&spans)[kSpatialAxes], const T* plane, size_t step) {
  using Compared = std::conditional_t<std::is_arithmetic_v<T>, T, float>;
  T value = least<T>();
  Compared best = value;
  size_t place = SIZE_MAX;
  // Selections, not branches: which tap is the greatest cannot be predicted.
  for_each_tap(g, spans, [&](size_t i) {
    const T x = plane[i * step];
    const Compared candidate = x;
    const bool better = candidate > best;
    best = better ? candidate : best;
    place = better || place == SIZE_MAX ? i : place;
    if constexpr (!std::is_same_v<T, Compared>) value = better ? x : value;
  });
  if constexpr (std::is_same_v<T, Compared>) value = best;
  return {value, place, place != SIZE_MAX};
}

size_t column_major(const SpatialSizes& sizes, size_t place) noexcept {
  const size_t i2 = place % sizes[2], i1 = place / sizes[2] % sizes[1], i0 = place / sizes[2] / sizes[1];
  return i0 + sizes[0] * (i1 + sizes[1] * i2);
}

}  // namespace

template <class T>
void pool_plain(const PoolGeometry& g, const T* src, SpatialStrides src_strides, T* dst, SpatialStrides dst_strides,
                PoolIndices indices, const Parallel& parallel) noexcept {
  const size_t positions = positions_of(g.dst);
  const size_t plane_size = positions_of(g.src);
  const double item_ns = static_cast<double>(positions * positions_of(g.kernel));
  parallel.for_range(g.batch * g.channels, grain_for(item_ns), [&](size_t begin, size_t end, size_t) {
    for (size_t item = begin; item < end; ++item) {
      const T* plane = src + item / g.channels * src_strides.batch + item % g.channels * src_strides.channel;
      const size_t out = item / g.channels * dst_strides.batch + item % g.channels * dst_strides.channel;
      PoolSpan spans[kSpatialAxes];
      for (size_t p = 0, p2 = 0; p < positions; ++p, p2 = p2 + 1 == g.dst[2] ? 0 : p2 + 1) {
        if (p % 16 == 0 && parallel.stopped()) return;
        const size_t to = out + p * dst_strides.position;
        if (p2 == 0) {
          spans[0] = pool_span(g, 0, p / g.dst[2] / g.dst[1]);
          spans[1] = pool_span(g, 1, p / g.dst[2] % g.dst[1]);
        }
        spans[2] = pool_span(g, 2, p2);
        if (g.kind != PoolKind::max) {
          dst[to] = pool_sum(g, spans, plane, src_strides.position);
          continue;
        }
        const Greatest<T> greatest = pool_greatest(g, spans, plane, src_strides.position);
        dst[to] = greatest.value;
        if (!indices.dst) continue;
        indices.dst[to] =
            !greatest.found
                ? -1
                : static_cast<int64_t>(item * plane_size +
                                       (indices.column_major ? column_major(g.src, greatest.place) : greatest.place));
      }
    }
  });
}

#define LINNET_POOL(T)                                                                                     \
  template void pool_plain(const PoolGeometry&, const T*, SpatialStrides, T*, SpatialStrides, PoolIndices, \
                           const Parallel&) noexcept;
LINNET_POOL(float)
LINNET_POOL(double)
LINNET_POOL(f16)
LINNET_POOL(bf16)
LINNET_POOL(int8_t)
LINNET_POOL(uint8_t)
#undef LINNET_POOL

}  // namespace linnet
