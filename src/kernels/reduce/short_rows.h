// Rows that are shorter than what a vector is worth: as the columns of a tile, neighbours share vectors.
#pragma once

#include <algorithm>
#include <cstddef>

namespace linnet {

inline constexpr size_t kShortRow = 32;     // the longest
inline constexpr size_t kShortFloats = 12;  // the longest of floats, whose rows have vectors of their own
inline constexpr size_t kTileRows = 64;

// Calls work(tile, row, rows) for all rows [begin, end) of n <= kShortRow numbers: tile is [n][rows].
template <class T, class Work>
void for_short_rows(const T* src, size_t n, size_t begin, size_t end, Work work) noexcept {
  T tile[kShortRow * kTileRows];
  for (size_t row = begin; row < end; row += kTileRows) {
    const size_t rows = std::min(kTileRows, end - row);
    for (size_t r = 0; r < rows; ++r)
      for (size_t i = 0; i < n; ++i) tile[i * rows + r] = src[(row + r) * n + i];
    work(tile, row, rows);
  }
}

}  // namespace linnet
