#include "kernels/quant/nbits.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/checked.h"
#include "base/fetch.h"
#include "kernels/gemm/gemm_kernels.h"
#include "kernels/quant/nbits_format.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/quant/nbits.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/quant/byte_products-inl.h"

#ifndef LINNET_NBITS_ONCE
#define LINNET_NBITS_ONCE
namespace linnet {
namespace {
constexpr size_t kByteRows = 8;  // of a call: rows that share unpacked codes

// Rows of A in 8 bits: a = scale q in each block.
struct ByteRows {
  const int8_t* q;
  size_t q_step;        // from row to row
  const float* scales;  // [block][rows]
  const float* sums;    // of q, alike
  size_t block_step;    // of scales and sums

  ByteRows from(size_t row) const noexcept { return {q + row * q_step, q_step, scales + row, sums + row, block_step}; }
};

struct RoundedBlock {
  float scale;
  int32_t sum;  // of its numbers
};

// What is no number becomes the least.
inline int8_t round_code(float x) noexcept {
  const float rounded = std::nearbyint(x);
  return static_cast<int8_t>(rounded > -127.0f ? std::min(rounded, 127.0f) : -127.0f);
}
}  // namespace
}  // namespace linnet
#endif

HWY_BEFORE_NAMESPACE();
namespace linnet::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::CappedTag<float, kNBitsPanel>;
using Words = hn::Repartition<uint32_t, Floats>;
using Ints = hn::Repartition<int32_t, Floats>;
using Shorts = hn::Repartition<int16_t, Floats>;
using Bytes = hn::Repartition<int8_t, Floats>;
constexpr size_t kLanes = hn::MaxLanes(Floats());
constexpr size_t kVectors = kNBitsPanel / kLanes;

// Code j of each column as 1 + code / kFactor: its bits moved to the top of the mantissa.
template <int kBits, int kIndex>
HWY_INLINE hn::Vec<Floats> code_plus_one(hn::Vec<Words> codes) {
  constexpr int kTop = 23 - kBits;
  constexpr int kAt = kBits == 8 ? kIndex * 8 : kIndex % 4 * 8 + kIndex / 4 * 4;
  const Words dw;
  hn::Vec<Words> shifted;
  if constexpr (kTop >= kAt) {
    shifted = hn::ShiftLeft<kTop - kAt>(codes);
  } else {
    shifted = hn::ShiftRight<kAt - kTop>(codes);
  }
  const auto mask = hn::Set(dw, ((1u << kBits) - 1u) << kTop);
  return hn::BitCast(Floats(), hn::Or(hn::And(shifted, mask), hn::Set(dw, 0x3f800000u)));
}

template <int kBits, int kIndex = 0>
HWY_INLINE void add_codes(hn::Vec<Words> codes, const float* a, hn::Vec<Floats> (&sums)[2]) {
  if constexpr (kIndex < 32 / kBits) {
    sums[kIndex % 2] = hn::MulAdd(code_plus_one<kBits, kIndex>(codes), hn::Set(Floats(), a[kIndex]), sums[kIndex % 2]);
    add_codes<kBits, kIndex + 1>(codes, a, sums);
  }
}

// One row of float A, padded to whole blocks, and one panel.
template <int kBits>
HWY_INLINE void float_row(const NBitsFormat& f, const std::byte* panel, const float* a, const float* a_sums, float zero,
                          float* c) {
  constexpr size_t kGroup = 32 / kBits;  // rows of a 64-byte group of codes
  constexpr float kFactor = 1 << kBits;
  const Floats d;
  const Words dw;
  hn::Vec<Floats> total[kVectors];
#pragma GCC unroll 4
  for (size_t v = 0; v < kVectors; ++v) total[v] = hn::Zero(d);
  const size_t blocks = f.blocks(), code_bytes = nbits_code_bytes(f), block_bytes = nbits_block_bytes(f);
  for (size_t b = 0; b < blocks; ++b, panel += block_bytes, a += f.block) {
    hn::Vec<Floats> sums[kVectors][2];
#pragma GCC unroll 4
    for (size_t v = 0; v < kVectors; ++v) sums[v][0] = sums[v][1] = hn::Zero(d);
    const auto* codes = reinterpret_cast<const uint32_t*>(panel);
    for (size_t g = 0; g < f.block / kGroup; ++g) {
#pragma GCC unroll 4
      for (size_t v = 0; v < kVectors; ++v)
        add_codes<kBits>(hn::LoadU(dw, codes + g * 16 + v * kLanes), a + g * kGroup, sums[v]);
    }
    const auto* numbers = reinterpret_cast<const float*>(panel + code_bytes);
#pragma GCC unroll 4
    for (size_t v = 0; v < kVectors; ++v) {
      const auto zeros = f.has_zeros ? hn::LoadU(d, numbers + kNBitsPanel + v * kLanes) : hn::Set(d, zero);
      const auto sum = hn::Mul(hn::Add(sums[v][0], sums[v][1]), hn::Set(d, kFactor));
      const auto less = hn::Mul(hn::Add(zeros, hn::Set(d, kFactor)), hn::Set(d, a_sums[b]));
      total[v] = hn::MulAdd(hn::Sub(sum, less), hn::LoadU(d, numbers + v * kLanes), total[v]);
    }
  }
#pragma GCC unroll 4
  for (size_t v = 0; v < kVectors; ++v) hn::StoreU(total[v], d, c + v * kLanes);
}

