#include "kernels/conv/planes_tile.h"

#include <algorithm>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/conv/planes_tile.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/conv/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace linnet::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// A part of a row: what micro_kernel computes.
struct Part {
  const float* src;
  size_t panel;  // the first
  size_t count;  // filters from there on, as many as the vectors hold or fewer
  float* dst;    // at the panel's first filter, as is:
  const float* residual;
};

// Adds the residual and clamps `rows` positions' sums, `width` floats apart: a first layer seldom has one.
HWY_NOINLINE void add_residual(const PlanesTile& t, const Part& part, size_t rows, size_t width, float* sums) {
  for (size_t r = 0; r < rows; ++r)
    for (size_t i = 0; i < part.count; ++i) sums[r * width + i] += part.residual[r * t.filters + i];
  if (is_short(t.activation)) activate_block(t.activation, sums, width, rows, part.count);
}

// kRows positions x kWidth vectors of filters.
template <size_t kRows, size_t kWidth>
HWY_NOINLINE void micro_kernel(const PlanesTile& t, const Part& part) {
  const Floats d;
  const size_t panel_size = t.depth * kConvPanel;
  const float* HWY_RESTRICT w = t.weights + part.panel * panel_size;
  Vector sum[kRows][kWidth];
  HWY_UNROLL(8)
  for (size_t v = 0; v < kWidth; ++v) {
    const size_t at = v * kLanes;
    const Vector start =
        !t.bias || at >= part.count ? hn::Zero(d) : load_some(t.bias + part.panel * kConvPanel + at, part.count - at);
    HWY_UNROLL(8)
    for (size_t r = 0; r < kRows; ++r) sum[r][v] = start;
  }
  HWY_ALIGN float totals[kRows][kWidth * kLanes];  // of the chains before this one; in the end, the results
  const size_t step = t.column_step;
  for (size_t k = 0; k < t.depth;) {
    if (k != 0) {
      HWY_UNROLL(8)
      for (size_t r = 0; r < kRows; ++r) {
        HWY_UNROLL(8)
        for (size_t v = 0; v < kWidth; ++v) {
          float* total = totals[r] + v * kLanes;
          hn::Store(k == kChain ? sum[r][v] : hn::Add(hn::Load(d, total), sum[r][v]), d, total);
          sum[r][v] = hn::Zero(d);
        }
      }
    }
    for (const size_t end = std::min(t.depth, k + kChain); k < end; ++k, w += kConvPanel) {
      Vector b[kWidth];
      HWY_UNROLL(8)
      for (size_t v = 0; v < kWidth; ++v)
        b[v] = load_weights<kRows>(w + v / kVectors * panel_size + v % kVectors * kLanes);
      const float* HWY_RESTRICT x = part.src + t.offsets[k];
      HWY_UNROLL(8)
      for (size_t r = 0; r < kRows; ++r) {
        const Vector a = hn::Set(d, x[r * step]);
        HWY_UNROLL(8)
        for (size_t v = 0; v < kWidth; ++v) sum[r][v] = hn::MulAdd(a, b[v], sum[r][v]);
      }
    }
  }
  if (t.depth > kChain) {
    HWY_UNROLL(8)
    for (size_t r = 0; r < kRows; ++r) {
      HWY_UNROLL(8)
      for (size_t v = 0; v < kWidth; ++v) sum[r][v] = hn::Add(sum[r][v], hn::Load(d, totals[r] + v * kLanes));
    }
  }
  if (part.residual == nullptr && is_short(t.activation)) activate_short(t.activation, sum);
  if (part.residual == nullptr && part.count >= kWidth * kLanes) {
    HWY_UNROLL(8)
    for (size_t r = 0; r < kRows; ++r) {
      HWY_UNROLL(8)
      for (size_t v = 0; v < kWidth; ++v) hn::StoreU(sum[r][v], d, part.dst + r * t.filters + v * kLanes);
    }
    return;
  }
  HWY_UNROLL(8)
  for (size_t r = 0; r < kRows; ++r) {
    HWY_UNROLL(8)
    for (size_t v = 0; v < kWidth; ++v) hn::Store(sum[r][v], d, totals[r] + v * kLanes);
  }
  if (part.residual) add_residual(t, part, kRows, kWidth * kLanes, totals[0]);
  for (size_t r = 0; r < kRows; ++r) {
    float* dst = part.dst + r * t.filters;
    size_t i = 0;
    for (; i + kLanes <= part.count; i += kLanes) hn::StoreU(hn::Load(d, totals[r] + i), d, dst + i);
    if (i < part.count) store_partial(hn::Load(d, totals[r] + i), d, dst + i, part.count - i);
  }
}

template <size_t kWidth>
void columns_of(const PlanesTile& t, size_t panel) {
  const size_t count = std::min(t.filters - panel * kConvPanel, kWidth * kLanes);
  for (size_t row = 0; row < t.rows; ++row)
    for_each_rows<kWidth>(t.columns, [&]<size_t kRows>(size_t first) {
      const size_t at = row * t.dst_row_step + first * t.filters + panel * kConvPanel;
      micro_kernel<kRows, kWidth>(t, {t.src + row * t.row_step + first * t.column_step, panel, count, t.dst + at,
                                      t.residual ? t.residual + at : nullptr});
    });
}

// All panels. Few positions leave registers for more panels at a time; the last filters take as few vectors as they
// need.
void planes_tile_simd(const PlanesTile& t) {
  for (size_t panel = 0; panel * kConvPanel < t.filters;) {
    const size_t left = t.filters - panel * kConvPanel;
    if constexpr (kVectors == 1) {
      if (left > kConvPanel) {
        columns_of<2>(t, panel);
        panel += 2;
      } else {
        columns_of<1>(t, panel++);
      }
    } else if (kVectors == 2 && t.columns == 1 && left > 8 * kLanes - kConvPanel) {
      columns_of<8>(t, panel);
      panel += 4;
    } else if (kVectors == 2 && t.columns <= 3 && left > kConvPanel) {
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
  if (t.activation.kind == Activation::none || is_short(t.activation)) return;
  for (size_t row = 0; row < t.rows; ++row)
    activate_block(t.activation, t.dst + row * t.dst_row_step, 0, 1, t.columns * t.filters);
}

}  // namespace
}  // namespace linnet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/dispatch.h"

namespace linnet {
namespace {

void planes_tile_reference(const PlanesTile& t) {
  for (size_t row = 0; row < t.rows; ++row)
    for (size_t column = 0; column < t.columns; ++column)
      for (size_t f = 0; f < t.filters; ++f) {
        const float* src = t.src + row * t.row_step + column * t.column_step;
        const float* w = t.weights + f / 16 * t.depth * 16 + f % 16;
        const size_t at = row * t.dst_row_step + column * t.filters + f;
        float sum = t.bias ? t.bias[f] : 0.0f;
        for (size_t k = 0; k < t.depth; ++k) sum += src[t.offsets[k]] * w[k * 16];
        if (t.residual) sum += t.residual[at];
        t.dst[at] = activate_reference(t.activation, sum);
      }
}

}  // namespace

void planes_tile(const PlanesTile& tile) noexcept { LINNET_DISPATCH(planes_tile_simd, planes_tile_reference)(tile); }

}  // namespace linnet
#endif
