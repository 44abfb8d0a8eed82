// The packed form of B that int_gemm_pack.cpp writes and int_block.cpp reads.
#pragma once

#include <span>

#include "kernels/quant/int_gemm.h"

namespace linnet {

// A panel is its quads [16][4], then for each of them where it stands in a row of A, in bytes. Quads of one kind follow
// each other: those that come in pairs, the single ones, the wide ones.
struct IntPanelHeader {
  uint64_t offset;    // of the panel, in bytes from the start of the packed form
  uint32_t paired;    // quads, an even number; of two neighbours the products' sum fits into 16 bits
  uint32_t singles;   // quads whose sums of two products fit
  uint32_t balanced;  // 1: no weight is -128, and few rows of A are multiplied faster by magnitudes and signs
  uint32_t reserved[11];
  int32_t sums[kIntPanel];  // of the columns, as int8
};
inline constexpr size_t kIntPanelHeader = sizeof(IntPanelHeader);
static_assert(kIntPanelHeader == 128);

inline constexpr size_t kIntQuadBytes = 64 + sizeof(uint32_t);

// The panel to fetch while so many rows pass over the ones before it: none behind the last, nor where few rows leave no
// time for it, nor where panels are short enough to be there soon anyway.
inline std::span<const std::byte> int_panel_to_fetch(const std::byte* packed, size_t panel, size_t panels, size_t rows,
                                                     size_t quads) noexcept {
  if (panel >= panels || rows <= 32 || quads < 64) return {};
  return {packed + reinterpret_cast<const IntPanelHeader*>(packed)[panel].offset, quads * kIntQuadBytes};
}

}  // namespace linnet