template <int kBits, int kIndex = 0>
HWY_INLINE void decode_codes(hn::Vec<Words> codes, hn::Vec<Floats> zeros, hn::Vec<Floats> scales, float* out) {
  if constexpr (kIndex < 32 / kBits) {
    const Floats d;
    // Exact up to the product with the scale.
    const auto factor = hn::Set(d, static_cast<float>(1 << kBits));
    const auto code = hn::MulSub(code_plus_one<kBits, kIndex>(codes), factor, factor);
    hn::StoreU(hn::Mul(hn::Sub(code, zeros), scales), d, out + kIndex * kNBitsPanel);
    decode_codes<kBits, kIndex + 1>(codes, zeros, scales, out);
  }
}

// One block as floats, [block][16].
template <int kBits>
HWY_INLINE void decode(const NBitsFormat& f, const std::byte* block, float zero, float* out) {
  constexpr size_t kGroup = 32 / kBits;
  const Floats d;
  const auto* codes = reinterpret_cast<const uint32_t*>(block);
  const auto* numbers = reinterpret_cast<const float*>(block + nbits_code_bytes(f));
  for (size_t v = 0; v < kVectors; ++v) {
    const auto scales = hn::LoadU(d, numbers + v * kLanes);
    const auto zeros = f.has_zeros ? hn::LoadU(d, numbers + kNBitsPanel + v * kLanes) : hn::Set(d, zero);
    for (size_t g = 0; g < f.block / kGroup; ++g)
      decode_codes<kBits>(hn::LoadU(Words(), codes + g * 16 + v * kLanes), zeros, scales,
                          out + g * kGroup * kNBitsPanel + v * kLanes);
  }
}

void nbits_float_row(const NBitsFormat& f, const std::byte* panel, const float* a, const float* a_sums, float zero,
                     float* c) {
  if (f.bits == 8) {
    float_row<8>(f, panel, a, a_sums, zero, c);
  } else {
    float_row<4>(f, panel, a, a_sums, zero, c);
  }
}

void nbits_decode(const NBitsFormat& f, const std::byte* block, float zero, float* out) {
  if (f.bits == 8) {
    decode<8>(f, block, zero, out);
  } else {
    decode<4>(f, block, zero, out);
  }
}

