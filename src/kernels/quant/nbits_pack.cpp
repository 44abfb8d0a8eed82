#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "kernels/quant/nbits_format.h"

namespace linnet {
namespace {

constexpr size_t kGroupBytes = kNBitsPanel * 4;  // four of each column

// Codes of 2 bits in 4 bits each.
uint32_t widen_codes(uint32_t codes) noexcept {
  codes = (codes | codes << 8) & 0x00ff00ffu;
  codes = (codes | codes << 4) & 0x0f0f0f0fu;
  return (codes | codes << 2) & 0x33333333u;
}

// Eight codes of 4 bits in their packed order: byte j holds codes j and j + 4.
uint32_t interleave_codes(uint32_t codes) noexcept {
  const auto in_bytes = [](uint32_t four) {
    four = (four | four << 8) & 0x00ff00ffu;
    return (four | four << 4) & 0x0f0f0f0fu;
  };
  return in_bytes(codes & 0xffffu) | in_bytes(codes >> 16) << 4;
}

// The codes of one column of a block, whose groups are kGroupBytes apart.
template <int kBits>
void pack_column(const uint8_t* from, size_t groups, std::byte* to) noexcept {
  constexpr size_t kBytes = kBits == 2 ? 2 : 4;  // of a group in the model
  for (size_t g = 0; g < groups; ++g, from += kBytes, to += kGroupBytes) {
    uint32_t codes = from[0] | static_cast<uint32_t>(from[1]) << 8;
    if constexpr (kBits != 2) codes |= static_cast<uint32_t>(from[2]) << 16 | static_cast<uint32_t>(from[3]) << 24;
    if constexpr (kBits == 2) codes = widen_codes(codes);
    if constexpr (kBits != 8) codes = interleave_codes(codes);
    for (size_t i = 0; i < 4; ++i) to[i] = static_cast<std::byte>(codes >> (8 * i));
  }
}

}  // namespace

size_t nbits_packed_size(const NBitsFormat& format) noexcept {
  return ceil_div(format.n, kNBitsPanel) * nbits_panel_bytes(format);
}

void nbits_pack(const NBitsFormat& f, const uint8_t* codes, const float* scales, const float* zeros, std::byte* packed,
                const Parallel& parallel) noexcept {
  const size_t blocks = f.blocks(), column_bytes = f.block * static_cast<size_t>(f.bits) / 8;
  const size_t groups = nbits_code_bytes(f) / kGroupBytes;
  const auto pack = f.bits == 8 ? pack_column<8> : f.bits == 4 ? pack_column<4> : pack_column<2>;
  const auto pack_panel = [&](size_t panel) {
    const size_t first = panel * kNBitsPanel, columns = std::min(kNBitsPanel, f.n - first);
    std::byte* block = packed + panel * nbits_panel_bytes(f);
    if (columns < kNBitsPanel) std::memset(block, 0, nbits_panel_bytes(f));
    for (size_t b = 0; b < blocks; ++b, block += nbits_block_bytes(f)) {
      auto* numbers = reinterpret_cast<float*>(block + nbits_code_bytes(f));
      for (size_t c = 0; c < columns; ++c) {
        const size_t at = (first + c) * blocks + b;
        pack(codes + at * column_bytes, groups, block + c * 4);
        numbers[c] = scales[at];
        if (f.has_zeros) numbers[kNBitsPanel + c] = zeros[at];
      }
    }
  };
  const double panel_ns = static_cast<double>(nbits_panel_bytes(f));
  parallel.for_range(ceil_div(f.n, kNBitsPanel), grain_for(panel_ns), [&](size_t begin, size_t end, size_t) {
    for (size_t panel = begin; panel < end; ++panel) pack_panel(panel);
  });
}

}  // namespace linnet
