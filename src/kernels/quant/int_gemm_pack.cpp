#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "kernels/quant/int_block.h"
#include "kernels/quant/int_gemm_format.h"
#include "kernels/quant/packed_check.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/quant/int_gemm_pack.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/quant/byte_products-inl.h"

HWY_BEFORE_NAMESPACE();
namespace linnet::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using Pairs = hn::CappedTag<int16_t, 32>;
using Sums = hn::Repartition<int32_t, Pairs>;

// Of a quad's 32 pairs: the sums of what is positive, and of what is negative. With A from 0 to 255, a sum of products
// fits into 16 bits when the one is at most 128 and the other at least -128.
struct PairSums {
  alignas(64) int16_t positive[32];
  alignas(64) int16_t negative[32];
};

// Adds the quad's columns to `sums`; true when its products fit.
bool measure_quad(const int8_t* quad, PairSums& pairs, int32_t* sums) {
  const Pairs d;
  constexpr size_t kLanes = hn::MaxLanes(d);
  const auto zero = hn::Zero(d);
  auto greatest = zero, least = zero;
  constexpr size_t kColumns = hn::MaxLanes(Sums());
  for (size_t i = 0; i < 32; i += kLanes) {
    const auto x = hn::BitCast(d, hn::Load(hn::Repartition<int8_t, Pairs>(), quad + 2 * i));
    const auto even = hn::ShiftRight<8>(hn::ShiftLeft<8>(x)), odd = hn::ShiftRight<8>(x);
    const auto positive = hn::Add(hn::Max(even, zero), hn::Max(odd, zero)),
               negative = hn::Add(hn::Min(even, zero), hn::Min(odd, zero));
    hn::Store(positive, d, pairs.positive + i);
    hn::Store(negative, d, pairs.negative + i);
    int32_t* to = sums + i / kLanes * kColumns;
    hn::Store(hn::Add(hn::Load(Sums(), to), madd_shorts(hn::Add(positive, negative), hn::Set(d, 1))), Sums(), to);
    greatest = hn::Max(greatest, positive);
    least = hn::Min(least, negative);
  }
  return hn::AllFalse(d, hn::Gt(greatest, hn::Set(d, 128))) && hn::AllFalse(d, hn::Lt(least, hn::Set(d, -128)));
}

bool fit_together(const PairSums& a, const PairSums& b) {
  const Pairs d;
  auto greatest = hn::Zero(d), least = greatest;
  for (size_t i = 0; i < 32; i += hn::MaxLanes(d)) {
    greatest = hn::Max(greatest, hn::Add(hn::Load(d, a.positive + i), hn::Load(d, b.positive + i)));
    least = hn::Min(least, hn::Add(hn::Load(d, a.negative + i), hn::Load(d, b.negative + i)));
  }
  return hn::AllFalse(d, hn::Gt(greatest, hn::Set(d, 128))) && hn::AllFalse(d, hn::Lt(least, hn::Set(d, -128)));
}

// Four rows of 16 neighbours as [16][4].
void interleave_rows(const uint8_t* src, size_t stride, uint8_t flip, int8_t* quad) {
  const hn::FixedTag<uint8_t, 16> d;
  const hn::Repartition<uint16_t, decltype(d)> d16;
  const auto f = hn::Set(d, flip);
  const auto row = [&](size_t i) HWY_ATTR { return hn::Xor(hn::LoadU(d, src + i * stride), f); };
  const auto r0 = row(0), r1 = row(1), r2 = row(2), r3 = row(3);
  const auto a = hn::BitCast(d16, hn::InterleaveLower(d, r0, r1)), b = hn::BitCast(d16, hn::InterleaveUpper(d, r0, r1)),
             x = hn::BitCast(d16, hn::InterleaveLower(d, r2, r3)), y = hn::BitCast(d16, hn::InterleaveUpper(d, r2, r3));
  auto* to = reinterpret_cast<uint16_t*>(quad);
  hn::Store(hn::InterleaveLower(d16, a, x), d16, to);
  hn::Store(hn::InterleaveUpper(d16, a, x), d16, to + 8);
  hn::Store(hn::InterleaveLower(d16, b, y), d16, to + 16);
  hn::Store(hn::InterleaveUpper(d16, b, y), d16, to + 24);
}

// Rows 4 q .. 4 q + 3 of 16 columns as [16][4]; zeros beyond the matrix.
void load_quad(const IntMatrix& b, size_t q, size_t column, int8_t* quad) {
  const uint8_t flip = b.is_signed ? 0 : 0x80;
  const auto* data = static_cast<const uint8_t*>(b.data) + 4 * q * b.k_stride + column * b.n_stride;
  const size_t rows = HWY_MIN(size_t{4}, b.k - 4 * q), columns = HWY_MIN(kIntPanel, b.n - column);
  if (rows == 4 && columns == kIntPanel && b.n_stride == 1) return interleave_rows(data, b.k_stride, flip, quad);
  if (rows == 4 && columns == kIntPanel && b.k_stride == 1) {
    for (size_t c = 0; c < kIntPanel; ++c) {
      uint32_t four;
      memcpy(&four, data + c * b.n_stride, sizeof four);
      four ^= flip * 0x01010101u;
      memcpy(quad + 4 * c, &four, sizeof four);
    }
    return;
  }
  memset(quad, 0, 64);
  for (size_t c = 0; c < columns; ++c)
    for (size_t r = 0; r < rows; ++r)
      quad[c * 4 + r] = static_cast<int8_t>(data[r * b.k_stride + c * b.n_stride] ^ flip);
}

