// Pooling of planes whose rows lie in memory as they are: the rows of a window become one, of which windows then take
// their columns.
#include <algorithm>
#include <limits>

#include "base/checked.h"
#include "kernels/pool/pool_window.h"
#include "kernels/reduce/reduce.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/pool/pool_planes.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/partial-inl.h"

#ifndef LINNET_KERNELS_POOL_ROWS
#define LINNET_KERNELS_POOL_ROWS
namespace linnet {
namespace {

// More floats than any vector has: what may be read behind a row.
constexpr size_t kSlack = 64;

// The windows of one row of outputs. `row` is that of the joined rows, padding included.
struct PoolRow {
  const float* src;          // the first of the rows that are joined
  size_t outer, outer_step;  // rows along the first axis,
  size_t inner, inner_step;  // and along the second
  size_t columns;            // of them that windows reach,
  float* joined;             // and where they go
  const float* row;          // from the first window's first tap on
  size_t taps, dilation, stride, outputs;
  const float* counts;  // what each window's columns count for in an average,
  float rows;           // and its rows
  float* dst;
};

}  // namespace
}  // namespace linnet
#endif

HWY_BEFORE_NAMESPACE();
namespace linnet::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;
using Vector = hn::Vec<Floats>;
constexpr size_t kLanes = hn::MaxLanes(Floats());
static_assert(2 * kLanes <= kSlack);

template <bool kMax>
HWY_INLINE Vector join(Vector sum, Vector x) {
  return kMax ? hn::Max(x, sum) : hn::Add(sum, x);  // Max: of a NaN in x, the second
}

template <bool kMax, class Load>
HWY_INLINE Vector join_rows(const PoolRow& r, Load load) {
  const Floats d;
  Vector sum = kMax ? hn::Set(d, -std::numeric_limits<float>::infinity()) : hn::Zero(d);
  for (size_t a = 0; a < r.outer; ++a)
    for (size_t b = 0; b < r.inner; ++b) sum = join<kMax>(sum, load(r.src + a * r.outer_step + b * r.inner_step));
  return sum;
}

// `sum_at`: the window whose first tap stands there, and its neighbours.
template <bool kMax, class SumAt>
HWY_INLINE void join_columns(const PoolRow& r, SumAt sum_at) {
  const Floats d;
  const Vector rows = hn::Set(d, r.rows);
  for (size_t x = 0; x < r.outputs; x += kLanes) {
    const Vector sum = sum_at(r.row + x * r.stride);
    const size_t count = HWY_MIN(kLanes, r.outputs - x);
    if (count == kLanes) {
      hn::StoreU(kMax ? sum : hn::Div(sum, hn::Mul(rows, hn::LoadU(d, r.counts + x))), d, r.dst + x);
    } else {
      const Vector counts = kMax ? rows : load_partial(d, r.counts + x, count);
      store_partial(kMax ? sum : hn::Div(sum, hn::Mul(rows, counts)), d, r.dst + x, count);
    }
  }
}

