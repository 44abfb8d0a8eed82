#include "kernels/movement/gather.h"

#include <algorithm>
#include <cstring>

namespace linnet {
namespace {

struct Bits128 {
  uint64_t low, high;
};

template <class I>
std::optional<int64_t> first_bad(std::span<const I> indices, size_t size) noexcept {
  const int64_t n = static_cast<int64_t>(size);
  for (const I index : indices)
    if (index < -n || index >= n) return index;
  return std::nullopt;
}

template <class I, class Move>
void gather_rows(const GatherSizes& s, const I* indices, const std::byte* src, std::byte* dst, const Parallel& parallel,
                 Move move) noexcept {
  const size_t grain = std::max<size_t>((size_t{1} << 16) / std::max<size_t>(s.unit, 16), 1);
  parallel.for_range(s.outer * s.indices, grain, [&](size_t begin, size_t end, size_t) {
    size_t outer = begin / s.indices, k = begin % s.indices;
    for (size_t i = begin; i < end; ++outer, k = 0) {
      const std::byte* from = src + outer * s.size * s.unit;
      for (; k < s.indices && i < end; ++k, ++i) {
        const int64_t index = indices[k];
        move(from + static_cast<size_t>(index < 0 ? index + static_cast<int64_t>(s.size) : index) * s.unit,
             dst + i * s.unit);
      }
    }
  });
}

template <class I>
void gather_any(const GatherSizes& s, const I* indices, const void* from, void* to, const Parallel& parallel) noexcept {
  const auto* src = static_cast<const std::byte*>(from);
  auto* dst = static_cast<std::byte*>(to);
  if (s.indices == 0 || s.unit == 0) return;
  const auto with = [&](auto value) {
    gather_rows(s, indices, src, dst, parallel, [value](const std::byte* p, std::byte* q) mutable {
      std::memcpy(&value, p, sizeof(value));
      std::memcpy(q, &value, sizeof(value));
    });
  };
  switch (s.unit) {
    case 1: return with(uint8_t{});
    case 2: return with(uint16_t{});
    case 4: return with(uint32_t{});
    case 8: return with(uint64_t{});
    case 16: return with(Bits128{});
    default:
      gather_rows(s, indices, src, dst, parallel,
                  [unit = s.unit](const std::byte* p, std::byte* q) { std::memcpy(q, p, unit); });
  }
}

}  // namespace

std::optional<int64_t> bad_index(std::span<const int32_t> indices, size_t size) noexcept {
  return first_bad(indices, size);
}
std::optional<int64_t> bad_index(std::span<const int64_t> indices, size_t size) noexcept {
  return first_bad(indices, size);
}

void gather(const GatherSizes& sizes, const int32_t* indices, const void* src, void* dst,
            const Parallel& parallel) noexcept {
  gather_any(sizes, indices, src, dst, parallel);
}
void gather(const GatherSizes& sizes, const int64_t* indices, const void* src, void* dst,
            const Parallel& parallel) noexcept {
  gather_any(sizes, indices, src, dst, parallel);
}

}  // namespace linnet
