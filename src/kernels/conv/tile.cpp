#include "kernels/conv/tile.h"

#include <algorithm>
#include <cstring>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/conv/tile.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/partial-inl.h"

HWY_BEFORE_NAMESPACE();
namespace linnet::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::CappedTag<float, 16>;
using Vector = hn::Vec<Floats>;
constexpr size_t kLanes = hn::MaxLanes(Floats());
constexpr size_t kPanel = 16;
constexpr size_t kVectors = kPanel / kLanes;

// Sums that a tile keeps in registers, of which there are 16, or 32 with AVX-512: enough to hide an addition's latency.
constexpr size_t kSums = kLanes == 16 ? 24 : 12;
constexpr size_t kMostRows = 6;  // of pointers to the source
constexpr size_t most_rows(size_t width) { return std::min(kMostRows, kSums / width); }
// So many products are summed on their own before their sum joins the others': rounding errors grow with the length of
// a chain of additions.
constexpr size_t kChain = 128;

// Activations that are a clamp happen in registers, the others over the finished tile.
HWY_INLINE bool is_clamp(const ActivationSpec& spec) {
  return spec.kind == Activation::relu || spec.kind == Activation::clip;
}

template <size_t kRows, size_t kWidth>
HWY_INLINE void clamp(const ActivationSpec& spec, Vector (&x)[kRows][kWidth]) {
  const Floats d;
  const bool relu = spec.kind == Activation::relu;
  const Vector low = hn::Set(d, relu ? 0.0f : spec.a);
  const Vector high = hn::Set(d, relu ? std::numeric_limits<float>::infinity() : spec.b);
  HWY_UNROLL(8)
  for (size_t r = 0; r < kRows; ++r) {
    HWY_UNROLL(8)
    // On x86 the second argument survives when one is not a number.
    for (size_t v = 0; v < kWidth; ++v) x[r][v] = hn::Min(high, hn::Max(low, x[r][v]));
  }
}

HWY_INLINE Vector load_some(const float* src, size_t count) {
  const Floats d;
  return count >= kLanes ? hn::LoadU(d, src) : load_partial(d, src, count);
}
HWY_INLINE void store_some(Vector x, float* dst, size_t count) {
  const Floats d;
  if (count >= kLanes) return hn::StoreU(x, d, dst);
  store_partial(x, d, dst, count);
}

// What micro_kernel does with its sums, for one position and fewer filters than its vectors hold.
HWY_NOINLINE void finish_some(const ConvTile& t, const float* HWY_RESTRICT sums, size_t offset, size_t filters) {
  const Floats d;
  for (size_t i = 0; i < filters; i += kLanes) {
    const size_t count = std::min(filters - i, kLanes);
    Vector x[1][1] = {{hn::Load(d, sums + i)}};
    if (t.residual) x[0][0] = hn::Add(x[0][0], load_some(t.residual + offset + i, count));
    if (is_clamp(t.activation)) clamp(t.activation, x);
    store_some(x[0][0], t.dst + offset + i, count);
  }
}

