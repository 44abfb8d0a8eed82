// The packed form of B that int_gemm_pack.cpp writes and int_gemm.cpp reads.
#pragma once

#include "kernels/quant/int_gemm.h"

namespace linnet {

struct IntPanelHeader {
  uint64_t offset;  // of the panel, in bytes from the start of the packed form
  uint32_t extra;   // quads in the list behind the panel's K/4 quads; their numbers follow as uint32
  uint32_t reserved[13];
  int32_t sums[kIntPanel];  // of the columns, as int8
};
inline constexpr size_t kIntPanelHeader = sizeof(IntPanelHeader);
inline constexpr size_t kIntExtraBytes = 64 + sizeof(uint32_t);
static_assert(kIntPanelHeader == 128);

}  // namespace linnet
