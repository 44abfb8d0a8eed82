#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "kernels/quant/nbits_format.h"

namespace linnet {

size_t nbits_packed_size(const NBitsFormat& format) noexcept {
  return ceil_div(format.n, kNBitsPanel) * nbits_panel_bytes(format);
}

void nbits_pack(const NBitsFormat& f, const uint8_t* codes, const float* scales, const float* zeros,
                std::byte* packed) noexcept {
  const size_t blocks = f.blocks(), per_byte = 8 / static_cast<size_t>(f.bits), block_bytes = f.block / per_byte;
  const size_t mask = (size_t{1} << f.bits) - 1;
  std::memset(packed, 0, nbits_packed_size(f));
  for (size_t n = 0; n < f.n; ++n) {
    const size_t column = n % kNBitsPanel;
    for (size_t b = 0; b < blocks; ++b) {
      std::byte* block = packed + n / kNBitsPanel * nbits_panel_bytes(f) + b * nbits_block_bytes(f);
      auto* out = reinterpret_cast<uint8_t*>(block) + column * 4;
      const uint8_t* from = codes + (n * blocks + b) * block_bytes;
      for (size_t i = 0; i < f.block; ++i) {
        const size_t code = (from[i / per_byte] >> (i % per_byte * static_cast<size_t>(f.bits))) & mask;
        if (f.bits == 8) {
          out[i / 4 * 64 + i % 4] = static_cast<uint8_t>(code);
        } else {
          uint8_t& byte = out[i / 8 * 64 + i % 4];
          byte = static_cast<uint8_t>(byte | code << (i % 8 / 4 * 4));
        }
      }
      auto* numbers = reinterpret_cast<float*>(block + nbits_code_bytes(f));
      numbers[column] = scales[n * blocks + b];
      if (f.has_zeros) numbers[kNBitsPanel + column] = zeros[n * blocks + b];
    }
  }
}

}  // namespace linnet
