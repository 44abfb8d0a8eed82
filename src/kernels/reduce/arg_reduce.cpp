#include <algorithm>
#include <cmath>
#include <type_traits>

#include "kernels/number_types.h"
#include "kernels/reduce/reduce.h"
#include "kernels/reduce/short_rows.h"

namespace linnet {
namespace {

// Columns that are scanned together.
constexpr size_t kTile = 64;
constexpr size_t kSegment = size_t{1} << 30;

template <class T>
auto comparable(T x) noexcept {
  if constexpr (std::is_same_v<T, f16> || std::is_same_v<T, bf16>)
    return static_cast<float>(x);
  else
    return x;
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

template <bool Max, bool Last, class T>
void scan(const ArgReduce& what, size_t begin, size_t end, const T* src, int64_t* dst) noexcept {
  using C = decltype(comparable(T{}));
  for (size_t o = begin; o < end; ++o) {
    const T* block = src + o * what.n * what.inner;
    for (size_t column = 0; column < what.inner; column += kTile) {
      const size_t columns = std::min(kTile, what.inner - column);
      // Positions of 32 bits keep in step with floats in vector registers. A longer axis goes on in segments.
      C best[kTile];
      int64_t* index = dst + o * what.inner + column;
      for (size_t k = 0; k < columns; ++k) {
        best[k] = comparable(block[column + k]);
        index[k] = 0;
      }
      for (size_t first = 0; first < what.n; first += kSegment) {
        const size_t n = std::min(kSegment, what.n - first);
        int32_t found[kTile];
        std::fill_n(found, kTile, -1);
        for (size_t i = first == 0 ? 1 : 0; i < n; ++i) {
          const T* row = block + (first + i) * what.inner + column;
          for (size_t k = 0; k < columns; ++k) {
            const C x = comparable(row[k]);
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

template <class T>
void scan_any(const ArgReduce& what, size_t begin, size_t end, const T* src, int64_t* dst) noexcept {
  if (what.max) {
    what.last ? scan<true, true>(what, begin, end, src, dst) : scan<true, false>(what, begin, end, src, dst);
  } else {
    what.last ? scan<false, true>(what, begin, end, src, dst) : scan<false, false>(what, begin, end, src, dst);
  }
}

// Rows of float: the extreme by SIMD, then its place.
void find_in_rows(const ArgReduce& what, size_t begin, size_t end, const float* src, int64_t* dst) noexcept {
  ReducePlan plan;
  plan.reduced.push_back({what.n, 1});
  plan.outputs = 1;
  plan.per_output = what.n;
  for (size_t o = begin; o < end; ++o) {
    const float* row = src + o * what.n;
    float best = 0.0f;
    reduce(what.max ? ReduceFn::max : ReduceFn::min, plan, row, &best, Parallel());
    const auto is_best = [best, nan = std::isnan(best)](float x) { return nan ? std::isnan(x) : x == best; };
    size_t i = what.last ? what.n - 1 : 0;
    while (!is_best(row[i])) i += what.last ? size_t(-1) : size_t{1};
    dst[o] = static_cast<int64_t>(i);
  }
}

}  // namespace

template <class T>
void arg_reduce(const ArgReduce& what, const T* src, int64_t* dst, const Parallel& parallel) noexcept {
  const double ns = static_cast<double>(what.n) * static_cast<double>(what.inner);
  parallel.for_range(what.outer, grain_for(ns), [&](size_t begin, size_t end, size_t) {
    if constexpr (std::is_same_v<T, float>) {
      if (what.inner == 1 && what.n > kShortRow) return find_in_rows(what, begin, end, src, dst);
    }
    if (what.inner != 1 || what.n > kShortRow) return scan_any(what, begin, end, src, dst);
    for_short_rows(src, what.n, begin, end, [&](const T* tile, size_t row, size_t rows) {
      scan_any({1, what.n, rows, what.max, what.last}, 0, 1, tile, dst + row);
    });
  });
}

#define LINNET_INSTANTIATE(T) \
  template void arg_reduce<T>(const ArgReduce&, const T*, int64_t*, const Parallel&) noexcept;
LINNET_FOR_EACH_NUMBER_TYPE(LINNET_INSTANTIATE)
#undef LINNET_INSTANTIATE

}  // namespace linnet