// Of a vector's columns in one block, the sums of products of codes with `kRows` rows.
//
// Codes of 8 bits are taken as two of 4 bits: pairs of their products with 8-bit numbers cannot saturate.
template <int kBits, size_t kRows>
HWY_INLINE void sum_block(const int8_t* codes, size_t groups, const int8_t* q, size_t q_step,
                          hn::Vec<Ints> (&sums)[kRows]) {
  constexpr bool kWide = kBits == 8;
  constexpr size_t kDepth = 32 / kBits;  // rows of B in a 64-byte group of codes
  const auto low = hn::Set(Bytes(), 15);
#pragma GCC unroll 4
  for (size_t r = 0; r < kRows; ++r) sums[r] = hn::Zero(Ints());
  // Eight pairs of products of codes of 4 bits, 32 rows of B, fit into 16 bits: 8 * 2 * 15 * 127 = 30480.
  for (size_t g = 0; g < groups; g += 32 / kDepth) {
    hn::Vec<Shorts> pairs[kRows], high[kRows];
#pragma GCC unroll 4
    for (size_t r = 0; r < kRows; ++r) pairs[r] = high[r] = hn::Zero(Shorts());
    const size_t end = HWY_MIN(groups, g + 32 / kDepth);
    for (size_t i = g; i < end; ++i) {
      const auto both = hn::LoadU(Bytes(), codes + i * 64);
      const auto first = hn::And(both, low);
      const auto second = hn::And(hn::BitCast(Bytes(), hn::ShiftRight<4>(hn::BitCast(Words(), both))), low);
#pragma GCC unroll 4
      for (size_t r = 0; r < kRows; ++r) {
        const int8_t* of_row = q + r * q_step + i * kDepth;
        const auto a = quad_at(Bytes(), of_row);
        if constexpr (kWide) {
          pairs[r] = hn::Add(pairs[r], madd_bytes(first, a));
          high[r] = hn::Add(high[r], madd_bytes(second, a));
        } else {
          pairs[r] = hn::Add(pairs[r], hn::Add(madd_bytes(first, a), madd_bytes(second, quad_at(Bytes(), of_row + 4))));
        }
      }
    }
#pragma GCC unroll 4
    for (size_t r = 0; r < kRows; ++r) {
      sums[r] = hn::Add(sums[r], madd_shorts(pairs[r], hn::Set(Shorts(), 1)));
      if constexpr (kWide) sums[r] = hn::Add(sums[r], madd_shorts(high[r], hn::Set(Shorts(), 16)));
    }
  }
}

#if HWY_TARGET <= HWY_AVX2
template <int kBits, size_t kRows>
HWY_INLINE void sum_block_vnni(const int8_t* codes, size_t groups, const int8_t* q, size_t q_step,
                               hn::Vec<Ints> (&sums)[kRows]) {
  const Ints d;
  const auto low = hn::Set(Bytes(), 15);
  // Of few rows, half of the products has sums of its own: each waits for the one before it.
  constexpr bool kApart = kRows <= 4;
  hn::Vec<Ints> more[kRows];
#pragma GCC unroll 8
  for (size_t r = 0; r < kRows; ++r) sums[r] = more[r] = hn::Zero(d);
  constexpr size_t kStep = kBits == 8 ? 2 : 1;  // groups that hold 8 rows of B; `groups` is a multiple
  // One pointer and multiples of the step address three rows.
  const int8_t* of_rows[(kRows + 2) / 3];
#pragma GCC unroll 3
  for (size_t i = 0; i < (kRows + 2) / 3; ++i) of_rows[i] = q + 3 * i * q_step;
  for (size_t i = 0; i < groups; i += kStep) {
    auto first = hn::LoadU(Bytes(), codes + i * 64), second = first;
    if constexpr (kBits == 8) {
      second = hn::LoadU(Bytes(), codes + i * 64 + 64);
    } else {
      first = hn::And(first, low);
      second = hn::And(hn::BitCast(Bytes(), hn::ShiftRight<4>(hn::BitCast(Words(), second))), low);
    }
#pragma GCC unroll 8
    for (size_t r = 0; r < kRows; ++r)
      add_byte_products(sums[r], first, quad_at(Bytes(), of_rows[r / 3] + r % 3 * q_step));
#pragma GCC unroll 8
    for (size_t r = 0; r < kRows; ++r)
      add_byte_products(kApart ? more[r] : sums[r], second, quad_at(Bytes(), of_rows[r / 3] + r % 3 * q_step + 4));
#pragma GCC unroll 3
    for (const int8_t*& rows : of_rows) rows += 8;
  }
  if constexpr (kApart) {
#pragma GCC unroll 8
    for (size_t r = 0; r < kRows; ++r) sums[r] = hn::Add(sums[r], more[r]);
  }
}
#endif

