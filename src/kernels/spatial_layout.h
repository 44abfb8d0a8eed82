// Between channels-first and channels-last, for operators that run outside a channels-last region.
#pragma once

#include "base/parallel.h"

namespace linnet {

// src [batch][channels][positions] -> dst [batch][positions][channels], elements of `width` bytes.
void to_channels_last(size_t width, const void* src, void* dst, size_t batch, size_t channels, size_t positions,
                      const Parallel& parallel) noexcept;
// src [batch][positions][channels] -> dst [batch][channels][positions].
inline void to_channels_first(size_t width, const void* src, void* dst, size_t batch, size_t channels, size_t positions,
                              const Parallel& parallel) noexcept {
  to_channels_last(width, src, dst, batch, positions, channels, parallel);
}

}  // namespace linnet
