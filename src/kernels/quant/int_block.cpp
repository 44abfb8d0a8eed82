#include "kernels/quant/int_block.h"

#include <algorithm>
#include <cstring>

#include "base/fetch.h"
#include "kernels/quant/int_store.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/quant/int_block.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/quant/byte_products-inl.h"
#include "kernels/quant/int_store-inl.h"
#include "kernels/registers-inl.h"

HWY_BEFORE_NAMESPACE();
namespace linnet::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

constexpr size_t kVectors = kSumVectors;
constexpr size_t kTileRows = kVectors > 2 ? 2 : 4;  // as many sums as registers hold beside the operands

// Takes off what columns' zero points make of the rows, and stores.
template <Stored kStored, size_t kRows>
HWY_INLINE void finish_tile(const IntBlock& block, size_t m, hn::Vec<Ints> (&sums)[kRows][kVectors]) {
  const Ints d;
  const PanelEpilogue& epilogue = *block.store.epilogue;
  if (block.row_sums) {
#pragma GCC unroll 8
    for (size_t r = 0; r < kRows; ++r)
#pragma GCC unroll 4
      for (size_t v = 0; v < kVectors; ++v)
        sums[r][v] = hn::Sub(
            sums[r][v], hn::Mul(hn::Set(d, block.row_sums[m + r]), hn::Load(d, epilogue.b_zero + v * hn::MaxLanes(d))));
  }
  store_rows<kStored>(block.store, sums, block.c + m * block.c_stride, block.c_stride);
}

template <Stored kStored, size_t kRows>
void int_tile(const IntBlock& block, size_t m) {
  const Bytes d8;
  const Shorts d16;
  const Ints d;
  constexpr size_t kBytes = hn::MaxLanes(d8);
  const auto ones = hn::Set(d16, 1);
  const PanelEpilogue& epilogue = *block.store.epilogue;
  const uint8_t* a[kRows];
  hn::Vec<Ints> sums[kRows][kVectors];
#pragma GCC unroll 4
  for (size_t r = 0; r < kRows; ++r) {
    a[r] = block.rows[m + r];
#pragma GCC unroll 4
    for (size_t v = 0; v < kVectors; ++v) sums[r][v] = hn::Load(d, epilogue.add + v * hn::MaxLanes(d));
  }
  const int8_t* quads = block.quads;
  const uint32_t* at = block.at;
  for (size_t q = 0; q < block.paired; q += 2, quads += 128, at += 2) {
    const size_t k = at[0], l = at[1];
#pragma GCC unroll 4
    for (size_t r = 0; r < kRows; ++r) {
      const auto x = quad_at(d8, a[r] + k), y = quad_at(d8, a[r] + l);
#pragma GCC unroll 4
      for (size_t v = 0; v < kVectors; ++v) {
        const auto sum = hn::Add(madd_bytes(x, hn::Load(d8, quads + v * kBytes)),
                                 madd_bytes(y, hn::Load(d8, quads + 64 + v * kBytes)));
        sums[r][v] = hn::Add(sums[r][v], madd_shorts(sum, ones));
      }
    }
  }
  for (size_t q = 0; q < block.singles; ++q, quads += 64, ++at) {
    const size_t k = *at;
    hn::Vec<Bytes> b[kVectors];
#pragma GCC unroll 4
    for (size_t v = 0; v < kVectors; ++v) {
      b[v] = hn::Load(d8, quads + v * kBytes);
      b[v] = in_register(b[v]);
    }
#pragma GCC unroll 4
    for (size_t r = 0; r < kRows; ++r) {
      const auto x = quad_at(d8, a[r] + k);
#pragma GCC unroll 4
      for (size_t v = 0; v < kVectors; ++v) sums[r][v] = hn::Add(sums[r][v], madd_shorts(madd_bytes(x, b[v]), ones));
    }
  }
  // In 16 bits, even and odd elements apart.
  for (size_t q = 0; q < block.wide; ++q, quads += 64, ++at) {
    const size_t k = *at;
    hn::Vec<Shorts> even[kVectors], odd[kVectors];
#pragma GCC unroll 4
    for (size_t v = 0; v < kVectors; ++v) {
      const auto b = hn::BitCast(d16, hn::Load(d8, quads + v * kBytes));
      even[v] = hn::ShiftRight<8>(hn::ShiftLeft<8>(b));
      odd[v] = hn::ShiftRight<8>(b);
    }
#pragma GCC unroll 4
    for (size_t r = 0; r < kRows; ++r) {
      const hn::Repartition<uint16_t, Bytes> du;
      const auto x = hn::BitCast(du, quad_at(d8, a[r] + k));
      const auto high = hn::BitCast(d16, hn::ShiftRight<8>(x)), low = hn::BitCast(d16, hn::And(x, hn::Set(du, 255)));
      // One product at a time: registers are scarce.
#pragma GCC unroll 4
      for (size_t v = 0; v < kVectors; ++v) {
        sums[r][v] = hn::Add(sums[r][v], madd_shorts(low, even[v]));
        sums[r][v] = in_register(sums[r][v]);
        sums[r][v] = hn::Add(sums[r][v], madd_shorts(high, odd[v]));
      }
    }
  }
  finish_tile<kStored>(block, m, sums);
}

