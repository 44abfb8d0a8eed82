#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/checked.h"
#include "kernels/quant/int_gemm_format.h"
#include "kernels/quant/packed_check.h"

namespace linnet {
namespace {

// Rows 4 q .. 4 q + 3 of 16 columns as [16][4]; zeros beyond the matrix.
void load_quad(const IntMatrix& b, size_t q, size_t column, int8_t (&quad)[64]) noexcept {
  std::memset(quad, 0, sizeof quad);
  const uint8_t flip = b.is_signed ? 0 : 0x80;
  const auto* data = static_cast<const uint8_t*>(b.data);
  for (size_t c = 0; c < std::min(kIntPanel, b.n - column); ++c)
    for (size_t r = 0; r < std::min<size_t>(4, b.k - 4 * q); ++r)
      quad[c * 4 + r] = static_cast<int8_t>(data[(4 * q + r) * b.k_stride + (column + c) * b.n_stride] ^ flip);
}

bool is_safe(const int8_t (&quad)[64]) noexcept {
  for (size_t i = 0; i < 64; i += 2)
    if (std::abs(int{quad[i]}) + std::abs(int{quad[i + 1]}) > 128) return false;
  return true;
}

size_t count_unsafe(const IntMatrix& b, size_t column) noexcept {
  size_t count = 0;
  int8_t quad[64];
  for (size_t q = 0; q < ceil_div<size_t>(b.k, 4); ++q) {
    load_quad(b, q, column, quad);
    count += !is_safe(quad);
  }
  return count;
}

}  // namespace

size_t int_gemm_packed_size(const IntMatrix& b) noexcept {
  const size_t panels = ceil_div(b.n, kIntPanel);
  size_t extra = 0;
  for (size_t p = 0; p < panels; ++p) extra += round_up(count_unsafe(b, p * kIntPanel) * kIntExtraBytes, 64);
  return kIntPanelHeader * panels + panels * ceil_div<size_t>(b.k, 4) * 64 + extra;
}

size_t int_gemm_packed_size_limit(size_t k, size_t n) noexcept {
  return ceil_div(n, kIntPanel) *
         (kIntPanelHeader + ceil_div<size_t>(k, 4) * 64 + round_up(ceil_div<size_t>(k, 4) * kIntExtraBytes, 64));
}

bool int_gemm_valid(std::span<const std::byte> packed, size_t k, size_t n) noexcept {
  const size_t panels = ceil_div(n, kIntPanel), quads = ceil_div<size_t>(k, 4);
  if (packed.size() / sizeof(IntPanelHeader) < panels) return false;
  for (size_t p = 0; p < panels; ++p) {
    IntPanelHeader header;
    std::memcpy(&header, packed.data() + p * sizeof header, sizeof header);
    if (header.offset > packed.size() || header.offset % 64 != 0 || header.extra > quads) return false;
    const std::span<const std::byte> panel = packed.subspan(static_cast<size_t>(header.offset));
    if (panel.size() / 64 < quads || (panel.size() - quads * 64) / kIntExtraBytes < header.extra) return false;
    const std::byte* numbers = panel.data() + (quads + header.extra) * 64;
    for (size_t i = 0; i < header.extra; ++i) {
      uint32_t number;
      std::memcpy(&number, numbers + i * sizeof number, sizeof number);
      if (number >= quads) return false;
    }
  }
  return true;
}

void int_gemm_pack(const IntMatrix& b, std::byte* packed) noexcept {
  const size_t panels = ceil_div(b.n, kIntPanel), quads = ceil_div<size_t>(b.k, 4);
  auto* headers = reinterpret_cast<IntPanelHeader*>(packed);
  size_t offset = panels * sizeof(IntPanelHeader);
  for (size_t p = 0; p < panels; ++p) {
    IntPanelHeader& header = headers[p];
    header = {};
    header.offset = offset;
    auto* main = reinterpret_cast<int8_t*>(packed + offset);
    auto* extra = main + quads * 64;
    uint32_t count = 0;
    int8_t quad[64];
    for (size_t q = 0; q < quads; ++q, main += 64) {
      load_quad(b, q, p * kIntPanel, quad);
      for (size_t i = 0; i < 64; ++i) header.sums[i / 4] += quad[i];
      if (!is_safe(quad)) {
        for (size_t i = 0; i < 64; ++i) {
          const int half = quad[i] / 2;
          extra[count * 64 + i] = static_cast<int8_t>(half);
          quad[i] = static_cast<int8_t>(quad[i] - half);
        }
        ++count;
      }
      std::memcpy(main, quad, 64);
    }
    // The quads' numbers stand behind the quads; the list's length is known only now.
    auto* numbers = reinterpret_cast<uint32_t*>(extra + size_t{count} * 64);
    for (size_t q = 0, i = 0; i < count; ++q) {
      load_quad(b, q, p * kIntPanel, quad);
      if (!is_safe(quad)) numbers[i++] = static_cast<uint32_t>(q);
    }
    header.extra = count;
    offset += quads * 64 + round_up(count * kIntExtraBytes, 64);
  }
}

}  // namespace linnet
