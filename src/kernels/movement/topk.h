// The k greatest or least of a row of numbers, with their places. Equal numbers come in the order of their places; NaN
// counts as greater than every number.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <functional>
#include <type_traits>

#include "base/half.h"

namespace linnet {

// An unsigned number that orders like `value` does.
template <class T>
std::conditional_t<(sizeof(T) <= 4), uint32_t, uint64_t> order_key(T value) noexcept {
  if constexpr (std::is_same_v<T, f16> || std::is_same_v<T, bf16>) {
    return order_key(static_cast<float>(value));
  } else if constexpr (std::is_floating_point_v<T>) {
    using U = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
    constexpr U kSign = U{1} << (sizeof(U) * 8 - 1);
    if (value != value) return static_cast<U>(~U{0});
    const U bits = std::bit_cast<U>(value + T{0});  // -0 becomes 0
    return static_cast<U>(bits & kSign ? ~bits : bits | kSign);
  } else {
    using U = std::conditional_t<(sizeof(T) <= 4), uint32_t, uint64_t>;
    if constexpr (std::is_signed_v<T>) {
      using S = std::make_signed_t<U>;
      return static_cast<U>(static_cast<U>(static_cast<S>(value)) ^ (U{1} << (sizeof(U) * 8 - 1)));
    } else {
      return static_cast<U>(value);
    }
  }
}

// A key with its place, which orders by the key and then the earlier place; the greatest is picked first.
struct Ranked {
  uint64_t key;
  uint64_t place;  // complemented, so that the earlier is the greater
  friend bool operator>(const Ranked& a, const Ranked& b) noexcept {
    return a.key != b.key ? a.key > b.key : a.place > b.place;
  }
};

// The next place from i on whose number may come before the one at `worst`; n when there is none. Half-precision
// numbers are dear to compare and all count.
template <class T>
size_t next_candidate(const T* src, int64_t step, size_t i, size_t n, size_t worst, bool largest) noexcept {
  if constexpr (std::is_arithmetic_v<T>) {
    const T limit = src[static_cast<int64_t>(worst) * step];
    // Negated, so that NaN on either side counts.
    if (largest)
      while (i < n && src[static_cast<int64_t>(i) * step] <= limit) ++i;
    else
      while (i < n && src[static_cast<int64_t>(i) * step] >= limit) ++i;
  }
  return i;
}

// Writes values and places of the k first of src[0], src[step], ... (n of them), in order; either may be nullptr.
// k <= n < 2^32; `scratch` holds n times Ranked.
template <class T>
void top_k(const T* src, int64_t step, size_t n, size_t k, bool largest, T* values, int64_t* places, int64_t out_step,
           void* scratch) noexcept {
  if (k == 0) return;
  using Key = decltype(order_key(T{}));
  // Small keys carry their place in the low half of one number.
  using Item = std::conditional_t<sizeof(Key) == 4, uint64_t, Ranked>;
  const auto item = [&](size_t i) -> Item {
    const Key key = largest ? order_key(src[static_cast<int64_t>(i) * step])
                            : static_cast<Key>(~order_key(src[static_cast<int64_t>(i) * step]));
    if constexpr (sizeof(Key) == 4) {
      return uint64_t{key} << 32 | (0xffffffffu - static_cast<uint32_t>(i));
    } else {
      return Ranked{key, ~static_cast<uint64_t>(i)};
    }
  };
  const auto place_of = [](const Item& picked) -> size_t {
    if constexpr (sizeof(Key) == 4) {
      return 0xffffffffu - static_cast<uint32_t>(picked);
    } else {
      return static_cast<size_t>(~picked.place);
    }
  };
  Item* items = static_cast<Item*>(scratch);
  const std::greater<> before;
  if (k * 4 < n) {  // a heap of the best so far, the worst of them in front
    for (size_t i = 0; i < k; ++i) items[i] = item(i);
    std::make_heap(items, items + k, before);
    for (size_t i = k; i < n; ++i) {
      i = next_candidate(src, step, i, n, static_cast<size_t>(place_of(items[0])), largest);
      if (i == n) break;
      const Item candidate = item(i);
      if (!before(candidate, items[0])) continue;
      std::pop_heap(items, items + k, before);
      items[k - 1] = candidate;
      std::push_heap(items, items + k, before);
    }
  } else {
    for (size_t i = 0; i < n; ++i) items[i] = item(i);
    if (k < n) std::nth_element(items, items + k, items + n, before);
  }
  std::sort(items, items + k, before);
  for (size_t i = 0; i < k; ++i) {
    const size_t place = place_of(items[i]);
    if (values) values[static_cast<int64_t>(i) * out_step] = src[static_cast<int64_t>(place) * step];
    if (places) places[static_cast<int64_t>(i) * out_step] = static_cast<int64_t>(place);
  }
}

}  // namespace linnet
