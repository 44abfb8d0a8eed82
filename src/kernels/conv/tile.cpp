#include "kernels/conv/tile.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/conv/tile.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/activation-inl.h"
#include "kernels/partial-inl.h"

HWY_BEFORE_NAMESPACE();
namespace linnet::HWY_NAMESPACE {
namespace {

using Floats = hn::CappedTag<float, 16>;
using Vector = hn::Vec<Floats>;
constexpr size_t kLanes = hn::MaxLanes(Floats());
constexpr size_t kPanel = 16;
constexpr size_t kVectors = kPanel / kLanes;

// As many accumulators as hide the latency of an addition: rows x panels x kVectors, in 16 registers or (AVX-512) 32.
constexpr size_t kMostRows = kLanes == 4 ? 3 : 6;
constexpr size_t wide_panels(size_t rows) {
  if (kLanes == 16) return 4;
  if (kLanes == 8) return rows == 1 ? 4 : rows <= 3 ? 2 : 1;
  return rows == 1 ? 2 : 1;
}

HWY_INLINE Vector load_some(const float* src, size_t count) {
  const Floats d;
  return count >= kLanes ? hn::LoadU(d, src) : load_partial(d, src, count);
}

// kRows positions x kPanels panels, all of K. `filters` counts what is stored.
template <size_t kRows, size_t kPanels>
HWY_NOINLINE void micro_kernel(const ConvTile& t, size_t first, size_t panel, size_t filters) {
  const Floats d;
  constexpr size_t kWidth = kPanels * kVectors;
  const size_t panel_size = t.taps * t.run * kPanel;
  const float* HWY_RESTRICT w = t.weights + panel * panel_size;
  Vector sum[kRows][kWidth];
  HWY_UNROLL(8)
  for (size_t r = 0; r < kRows; ++r) {
    HWY_UNROLL(8)
    for (size_t v = 0; v < kWidth; ++v) sum[r][v] = hn::Zero(d);
  }
  const float* const* rows = t.src + first * t.taps;
  for (size_t tap = 0; tap < t.taps; ++tap) {
    const float* HWY_RESTRICT x[kRows];
    HWY_UNROLL(8)
    for (size_t r = 0; r < kRows; ++r) x[r] = rows[r * t.taps + tap];
    for (size_t k = 0; k < t.run; ++k, w += kPanel) {
      Vector b[kWidth];
      HWY_UNROLL(8)
      for (size_t v = 0; v < kWidth; ++v) {
        b[v] = hn::LoadU(d, w + v / kVectors * panel_size + v % kVectors * kLanes);
#if HWY_COMPILER_GCC_ACTUAL
        // Keeps the weights in registers: as memory operands they would be loaded once for each row.
        if constexpr (kRows > 1) asm("" : "+v"(b[v].raw));
#endif
      }
      HWY_UNROLL(8)
      for (size_t r = 0; r < kRows; ++r) {
        const Vector a = hn::Set(d, x[r][k]);
        HWY_UNROLL(8)
        for (size_t v = 0; v < kWidth; ++v) sum[r][v] = hn::MulAdd(a, b[v], sum[r][v]);
      }
    }
  }
  HWY_UNROLL(8)
  for (size_t v = 0; v < kWidth; ++v) {
    const size_t at = v * kLanes;
    if (at >= filters) break;
    const size_t count = std::min(filters - at, kLanes);
    const size_t column = panel * kPanel + at;
    const Vector bias = t.bias ? load_some(t.bias + column, count) : hn::Zero(d);
    HWY_UNROLL(8)
    for (size_t r = 0; r < kRows; ++r) {
      const size_t offset = t.offsets[first + r] + column;
      Vector y = hn::Add(sum[r][v], bias);
      if (t.residual) y = hn::Add(y, load_some(t.residual + offset, count));
      if (count == kLanes) {
        hn::StoreU(y, d, t.dst + offset);
      } else {
        store_partial(y, d, t.dst + offset, count);
      }
    }
  }
}

// How many panels the rows of a tile take at a time must be the same for all of them, so that a panel stays in cache
// while all positions pass: the widest row count decides.
template <size_t kRows, size_t kPanels>
HWY_INLINE void rows_of(const ConvTile& t, size_t first, size_t panel, size_t filters) {
  if constexpr (kPanels <= wide_panels(kRows)) {
    micro_kernel<kRows, kPanels>(t, first, panel, filters);
  } else {
    for (size_t p = 0; p * kPanel < filters; ++p)
      micro_kernel<kRows, 1>(t, first, panel + p, std::min(filters - p * kPanel, kPanel));
  }
}

template <size_t kPanels>
void panels_of(const ConvTile& t, size_t panel, size_t filters) {
  // Rows spread evenly: 7 positions are 4 + 3, not 6 + 1.
  const size_t groups = (t.positions + kMostRows - 1) / kMostRows;
  size_t first = 0;
  for (size_t g = 0; g < groups; ++g) {
    const size_t rows = t.positions * (g + 1) / groups - first;
    switch (rows) {
      case 1: rows_of<1, kPanels>(t, first, panel, filters); break;
      case 2: rows_of<2, kPanels>(t, first, panel, filters); break;
      case 3: rows_of<3, kPanels>(t, first, panel, filters); break;
      case 4: if constexpr (kMostRows >= 4) rows_of<4, kPanels>(t, first, panel, filters); break;
      case 5: if constexpr (kMostRows >= 5) rows_of<5, kPanels>(t, first, panel, filters); break;
      default: if constexpr (kMostRows >= 6) rows_of<6, kPanels>(t, first, panel, filters); break;
    }
    first += rows;
  }
}

void conv_tile_simd(const ConvTile& t) {
  // Few positions: more panels at a time make up for the missing rows.
  const size_t groups = (t.positions + kMostRows - 1) / kMostRows;
  const size_t rows = t.positions / groups;
  const size_t wide = wide_panels(rows);
  for (size_t panel = 0; panel * kPanel < t.filters;) {
    const size_t left = t.filters - panel * kPanel;
    if (wide == 4 && left > 3 * kPanel) {
      panels_of<4>(t, panel, std::min(left, 4 * kPanel));
      panel += 4;
    } else if (wide >= 2 && left > kPanel) {
      panels_of<2>(t, panel, std::min(left, 2 * kPanel));
      panel += 2;
    } else {
      panels_of<1>(t, panel, std::min(left, kPanel));
      panel += 1;
    }
  }
  if (t.activation.kind == Activation::none) return;
  for (size_t p = 0; p < t.positions; ++p) activate_block(t.activation, t.dst + t.offsets[p], 0, 1, t.filters);
}

template <size_t kTaps, size_t kColumns, size_t kAdvance>
HWY_INLINE void depthwise_piece(const DepthwisePiece& piece, size_t weight_step, size_t c, Vector (&sum)[kColumns]) {
  const Floats d;
  Vector w[kTaps];
  HWY_UNROLL(8)
  for (size_t k = 0; k < kTaps; ++k) w[k] = hn::LoadU(d, piece.weights + k * weight_step + c);
  HWY_UNROLL(32)
  for (size_t j = 0; j < (kColumns - 1) * kAdvance + kTaps; ++j) {
    const Vector x = hn::LoadU(d, piece.src[j] + c);
    HWY_UNROLL(8)
    for (size_t p = 0; p < kColumns; ++p)
      if (j >= p * kAdvance && j < p * kAdvance + kTaps) sum[p] = hn::MulAdd(x, w[j - p * kAdvance], sum[p]);
  }
}

template <size_t kColumns, size_t kAdvance>
void depthwise_columns(const DepthwiseTile& t) {
  const Floats d;
  for (size_t c = 0; c < t.channels; c += kLanes) {
    const size_t count = std::min(t.channels - c, kLanes);
    Vector sum[kColumns];
    HWY_UNROLL(8)
    for (size_t p = 0; p < kColumns; ++p) sum[p] = hn::Zero(d);
    if (count == kLanes) {
      for (size_t i = 0; i < t.piece_count; ++i) {
        const DepthwisePiece& piece = t.pieces[i];
        if (piece.taps == 3) {
          depthwise_piece<3, kColumns, kAdvance>(piece, t.weight_step, c, sum);
        } else if (piece.taps == 5) {
          depthwise_piece<5, kColumns, kAdvance>(piece, t.weight_step, c, sum);
        } else {
          depthwise_piece<1, kColumns, kAdvance>(piece, t.weight_step, c, sum);
        }
      }
    } else {
      for (size_t i = 0; i < t.piece_count; ++i) {
        const DepthwisePiece& piece = t.pieces[i];
        for (size_t k = 0; k < piece.taps; ++k) {
          const Vector w = hn::LoadU(d, piece.weights + k * t.weight_step + c);
          HWY_UNROLL(8)
          for (size_t p = 0; p < kColumns; ++p)
            sum[p] = hn::MulAdd(load_partial(d, piece.src[p * kAdvance + k] + c, count), w, sum[p]);
        }
      }
    }
    const Vector bias = t.bias ? load_some(t.bias + c, count) : hn::Zero(d);
    HWY_UNROLL(8)
    for (size_t p = 0; p < kColumns; ++p) {
      if (p >= t.stored) break;
      const size_t offset = p * t.dst_step + c;
      Vector y = hn::Add(sum[p], bias);
      if (t.residual) y = hn::Add(y, load_some(t.residual + offset, count));
      if (count == kLanes) {
        hn::StoreU(y, d, t.dst + offset);
      } else {
        store_partial(y, d, t.dst + offset, count);
      }
    }
  }
}

void depthwise_tile_simd(const DepthwiseTile& t) {
  if (t.columns == kDepthwiseColumns) {
    t.advance == 1 ? depthwise_columns<kDepthwiseColumns, 1>(t) : depthwise_columns<kDepthwiseColumns, 2>(t);
  } else {
    t.advance == 1 ? depthwise_columns<4, 1>(t) : depthwise_columns<4, 2>(t);
  }
  activate_block(t.activation, t.dst, t.dst_step, t.stored, t.channels);
}

}  // namespace
}  // namespace linnet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/dispatch.h"