// Magnitudes of A - 128 times B with its signs: sums of two products fit into 16 bits whatever the quads.
template <Stored kStored>
void balanced_row(const IntBlock& block, size_t m) {
  const Bytes d8;
  const Ints d;
  const auto ones = hn::Set(Shorts(), 1);
  const auto middle = hn::Set(d8, -128);
  hn::Vec<Ints> sums[1][kVectors];
#pragma GCC unroll 4
  for (size_t v = 0; v < kVectors; ++v) sums[0][v] = hn::Load(d, block.store.epilogue->add + v * hn::MaxLanes(d));
  const int8_t* quads = block.quads;
  for (size_t q = 0; q < block.paired + block.singles + block.wide; ++q, quads += 64) {
    const auto x = hn::Xor(quad_at(d8, block.rows[m] + block.at[q]), middle), magnitude = hn::Abs(x);
#pragma GCC unroll 4
    for (size_t v = 0; v < kVectors; ++v) {
      const auto b = hn::Load(d8, quads + v * hn::MaxLanes(d8));
      sums[0][v] = hn::Add(sums[0][v], madd_shorts(madd_bytes(magnitude, with_signs_of(x, b)), ones));
    }
  }
  finish_tile<kStored>(block, m, sums);
}

template <Stored kStored>
void int_block_to(const IntBlock& block) {
  size_t m = 0;
  if (block.balanced) {
    for (; m < block.count; ++m) balanced_row<kStored>(block, m);
    return;
  }
  for (; m + kTileRows <= block.count; m += kTileRows) {
    fetch_share(block.next, m, kTileRows, block.count);
    int_tile<kStored, kTileRows>(block, m);
  }
  const size_t left = block.count - m;
  if (left == 3) int_tile<kStored, 3>(block, m);
  if (left == 2) int_tile<kStored, 2>(block, m);
  if (left == 1) int_tile<kStored, 1>(block, m);
}

#if HWY_TARGET <= HWY_AVX2
// Products of a quad, added to each row's sums.
template <size_t kRows>
HWY_INLINE void add_quad(const uint8_t* const (&a)[kRows], size_t at, const int8_t* quad,
                         hn::Vec<Ints> (&sums)[kRows][kVectors]) {
  const Bytes d8;
  hn::Vec<Bytes> b[kVectors];
#pragma GCC unroll 2
  for (size_t v = 0; v < kVectors; ++v) {
    b[v] = hn::Load(d8, quad + v * hn::MaxLanes(d8));
    b[v] = in_register(b[v]);
  }
#pragma GCC unroll 8
  for (size_t r = 0; r < kRows; ++r) {
    const auto x = quad_at(d8, a[r] + at);
#pragma GCC unroll 2
    for (size_t v = 0; v < kVectors; ++v) add_byte_products(sums[r][v], x, b[v]);
  }
}

// Two ports add products, five cycles after their operands, and two load, and every product takes an element of A that
// is spread over a vector by a load of its own. Eight sums keep both busy, and the rows' pointers in registers; with
// fewer rows, neighbouring quads have sums of their own.
constexpr size_t kVnniRows = kVectors == 1 ? 8 : 6;

