#include <array>
#include <cmath>
#include <limits>
#include <type_traits>

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
  const size_t rank = axes.size();
  size_t count = 1, taps = 1;
  for (const ResizeAxis& axis : axes) {
    count *= axis.dst;
    taps *= axis.taps ? axis.taps : 1;
  }
  parallel.for_range(count, grain_for(static_cast<double>(taps * 3 + rank * 3)), [&](size_t begin, size_t end, size_t) {
    for (size_t item = begin; item < end; ++item) {
      if (item % 4096 == 0 && parallel.stopped()) return;
      std::array<size_t, kMostResizeAxes> position{};
      bool is_outside = false;
      for (size_t a = rank, rest = item; a-- > 0; rest /= axes[a].dst) {
        position[a] = rest % axes[a].dst;
        is_outside |= axes[a].taps && axes[a].index[position[a] * axes[a].taps] < 0;
      }
      Sum sum = 0;
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
        if (weight != Sum(0)) sum += weight * static_cast<Sum>(src[at]);
      }
      dst[item] = converted<T>(is_outside ? static_cast<Sum>(outside) : sum, rounds);
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
