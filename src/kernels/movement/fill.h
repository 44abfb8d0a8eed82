// Many copies of one element.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <type_traits>

namespace linnet {

// dst need not be aligned for T when T is trivially copyable.
template <class T>
void fill_elements(void* dst, const T& value, size_t count) {
  if constexpr (std::is_trivially_copyable_v<T>) {
    auto* to = static_cast<std::byte*>(dst);
    std::byte bytes[sizeof(T)];
    std::memcpy(bytes, &value, sizeof(T));
    if (std::count(bytes, bytes + sizeof(T), bytes[0]) == sizeof(T)) {  // zero, mostly
      if (count != 0) std::memset(to, static_cast<int>(bytes[0]), count * sizeof(T));
      return;
    }
    constexpr size_t kBlock = 2048 / sizeof(T);  // stays in the nearest cache, to be copied on by memcpy
    const size_t first = std::min(count, kBlock);
    for (size_t i = 0; i < first; ++i) std::memcpy(to + i * sizeof(T), &value, sizeof(T));
    for (size_t done = first; done < count; done += kBlock)
      std::memcpy(to + done * sizeof(T), to, std::min(kBlock, count - done) * sizeof(T));
  } else {
    std::fill_n(static_cast<T*>(dst), count, value);
  }
}

}  // namespace linnet
