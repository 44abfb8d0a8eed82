#include "kernels/quant/int_gemm.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/checked.h"
#include "kernels/quant/int_gemm_format.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/quant/int_gemm.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#ifndef LINNET_INT_GEMM_ONCE
#define LINNET_INT_GEMM_ONCE
namespace linnet {
namespace {
constexpr size_t kIntRows = 6;  // of a tile: with 16 columns, 12 sums of 8 lanes

struct IntPanel {
  const int8_t* quads;
  size_t count;        // quads of four whole rows
  const int8_t* last;  // the quad of the 1..3 rows that are left, or nullptr
  const int8_t* extra;
  const uint32_t* extra_at;
  size_t extra_count;
};

// What a panel's columns add to a sum, and multiply it with.
struct alignas(64) PanelEpilogue {
  float scale[kIntPanel];
  float bias[kIntPanel];
  int32_t add[kIntPanel];
  int32_t b_zero[kIntPanel];
};

// A row of a tile on its way into C.
struct RowStore {
  IntOutput kind;
  int32_t zero;     // of C
  int32_t row_sum;  // of A
  size_t columns;
};

struct FloatRows {
  const float* data;
  size_t stride;
  size_t rows;
};
}  // namespace
}  // namespace linnet
#endif

HWY_BEFORE_NAMESPACE();
namespace linnet::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using Bytes = hn::CappedTag<int8_t, 64>;
using Shorts = hn::Repartition<int16_t, Bytes>;
using Ints = hn::Repartition<int32_t, Bytes>;
constexpr size_t kVectors = kIntPanel / hn::MaxLanes(Ints());

// sum + a0 b0 + a1 b1 + a2 b2 + a3 b3 in each 32-bit lane; a unsigned, b signed, pairs that cannot saturate.
template <class V8, class V32>
HWY_INLINE V32 dot4(V32 sum, V8 a, V8 b) {
  const auto ones = hn::Set(Shorts(), 1);
#if HWY_TARGET == HWY_AVX3
  const hn::Vec<Shorts> pairs{_mm512_maddubs_epi16(a.raw, b.raw)};
  return hn::Add(sum, hn::Vec<Ints>{_mm512_madd_epi16(pairs.raw, ones.raw)});
#elif HWY_TARGET == HWY_AVX2
  const hn::Vec<Shorts> pairs{_mm256_maddubs_epi16(a.raw, b.raw)};
  return hn::Add(sum, hn::Vec<Ints>{_mm256_madd_epi16(pairs.raw, ones.raw)});
#elif HWY_TARGET == HWY_SSE4
  const hn::Vec<Shorts> pairs{_mm_maddubs_epi16(a.raw, b.raw)};
  return hn::Add(sum, hn::Vec<Ints>{_mm_madd_epi16(pairs.raw, ones.raw)});
#else
#error "add the byte dot product of this target"
#endif
}

HWY_INLINE uint32_t quad_at(const uint8_t* a) {
  uint32_t quad;
  memcpy(&quad, a, sizeof quad);
  return quad;
}

// kFlip: A is int8, and becomes unsigned by its highest bit.
template <bool kFlip, size_t kRows, size_t kUnroll>
HWY_INLINE void dot_quads(const uint8_t* const (&rows)[kRows], size_t k, const int8_t* quads,
                          hn::Vec<Ints> (&sums)[kRows][kUnroll][kVectors]) {
  const Bytes d8;
  const Ints d;
#pragma GCC unroll 4
  for (size_t u = 0; u < kUnroll; ++u) {
    hn::Vec<Bytes> b[kVectors];
#pragma GCC unroll 4
    for (size_t v = 0; v < kVectors; ++v) b[v] = hn::Load(d8, quads + u * 64 + v * hn::MaxLanes(d8));
#pragma GCC unroll 6
    for (size_t r = 0; r < kRows; ++r) {
      auto a = hn::BitCast(d8, hn::Set(d, static_cast<int32_t>(quad_at(rows[r] + k + 4 * u))));
      if constexpr (kFlip) a = hn::Xor(a, hn::Set(d8, -128));
#pragma GCC unroll 4
      for (size_t v = 0; v < kVectors; ++v) sums[r][u][v] = dot4(sums[r][u][v], a, b[v]);
    }
  }
}