template <int kBits, size_t kRows, bool kVnni>
void byte_rows(const NBitsFormat& f, const std::byte* panel, const ByteRows& rows, float zero, float* c) {
  const Floats d;
  hn::Vec<Floats> total[kRows][kVectors];
#pragma GCC unroll 8
  for (size_t r = 0; r < kRows; ++r)
#pragma GCC unroll 4
    for (size_t v = 0; v < kVectors; ++v) total[r][v] = hn::Zero(d);
  const size_t blocks = f.blocks(), groups = f.block / (32 / kBits), code_bytes = nbits_code_bytes(f),
               block_bytes = nbits_block_bytes(f);
  const float *row_scales = rows.scales, *row_sums = rows.sums;
  const int8_t* q = rows.q;
  for (size_t b = 0; b < blocks; ++b) {
    const auto* codes = reinterpret_cast<const int8_t*>(panel);
    const auto* numbers = reinterpret_cast<const float*>(panel + code_bytes);
#pragma GCC unroll 4
    for (size_t v = 0; v < kVectors; ++v) {
      hn::Vec<Ints> sums[kRows];
      const int8_t* of_columns = codes + v * hn::MaxLanes(Bytes());
#if HWY_TARGET <= HWY_AVX2
      if constexpr (kVnni) sum_block_vnni<kBits, kRows>(of_columns, groups, q, rows.q_step, sums);
#endif
      if constexpr (!kVnni) sum_block<kBits, kRows>(of_columns, groups, q, rows.q_step, sums);
      const auto scales = hn::LoadU(d, numbers + v * kLanes);
      const auto zeros = f.has_zeros ? hn::LoadU(d, numbers + kNBitsPanel + v * kLanes) : hn::Set(d, zero);
#pragma GCC unroll 8
      for (size_t r = 0; r < kRows; ++r) {
        const auto dot = hn::NegMulAdd(zeros, hn::Set(d, row_sums[r]), hn::ConvertTo(d, sums[r]));
        total[r][v] = hn::MulAdd(dot, hn::Mul(scales, hn::Set(d, row_scales[r])), total[r][v]);
      }
    }
    panel += block_bytes;
    q += f.block;
    row_scales += rows.block_step;
    row_sums += rows.block_step;
  }
#pragma GCC unroll 8
  for (size_t r = 0; r < kRows; ++r)
#pragma GCC unroll 4
    for (size_t v = 0; v < kVectors; ++v) hn::StoreU(total[r][v], d, c + r * kNBitsPanel + v * kLanes);
}

template <int kBits, bool kVnni>
void byte_rows_of(const NBitsFormat& f, const std::byte* panel, const ByteRows& rows, size_t count, float zero,
                  float* c) {
  for (size_t r = 0; r < count;) {
    const size_t left = count - r;
    const ByteRows next = rows.from(r);
    float* const to = c + r * kNBitsPanel;
    if (kVnni && left >= 8) {
      if constexpr (kVnni) byte_rows<kBits, 8, kVnni>(f, panel, next, zero, to);
      r += 8;
    } else if (left >= 4) {
      byte_rows<kBits, 4, kVnni>(f, panel, next, zero, to);
      r += 4;
    } else if (left >= 2) {
      byte_rows<kBits, 2, kVnni>(f, panel, next, zero, to);
      r += 2;
    } else {
      byte_rows<kBits, 1, kVnni>(f, panel, next, zero, to);
      r += 1;
    }
  }
}

#if HWY_TARGET != HWY_AVX3
void nbits_byte_rows(const NBitsFormat& f, const std::byte* panel, const ByteRows& rows, size_t count, float zero,
                     float* c) {
  (f.bits == 8 ? byte_rows_of<8, false> : byte_rows_of<4, false>)(f, panel, rows, count, zero, c);
}
#endif
#if HWY_TARGET <= HWY_AVX2
void nbits_byte_rows_vnni(const NBitsFormat& f, const std::byte* panel, const ByteRows& rows, size_t count, float zero,
                          float* c) {
  (f.bits == 8 ? byte_rows_of<8, true> : byte_rows_of<4, true>)(f, panel, rows, count, zero, c);
}
#endif

