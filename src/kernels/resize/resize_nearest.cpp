#include <cstring>

#include "kernels/resize/resize.h"

namespace linnet {
namespace {

template <class Word>
void pick(const ResizeAxis& axis, const std::byte* src, std::byte* dst) noexcept {
  for (size_t i = 0; i < axis.dst; ++i)
    std::memcpy(dst + i * sizeof(Word), src + static_cast<size_t>(axis.index[i]) * sizeof(Word), sizeof(Word));
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
  bool leaves = false;
  for (size_t i = 0; i < columns.dst; ++i) leaves |= columns.index[i] < 0;

  parallel.for_range(rows, grain_for(static_cast<double>(row_size) / 4.0), [&](size_t begin, size_t end, size_t) {
    const std::byte* previous = nullptr;
    for (size_t row = begin; row < end; ++row) {
      std::byte* to = dst + row * row_size;
      size_t at = 0, step = 1;
      bool is_outside = false;
      for (size_t a = last - (last > 0), rest = row; a-- > 0; rest /= axes[a].dst, step *= axes[a].src) {
        const size_t position = rest % axes[a].dst;
        const int32_t index = axes[a].taps ? axes[a].index[position] : 0;
        is_outside |= index < 0;
        at += (axes[a].taps ? static_cast<size_t>(index < 0 ? 0 : index) : position) * step;
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
      if (leaves || (inner != 1 && inner != 2 && inner != 4 && inner != 8)) {
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
