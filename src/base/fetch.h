// Asks the processor to bring memory into the cache before it is read.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

namespace linnet {

// What falls to `count` items from `first` on, when `items` of them share the fetching of `memory`. Always inlined: GCC
// takes a call of it for one without effect, and drops it.
[[gnu::always_inline]] inline void fetch_share(std::span<const std::byte> memory, size_t first, size_t count,
                                               size_t items) noexcept {
  constexpr size_t kLine = 64;
  const size_t begin = memory.size() * first / items;
  const size_t end = std::min(memory.size(), begin + memory.size() * count / items + kLine);
  for (size_t at = begin; at < end; at += kLine) __builtin_prefetch(memory.data() + at);
}

}  // namespace linnet