template <bool kMax>
HWY_INLINE void pool_row_of(const PoolRow& r) {
  const Floats d;
  size_t c = 0;
  for (; c + kLanes <= r.columns; c += kLanes)
    hn::StoreU(join_rows<kMax>(r, [c](const float* row) HWY_ATTR { return hn::LoadU(Floats(), row + c); }), d,
               r.joined + c);
  if (const size_t rest = r.columns - c; rest != 0)
    store_partial(join_rows<kMax>(r, [=](const float* row) HWY_ATTR { return load_partial(Floats(), row + c, rest); }),
                  d, r.joined + c, rest);
  if (r.stride == 1) {
    return join_columns<kMax>(r, [&r](const float* first) HWY_ATTR {
      Vector sum = hn::LoadU(Floats(), first);
      for (size_t k = 1; k < r.taps; ++k) sum = join<kMax>(sum, hn::LoadU(Floats(), first + k * r.dilation));
      return sum;
    });
  }
  if (r.stride == 2 && r.dilation == 1) {
    return join_columns<kMax>(r, [&r](const float* first) HWY_ATTR {
      Vector sum, even, odd;
      hn::LoadInterleaved2(Floats(), first, sum, odd);
      if (r.taps > 1) sum = join<kMax>(sum, odd);
      for (size_t k = 2; k < r.taps; k += 2) {
        hn::LoadInterleaved2(Floats(), first + k, even, odd);
        sum = join<kMax>(sum, even);
        if (k + 1 < r.taps) sum = join<kMax>(sum, odd);
      }
      return sum;
    });
  }
  for (size_t x = 0; x < r.outputs; ++x) {
    const float* from = r.row + x * r.stride;
    float sum = from[0];
    for (size_t k = 1; k < r.taps; ++k) {
      const float next = from[k * r.dilation];
      sum = kMax ? (next > sum ? next : sum) : sum + next;
    }
    r.dst[x] = kMax ? sum : sum / (r.rows * r.counts[x]);
  }
}

void pool_row_simd(bool max, const PoolRow& r) { max ? pool_row_of<true>(r) : pool_row_of<false>(r); }

}  // namespace
}  // namespace linnet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/dispatch.h"