// `count` numbers in 8 bits, each times 127 and by the greatest of them.
RoundedBlock nbits_round(const float* a, size_t count, int8_t* q) {
  const hn::ScalableTag<float> d;
  const hn::RebindToSigned<decltype(d)> di;
  const hn::Rebind<int8_t, decltype(d)> d8;
  const size_t lanes = hn::Lanes(d), whole = count - count % lanes;
  auto most = hn::Zero(d);
  for (size_t i = 0; i < whole; i += lanes)
    most = hn::Max(hn::Abs(hn::LoadU(d, a + i)), most);  // most, if not a number
  float greatest = hn::GetLane(hn::MaxOfLanes(d, most));
  for (size_t i = whole; i < count; ++i) greatest = HWY_MAX(std::abs(a[i]), greatest);
  const float inverse = greatest > 0.0f ? 127.0f / greatest : 0.0f;
  const auto factor = hn::Set(d, inverse), low = hn::Set(d, -127.0f), high = hn::Set(d, 127.0f);
  auto sums = hn::Zero(di);
  for (size_t i = 0; i < whole; i += lanes) {
    const auto x = hn::Max(hn::Mul(hn::LoadU(d, a + i), factor), low);  // low, if not a number
    const auto code = hn::NearestInt(hn::Min(x, high));
    sums = hn::Add(sums, code);
    hn::StoreU(hn::DemoteTo(d8, code), d8, q + i);
  }
  int32_t sum = hn::GetLane(hn::SumOfLanes(di, sums));
  for (size_t i = whole; i < count; ++i) sum += q[i] = round_code(a[i] * inverse);
  return {greatest / 127.0f, sum};
}

}  // namespace
}  // namespace linnet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/dispatch.h"

