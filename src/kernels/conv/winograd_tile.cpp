#include "kernels/conv/winograd_tile.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/conv/winograd_tile.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/conv/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace linnet::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// One side of G w G^T: three numbers become four.
HWY_INLINE void spread_weights(Vector w0, Vector w1, Vector w2, Vector (&to)[4]) {
  const Vector half = hn::Set(Floats(), 0.5f);
  const Vector outer = hn::Mul(half, hn::Add(w0, w2)), inner = hn::Mul(half, w1);
  to[0] = w0;
  to[1] = hn::Add(outer, inner);
  to[2] = hn::Sub(outer, inner);
  to[3] = w2;
}

void winograd_weights_simd(const float* HWY_RESTRICT weights, size_t channels, float* HWY_RESTRICT dst, size_t step) {
  const Floats d;
  const size_t tap = channels * kConvPanel;
  for (size_t i = 0; i < tap; i += kLanes) {
    Vector rows[3][4];
    HWY_UNROLL(3)
    for (size_t r = 0; r < 3; ++r) {
      const float* w = weights + 3 * r * tap + i;
      spread_weights(hn::LoadU(d, w), hn::LoadU(d, w + tap), hn::LoadU(d, w + 2 * tap), rows[r]);
    }
    HWY_UNROLL(4)
    for (size_t c = 0; c < 4; ++c) {
      Vector column[4];
      spread_weights(rows[0][c], rows[1][c], rows[2][c], column);
      HWY_UNROLL(4)
      for (size_t r = 0; r < 4; ++r) hn::StoreU(column[r], d, dst + (4 * r + c) * step + i);
    }
  }
}

// One side of B^T d B.
HWY_INLINE void spread_source(Vector x0, Vector x1, Vector x2, Vector x3, Vector (&to)[4]) {
  to[0] = hn::Sub(x0, x2);
  to[1] = hn::Add(x1, x2);
  to[2] = hn::Sub(x2, x1);
  to[3] = hn::Sub(x1, x3);
}

template <class Load, class Store>
HWY_INLINE void spread_square(Load load, Store store) {
  Vector rows[4][4];
  HWY_UNROLL(4)
  for (size_t c = 0; c < 4; ++c) {
    Vector column[4];
    spread_source(load(c), load(4 + c), load(8 + c), load(12 + c), column);
    HWY_UNROLL(4)
    for (size_t r = 0; r < 4; ++r) rows[r][c] = column[r];
  }
  HWY_UNROLL(4)
  for (size_t r = 0; r < 4; ++r) {
    Vector row[4];
    spread_source(rows[r][0], rows[r][1], rows[r][2], rows[r][3], row);
    HWY_UNROLL(4)
    for (size_t c = 0; c < 4; ++c) store(4 * r + c, row[c]);
  }
}

void winograd_source_simd(const float* const* src, size_t channels, float* HWY_RESTRICT dst, size_t step) {
  const Floats d;
  size_t i = 0;
  for (; i + kLanes <= channels; i += kLanes)
    spread_square([&](size_t p) HWY_ATTR { return hn::LoadU(d, src[p] + i); },
                  [&](size_t p, Vector x) HWY_ATTR { hn::StoreU(x, d, dst + p * step + i); });
  if (const size_t left = channels - i; left != 0)
    spread_square([&](size_t p) HWY_ATTR { return load_partial(d, src[p] + i, left); },
                  [&](size_t p, Vector x) HWY_ATTR { store_partial(x, d, dst + p * step + i, left); });
}

// The 2x2 results of one vector of filters.
HWY_INLINE void gather_results(const WinogradResult& w, size_t filter, Vector (&y)[4]) {
  const Floats d;
  Vector upper[4], lower[4];
  HWY_UNROLL(4)
  for (size_t c = 0; c < 4; ++c) {
    const auto at = [&](size_t r) HWY_ATTR { return hn::LoadU(d, w.sums + (4 * r + c) * w.step + filter); };
    const Vector m1 = at(1), m2 = at(2);
    upper[c] = hn::Add(hn::Add(at(0), m1), m2);
    lower[c] = hn::Sub(hn::Sub(m1, m2), at(3));
  }
  y[0] = hn::Add(hn::Add(upper[0], upper[1]), upper[2]);
  y[1] = hn::Sub(hn::Sub(upper[1], upper[2]), upper[3]);
  y[2] = hn::Add(hn::Add(lower[0], lower[1]), lower[2]);
  y[3] = hn::Sub(hn::Sub(lower[1], lower[2]), lower[3]);
}

