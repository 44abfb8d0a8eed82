#include <cstring>

#include "kernels/resize/resize.h"

namespace linnet {
namespace {

template <class Word>
void pick(const ResizeAxis& axis, const std::byte* src, std::byte* dst) noexcept {
  for (size_t i = 0; i < axis.dst; ++i)
    std::memcpy(dst + i * sizeof(Word), src + static_cast<size_t>(axis.index[i]) * sizeof(Word), sizeof(Word));
}

// Whether every element is wanted `times` times in a row.
bool repeats(const ResizeAxis& axis, size_t times) noexcept {
  if (axis.dst != times * axis.src) return false;
  for (size_t i = 0; i < axis.dst; ++i)
    if (static_cast<size_t>(axis.index[i]) != i / times) return false;
  return true;
}

// Each element of 4 bytes twice; memory of the library is aligned to its elements.
void pick_twice(size_t count, const uint32_t* src, uint32_t* dst) noexcept {
  for (size_t i = 0; i < count; ++i) dst[2 * i] = dst[2 * i + 1] = src[i];
}

void fill(std::byte* dst, size_t bytes, const std::byte* element, size_t element_size) noexcept {
  for (size_t i = 0; i < bytes; i += element_size) std::memcpy(dst + i, element, element_size);
}

}  // namespace

void resize_nearest(std::span<const ResizeAxis> axes, size_t element_size, const std::byte* src, std::byte* dst,
                    const std::byte* outside, const Parallel& parallel) noexcept {
  size_t last = axes.size();
  size_t inner = element_size;  // bytes that move together
  while (last > 0 && axes[last - 1].taps == 0) inner *= axes[--last].dst;
  static constexpr ResizeAxis kWhole{};
  static constexpr int32_t kFirst[1] = {0};
  ResizeAxis columns = last > 0 ? axes[last - 1] : kWhole;
  if (last == 0) columns.index = kFirst;
  size_t rows = 1;
  for (size_t a = 0; a + 1 < last; ++a) rows *= axes[a].dst;
  const size_t row_size = columns.dst * inner;
  const bool doubles = inner == 4 && last > 0 && repeats(columns, 2);
  bool leaves = false;
  for (size_t i = 0; i < columns.dst; ++i) leaves |= columns.index[i] < 0;

  parallel.for_range(rows, grain_for(static_cast<double>(row_size) / 4.0), [&](size_t begin, size_t end, size_t) {
    const std::byte* previous = nullptr;
    const size_t outer = last - (last > 0);
    size_t place[kMostResizeAxes] = {};
    for (size_t a = outer, rest = begin; a-- > 0; rest /= axes[a].dst) place[a] = rest % axes[a].dst;
    const auto advance = [&] {
      for (size_t a = outer; a-- > 0 && ++place[a] == axes[a].dst;) place[a] = 0;
    };
    for (size_t row = begin; row < end; ++row, advance()) {
      std::byte* to = dst + row * row_size;
      size_t at = 0;
      bool is_outside = false;
      for (size_t a = 0; a < outer; ++a) {
        const int32_t index = axes[a].taps ? axes[a].index[place[a]] : 0;
        is_outside |= index < 0;
        at = at * axes[a].src + (axes[a].taps ? static_cast<size_t>(index < 0 ? 0 : index) : place[a]);
      }
      if (is_outside) {
        fill(to, row_size, outside, element_size);
        previous = nullptr;
        continue;
      }
      const std::byte* from = src + at * columns.src * inner;
      if (from == previous) {
        std::memcpy(to, to - row_size, row_size);
        continue;
      }
      previous = from;
      if (doubles) {
        pick_twice(columns.src, reinterpret_cast<const uint32_t*>(from), reinterpret_cast<uint32_t*>(to));
      } else if (leaves || (inner != 1 && inner != 2 && inner != 4 && inner != 8)) {
        for (size_t i = 0; i < columns.dst; ++i) {
          if (columns.index[i] < 0) {
            fill(to + i * inner, inner, outside, element_size);
          } else {
            std::memcpy(to + i * inner, from + static_cast<size_t>(columns.index[i]) * inner, inner);
          }
        }
      } else if (inner == 1) {
        pick<uint8_t>(columns, from, to);
      } else if (inner == 2) {
        pick<uint16_t>(columns, from, to);
      } else if (inner == 4) {
        pick<uint32_t>(columns, from, to);
      } else {
        pick<uint64_t>(columns, from, to);
      }
    }
  });
}

}  // namespace linnet