// The sums of kRows rows and one panel, without zero points.
template <bool kFlip, size_t kRows>
void int_tile(const uint8_t* a, size_t lda, const uint32_t* tails, const IntPanel& panel, int32_t* out) {
  // A single row has too few sums to keep the multipliers busy.
  constexpr size_t kUnroll = kRows == 1 ? 4 : kRows == 2 ? 2 : 1;
  const Ints d;
  const uint8_t* rows[kRows];
  hn::Vec<Ints> sums[kRows][kUnroll][kVectors];
#pragma GCC unroll 6
  for (size_t r = 0; r < kRows; ++r) {
    rows[r] = a + r * lda;
#pragma GCC unroll 4
    for (size_t u = 0; u < kUnroll; ++u)
#pragma GCC unroll 4
      for (size_t v = 0; v < kVectors; ++v) sums[r][u][v] = hn::Zero(d);
  }
  size_t q = 0;
  for (; q + kUnroll <= panel.count; q += kUnroll)
    dot_quads<kFlip, kRows, kUnroll>(rows, 4 * q, panel.quads + q * 64, sums);
  hn::Vec<Ints> total[kRows][1][kVectors];
#pragma GCC unroll 6
  for (size_t r = 0; r < kRows; ++r)
#pragma GCC unroll 4
    for (size_t v = 0; v < kVectors; ++v) {
      total[r][0][v] = sums[r][0][v];
#pragma GCC unroll 4
      for (size_t u = 1; u < kUnroll; ++u) total[r][0][v] = hn::Add(total[r][0][v], sums[r][u][v]);
    }
  for (; q < panel.count; ++q) dot_quads<kFlip, kRows, 1>(rows, 4 * q, panel.quads + q * 64, total);
  const uint8_t* tail_rows[kRows];
  for (size_t r = 0; r < kRows; ++r) tail_rows[r] = reinterpret_cast<const uint8_t*>(tails + r);
  if (panel.last) dot_quads<kFlip, kRows, 1>(tail_rows, 0, panel.last, total);
  for (size_t i = 0; i < panel.extra_count; ++i) {
    const size_t at = panel.extra_at[i];
    if (at < panel.count) {
      dot_quads<kFlip, kRows, 1>(rows, 4 * at, panel.extra + i * 64, total);
    } else {
      dot_quads<kFlip, kRows, 1>(tail_rows, 0, panel.extra + i * 64, total);
    }
  }
#pragma GCC unroll 6
  for (size_t r = 0; r < kRows; ++r)
#pragma GCC unroll 4
    for (size_t v = 0; v < kVectors; ++v) hn::Store(total[r][0][v], d, out + r * kIntPanel + v * hn::MaxLanes(d));
}

using IntTile = void (*)(const uint8_t*, size_t, const uint32_t*, const IntPanel&, int32_t*);
template <bool kFlip>
constexpr IntTile kIntTiles[kIntRows] = {int_tile<kFlip, 1>, int_tile<kFlip, 2>, int_tile<kFlip, 3>,
                                         int_tile<kFlip, 4>, int_tile<kFlip, 5>, int_tile<kFlip, 6>};

void int_tiles(size_t rows, const uint8_t* a, size_t lda, const uint32_t* tails, bool flip, const IntPanel& panel,
               int32_t* out) {
  (flip ? kIntTiles<true> : kIntTiles<false>)[rows - 1](a, lda, tails, panel, out);
}