size_t winograd_result_simd(const WinogradResult& w) {
  const Floats d;
  size_t done = 0;
  for (; done < w.filters; done += kConvPanel) {
    Vector y[kVectors][4];
    Vector check = hn::Zero(d);  // stays zero while all are finite
    HWY_UNROLL(4)
    for (size_t v = 0; v < kVectors; ++v) {
      const size_t filter = done + v * kLanes;
      if (filter >= w.filters) break;
      gather_results(w, filter, y[v]);
      Vector differences = hn::Zero(d);
      HWY_UNROLL(4)
      for (size_t i = 0; i < 4; ++i) differences = hn::Add(differences, hn::Sub(y[v][i], y[v][i]));
      const size_t count = w.filters - filter;
      check = hn::Add(check, count < kLanes ? hn::IfThenElseZero(hn::FirstN(d, count), differences) : differences);
    }
    if (!hn::AllTrue(d, hn::Eq(check, hn::Zero(d)))) break;
    HWY_UNROLL(4)
    for (size_t v = 0; v < kVectors; ++v) {
      const size_t filter = done + v * kLanes;
      if (filter >= w.filters) break;
      const size_t count = std::min(kLanes, w.filters - filter);
      const Vector bias = w.bias ? load_some(w.bias + filter, count) : hn::Zero(d);
      HWY_UNROLL(4)
      for (size_t i = 0; i < 4; ++i) {
        if (i / 2 >= w.rows || i % 2 >= w.columns) continue;
        const size_t at = i / 2 * w.row_step + i % 2 * w.column_step + filter;
        Vector x = hn::Add(y[v][i], bias);
        if (w.residual) x = hn::Add(x, load_some(w.residual + at, count));
        if (w.activation.kind == Activation::relu) x = hn::Max(hn::Zero(d), x);
        store_some(x, w.dst + at, count);
      }
    }
  }
  done = std::min(done, w.filters);
  if (w.activation.kind != Activation::none && w.activation.kind != Activation::relu)
    for (size_t r = 0; r < w.rows; ++r)
      activate_block(w.activation, w.dst + r * w.row_step, w.column_step, w.columns, done);
  return done;
}

}  // namespace
}  // namespace linnet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/dispatch.h"

namespace linnet {
namespace {

// dst = side * square * side^T, for a side of `to` rows and `from` columns.
void transform_reference(const float* side, size_t to, size_t from, const float* square, float* dst) {
  float half[16];
  for (size_t r = 0; r < to; ++r)
    for (size_t c = 0; c < from; ++c) {
      half[r * from + c] = 0.0f;
      for (size_t i = 0; i < from; ++i) half[r * from + c] += side[r * from + i] * square[i * from + c];
    }
  for (size_t r = 0; r < to; ++r)
    for (size_t c = 0; c < to; ++c) {
      dst[r * to + c] = 0.0f;
      for (size_t i = 0; i < from; ++i) dst[r * to + c] += half[r * from + i] * side[c * from + i];
    }
}

constexpr float kG[] = {1, 0, 0, 0.5f, 0.5f, 0.5f, 0.5f, -0.5f, 0.5f, 0, 0, 1};
constexpr float kB[] = {1, 0, -1, 0, 0, 1, 1, 0, 0, -1, 1, 0, 0, 1, 0, -1};
constexpr float kA[] = {1, 1, 1, 0, 0, 1, -1, -1};

void winograd_weights_reference(const float* weights, size_t channels, float* dst, size_t step) {
  for (size_t i = 0; i < channels * 16; ++i) {
    float square[9], to[kWinogradPoints];
    for (size_t t = 0; t < 9; ++t) square[t] = weights[t * channels * 16 + i];
    transform_reference(kG, 4, 3, square, to);
    for (size_t p = 0; p < kWinogradPoints; ++p) dst[p * step + i] = to[p];
  }
}

void winograd_source_reference(const float* const* src, size_t channels, float* dst, size_t step) {
  for (size_t i = 0; i < channels; ++i) {
    float square[16], to[kWinogradPoints];
    for (size_t p = 0; p < 16; ++p) square[p] = src[p][i];
    transform_reference(kB, 4, 4, square, to);
    for (size_t p = 0; p < kWinogradPoints; ++p) dst[p * step + i] = to[p];
  }
}

size_t winograd_result_reference(const WinogradResult& w) {
  size_t done = 0;
  for (; done < w.filters; done += 16) {
    const size_t count = std::min<size_t>(16, w.filters - done);
    float y[16][4], check = 0.0f;
    for (size_t f = 0; f < count; ++f) {
      float square[16];
      for (size_t p = 0; p < 16; ++p) square[p] = w.sums[p * w.step + done + f];
      transform_reference(kA, 2, 4, square, y[f]);
      for (const float value : y[f]) check += value - value;
    }
    if (check != 0.0f) break;
    for (size_t f = 0; f < count; ++f)
      for (size_t r = 0; r < w.rows; ++r)
        for (size_t c = 0; c < w.columns; ++c) {
          const size_t at = r * w.row_step + c * w.column_step + done + f;
          float x = y[f][2 * r + c] + (w.bias ? w.bias[done + f] : 0.0f);
          if (w.residual) x += w.residual[at];
          w.dst[at] = activate_reference(w.activation, x);
        }
  }
  return std::min(done, w.filters);
}

}  // namespace

void winograd_weights(const float* weights, size_t channels, float* dst, size_t step) noexcept {
  LINNET_DISPATCH(winograd_weights_simd, winograd_weights_reference)(weights, channels, dst, step);
}

void winograd_source(const float* const* src, size_t channels, float* dst, size_t step) noexcept {
  LINNET_DISPATCH(winograd_source_simd, winograd_source_reference)(src, channels, dst, step);
}

size_t winograd_result(const WinogradResult& result) noexcept {
  return LINNET_DISPATCH(winograd_result_simd, winograd_result_reference)(result);
}

}  // namespace linnet
#endif
