#include <algorithm>
#include <cmath>
#include <type_traits>

#include "kernels/isa.h"
#include "kernels/number_types.h"
#include "kernels/reduce/reduce.h"
#include "kernels/reduce/short_rows.h"

namespace linnet {
namespace {

// Columns that are scanned together.
constexpr size_t kTile = 64;
constexpr size_t kSegment = size_t{1} << 30;

// What numbers are compared as. Three types hold all of them in their order.
template <class T>
using Compared = std::conditional_t<std::is_same_v<T, float>, float,
                                    std::conditional_t<std::is_integral_v<T> && sizeof(T) == 8, int64_t, double>>;

// Numbers [at, at + count), count <= kTile: where they lie, or in `buffer`.
template <class C>
using LoadRow = const C* (*)(const void* src, size_t at, size_t count, C* buffer);
template <class T>
const Compared<T>* load_row(const void* src, size_t at, size_t count, Compared<T>* buffer) noexcept {
  const T* row = static_cast<const T*>(src) + at;
  if constexpr (std::is_same_v<T, Compared<T>>) {
    return row;
  } else {
    for (size_t k = 0; k < count; ++k) {
      if constexpr (std::is_same_v<T, uint64_t>)
        buffer[k] = static_cast<int64_t>(row[k] ^ (uint64_t{1} << 63));
      else if constexpr (std::is_arithmetic_v<T>)
        buffer[k] = static_cast<double>(row[k]);
      else
        buffer[k] = static_cast<double>(static_cast<float>(row[k]));
    }
    return buffer;
  }
}

template <bool Max, bool Last, class T>
bool better(T x, T best) noexcept {
  // Without branches, so that columns go through vector registers. A NaN is better than all but a NaN before it.
  bool result = Last ? (Max ? x >= best : x <= best) : (Max ? x > best : x < best);
  if constexpr (std::is_floating_point_v<T>) {
    const bool nan = x != x;
    const bool held = best == best;
    result = (result & held) | (nan & (held | Last));
  }
  return result;
}

template <bool Max, bool Last, class C>
void scan(const ArgReduce& what, size_t begin, size_t end, const void* src, LoadRow<C> load, int64_t* dst) noexcept {
  for (size_t o = begin; o < end; ++o) {
    for (size_t column = 0; column < what.inner; column += kTile) {
      const size_t block = o * what.n * what.inner + column;
      const size_t columns = std::min(kTile, what.inner - column);
      // Positions of 32 bits keep in step with floats in vector registers. A longer axis goes on in segments.
      C best[kTile], buffer[kTile];
      int64_t* index = dst + o * what.inner + column;
      std::copy_n(load(src, block, columns, buffer), columns, best);
      std::fill_n(index, columns, 0);
      for (size_t first = 0; first < what.n; first += kSegment) {
        const size_t n = std::min(kSegment, what.n - first);
        int32_t found[kTile];
        std::fill_n(found, kTile, -1);
        for (size_t i = first == 0 ? 1 : 0; i < n; ++i) {
          const C* row = load(src, block + (first + i) * what.inner, columns, buffer);
          for (size_t k = 0; k < columns; ++k) {
            const C x = row[k];
            const bool take = better<Max, Last>(x, best[k]);
            best[k] = take ? x : best[k];
            found[k] = take ? static_cast<int32_t>(i) : found[k];
          }
        }
        for (size_t k = 0; k < columns; ++k)
          if (found[k] >= 0) index[k] = static_cast<int64_t>(first) + found[k];
      }
    }
  }
}

template <class C>
void scan_any(const ArgReduce& what, size_t begin, size_t end, const void* src, LoadRow<C> load,
              int64_t* dst) noexcept {
  if (what.max) {
    what.last ? scan<true, true, C>(what, begin, end, src, load, dst)
              : scan<true, false, C>(what, begin, end, src, load, dst);
  } else {
    what.last ? scan<false, true, C>(what, begin, end, src, load, dst)
              : scan<false, false, C>(what, begin, end, src, load, dst);
  }
}

}  // namespace

template <class T>
void arg_reduce(const ArgReduce& what, const T* src, int64_t* dst, const Parallel& parallel) noexcept {
  const double ns = static_cast<double>(what.n) * static_cast<double>(what.inner);
  parallel.for_range(what.outer, grain_for(ns), [&](size_t begin, size_t end, size_t) {
    if constexpr (std::is_same_v<T, float>) {
      if (what.inner == 1 && what.n > kShortFloats && current_isa() != Isa::reference)
        return arg_reduce_rows(what, src, dst, begin, end);
    }
    if (what.inner != 1 || what.n > kShortRow) return scan_any<Compared<T>>(what, begin, end, src, load_row<T>, dst);
    for_short_rows(src, what.n, begin, end, [&](const T* tile, size_t row, size_t rows) {
      scan_any<Compared<T>>({1, what.n, rows, what.max, what.last}, 0, 1, tile, load_row<T>, dst + row);
    });
  });
}

#define LINNET_INSTANTIATE(T) \
  template void arg_reduce<T>(const ArgReduce&, const T*, int64_t*, const Parallel&) noexcept;
LINNET_FOR_EACH_NUMBER_TYPE(LINNET_INSTANTIATE)
#undef LINNET_INSTANTIATE

}  // namespace linnet