template <Stored kStored, size_t kRows>
void vnni_tile(const IntBlock& block, size_t m) {
  const Ints d;
  constexpr size_t kChains = HWY_MIN(size_t{4}, 8 / kVectors / HWY_MIN(kRows, 8 / kVectors));
  const uint8_t* a[kRows];
  hn::Vec<Ints> sums[kChains][kRows][kVectors];
#pragma GCC unroll 8
  for (size_t r = 0; r < kRows; ++r) {
    a[r] = block.rows[m + r];
#pragma GCC unroll 2
    for (size_t v = 0; v < kVectors; ++v) {
      sums[0][r][v] = hn::Load(d, block.store.epilogue->add + v * hn::MaxLanes(d));
#pragma GCC unroll 4
      for (size_t i = 1; i < kChains; ++i) sums[i][r][v] = hn::Zero(d);
    }
  }
  const int8_t* quads = block.quads;
  const uint32_t* at = block.at;
  size_t left = block.paired + block.singles + block.wide;
  for (; left >= kChains; left -= kChains, quads += 64 * kChains, at += kChains) {
#pragma GCC unroll 4
    for (size_t i = 0; i < kChains; ++i) add_quad(a, at[i], quads + 64 * i, sums[i]);
  }
  for (; left != 0; --left, quads += 64, ++at) add_quad(a, *at, quads, sums[0]);
#pragma GCC unroll 8
  for (size_t r = 0; r < kRows; ++r)
#pragma GCC unroll 2
    for (size_t v = 0; v < kVectors; ++v)
#pragma GCC unroll 4
      for (size_t i = 1; i < kChains; ++i) sums[0][r][v] = hn::Add(sums[0][r][v], sums[i][r][v]);
  finish_tile<kStored>(block, m, sums[0]);
}

template <Stored kStored>
void vnni_block_to(const IntBlock& block) {
  size_t m = 0;
  for (; m + kVnniRows <= block.count; m += kVnniRows) {
    fetch_share(block.next, m, kVnniRows, block.count);
    vnni_tile<kStored, kVnniRows>(block, m);
  }
  if (block.count - m >= 4) vnni_tile<kStored, 4>(block, m), m += 4;
  if (block.count - m >= 2) vnni_tile<kStored, 2>(block, m), m += 2;
  if (m < block.count) vnni_tile<kStored, 1>(block, m);
}

void int_block_vnni(const IntBlock& block) {
  switch (block.store.kind) {
    case IntOutput::i32: return vnni_block_to<Stored::integers>(block);
    case IntOutput::f32: return vnni_block_to<Stored::floats>(block);
    case IntOutput::u8:
    case IntOutput::s8: return vnni_block_to<Stored::codes>(block);
  }
}
#endif

#if HWY_TARGET == HWY_AVX3
// Where a quad is in a row of A, and where its neighbour's is, in bytes.
struct QuadPair {
  uint32_t at, other;
};

// As vnni_tile, for two panels: an element of A that is spread over a vector serves both.
template <Stored kStored>
void vnni_pair_tile(const IntBlock (&blocks)[2], const QuadPair* pairs, size_t count, size_t m) {
  constexpr size_t kRows = 8;
  const Bytes d8;
  const Ints d;
  const uint8_t* a[kRows];
  hn::Vec<Ints> first[kRows][kVectors], second[kRows][kVectors];
#pragma GCC unroll 8
  for (size_t r = 0; r < kRows; ++r) {
    a[r] = blocks[0].rows[m + r];
    first[r][0] = hn::Load(d, blocks[0].store.epilogue->add);
    second[r][0] = hn::Load(d, blocks[1].store.epilogue->add);
  }
  const int8_t *quads = blocks[0].quads, *others = blocks[1].quads;
  for (const QuadPair* end = pairs + count; pairs != end; ++pairs, quads += 64) {
    const size_t k = pairs->at;
    auto b = hn::Load(d8, quads), other = hn::Load(d8, others + pairs->other);
    b = in_register(b);
    other = in_register(other);
#pragma GCC unroll 8
    for (size_t r = 0; r < kRows; ++r) {
      const auto x = quad_at(d8, a[r] + k);
      add_byte_products(first[r][0], x, b);
      add_byte_products(second[r][0], x, other);
    }
  }
  finish_tile<kStored>(blocks[0], m, first);
  finish_tile<kStored>(blocks[1], m, second);
}

