// Sizes of the packed form that nbits_pack.cpp writes and nbits.cpp reads.
#pragma once

#include "kernels/quant/nbits.h"

namespace linnet {

inline constexpr size_t kNBitsPanel = 16;

inline size_t nbits_code_bytes(const NBitsFormat& f) noexcept { return f.block * kNBitsPanel / (f.bits == 8 ? 1 : 2); }
inline size_t nbits_block_bytes(const NBitsFormat& f) noexcept {
  return nbits_code_bytes(f) + kNBitsPanel * sizeof(float) * (f.has_zeros ? 2 : 1);
}
inline size_t nbits_panel_bytes(const NBitsFormat& f) noexcept { return f.blocks() * nbits_block_bytes(f); }

}  // namespace linnet
