#include <algorithm>
#include <type_traits>

#include "kernels/elementwise/binary.h"
#include "kernels/number_types.h"
#include "kernels/reduce/reduce.h"

namespace linnet {
namespace {

// Rows of [n, inner] that are worth a call each: a row of sums is the one before plus a row of `src`.
constexpr size_t kLeastRow = 16;
bool by_rows(const Cumulative& what) noexcept { return !what.exclusive && what.inner >= kLeastRow; }

void cumulate_rows(const Cumulative& what, const float* src, float* dst) noexcept {
  BroadcastBlock row;
  row.rows = 1;
  row.columns = what.inner;
  row.stride[0] = row.stride[1] = 1;
  const float* before = nullptr;
  for (size_t i = 0; i < what.n; ++i) {
    const size_t at = (what.reverse ? what.n - 1 - i : i) * what.inner;
    if (!before)
      std::copy_n(src + at, src == dst ? 0 : what.inner, dst + at);
    else
      binary_block(what.product ? BinaryFn::mul : BinaryFn::add, row, before, src + at, dst + at);
    before = dst + at;
  }
}

template <bool kProduct, class T>
void cumulate_columns(const Cumulative& what, const T* src, T* dst) noexcept {
  // Integers wrap; halves are added as float.
  using Sum =
      std::conditional_t<std::is_integral_v<T>, uint64_t, std::conditional_t<std::is_same_v<T, double>, double, float>>;
  for (size_t k = 0; k < what.inner; ++k) {
    Sum sum{kProduct};
    for (size_t i = 0; i < what.n; ++i) {
      const size_t at = (what.reverse ? what.n - 1 - i : i) * what.inner + k;
      const Sum next = kProduct ? sum * static_cast<Sum>(src[at]) : sum + static_cast<Sum>(src[at]);
      dst[at] = static_cast<T>(what.exclusive ? sum : next);
      sum = next;
    }
  }
}

}  // namespace

template <class T>
void cumulate(const Cumulative& what, const T* src, T* dst, const Parallel& parallel) noexcept {
  if constexpr (std::is_integral_v<T> && std::is_signed_v<T>) {  // sums wrap alike
    using U = std::make_unsigned_t<T>;
    return cumulate(what, reinterpret_cast<const U*>(src), reinterpret_cast<U*>(dst), parallel);
  } else {
    const size_t block = what.n * what.inner;
    parallel.for_range(what.outer, grain_for(static_cast<double>(block)), [&](size_t begin, size_t end, size_t) {
      for (size_t o = begin * block; o < end * block; o += block) {
        if constexpr (std::is_same_v<T, float>) {
          if (by_rows(what)) {
            cumulate_rows(what, src + o, dst + o);
            continue;
          }
        }
        what.product ? cumulate_columns<true>(what, src + o, dst + o) : cumulate_columns<false>(what, src + o, dst + o);
      }
    });
  }
}

#define LINNET_INSTANTIATE(T) template void cumulate<T>(const Cumulative&, const T*, T*, const Parallel&) noexcept;
LINNET_FOR_EACH_NUMBER_TYPE(LINNET_INSTANTIATE)
#undef LINNET_INSTANTIATE

}  // namespace linnet