// One row of a tile into C.
void int_store_row(const RowStore& row, const PanelEpilogue& e, const int32_t* sums, void* c) {
  const Ints d;
  const hn::RebindToFloat<Ints> df;
  constexpr size_t kLanes = hn::MaxLanes(d);
  const auto row_sum = hn::Set(d, row.row_sum);
  const auto total = [&](size_t i) HWY_ATTR {
    return hn::Sub(hn::Add(hn::Load(d, sums + i), hn::Load(d, e.add + i)), hn::Mul(row_sum, hn::Load(d, e.b_zero + i)));
  };
  if (row.kind == IntOutput::i32 || row.kind == IntOutput::f32) {
    HWY_ALIGN int32_t out[kIntPanel];
    int32_t* to = row.columns == kIntPanel ? static_cast<int32_t*>(c) : out;
    for (size_t i = 0; i < kIntPanel; i += kLanes) {
      auto x = total(i);
      if (row.kind == IntOutput::f32)
        x = hn::BitCast(d, hn::Add(hn::Mul(hn::ConvertTo(df, x), hn::Load(df, e.scale + i)), hn::Load(df, e.bias + i)));
      hn::StoreU(x, d, to + i);
    }
    if (to == out) memcpy(c, out, row.columns * sizeof(int32_t));
    return;
  }
  const bool is_signed = row.kind == IntOutput::s8;
  const auto low = hn::Set(df, static_cast<float>((is_signed ? -128 : 0) - row.zero));
  const auto high = hn::Set(df, static_cast<float>((is_signed ? 127 : 255) - row.zero));
  HWY_ALIGN uint8_t out[kIntPanel];
  for (size_t i = 0; i < kIntPanel; i += kLanes) {
    const auto x = hn::Mul(hn::ConvertTo(df, total(i)), hn::Load(df, e.scale + i));
    const auto y = hn::Add(hn::NearestInt(hn::Min(hn::Max(x, low), high)), hn::Set(d, row.zero));
    if (is_signed) {
      hn::StoreU(hn::DemoteTo(hn::Rebind<int8_t, Ints>(), y), hn::Rebind<int8_t, Ints>(),
                 reinterpret_cast<int8_t*>(out + i));
    } else {
      hn::StoreU(hn::DemoteTo(hn::Rebind<uint8_t, Ints>(), y), hn::Rebind<uint8_t, Ints>(), out + i);
    }
  }
  memcpy(c, out, row.columns);
}

// Rows of sums that are whole numbers held as floats.
void int_store_floats(const RowStore& row, const PanelEpilogue& e, const FloatRows& sums, std::byte* c,
                      size_t c_stride) {
  const Ints d;
  const hn::RebindToFloat<Ints> df;
  constexpr size_t kLanes = hn::MaxLanes(d);
  HWY_ALIGN int32_t whole[kIntPanel] = {};
  for (size_t r = 0; r < sums.rows; ++r) {
    const float* from = sums.data + r * sums.stride;
    size_t i = 0;
    for (; i + kLanes <= row.columns; i += kLanes) hn::Store(hn::ConvertTo(d, hn::LoadU(df, from + i)), d, whole + i);
    for (; i < row.columns; ++i) whole[i] = static_cast<int32_t>(from[i]);
    int_store_row(row, e, whole, c + r * c_stride);
  }
}

}  // namespace
}  // namespace linnet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/dispatch.h"