namespace linnet {
namespace {

int code_at(const NBitsFormat& f, const std::byte* block, size_t row, size_t column) noexcept {
  const auto* bytes = reinterpret_cast<const uint8_t*>(block) + column * 4;
  if (f.bits == 8) return bytes[row / 4 * 64 + row % 4];
  return bytes[row / 8 * 64 + row % 4] >> (row % 8 / 4 * 4) & 15;
}

float number_of(const NBitsFormat& f, const std::byte* block, size_t index) noexcept {
  return reinterpret_cast<const float*>(block + nbits_code_bytes(f))[index];
}

float zero_of(const NBitsFormat& f, const std::byte* block, size_t column, float zero) noexcept {
  return f.has_zeros ? number_of(f, block, kNBitsPanel + column) : zero;
}

void nbits_decode_reference(const NBitsFormat& f, const std::byte* block, float zero, float* out) {
  for (size_t i = 0; i < f.block; ++i)
    for (size_t c = 0; c < kNBitsPanel; ++c)
      out[i * kNBitsPanel + c] =
          (static_cast<float>(code_at(f, block, i, c)) - zero_of(f, block, c, zero)) * number_of(f, block, c);
}

void nbits_float_row_reference(const NBitsFormat& f, const std::byte* panel, const float* a, const float*, float zero,
                               float* c) {
  for (size_t n = 0; n < kNBitsPanel; ++n) {
    double sum = 0;
    for (size_t b = 0; b < f.blocks(); ++b) {
      const std::byte* block = panel + b * nbits_block_bytes(f);
      double part = 0;
      for (size_t i = 0; i < f.block; ++i)
        part += static_cast<double>(a[b * f.block + i]) *
                (static_cast<double>(code_at(f, block, i, n)) - zero_of(f, block, n, zero));
      sum += part * number_of(f, block, n);
    }
    c[n] = static_cast<float>(sum);
  }
}

void nbits_byte_rows_reference(const NBitsFormat& f, const std::byte* panel, const ByteRows& rows, size_t count,
                               float zero, float* c) {
  for (size_t r = 0; r < count; ++r)
    for (size_t n = 0; n < kNBitsPanel; ++n) {
      double sum = 0;
      for (size_t b = 0; b < f.blocks(); ++b) {
        const std::byte* block = panel + b * nbits_block_bytes(f);
        double part = 0;
        for (size_t i = 0; i < f.block; ++i)
          part += rows.q[r * rows.q_step + b * f.block + i] *
                  (static_cast<double>(code_at(f, block, i, n)) - zero_of(f, block, n, zero));
        sum += part * number_of(f, block, n) * rows.scales[b * rows.block_step + r];
      }
      c[r * kNBitsPanel + n] = static_cast<float>(sum);
    }
}

struct Scratch {
  size_t row = 0;      // floats of a padded row
  size_t rows = 0;     // bytes of A in the form that the kernel reads
  size_t panels = 0;   // bytes for each worker
  bool bytes = false;  // A in 8 bits
  bool decoded = false;
};

// Codes of 8 bits: the longest block whose sums fit into 32 bits, 255 * 127 * 65536, and the rows from which on
// decoding them to floats is faster.
constexpr size_t kWideBlock = 65536;
size_t wide_rows() noexcept { return has_vnni(current_isa()) ? SIZE_MAX : 8; }

// Rows at which decoding a panel to floats pays; fewer are one.
constexpr size_t kDecodeRows = 2;
// Panels that are decoded and multiplied together: the widest tile of many rows reads two.
constexpr size_t kDecodedPanels = 2;

Scratch scratch_of(const NBitsGemm& g) noexcept {
  Scratch s;
  const size_t blocks = g.format.blocks();
  s.row = blocks * g.format.block;
  s.bytes = g.a_int8 && (g.format.bits != 8 || (g.m <= wide_rows() && g.format.block <= kWideBlock));
  s.decoded = !s.bytes && g.m >= kDecodeRows;
  if (s.bytes) {
    s.rows = round_up(g.m * s.row, 64) + round_up(g.m * blocks * 2 * sizeof(float), 64);
  } else if (!s.decoded) {
    s.rows = round_up(s.row * sizeof(float), 64) + round_up(blocks * sizeof(float), 64);
  } else {
    s.panels = kDecodedPanels * s.row * kNBitsPanel * sizeof(float);
  }
  return s;
}

RoundedBlock nbits_round_reference(const float* a, size_t count, int8_t* q) {
  RoundedBlock block{0.0f, 0};
  float greatest = 0.0f;
  for (size_t i = 0; i < count; ++i) greatest = std::max(greatest, std::abs(a[i]));
  const float inverse = greatest > 0.0f ? 127.0f / greatest : 0.0f;
  for (size_t i = 0; i < count; ++i) block.sum += q[i] = round_code(a[i] * inverse);
  block.scale = greatest / 127.0f;
  return block;
}

}  // namespace

size_t nbits_scratch_size(const NBitsGemm& g, size_t threads) noexcept {
  const Scratch s = scratch_of(g);
  return s.rows + threads * s.panels;
}

void nbits_gemm(const NBitsGemm& g, std::byte* scratch, const Parallel& parallel) noexcept {
  nbits_gemm_group({&g, 1}, scratch, parallel);
}

void nbits_gemm_group(std::span<const NBitsGemm> products, std::byte* scratch, const Parallel& parallel) noexcept {
  if (products.empty() || products[0].m == 0) return;
  const NBitsGemm& all = products[0];
  const NBitsFormat& f = all.format;
  const Scratch s = scratch_of(all);
  const size_t blocks = f.blocks();
  const float zero = static_cast<float>(1 << (f.bits - 1));

  // body(product, first panel, worker) for all panels, so many at a time, which cost so much each.
  const auto for_panels = [&](size_t at_once, double panel_ns, auto&& body) {
    const auto groups_of = [&](const NBitsGemm& g) { return ceil_div(g.format.n, at_once * kNBitsPanel); };
    size_t groups = 0;
    for (const NBitsGemm& g : products) groups += groups_of(g);
    const size_t grain = grain_for(static_cast<double>(at_once) * panel_ns);
    parallel.for_range(groups, grain, [&](size_t first, size_t last, size_t worker) {
      const NBitsGemm* g = products.data();
      size_t begin = 0;
      for (size_t p = first; p < last; ++p) {
        if (parallel.stopped()) return;
        for (; p - begin >= groups_of(*g); ++g) begin += groups_of(*g);
        body(*g, (p - begin) * at_once, worker);
      }
    });
  };
  const auto panel_at = [](const NBitsGemm& g, size_t panel) { return g.b + panel * nbits_panel_bytes(g.format); };
  const auto store = [](const NBitsGemm& g, const float* tile, size_t rows, size_t first_row, size_t panel) {
    const size_t column = panel * kNBitsPanel, columns = std::min(kNBitsPanel, g.format.n - column);
    float bias[kNBitsPanel] = {};
    if (g.bias) std::copy_n(g.bias + column, columns, bias);
    for (size_t r = 0; r < rows; ++r) {
      float sums[kNBitsPanel];
      for (size_t n = 0; n < kNBitsPanel; ++n) sums[n] = tile[r * kNBitsPanel + n] + bias[n];
      float* const to = g.c + (first_row + r) * g.format.n + column;
      columns == kNBitsPanel ? std::copy_n(sums, kNBitsPanel, to) : std::copy_n(sums, columns, to);
    }
  };
  const double panel_ns = static_cast<double>(all.m * s.row) * 0.3 + 50.0;

  if (s.decoded) {
    const GemmKernels kernels = gemm_kernels();
    const auto decode = LINNET_DISPATCH(nbits_decode, nbits_decode_reference);
    for_panels(kDecodedPanels, panel_ns, [&](const NBitsGemm& g, size_t p, size_t worker) {
      auto* const weights = reinterpret_cast<float*>(scratch + s.rows + worker * s.panels);
      GemmBlock block;
      block.rows = all.m;
      block.columns = std::min(kDecodedPanels * kNBitsPanel, g.format.n - p * kNBitsPanel);
      block.panel_stride = s.row * kNBitsPanel;
      for (size_t i = 0; i * kNBitsPanel < block.columns; ++i)
        for (size_t b = 0; b < blocks; ++b)
          decode(g.format, panel_at(g, p + i) + b * nbits_block_bytes(g.format), zero,
                 weights + i * block.panel_stride + b * f.block * kNBitsPanel);
      block.k = f.k;
      block.a = all.a;
      block.lda = f.k;
      block.b = weights;
      block.k_stride = kNBitsPanel;
      block.c = g.c + p * kNBitsPanel;
      block.ldc = g.format.n;
      block.finish = true;
      block.bias = g.bias ? g.bias + p * kNBitsPanel : nullptr;
      kernels.block(block);
    });
    return;
  }

  if (s.bytes) {
    const auto rows_kernel = LINNET_DISPATCH_VNNI(nbits_byte_rows, nbits_byte_rows_vnni, nbits_byte_rows_reference);
    auto* q = reinterpret_cast<int8_t*>(scratch);
    auto* scales = reinterpret_cast<float*>(scratch + round_up(all.m * s.row, 64));
    float* sums = scales + all.m * blocks;
    const auto round_block = LINNET_DISPATCH(nbits_round, nbits_round_reference);
    parallel.for_range(all.m, grain_for(static_cast<double>(f.k) * 0.5), [&](size_t first, size_t last, size_t) {
      for (size_t m = first; m < last; ++m)
        for (size_t b = 0; b < blocks; ++b) {
          const size_t begin = b * f.block, count = std::min(f.block, f.k - begin);
          int8_t* to = q + m * s.row + begin;
          const RoundedBlock rounded = round_block(all.a + m * f.k + begin, count, to);
          std::fill(to + count, to + f.block, int8_t{0});
          scales[b * all.m + m] = rounded.scale;
          sums[b * all.m + m] = static_cast<float>(rounded.sum);
        }
    });
    for_panels(1, panel_ns, [&](const NBitsGemm& g, size_t p, size_t) {
      const ByteRows rows{q, s.row, scales, sums, all.m};
      alignas(64) float tile[kByteRows * kNBitsPanel];
      for (size_t m = 0; m < all.m; m += kByteRows) {
        const size_t count = std::min(kByteRows, all.m - m);
        // Meanwhile the next panel comes into the cache, a part of it for each tile of several.
        if (count < all.m && (p + 1) * kNBitsPanel < g.format.n)
          fetch_share({panel_at(g, p + 1), nbits_panel_bytes(f)}, m, kByteRows, all.m);
        rows_kernel(g.format, panel_at(g, p), rows.from(m), count, zero, tile);
        store(g, tile, count, m, p);
      }
    });
    return;
  }

  const auto row_kernel = LINNET_DISPATCH(nbits_float_row, nbits_float_row_reference);
  auto* a = reinterpret_cast<float*>(scratch);
  float* sums = a + round_up(s.row * sizeof(float), 64) / sizeof(float);
  std::copy_n(all.a, f.k, a);
  std::fill(a + f.k, a + s.row, 0.0f);
  for (size_t b = 0; b < blocks; ++b) {
    float parts[8] = {};
    for (size_t i = 0; i < f.block; ++i) parts[i % 8] += a[b * f.block + i];
    sums[b] = ((parts[0] + parts[1]) + (parts[2] + parts[3])) + ((parts[4] + parts[5]) + (parts[6] + parts[7]));
  }
  for_panels(1, static_cast<double>(s.row) * 0.6 + 30.0, [&](const NBitsGemm& g, size_t p, size_t) {
    alignas(64) float tile[kNBitsPanel];
    row_kernel(g.format, panel_at(g, p), a, sums, zero, tile);
    store(g, tile, 1, 0, p);
  });
}

}  // namespace linnet
#endif