namespace linnet {
namespace {

void pool_row_reference(bool max, const PoolRow& r) {
  const float start = max ? -std::numeric_limits<float>::infinity() : 0.0f;
  const auto join = [max](float sum, float x) { return max ? (x > sum ? x : sum) : sum + x; };
  for (size_t c = 0; c < r.columns; ++c) {
    float sum = start;
    for (size_t a = 0; a < r.outer; ++a)
      for (size_t b = 0; b < r.inner; ++b) sum = join(sum, r.src[a * r.outer_step + b * r.inner_step + c]);
    r.joined[c] = sum;
  }
  for (size_t x = 0; x < r.outputs; ++x) {
    float sum = start;
    for (size_t k = 0; k < r.taps; ++k) sum = join(sum, r.row[x * r.stride + k * r.dilation]);
    r.dst[x] = max ? sum : sum / (r.rows * r.counts[x]);
  }
}

// Of more than so many numbers added up in a row, the rounding would show.
constexpr size_t kMostAdded = 128;

// From the first window's first tap to the last one's last.
size_t row_size(const PoolGeometry& g) noexcept {
  return g.dst[2] == 0 ? 0 : (g.dst[2] - 1) * g.stride[2] + (g.kernel[2] - 1) * g.dilation[2] + 1;
}

// One window, which is the plane.
bool is_global(const PoolGeometry& g) noexcept {
  for (size_t a = 0; a < kSpatialAxes; ++a)
    if (g.dst[a] != 1 || g.kernel[a] != g.src[a] || g.pad_begin[a] != 0 || g.dilation[a] != 1) return false;
  return true;
}

void pool_global(bool max, size_t planes, size_t size, const float* src, float* dst,
                 const Parallel& parallel) noexcept {
  ReducePlan plan;
  plan.kept.push_back({planes, size});
  plan.reduced.push_back({size, 1});
  plan.outputs = planes;
  plan.per_output = size;
  reduce(max ? ReduceFn::max : ReduceFn::mean, plan, src, dst, parallel);
  for (size_t p = 0; max && p < planes; ++p) {
    if (dst[p] == dst[p]) continue;
    dst[p] = -std::numeric_limits<float>::infinity();  // a NaN is greater than nothing
    for (size_t i = 0; i < size; ++i) dst[p] = src[p * size + i] > dst[p] ? src[p * size + i] : dst[p];
  }
}

}  // namespace

bool pool_planes_fits(const PoolGeometry& g) noexcept {
  if (g.kind != PoolKind::lp && is_global(g)) return true;
  if (g.kind == PoolKind::lp || row_size(g) > 4 * g.src[2] + 1024) return false;
  return g.kind == PoolKind::max || (g.kernel[0] * g.kernel[1] <= kMostAdded && g.kernel[2] <= kMostAdded);
}

size_t pool_planes_scratch_size(const PoolGeometry& g) noexcept {
  return round_up((row_size(g) + kSlack + g.dst[2]) * sizeof(float), 64);
}

void pool_planes(const PoolGeometry& g, const float* src, float* dst, std::byte* scratch,
                 const Parallel& parallel) noexcept {
  if (is_global(g))
    return pool_global(g.kind == PoolKind::max, g.batch * g.channels, positions_of(g.src), src, dst, parallel);
  const auto pool_row = LINNET_DISPATCH(pool_row_simd, pool_row_reference);
  const bool max = g.kind == PoolKind::max;
  const size_t rows = g.dst[0] * g.dst[1], size = row_size(g);
  const ptrdiff_t pad = g.pad_begin[2];
  // Column c of the input stands at c + pad of the row, where that is within it.
  const size_t first = std::min(g.src[2], static_cast<size_t>(std::max<ptrdiff_t>(0, -pad)));
  const size_t last = static_cast<size_t>(std::clamp<ptrdiff_t>(
      static_cast<ptrdiff_t>(size) - pad, static_cast<ptrdiff_t>(first), static_cast<ptrdiff_t>(g.src[2])));
  const double item_ns =
      20.0 + 0.1 * static_cast<double>(g.kernel[0] * g.kernel[1] * size + 2 * g.kernel[2] * g.dst[2]);
  const auto body = [&](size_t begin, size_t end, size_t worker) {
    float* row = reinterpret_cast<float*>(scratch + worker * pool_planes_scratch_size(g));
    float* counts = row + size + kSlack;
    std::fill_n(row, size + kSlack, max ? -std::numeric_limits<float>::infinity() : 0.0f);
    for (size_t p = 0; !max && p < g.dst[2]; ++p) {
      const PoolSpan span = pool_span(g, 2, p);
      counts[p] = static_cast<float>(g.count_include_pad ? span.counted : span.last - span.first);
    }
    PoolRow r{};
    r.outer_step = g.dilation[0] * g.src[1] * g.src[2];
    r.inner_step = g.dilation[1] * g.src[2];
    r.columns = last > first ? last - first : 0;
    r.joined = row + (static_cast<ptrdiff_t>(first) + pad);
    r.row = row;
    r.taps = g.kernel[2];
    r.dilation = g.dilation[2];
    r.stride = g.stride[2];
    r.outputs = g.dst[2];
    r.counts = counts;
    const auto at = [&](const PoolSpan& span, size_t axis) {
      return static_cast<size_t>(span.start + static_cast<ptrdiff_t>(span.first * g.dilation[axis]));
    };
    PoolSpan outer{};
    const float* plane = nullptr;
    for (size_t item = begin, p = begin % rows; item < end; ++item, p = p + 1 == rows ? 0 : p + 1) {
      if (item % 64 == 0 && parallel.stopped()) return;
      if (item == begin || p == 0) plane = src + item / rows * positions_of(g.src) + first;
      if (item == begin || p % g.dst[1] == 0) outer = pool_span(g, 0, p / g.dst[1]);
      const PoolSpan inner = pool_span(g, 1, p % g.dst[1]);
      r.outer = outer.last - outer.first;
      r.inner = inner.last - inner.first;
      r.src = plane;
      if (r.outer != 0 && r.inner != 0) r.src += (at(outer, 0) * g.src[1] + at(inner, 1)) * g.src[2];
      r.rows = static_cast<float>(g.count_include_pad ? outer.counted * inner.counted : r.outer * r.inner);
      r.dst = dst + item * g.dst[2];
      pool_row(max, r);
    }
  };
  if (g.dst[2] != 0) parallel.for_range(g.batch * g.channels * rows, grain_for(item_ns), body);
}

}  // namespace linnet
#endif