// The last tile has rows of the one before it where they are no multiple of a tile's.
template <Stored kStored>
void vnni_pair_to(const IntBlock (&blocks)[2], const QuadPair* pairs, size_t count) {
  const size_t rows = blocks[0].count;
  for (size_t m = 0; m < rows; m += 8) {
    fetch_share(blocks[0].next, m, 8, blocks[0].count);
    fetch_share(blocks[1].next, m, 8, blocks[1].count);
    vnni_pair_tile<kStored>(blocks, pairs, count, HWY_MIN(m, rows - 8));
  }
}

void int_block_pair_vnni(const IntBlock (&blocks)[2], const uint32_t* const (&orders)[2]) {
  const size_t count = blocks[0].paired + blocks[0].singles + blocks[0].wide;
  uint16_t place[kMostQuadsTogether];
  memset(place, 0, count * sizeof place[0]);  // a file that lies of the order repeats places
  QuadPair pairs[kMostQuadsTogether];
  for (size_t q = 0; q < count; ++q) place[orders[1][q] / 4] = static_cast<uint16_t>(q);
  for (size_t q = 0; q < count; ++q) pairs[q] = {blocks[0].at[q], place[orders[0][q] / 4] * 64u};
  switch (blocks[0].store.kind) {
    case IntOutput::i32: return vnni_pair_to<Stored::integers>(blocks, pairs, count);
    case IntOutput::f32: return vnni_pair_to<Stored::floats>(blocks, pairs, count);
    case IntOutput::u8:
    case IntOutput::s8: return vnni_pair_to<Stored::codes>(blocks, pairs, count);
  }
}
#endif

template <Stored kStored>
void int_store_to(const IntStore& store, const int32_t* sums, size_t count, std::byte* c, size_t c_stride) {
  const Ints d;
  for (size_t m = 0; m < count; ++m) {
    hn::Vec<Ints> row[kVectors];
#pragma GCC unroll 4
    for (size_t v = 0; v < kVectors; ++v)
      row[v] = hn::Add(hn::Load(d, sums + m * kIntPanel + v * hn::MaxLanes(d)),
                       hn::Load(d, store.epilogue->add + v * hn::MaxLanes(d)));
    store_sums<kStored>(store, row, c + m * c_stride);
  }
}

#if HWY_TARGET != HWY_AVX3
void int_block_simd(const IntBlock& block) {
  switch (block.store.kind) {
    case IntOutput::i32: return int_block_to<Stored::integers>(block);
    case IntOutput::f32: return int_block_to<Stored::floats>(block);
    case IntOutput::u8:
    case IntOutput::s8: return int_block_to<Stored::codes>(block);
  }
}
#endif

void int_store_simd(const IntStore& store, const int32_t* sums, size_t count, std::byte* c, size_t c_stride) {
  switch (store.kind) {
    case IntOutput::i32: return int_store_to<Stored::integers>(store, sums, count, c, c_stride);
    case IntOutput::f32: return int_store_to<Stored::floats>(store, sums, count, c, c_stride);
    case IntOutput::u8:
    case IntOutput::s8: return int_store_to<Stored::codes>(store, sums, count, c, c_stride);
  }
}

uint32_t sum_of_bytes_simd(const uint8_t* src, size_t n) {
  const hn::ScalableTag<uint8_t> d8;
  const hn::Repartition<uint64_t, decltype(d8)> d;
  auto sums = hn::Zero(d);
  size_t i = 0;
  for (; i + hn::Lanes(d8) <= n; i += hn::Lanes(d8)) sums = hn::Add(sums, hn::SumsOf8(hn::LoadU(d8, src + i)));
  const hn::FixedTag<uint8_t, 16> part;
  const hn::Repartition<uint64_t, decltype(part)> half;
  auto rest = hn::Zero(half);
  for (; i + 16 <= n; i += 16) rest = hn::Add(rest, hn::SumsOf8(hn::LoadU(part, src + i)));
  auto sum = static_cast<uint32_t>(hn::GetLane(hn::SumOfLanes(half, rest)));
  if (n >= hn::Lanes(d8)) sum += static_cast<uint32_t>(hn::GetLane(hn::SumOfLanes(d, sums)));
  for (; i < n; ++i) sum += src[i];
  return sum;
}

