#include "ops/attention_cache.h"

#include <cstring>

namespace linnet {

void append_to_cache(const CacheAppend& a, const Parallel& parallel) {
  const size_t row = a.size * a.width;
  const double item_ns = static_cast<double>(a.capacity * row) * 0.1 + 20.0;
  parallel.for_range(a.batch * a.heads, grain_for(item_ns), [&](size_t first, size_t last, size_t) {
    for (size_t i = first; i < last; ++i) {
      const size_t b = i / a.heads, h = i % a.heads;
      const size_t past_rows = a.past_rows_of ? static_cast<size_t>(a.past_rows_of[b]) : a.past_rows;
      const size_t fresh_rows = a.fresh_rows_of ? static_cast<size_t>(a.fresh_rows_of[b]) : a.fresh_rows;
      std::byte* to = static_cast<std::byte*>(a.present) + i * a.capacity * row;
      if (a.past && a.past != a.present && past_rows * row != 0)
        std::memcpy(to, static_cast<const std::byte*>(a.past) + i * a.past_capacity * row, past_rows * row);
      const auto* from =
          static_cast<const std::byte*>(a.fresh) + (b * a.fresh_strides.batch + h * a.fresh_strides.head) * a.width;
      to += past_rows * row;
      if (row == 0) continue;
      if (a.past != a.present) std::memset(to + fresh_rows * row, 0, (a.capacity - past_rows - fresh_rows) * row);
      if (a.fresh_strides.row == a.size) {
        std::memcpy(to, from, fresh_rows * row);
      } else {
        for (size_t r = 0; r < fresh_rows; ++r)
          std::memcpy(to + r * row, from + r * a.fresh_strides.row * a.width, row);
      }
    }
  });
}

}  // namespace linnet