namespace linnet {
namespace {

void int_tiles_reference(size_t rows, const uint8_t* a, size_t lda, const uint32_t* tails, bool flip,
                         const IntPanel& panel, int32_t* out) {
  const auto add = [&](size_t r, uint32_t quad, const int8_t* weights) {
    for (size_t i = 0; i < 64; ++i) {
      int32_t& sum = out[r * kIntPanel + i / 4];
      const int32_t product = static_cast<int32_t>((quad >> (8 * (i % 4))) & 255u) * weights[i];
      sum = static_cast<int32_t>(static_cast<uint32_t>(sum) + static_cast<uint32_t>(product));
    }
  };
  const auto quad = [&](size_t r, size_t q) {
    uint32_t value = tails[r];
    if (q < panel.count) std::memcpy(&value, a + r * lda + 4 * q, sizeof value);
    return flip ? value ^ 0x80808080u : value;
  };
  std::fill_n(out, rows * kIntPanel, 0);
  for (size_t r = 0; r < rows; ++r) {
    for (size_t q = 0; q < panel.count; ++q) add(r, quad(r, q), panel.quads + q * 64);
    if (panel.last) add(r, quad(r, panel.count), panel.last);
    for (size_t i = 0; i < panel.extra_count; ++i) add(r, quad(r, panel.extra_at[i]), panel.extra + i * 64);
  }
}

void int_store_row_reference(const RowStore& row, const PanelEpilogue& e, const int32_t* sums, void* c) {
  for (size_t i = 0; i < row.columns; ++i) {
    const auto sum = static_cast<int32_t>(static_cast<uint32_t>(sums[i]) + static_cast<uint32_t>(e.add[i]) -
                                          static_cast<uint32_t>(row.row_sum) * static_cast<uint32_t>(e.b_zero[i]));
    const float x = static_cast<float>(sum) * e.scale[i];
    const auto rounded = [&](float low, float high) {
      const float offset = static_cast<float>(row.zero), least = low - offset;
      return static_cast<int>(std::nearbyint(x > least ? std::min(x, high - offset) : least)) + row.zero;
    };
    switch (row.kind) {
      case IntOutput::i32: static_cast<int32_t*>(c)[i] = sum; break;
      case IntOutput::f32: static_cast<float*>(c)[i] = x + e.bias[i]; break;
      case IntOutput::u8: static_cast<uint8_t*>(c)[i] = static_cast<uint8_t>(rounded(0, 255)); break;
      case IntOutput::s8: static_cast<int8_t*>(c)[i] = static_cast<int8_t>(rounded(-128, 127)); break;
    }
  }
}

void int_store_floats_reference(const RowStore& row, const PanelEpilogue& e, const FloatRows& sums, std::byte* c,
                                size_t c_stride) {
  for (size_t r = 0; r < sums.rows; ++r) {
    int32_t whole[kIntPanel] = {};
    for (size_t i = 0; i < row.columns; ++i) whole[i] = static_cast<int32_t>(sums.data[r * sums.stride + i]);
    int_store_row_reference(row, e, whole, c + r * c_stride);
  }
}

int32_t wrapped(int64_t value) noexcept {
  return static_cast<int32_t>(static_cast<uint32_t>(static_cast<uint64_t>(value)));
}

size_t element_bytes(IntOutput kind) noexcept { return kind == IntOutput::i32 || kind == IntOutput::f32 ? 4 : 1; }

PanelEpilogue epilogue_of(const IntGemm& g, const IntPanelHeader& header, size_t column, size_t columns,
                          int32_t a_zero) noexcept {
  PanelEpilogue e{};
  for (size_t c = 0; c < columns; ++c) {
    const size_t n = column + c;
    const int32_t zero = (g.b_zero ? g.b_zero[g.b_zero_by_column ? n : 0] : 0) - (g.b_signed ? 0 : 128);
    e.b_zero[c] = zero;
    e.add[c] = wrapped(int64_t{g.bias ? g.bias[n] : 0} - int64_t{a_zero} * header.sums[c] +
                       static_cast<int64_t>(g.k) * a_zero * zero);
    e.scale[c] = g.scale ? g.scale[g.scale_by_column ? n : 0] : 1.0f;
    e.bias[c] = g.float_bias ? g.float_bias[n] : 0.0f;
  }
  return e;
}

}  // namespace

size_t int_gemm_scratch(size_t m, size_t) noexcept { return round_up(m * (sizeof(int32_t) + sizeof(uint32_t)), 64); }

void int_gemm(const IntGemm& g, std::byte* scratch, const Parallel& parallel) noexcept {
  if (g.m == 0 || g.n == 0) return;
  const auto tiles = LINNET_DISPATCH(int_tiles, int_tiles_reference);
  const auto store_row = LINNET_DISPATCH(int_store_row, int_store_row_reference);
  const auto* headers = reinterpret_cast<const IntPanelHeader*>(g.b);
  const auto* a = static_cast<const uint8_t*>(g.a);
  const uint8_t flip = g.a_signed ? 0x80 : 0;
  const int32_t a_zero = g.a_zero + (g.a_signed ? 128 : 0);
  const size_t quads = ceil_div<size_t>(g.k, 4), whole = g.k / 4, left = g.k % 4;

  // Sums of rows (for zero points of B) and the last 1..3 elements of rows, padded to a quad.
  auto* row_sums = reinterpret_cast<int32_t*>(scratch);
  auto* tails = reinterpret_cast<uint32_t*>(row_sums + g.m);
  bool any_zero = false;
  for (size_t n = 0; n < g.n && !any_zero; ++n)
    any_zero = (g.b_zero ? g.b_zero[g.b_zero_by_column ? n : 0] : 0) != (g.b_signed ? 0 : 128);
  parallel.for_range(g.m, grain_for(static_cast<double>(g.k) * 0.1), [&](size_t first, size_t last, size_t) {
    for (size_t m = first; m < last; ++m) {
      const uint8_t* row = a + m * g.lda;
      uint32_t sum = 0;
      if (any_zero)
        for (size_t k = 0; k < g.k; ++k) sum += static_cast<uint8_t>(row[k] ^ flip);
      row_sums[m] = static_cast<int32_t>(sum);
      tails[m] = 0x01010101u * flip;
      if (left) std::memcpy(tails + m, row + 4 * whole, left);
    }
  });

  // An item is a panel and a block of rows that stays in the second-level cache.
  const size_t panels = ceil_div(g.n, kIntPanel);
  const size_t block = kIntRows * std::max<size_t>(1, std::min<size_t>(16, 131072 / (kIntRows * (g.k + 1))));
  const size_t blocks = ceil_div(g.m, block);
  const double item_ns = static_cast<double>(std::min(block, g.m) * g.k) * (2 * kIntPanel / 150.0) + 50.0;
  parallel.for_range(panels * blocks, grain_for(item_ns), [&](size_t first, size_t last, size_t) {
    alignas(64) int32_t sums[kIntRows * kIntPanel];
    for (size_t item = first; item < last; ++item) {
      if (parallel.stopped()) return;
      const size_t p = item % panels, m_begin = item / panels * block, m_end = std::min(g.m, m_begin + block);
      const IntPanelHeader& header = headers[p];
      const auto* base = reinterpret_cast<const int8_t*>(g.b + header.offset);
      const int8_t* extra = base + quads * 64;
      const IntPanel panel{base,
                           whole,
                           left ? base + whole * 64 : nullptr,
                           extra,
                           reinterpret_cast<const uint32_t*>(extra + size_t{header.extra} * 64),
                           header.extra};
      const size_t column = p * kIntPanel, columns = std::min(kIntPanel, g.n - column);
      const PanelEpilogue e = epilogue_of(g, header, column, columns, a_zero);
      for (size_t m = m_begin; m < m_end; m += kIntRows) {
        const size_t rows = std::min(kIntRows, m_end - m);
        tiles(rows, a + m * g.lda, g.lda, tails + m, g.a_signed, panel, sums);
        for (size_t r = 0; r < rows; ++r)
          store_row({g.output, g.c_zero, row_sums[m + r], columns}, e, sums + r * kIntPanel,
                    static_cast<std::byte*>(g.c) + ((m + r) * g.ldc + column) * element_bytes(g.output));
      }
    }
  });
}

void int_gemm_finish(const IntGemm& g, const float* sums, const Parallel& parallel) noexcept {
  constexpr size_t kRows = 32;  // that stay in the first-level cache while the panels pass
  const auto store = LINNET_DISPATCH(int_store_floats, int_store_floats_reference);
  const IntPanelHeader no_sums{};
  const size_t panels = ceil_div(g.n, kIntPanel), blocks = ceil_div(g.m, kRows), width = element_bytes(g.output);
  parallel.for_range(blocks, grain_for(static_cast<double>(kRows * g.n) * 0.5), [&](size_t first, size_t last, size_t) {
    for (size_t block = first; block < last; ++block)
      for (size_t p = 0; p < panels; ++p) {
        const size_t m = block * kRows, column = p * kIntPanel, columns = std::min(kIntPanel, g.n - column);
        const PanelEpilogue e = epilogue_of(g, no_sums, column, columns, 0);
        store({g.output, g.c_zero, 0, columns}, e, {sums + m * g.n + column, g.n, std::min(kRows, g.m - m)},
              static_cast<std::byte*>(g.c) + (m * g.ldc + column) * width, g.ldc * width);
      }
  });
}

}  // namespace linnet
#endif
