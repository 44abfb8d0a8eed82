// Rows of a table whose numbers share a scale and a zero point in blocks, as floats:
//
//   dst[i] = (code[i] - zero[i / block]) scale[i / block]
//
// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.GatherBlockQuantized
#pragma once

#include <cstddef>
#include <cstdint>

namespace linnet {

struct BlockRow {
  const uint8_t* codes = nullptr;  // of 4 bits, the first in the low half of a byte, or of 8
  int bits = 4;
  bool is_signed = false;          // codes and zero points of 4 bits from -8 to 7
  size_t block = 32;               // even
  const float* scales = nullptr;   // a block each
  const uint8_t* zeros = nullptr;  // packed like the codes, or null: `zero` for all blocks
  int zero = 0;
};

// Elements [begin, end) of a row; `begin` starts a block.
void decode_block_row(const BlockRow& row, size_t begin, size_t end, float* dst) noexcept;

}  // namespace linnet