namespace linnet {
namespace {

float finish(float sum, size_t channel, const float* bias, const float* residual, const ActivationSpec& activation) {
  if (bias) sum += bias[channel];
  if (residual) sum += residual[channel];
  return activate_reference(activation, sum);
}

void conv_tile_reference(const ConvTile& t) {
  const size_t depth = t.taps * t.run;
  for (size_t p = 0; p < t.positions; ++p)
    for (size_t f = 0; f < t.filters; ++f) {
      const float* w = t.weights + f / 16 * depth * 16 + f % 16;
      float sum = 0.0f;
      for (size_t tap = 0; tap < t.taps; ++tap)
        for (size_t k = 0; k < t.run; ++k, w += 16) sum += t.src[p * t.taps + tap][k] * *w;
      const float* residual = t.residual ? t.residual + t.offsets[p] : nullptr;
      t.dst[t.offsets[p] + f] = finish(sum, f, t.bias, residual, t.activation);
    }
}

void depthwise_tile_reference(const DepthwiseTile& t) {
  for (size_t p = 0; p < t.stored; ++p)
    for (size_t c = 0; c < t.channels; ++c) {
      float sum = 0.0f;
      for (size_t i = 0; i < t.piece_count; ++i)
        for (size_t k = 0; k < t.pieces[i].taps; ++k)
          sum += t.pieces[i].src[p * t.advance + k][c] * t.pieces[i].weights[k * t.weight_step + c];
      const float* residual = t.residual ? t.residual + p * t.dst_step : nullptr;
      t.dst[p * t.dst_step + c] = finish(sum, c, t.bias, residual, t.activation);
    }
}

}  // namespace

void conv_tile(const ConvTile& tile) noexcept { LINNET_DISPATCH(conv_tile_simd, conv_tile_reference)(tile); }

void depthwise_tile(const DepthwiseTile& tile) noexcept {
  LINNET_DISPATCH(depthwise_tile_simd, depthwise_tile_reference)(tile);
}

}  // namespace linnet
#endif