// The numbers of the quads of panel p in the order of their kinds, and the header but for its offset. `alone` has room
// for all of them.
void sort_quads_simd(const IntMatrix& b, size_t p, IntPanelHeader& header, uint32_t* order, uint32_t* alone) {
  // Quads that fit, and may find another to fit with.
  constexpr size_t kPlaces = 4;
  constexpr uint32_t kFree = 0xffffffffu;
  PairSums waiting[kPlaces], current;
  uint32_t number[kPlaces] = {kFree, kFree, kFree, kFree};
  const size_t quads = (b.k + 3) / 4;
  size_t oldest = 0, paired = 0, singles = 0, wide = 0;
  alignas(64) int8_t quad[64];
  for (size_t q = 0; q < quads; ++q) {
    const auto own = static_cast<uint32_t>(q);
    load_quad(b, q, p * kIntPanel, quad);
    if (!measure_quad(quad, current, header.sums)) {
      order[quads - ++wide] = own;
      continue;
    }
    size_t place = 0, empty = kPlaces;
    for (; place < kPlaces; ++place) {
      if (number[place] == kFree) {
        empty = place;
      } else if (fit_together(waiting[place], current)) {
        break;
      }
    }
    if (place < kPlaces) {
      order[paired++] = number[place];
      order[paired++] = own;
      number[place] = kFree;
      continue;
    }
    if (empty == kPlaces) {
      empty = oldest;
      oldest = (oldest + 1) % kPlaces;
      alone[singles++] = number[empty];
    }
    waiting[empty] = current;
    number[empty] = own;
  }
  for (const uint32_t left : number)
    if (left != kFree) alone[singles++] = left;
  for (size_t i = 0; i < singles; ++i) order[paired + i] = alone[i];
  header.paired = static_cast<uint32_t>(paired);
  header.singles = static_cast<uint32_t>(singles);
}

// Quads into their places; `order` becomes where in a row of A each one begins.
void write_quads_simd(const IntMatrix& b, size_t p, uint32_t* order, int8_t* panel) {
  for (size_t q = 0; q < (b.k + 3) / 4; ++q) {
    load_quad(b, order[q], p * kIntPanel, panel + q * 64);
    order[q] *= 4;
  }
}

}  // namespace
}  // namespace linnet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/dispatch.h"

namespace linnet {
namespace {

size_t panel_bytes(size_t k) noexcept { return round_up(ceil_div<size_t>(k, 4) * kIntQuadBytes, 64); }

}  // namespace

size_t int_gemm_packed_size(size_t k, size_t n) noexcept {
  return ceil_div(n, kIntPanel) * (kIntPanelHeader + panel_bytes(k));
}

// By the vector instructions that a quad takes.
static bool balanced_is_faster(size_t paired, size_t singles, size_t wide) noexcept {
  return 4 * (paired + singles + wide) < 2 * paired + 3 * singles + 7 * wide;
}

bool int_gemm_valid(std::span<const std::byte> packed, size_t k, size_t n) noexcept {
  const size_t panels = ceil_div(n, kIntPanel), quads = ceil_div<size_t>(k, 4);
  if (packed.size() / sizeof(IntPanelHeader) < panels) return false;
  for (size_t p = 0; p < panels; ++p) {
    IntPanelHeader header;
    std::memcpy(&header, packed.data() + p * sizeof header, sizeof header);
    if (header.offset > packed.size() || header.offset % 64 != 0 || header.paired % 2 != 0 || header.paired > quads ||
        header.singles > quads - header.paired)
      return false;
    const std::span<const std::byte> panel = packed.subspan(static_cast<size_t>(header.offset));
    if (panel.size() / kIntQuadBytes < quads) return false;
    for (size_t q = 0; q < quads; ++q) {
      uint32_t at;
      std::memcpy(&at, panel.data() + quads * 64 + q * sizeof at, sizeof at);
      if (at % 4 != 0 || at / 4 >= quads) return false;
    }
  }
  return true;
}

void int_gemm_pack(const IntMatrix& b, std::byte* packed, const Parallel& parallel) noexcept {
  const size_t panels = ceil_div(b.n, kIntPanel);
  const auto sort_quads = LINNET_DISPATCH(sort_quads_simd, N_SSE4::sort_quads_simd);
  const auto write_quads = LINNET_DISPATCH(write_quads_simd, N_SSE4::write_quads_simd);
  const size_t quads = ceil_div<size_t>(b.k, 4);
  parallel.for_range(panels, grain_for(static_cast<double>(b.k) * 10 + 100), [&](size_t first, size_t last, size_t) {
    for (size_t p = first; p < last; ++p) {
      IntPanelHeader& header = reinterpret_cast<IntPanelHeader*>(packed)[p];
      header = {};
      header.offset = panels * sizeof(IntPanelHeader) + p * panel_bytes(b.k);
      auto* panel = reinterpret_cast<int8_t*>(packed + header.offset);
      auto* order = reinterpret_cast<uint32_t*>(panel + quads * 64);
      sort_quads(b, p, header, order, reinterpret_cast<uint32_t*>(panel));
      write_quads(b, p, order, panel);
      const size_t wide = quads - header.paired - header.singles;
      header.balanced = balanced_is_faster(header.paired, header.singles, wide) &&
                        (quads == 0 || !std::memchr(panel, 0x80, quads * 64));
      std::memset(order + quads, 0, panel_bytes(b.k) - quads * kIntQuadBytes);
    }
  });
}

}  // namespace linnet
#endif
