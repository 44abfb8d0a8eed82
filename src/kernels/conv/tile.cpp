#include "kernels/conv/tile.h"

#include <algorithm>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/conv/tile.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/conv/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace linnet::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// What micro_kernel does with its sums, for one position and fewer filters than its vectors hold.
HWY_MAYBE_UNUSED HWY_NOINLINE void finish_some(const ConvTile& t, const float* HWY_RESTRICT sums, size_t offset,
                                               size_t filters) {
  const Floats d;
  for (size_t i = 0; i < filters; i += kLanes) {
    const size_t count = std::min(filters - i, kLanes);
    Vector x[1][1] = {{hn::Load(d, sums + i)}};
    if (t.residual) x[0][0] = hn::Add(x[0][0], load_some(t.residual + offset + i, count));
    if (is_short(t.activation)) activate_short(t.activation, x);
    store_some(x[0][0], t.dst + offset + i, count);
  }
}

// kRows positions x kWidth vectors of filters from a panel on, all of K. `filters` counts what is stored.
template <size_t kRows, size_t kWidth>
HWY_NOINLINE void micro_kernel(const ConvTile& t, size_t first, size_t panel, size_t filters) {
  const Floats d;
  const size_t panel_size = t.taps * t.run * kConvPanel;
  const float* HWY_RESTRICT w = t.weights + panel * panel_size;
  const size_t column = panel * kConvPanel;
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
      w += t.run * kConvPanel;
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
      for (; k < end; ++k, w += kConvPanel) {
        Vector b[kWidth];
        HWY_UNROLL(8)
        for (size_t v = 0; v < kWidth; ++v)
          b[v] = load_weights<kRows>(w + v / kVectors * panel_size + v % kVectors * kLanes);
        HWY_UNROLL(8)
        for (size_t r = 0; r < kRows; ++r) {
          const Vector a = hn::Set(d, x[r][k]);
          HWY_UNROLL(8)
          for (size_t v = 0; v < kWidth; ++v) sum[r][v] = add_product(a, b[v], sum[r][v]);
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
  // With masks the last vector may be a part; else parts go through memory.
  constexpr bool kMasks = kLanes == 16;
  if (!kMasks && filters < kWidth * kLanes) {
    HWY_ALIGN float tile[kRows][kWidth * kLanes];
    HWY_UNROLL(8)
    for (size_t r = 0; r < kRows; ++r) {
      HWY_UNROLL(8)
      for (size_t v = 0; v < kWidth; ++v) hn::Store(sum[r][v], d, tile[r] + v * kLanes);
    }
    for (size_t r = 0; r < kRows; ++r) finish_some(t, tile[r], t.offsets[first + r] + column, filters);
    return;
  }
  const size_t last = filters - (kWidth - 1) * kLanes;
  if (t.residual) {
    HWY_UNROLL(8)
    for (size_t r = 0; r < kRows; ++r) {
      const float* HWY_RESTRICT residual = t.residual + t.offsets[first + r] + column;
      HWY_UNROLL(8)
      for (size_t v = 0; v < kWidth; ++v) {
        const float* from = residual + v * kLanes;
        sum[r][v] = hn::Add(sum[r][v], kMasks && v + 1 == kWidth ? load_some(from, last) : hn::LoadU(d, from));
      }
    }
  }
  if (is_short(t.activation)) activate_short(t.activation, sum);
  HWY_UNROLL(8)
  for (size_t r = 0; r < kRows; ++r) {
    float* HWY_RESTRICT dst = t.dst + t.offsets[first + r] + column;
    HWY_UNROLL(8)
    for (size_t v = 0; v < kWidth; ++v) {
      float* to = dst + v * kLanes;
      if (kMasks && v + 1 == kWidth) {
        store_some(sum[r][v], to, last);
      } else {
        hn::StoreU(sum[r][v], d, to);
      }
    }
  }
}

template <size_t kWidth>
void columns_of(const ConvTile& t, size_t panel) {
  const size_t filters = std::min(t.filters - panel * kConvPanel, kWidth * kLanes);
  for_each_rows<kWidth>(t.positions,
                        [&]<size_t kRows>(size_t first) { micro_kernel<kRows, kWidth>(t, first, panel, filters); });
}

// All panels. Few positions leave registers for more panels at a time; the last filters take as few vectors as they
// need.
void panels_of(const ConvTile& t) {
  for (size_t panel = 0; panel * kConvPanel < t.filters;) {
    const size_t left = t.filters - panel * kConvPanel;
    if constexpr (kVectors == 1) {
      if (left > 3 * kConvPanel) {
        columns_of<4>(t, panel);
        panel += 4;
      } else if (left > 2 * kConvPanel) {
        columns_of<3>(t, panel);
        panel += 3;
      } else if (left > kConvPanel) {
        columns_of<2>(t, panel);
        panel += 2;
      } else {
        columns_of<1>(t, panel++);
      }
    } else if (t.positions == 1 && left > 8 * kLanes - kConvPanel) {
      columns_of<8>(t, panel);
      panel += 8 / kVectors;
    } else if (kVectors == 2 && t.positions <= 3 && left > kConvPanel) {
      columns_of<4>(t, panel);
      panel += 2;
    } else if (kVectors == 2 && left > kConvPanel && left <= 3 * kLanes) {
      columns_of<3>(t, panel);
      panel += 2;
    } else if (left <= kConvPanel / 2) {
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
  const size_t step = (t.run + kConvPanel - 1) / kConvPanel * kConvPanel;
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
  if (t.activation.kind == Activation::none || is_short(t.activation)) return;
  for (size_t p = 0; p < t.positions; ++p) activate_block(t.activation, t.dst + t.offsets[p], 0, 1, t.filters);
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

}  // namespace

void conv_tile(const ConvTile& tile) noexcept { LINNET_DISPATCH(conv_tile_simd, conv_tile_reference)(tile); }

}  // namespace linnet
#endif