// kRows positions x kWidth vectors of filters from a panel on, all of K. `filters` counts what is stored.
template <size_t kRows, size_t kWidth>
HWY_NOINLINE void micro_kernel(const ConvTile& t, size_t first, size_t panel, size_t filters) {
  const Floats d;
  const size_t panel_size = t.taps * t.run * kPanel;
  const float* HWY_RESTRICT w = t.weights + panel * panel_size;
  const size_t column = panel * kPanel;
  Vector sum[kRows][kWidth];
  HWY_UNROLL(8)
  for (size_t v = 0; v < kWidth; ++v) {
    const size_t at = v * kLanes;
    const Vector start = !t.bias || at >= filters ? hn::Zero(d) : load_some(t.bias + column + at, filters - at);
    HWY_UNROLL(8)
    for (size_t r = 0; r < kRows; ++r) sum[r][v] = start;
  }
  const float* const* rows = t.src + first * t.taps;
  const float* const zeros = t.zeros;
  HWY_ALIGN float totals[kRows][kWidth * kLanes];  // of the chains before this one
  const bool chained = t.taps * t.run > kChain;
  if (chained) memset(totals, 0, sizeof totals);
  size_t chain = 0;
  for (size_t tap = 0; tap < t.taps; ++tap) {
    const float* HWY_RESTRICT x[kRows];
    HWY_UNROLL(8)
    for (size_t r = 0; r < kRows; ++r) x[r] = rows[r * t.taps + tap];
    bool outside = true;
    HWY_UNROLL(8)
    for (size_t r = 0; r < kRows; ++r) outside &= x[r] == zeros;
    if (outside) {
      w += t.run * kPanel;
      continue;
    }
    for (size_t k = 0; k < t.run;) {
      if (chain >= kChain) {
        HWY_UNROLL(8)
        for (size_t r = 0; r < kRows; ++r) {
          HWY_UNROLL(8)
          for (size_t v = 0; v < kWidth; ++v) {
            float* total = totals[r] + v * kLanes;
            hn::Store(hn::Add(hn::Load(d, total), sum[r][v]), d, total);
            sum[r][v] = hn::Zero(d);
          }
        }
        chain = 0;
      }
      const size_t end = std::min(t.run, k + kChain);
      chain += end - k;
      for (; k < end; ++k, w += kPanel) {
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
  }
  if (chained) {
    HWY_UNROLL(8)
    for (size_t r = 0; r < kRows; ++r) {
      HWY_UNROLL(8)
      for (size_t v = 0; v < kWidth; ++v) sum[r][v] = hn::Add(sum[r][v], hn::Load(d, totals[r] + v * kLanes));
    }
  }
  if (filters < kWidth * kLanes) {
    HWY_ALIGN float tile[kRows][kWidth * kLanes];
    HWY_UNROLL(8)
    for (size_t r = 0; r < kRows; ++r) {
      HWY_UNROLL(8)
      for (size_t v = 0; v < kWidth; ++v) hn::Store(sum[r][v], d, tile[r] + v * kLanes);
    }
    for (size_t r = 0; r < kRows; ++r) finish_some(t, tile[r], t.offsets[first + r] + column, filters);
    return;
  }
  if (t.residual) {
    HWY_UNROLL(8)
    for (size_t r = 0; r < kRows; ++r) {
      const float* HWY_RESTRICT residual = t.residual + t.offsets[first + r] + column;
      HWY_UNROLL(8)
      for (size_t v = 0; v < kWidth; ++v) sum[r][v] = hn::Add(sum[r][v], hn::LoadU(d, residual + v * kLanes));
    }
  }
  if (is_clamp(t.activation)) clamp(t.activation, sum);
  HWY_UNROLL(8)
  for (size_t r = 0; r < kRows; ++r) {
    float* HWY_RESTRICT dst = t.dst + t.offsets[first + r] + column;
    HWY_UNROLL(8)
    for (size_t v = 0; v < kWidth; ++v) hn::StoreU(sum[r][v], d, dst + v * kLanes);
  }
}

template <size_t kWidth>
void columns_of(const ConvTile& t, size_t panel) {
  // Rows spread evenly: 7 positions are 4 + 3, not 6 + 1.
  constexpr size_t kMost = most_rows(kWidth);
  const size_t filters = std::min(t.filters - panel * kPanel, kWidth * kLanes);
  const size_t groups = (t.positions + kMost - 1) / kMost;
  size_t first = 0;
  for (size_t g = 0; g < groups; ++g) {
    const size_t rows = t.positions * (g + 1) / groups - first;
    switch (rows) {
      case 1: micro_kernel<1, kWidth>(t, first, panel, filters); break;
      case 2:
        if constexpr (kMost >= 2) micro_kernel<2, kWidth>(t, first, panel, filters);
        break;
      case 3:
        if constexpr (kMost >= 3) micro_kernel<3, kWidth>(t, first, panel, filters);
        break;
      case 4:
        if constexpr (kMost >= 4) micro_kernel<4, kWidth>(t, first, panel, filters);
        break;
      case 5:
        if constexpr (kMost >= 5) micro_kernel<5, kWidth>(t, first, panel, filters);
        break;
      default:
        if constexpr (kMost >= 6) micro_kernel<6, kWidth>(t, first, panel, filters);
        break;
    }
    first += rows;
  }
}

// All panels. Few positions leave registers for more panels at a time; the last filters take as few vectors as they
// need.
void panels_of(const ConvTile& t) {
  for (size_t panel = 0; panel * kPanel < t.filters;) {
    const size_t left = t.filters - panel * kPanel;
    if constexpr (kVectors == 1) {
      if (left > 3 * kPanel) {
        columns_of<4>(t, panel);
        panel += 4;
      } else if (left > 2 * kPanel) {
        columns_of<3>(t, panel);
        panel += 3;
      } else if (left > kPanel) {
        columns_of<2>(t, panel);
        panel += 2;
      } else {
        columns_of<1>(t, panel++);
      }
    } else if (t.positions == 1 && left > 8 * kLanes - kPanel) {
      columns_of<8>(t, panel);
      panel += 8 / kVectors;
    } else if (kVectors == 2 && t.positions <= 3 && left > kPanel) {
      columns_of<4>(t, panel);
      panel += 2;
    } else if (kVectors == 2 && left > kPanel && left <= 3 * kLanes) {
      columns_of<3>(t, panel);
      panel += 2;
    } else if (left <= kPanel / 2) {
      columns_of<kVectors / 2>(t, panel++);
    } else {
      columns_of<kVectors>(t, panel++);
    }
  }
}

// Very few filters: sums over vectors of channels instead.
template <size_t kFilters>
void narrow_columns(const ConvTile& t) {
  const Floats d;
  const size_t step = (t.run + kPanel - 1) / kPanel * kPanel;
  for (size_t p = 0; p < t.positions; ++p) {
    Vector sum[kFilters];
    HWY_UNROLL(4)
    for (size_t f = 0; f < kFilters; ++f) sum[f] = hn::Zero(d);
    for (size_t tap = 0; tap < t.taps; ++tap) {
      const float* HWY_RESTRICT x = t.src[p * t.taps + tap];
      const float* HWY_RESTRICT w = t.weights + tap * step;
      for (size_t k = 0; k < t.run; k += kLanes) {
        const Vector v = load_some(x + k, t.run - k);
        HWY_UNROLL(4)
        for (size_t f = 0; f < kFilters; ++f) sum[f] = hn::MulAdd(v, hn::LoadU(d, w + f * t.taps * step + k), sum[f]);
      }
    }
    float* dst = t.dst + t.offsets[p];
    HWY_UNROLL(4)
    for (size_t f = 0; f < kFilters; ++f) {
      const float y = hn::GetLane(hn::SumOfLanes(d, sum[f])) + (t.bias ? t.bias[f] : 0.0f);
      dst[f] = t.residual ? y + t.residual[t.offsets[p] + f] : y;
    }
  }
}

void narrow_tile(const ConvTile& t) {
  switch (t.filters) {
    case 1: narrow_columns<1>(t); break;
    case 2: narrow_columns<2>(t); break;
    case 3: narrow_columns<3>(t); break;
    default: narrow_columns<4>(t); break;
  }
  if (t.activation.kind == Activation::none) return;
  for (size_t p = 0; p < t.positions; ++p) activate_block(t.activation, t.dst + t.offsets[p], 0, 1, t.filters);
}

void conv_tile_simd(const ConvTile& t) {
  if (t.narrow) return narrow_tile(t);
  panels_of(t);
  if (t.activation.kind == Activation::none || is_clamp(t.activation)) return;
  for (size_t p = 0; p < t.positions; ++p) activate_block(t.activation, t.dst + t.offsets[p], 0, 1, t.filters);
}

template <size_t kTaps, size_t kColumns, size_t kAdvance>
HWY_INLINE void depthwise_piece(const DepthwisePiece& piece, size_t weight_step, size_t c, Vector (&sum)[kColumns][1]) {
  const Floats d;
  Vector w[kTaps];
  HWY_UNROLL(8)
  for (size_t k = 0; k < kTaps; ++k) w[k] = hn::LoadU(d, piece.weights + k * weight_step + c);
  HWY_UNROLL(32)
  for (size_t j = 0; j < (kColumns - 1) * kAdvance + kTaps; ++j) {
    const Vector x = hn::LoadU(d, piece.src[j] + c);
    HWY_UNROLL(8)
    for (size_t p = 0; p < kColumns; ++p)
      if (j >= p * kAdvance && j < p * kAdvance + kTaps) sum[p][0] = hn::MulAdd(x, w[j - p * kAdvance], sum[p][0]);
  }
}

// One vector of channels of all columns. kTaps: of every piece, or 0 when they differ.
template <size_t kColumns, size_t kAdvance, size_t kTaps>
HWY_INLINE void depthwise_vector(const DepthwiseTile& t, size_t c) {
  const Floats d;
  Vector sum[kColumns][1];
  HWY_UNROLL(8)
  for (size_t p = 0; p < kColumns; ++p) sum[p][0] = hn::Zero(d);
  for (size_t i = 0; i < t.piece_count; ++i) {
    const DepthwisePiece& piece = t.pieces[i];
    if constexpr (kTaps != 0) {
      depthwise_piece<kTaps, kColumns, kAdvance>(piece, t.weight_step, c, sum);
    } else if (piece.taps == 3) {
      depthwise_piece<3, kColumns, kAdvance>(piece, t.weight_step, c, sum);
    } else if (piece.taps == 5) {
      depthwise_piece<5, kColumns, kAdvance>(piece, t.weight_step, c, sum);
    } else {
      depthwise_piece<1, kColumns, kAdvance>(piece, t.weight_step, c, sum);
    }
  }
  if (t.bias) {
    const Vector bias = hn::LoadU(d, t.bias + c);
    HWY_UNROLL(8)
    for (size_t p = 0; p < kColumns; ++p) sum[p][0] = hn::Add(sum[p][0], bias);
  }
  if (t.residual) {
    HWY_UNROLL(8)
    for (size_t p = 0; p < kColumns; ++p)
      if (p < t.stored) sum[p][0] = hn::Add(sum[p][0], hn::LoadU(d, t.residual + p * t.dst_step + c));
  }
  if (is_clamp(t.activation)) clamp(t.activation, sum);
  HWY_UNROLL(8)
  for (size_t p = 0; p < kColumns; ++p)
    if (p < t.stored) hn::StoreU(sum[p][0], d, t.dst + p * t.dst_step + c);
}

// The channels that do not fill a vector.
HWY_NOINLINE void depthwise_rest(const DepthwiseTile& t, size_t c) {
  const Floats d;
  const size_t count = t.last - c;
  for (size_t p = 0; p < t.stored; ++p) {
    Vector x[1][1] = {{hn::Zero(d)}};
    for (size_t i = 0; i < t.piece_count; ++i)
      for (size_t k = 0; k < t.pieces[i].taps; ++k)
        x[0][0] = hn::MulAdd(load_partial(d, t.pieces[i].src[p * t.advance + k] + c, count),
                             hn::LoadU(d, t.pieces[i].weights + k * t.weight_step + c), x[0][0]);
    if (t.bias) x[0][0] = hn::Add(x[0][0], load_partial(d, t.bias + c, count));
    if (t.residual) x[0][0] = hn::Add(x[0][0], load_partial(d, t.residual + p * t.dst_step + c, count));
    if (is_clamp(t.activation)) clamp(t.activation, x);
    store_partial(x[0][0], d, t.dst + p * t.dst_step + c, count);
  }
}

// Groups of several channels: a filter's lane reads each channel of its group in turn.
template <size_t kColumns>
HWY_INLINE void grouped_vector(const DepthwiseTile& t, size_t c) {
  const Floats d;
  const hn::RebindToSigned<Floats> di;
  const size_t count = std::min(t.last - c, kLanes);
  const auto first = hn::AndNot(hn::Set(di, static_cast<int32_t>(t.group - 1)), hn::Iota(di, 0));
  Vector sum[kColumns][1];
  HWY_UNROLL(8)
  for (size_t p = 0; p < kColumns; ++p) sum[p][0] = hn::Zero(d);
  for (size_t i = 0; i < t.piece_count; ++i) {
    const DepthwisePiece& piece = t.pieces[i];
    const float* HWY_RESTRICT w = piece.weights + c;
    if (t.group >= kLanes) {
      const size_t start = c / t.group * t.group;
      for (size_t k = 0; k < t.group; ++k, w += t.weight_step) {
        const Vector weights = hn::LoadU(d, w);
        HWY_UNROLL(8)
        for (size_t p = 0; p < kColumns; ++p)
          sum[p][0] = hn::MulAdd(hn::Set(d, piece.src[p][start + k]), weights, sum[p][0]);
      }
      continue;
    }
    Vector x[kColumns];
    HWY_UNROLL(8)
    for (size_t p = 0; p < kColumns; ++p) x[p] = load_some(piece.src[p] + c, count);
    for (size_t k = 0; k < t.group; ++k, w += t.weight_step) {
      const Vector weights = hn::LoadU(d, w);
      const auto lanes = hn::IndicesFromVec(d, hn::Add(first, hn::Set(di, static_cast<int32_t>(k))));
      HWY_UNROLL(8)
      for (size_t p = 0; p < kColumns; ++p)
        sum[p][0] = hn::MulAdd(hn::TableLookupLanes(x[p], lanes), weights, sum[p][0]);
    }
  }
  HWY_UNROLL(8)
  for (size_t p = 0; p < kColumns; ++p) {
    if (p >= t.stored) break;
    Vector y[1][1] = {{sum[p][0]}};
    const size_t at = p * t.dst_step + c;
    if (t.bias) y[0][0] = hn::Add(y[0][0], load_some(t.bias + c, count));
    if (t.residual) y[0][0] = hn::Add(y[0][0], load_some(t.residual + at, count));
    if (is_clamp(t.activation)) clamp(t.activation, y);
    store_some(y[0][0], t.dst + at, count);
  }
}

template <size_t kColumns, size_t kAdvance, size_t kTaps>
void depthwise_columns(const DepthwiseTile& t) {
  size_t c = t.first;
  for (; c + kLanes <= t.last; c += kLanes) depthwise_vector<kColumns, kAdvance, kTaps>(t, c);
  if (c < t.last) depthwise_rest(t, c);
}

template <size_t kColumns, size_t kAdvance>
void depthwise_taps(const DepthwiseTile& t) {
  const size_t taps = t.piece_count == 0 ? 0 : t.pieces[0].taps;
  bool same = true;
  for (size_t i = 1; i < t.piece_count; ++i) same &= t.pieces[i].taps == taps;
  if (same && taps == 3) return depthwise_columns<kColumns, kAdvance, 3>(t);
  if (same && taps == 5) return depthwise_columns<kColumns, kAdvance, 5>(t);
  depthwise_columns<kColumns, kAdvance, 0>(t);
}

void depthwise_tile_simd(const DepthwiseTile& t) {
  if (t.group > 1) {
    for (size_t c = t.first; c < t.last; c += kLanes) grouped_vector<4>(t, c);
  } else if (t.columns == kDepthwiseColumns) {
    t.advance == 1 ? depthwise_taps<kDepthwiseColumns, 1>(t) : depthwise_taps<kDepthwiseColumns, 2>(t);
  } else {
    t.advance == 1 ? depthwise_taps<4, 1>(t) : depthwise_taps<4, 2>(t);
  }
  if (t.activation.kind != Activation::none && !is_clamp(t.activation))
    activate_block(t.activation, t.dst + t.first, t.dst_step, t.stored, t.last - t.first);
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
  const size_t run = t.narrow ? (t.run + 15) / 16 * 16 : t.run * 16;  // weights of a tap, for one filter or a panel
  const size_t step = t.narrow ? 1 : 16;
  for (size_t p = 0; p < t.positions; ++p)
    for (size_t f = 0; f < t.filters; ++f) {
      const float* w = t.weights + (t.narrow ? f * t.taps * run : f / 16 * t.taps * run + f % 16);
      float sum = 0.0f;
      for (size_t tap = 0; tap < t.taps; ++tap)
        for (size_t k = 0; k < t.run; ++k) sum += t.src[p * t.taps + tap][k] * w[tap * run + k * step];
      const float* residual = t.residual ? t.residual + t.offsets[p] : nullptr;
      t.dst[t.offsets[p] + f] = finish(sum, f, t.bias, residual, t.activation);
    }
}

void depthwise_tile_reference(const DepthwiseTile& t) {
  for (size_t p = 0; p < t.stored; ++p)
    for (size_t c = t.first; c < t.last; ++c) {
      float sum = 0.0f;
      for (size_t i = 0; i < t.piece_count; ++i)
        if (t.group > 1) {
          for (size_t k = 0; k < t.group; ++k)
            sum += t.pieces[i].src[p][c / t.group * t.group + k] * t.pieces[i].weights[k * t.weight_step + c];
        } else {
          for (size_t k = 0; k < t.pieces[i].taps; ++k)
            sum += t.pieces[i].src[p * t.advance + k][c] * t.pieces[i].weights[k * t.weight_step + c];
        }
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
