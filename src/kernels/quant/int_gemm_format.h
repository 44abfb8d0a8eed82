// The packed form of B that int_gemm_pack.cpp writes and int_block.cpp reads.
#pragma once

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

}  // namespace linnet
