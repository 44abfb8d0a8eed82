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

// Calls visit(element index in the plane, i0, i1, i2) for each tap inside the input.
template <class Visit>
void for_each_tap(const PoolGeometry& g, const PoolSpan (&spans)[kSpatialAxes], Visit visit) {
  const auto at = [&](size_t axis, size_t tap) {
    return static_cast<size_t>(spans[axis].start + static_cast<ptrdiff_t>(tap * g.dilation[axis]));
  };
  for (size_t a = spans[0].first; a < spans[0].last; ++a)
    for (size_t b = spans[1].first; b < spans[1].last; ++b)
      for (size_t c = spans[2].first; c < spans[2].last; ++c) {
        const size_t i0 = at(0, a), i1 = at(1, b), i2 = at(2, c);
        visit((i0 * g.src[1] + i1) * g.src[2] + i2, i0, i1, i2);
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
    for_each_tap(g, spans, [&](size_t i, size_t, size_t, size_t) { sum += static_cast<double>(plane[i * step]); });
    return rounded<T>(sum / static_cast<double>(pool_divisor(g, spans)));
  }
  const double p = static_cast<double>(g.p);
  for_each_tap(g, spans, [&](size_t i, size_t, size_t, size_t) {
    const double x = std::abs(static_cast<double>(plane[i * step]));
    sum += g.p == 1 ? x : g.p == 2 ? x * x : std::pow(x, p);
  });
  return rounded<T>(g.p == 1 ? sum : g.p == 2 ? std::sqrt(sum) : std::pow(sum, 1 / p));
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
      for (size_t p = 0; p < positions; ++p) {
        if (p % 16 == 0 && parallel.stopped()) return;
        const size_t to = out + p * dst_strides.position;
        const PoolSpan spans[kSpatialAxes] = {pool_span(g, 0, p / g.dst[2] / g.dst[1]),
                                              pool_span(g, 1, p / g.dst[2] % g.dst[1]), pool_span(g, 2, p % g.dst[2])};
        if (g.kind != PoolKind::max) {
          dst[to] = pool_sum(g, spans, plane, src_strides.position);
          continue;
        }
        T best = least<T>();
        int64_t index = -1;
        for_each_tap(g, spans, [&](size_t i, size_t i0, size_t i1, size_t i2) {
          const T x = plane[i * src_strides.position];
          if (!(x > best) && index >= 0) return;
          if (x > best) best = x;
          const size_t within = indices.column_major ? i0 + g.src[0] * (i1 + g.src[1] * i2) : i;
          index = static_cast<int64_t>(item * plane_size + within);
        });
        dst[to] = best;
        if (indices.dst) indices.dst[to] = index;
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