void flip_bytes_simd(const uint8_t* src, uint8_t* dst, size_t n) {
  const hn::ScalableTag<uint8_t> d;
  size_t i = 0;
  for (; i + hn::Lanes(d) <= n; i += hn::Lanes(d))
    hn::StoreU(hn::Xor(hn::LoadU(d, src + i), hn::Set(d, 128)), d, dst + i);
  for (; i < n; ++i) dst[i] = static_cast<uint8_t>(src[i] ^ 128);
}

}  // namespace
}  // namespace linnet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/dispatch.h"

namespace linnet {
namespace {

void int_block_reference(const IntBlock& block) {
  for (size_t m = 0; m < block.count; ++m) {
    int32_t sums[kIntPanel] = {};
    for (size_t q = 0; q < block.paired + block.singles + block.wide; ++q)
      for (size_t i = 0; i < 64; ++i) {
        const uint8_t code = block.rows[m][block.at[q] + i % 4];
        const int32_t product = (code - (block.balanced ? 128 : 0)) * block.quads[q * 64 + i];
        sums[i / 4] = static_cast<int32_t>(static_cast<uint32_t>(sums[i / 4]) + static_cast<uint32_t>(product));
      }
    store_sums_reference(block.store, sums, block.row_sums ? block.row_sums[m] : 0, block.c + m * block.c_stride);
  }
}

void int_store_reference(const IntStore& store, const int32_t* sums, size_t count, std::byte* c, size_t c_stride) {
  for (size_t m = 0; m < count; ++m) store_sums_reference(store, sums + m * kIntPanel, 0, c + m * c_stride);
}

uint32_t sum_of_bytes_reference(const uint8_t* src, size_t n) {
  uint32_t sum = 0;
  for (size_t i = 0; i < n; ++i) sum += src[i];
  return sum;
}

void flip_bytes_reference(const uint8_t* src, uint8_t* dst, size_t n) {
  for (size_t i = 0; i < n; ++i) dst[i] = static_cast<uint8_t>(src[i] ^ 128);
}

}  // namespace

void int_block(const IntBlock& block) noexcept {
  LINNET_DISPATCH_VNNI(int_block_simd, int_block_vnni, int_block_reference)(block);
}
void int_block_pair([[maybe_unused]] const IntBlock (&blocks)[2],
                    [[maybe_unused]] const uint32_t* const (&orders)[2]) noexcept {
#if HWY_TARGETS & HWY_AVX3
  N_AVX3::int_block_pair_vnni(blocks, orders);
#endif
}
size_t panels_together(size_t rows, size_t quads) noexcept {
  return current_isa() == Isa::avx512_vnni && rows >= 16 && quads <= kMostQuadsTogether ? 2 : 1;
}
size_t balanced_rows() noexcept { return has_vnni(current_isa()) ? 0 : 3; }
double int_products_per_ns() noexcept {
  return current_isa() == Isa::avx512_vnni ? 300 : has_vnni(current_isa()) ? 150 : 75;
}

void int_store(const IntStore& store, const int32_t* sums, size_t count, std::byte* c, size_t c_stride) noexcept {
  LINNET_DISPATCH(int_store_simd, int_store_reference)(store, sums, count, c, c_stride);
}
uint32_t sum_of_bytes(const uint8_t* src, size_t n) noexcept {
  return LINNET_DISPATCH(sum_of_bytes_simd, sum_of_bytes_reference)(src, n);
}
void flip_bytes(const uint8_t* src, uint8_t* dst, size_t n) noexcept {
  LINNET_DISPATCH(flip_bytes_simd, flip_bytes_reference)(src, dst, n);
}

}  // namespace linnet
#endif
