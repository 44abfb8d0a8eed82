#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <type_traits>

#include "base/checked.h"
#include "base/half.h"
#include "kernels/resize/resize.h"

namespace linnet {
namespace {

// Integers saturate; not a number becomes zero.
template <class T, class Sum>
T converted(Sum value, bool rounds) noexcept {
  if constexpr (std::is_integral_v<T>) {
    if (std::isnan(value)) return T(0);
    if (rounds) value = std::round(value);
    if (value <= static_cast<Sum>(std::numeric_limits<T>::lowest())) return std::numeric_limits<T>::lowest();
    if (value >= static_cast<Sum>(std::numeric_limits<T>::max())) return std::numeric_limits<T>::max();
  }
  return static_cast<T>(value);
}

}  // namespace

template <class T>
void resize_plain(std::span<const ResizeAxis> axes, const T* src, T* dst, float outside, bool rounds,
                  const Parallel& parallel) noexcept {
  using Sum = std::conditional_t<std::is_same_v<T, double> || (std::is_integral_v<T> && sizeof(T) >= 4), double, float>;
  // Behind the last axis with a table, elements have their weights in common.
  size_t rank = axes.size(), inner = 1;
  while (rank > 0 && !axes[rank - 1].taps) inner *= axes[--rank].dst;
  size_t count = 1, taps = 1;
  for (size_t a = 0; a < rank; ++a) {
    count *= axes[a].dst;
    taps *= axes[a].taps ? axes[a].taps : 1;
  }
  constexpr size_t kPiece = 64;
  const double work = static_cast<double>(ceil_div(inner, kPiece)) * static_cast<double>(taps * 3 + rank * 3) +
                      static_cast<double>(inner * taps);
  parallel.for_range(count, grain_for(work), [&](size_t begin, size_t end, size_t) {
    for (size_t item = begin; item < end; ++item) {
      if (item % 4096 == 0 && parallel.stopped()) return;
      std::array<size_t, kMostResizeAxes> position{};
      bool is_outside = false;
      for (size_t a = rank, rest = item; a-- > 0; rest /= axes[a].dst) {
        position[a] = rest % axes[a].dst;
        is_outside |= axes[a].taps && axes[a].index[position[a] * axes[a].taps] < 0;
      }
      for (size_t first = 0; first < inner; first += kPiece) {
        const size_t n = std::min(kPiece, inner - first);
        Sum sums[kPiece];
        std::fill_n(sums, n, is_outside ? static_cast<Sum>(outside) : Sum(0));
        for (size_t tap = 0; tap < taps && !is_outside; ++tap) {
          Sum weight = 1;
          size_t at = 0, step = 1;
          for (size_t a = rank, rest = tap; a-- > 0; step *= axes[a].src) {
            if (!axes[a].taps) {
              at += position[a] * step;
              continue;
            }
            const size_t entry = position[a] * axes[a].taps + rest % axes[a].taps;
            rest /= axes[a].taps;
            weight *= static_cast<Sum>(axes[a].weight[entry]);
            at += static_cast<size_t>(axes[a].index[entry]) * step;
          }
          if (weight == Sum(0)) continue;
          const T* from = src + at * inner + first;
          for (size_t i = 0; i < n; ++i) sums[i] += weight * static_cast<Sum>(from[i]);
        }
        T* to = dst + item * inner + first;
        for (size_t i = 0; i < n; ++i) to[i] = converted<T>(sums[i], rounds);
      }
    }
  });
}

#define LINNET_RESIZE(T) \
  template void resize_plain(std::span<const ResizeAxis>, const T*, T*, float, bool, const Parallel&) noexcept;
LINNET_RESIZE(float)
LINNET_RESIZE(double)
LINNET_RESIZE(f16)
LINNET_RESIZE(bf16)
LINNET_RESIZE(int8_t)
LINNET_RESIZE(uint8_t)
LINNET_RESIZE(int16_t)
LINNET_RESIZE(uint16_t)
LINNET_RESIZE(int32_t)
LINNET_RESIZE(uint32_t)
LINNET_RESIZE(int64_t)
LINNET_RESIZE(uint64_t)
#undef LINNET_RESIZE

}  // namespace linnet
