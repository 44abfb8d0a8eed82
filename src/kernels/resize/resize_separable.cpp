#include <algorithm>
#include <array>

#include "base/checked.h"
#include "kernels/resize/resize.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/resize/resize_separable.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/partial-inl.h"

HWY_BEFORE_NAMESPACE();
namespace linnet::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;
using Vector = hn::Vec<Floats>;
constexpr size_t kLanes = hn::MaxLanes(Floats());

// dst[i] = sum over t of weight[t] * (src + index[t] * step)[i]
void blend_simd(const float* src, size_t step, const int32_t* index, const float* weight, size_t taps, size_t count,
                float* dst) {
  const Floats d;
  const auto row = [&](size_t t) HWY_ATTR { return src + static_cast<size_t>(index[t]) * step; };
  size_t i = 0;
  for (; i + 2 * kLanes <= count; i += 2 * kLanes) {
    Vector s0 = hn::Zero(d), s1 = hn::Zero(d);
    for (size_t t = 0; t < taps; ++t) {
      const Vector w = hn::Set(d, weight[t]);
      s0 = hn::MulAdd(w, hn::LoadU(d, row(t) + i), s0);
      s1 = hn::MulAdd(w, hn::LoadU(d, row(t) + i + kLanes), s1);
    }
    hn::StoreU(s0, d, dst + i);
    hn::StoreU(s1, d, dst + i + kLanes);
  }
  if (i + kLanes <= count) {
    Vector sum = hn::Zero(d);
    for (size_t t = 0; t < taps; ++t) sum = hn::MulAdd(hn::Set(d, weight[t]), hn::LoadU(d, row(t) + i), sum);
    hn::StoreU(sum, d, dst + i);
    i += kLanes;
  }
  if (i < count) {
    const Part<Floats> rest{count - i};
    Vector sum = hn::Zero(d);
    for (size_t t = 0; t < taps; ++t) sum = hn::MulAdd(hn::Set(d, weight[t]), rest.load(row(t) + i), sum);
    rest.store(sum, dst + i);
  }
}

// Along the last axis of `inner` floats an element.
void stretch_simd(const ResizeAxis& axis, size_t inner, const float* src, float* dst) {
  if (inner > 1) {
    for (size_t o = 0; o < axis.dst; ++o)
      blend_simd(src, inner, axis.index + o * axis.taps, axis.weight + o * axis.taps, axis.taps, inner,
                 dst + o * inner);
  } else if (axis.taps == 2) {
    for (size_t o = 0; o < axis.dst; ++o)
      dst[o] = axis.weight[2 * o] * src[axis.index[2 * o]] + axis.weight[2 * o + 1] * src[axis.index[2 * o + 1]];
  } else {
    for (size_t o = 0; o < axis.dst; ++o) {
      float sum = 0.0f;
      for (size_t t = 0; t < axis.taps; ++t) sum += axis.weight[o * axis.taps + t] * src[axis.index[o * axis.taps + t]];
      dst[o] = sum;
    }
  }
}

}  // namespace
}  // namespace linnet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/dispatch.h"

namespace linnet {
namespace {

void blend_reference(const float* src, size_t step, const int32_t* index, const float* weight, size_t taps,
                     size_t count, float* dst) {
  for (size_t i = 0; i < count; ++i) {
    float sum = 0.0f;
    for (size_t t = 0; t < taps; ++t) sum += weight[t] * src[static_cast<size_t>(index[t]) * step + i];
    dst[i] = sum;
  }
}

void stretch_reference(const ResizeAxis& axis, size_t inner, const float* src, float* dst) {
  for (size_t o = 0; o < axis.dst; ++o)
    blend_reference(src, inner, axis.index + o * axis.taps, axis.weight + o * axis.taps, axis.taps, inner,
                    dst + o * inner);
}

constexpr size_t kAlignment = 64;
// A lone axis with at least this much behind it is resized as rows, else as columns.
constexpr size_t kLeastRow = 8;

// src [outer][rows.src][columns.src][inner] -> dst [outer][rows.dst][columns.dst][inner]; either axis may be absent.
struct Pass {
  size_t outer = 1;
  const ResizeAxis* rows = nullptr;
  const ResizeAxis* columns = nullptr;
  size_t inner = 1;
  size_t dst_count = 0;

  size_t src_row() const noexcept { return (columns ? columns->src : 1) * inner; }
  size_t dst_row() const noexcept { return (columns ? columns->dst : 1) * inner; }
};

// Neighbouring resized axes share a pass, from the last ones on: what lies behind a pass is then of the output's size.
struct Passes {
  std::array<Pass, kMostResizeAxes> pass;
  size_t count = 0;

  explicit Passes(std::span<const ResizeAxis> axes) noexcept {
    for (size_t a = axes.size(); a-- > 0;) {
      if (axes[a].taps == 0) continue;
      Pass& p = pass[count++];
      for (size_t i = a + 1; i < axes.size(); ++i) p.inner *= axes[i].dst;
      if (a > 0 && axes[a - 1].taps != 0) {
        p.columns = &axes[a];
        p.rows = &axes[--a];
      } else {
        (p.inner >= kLeastRow ? p.rows : p.columns) = &axes[a];
      }
      for (size_t i = 0; i < a; ++i) p.outer *= axes[i].src;
      p.dst_count = p.outer * (p.rows ? p.rows->dst : 1) * p.dst_row();
    }
  }
  size_t longest_row() const noexcept {
    size_t longest = 0;
    for (size_t i = 0; i < count; ++i) longest = std::max(longest, pass[i].src_row());
    return longest;
  }
  // The results of all passes but the last, which goes to dst, alternate between two buffers.
  size_t largest_between() const noexcept {
    size_t largest = 0;
    for (size_t i = 0; i + 1 < count; ++i) largest = std::max(largest, pass[i].dst_count);
    return largest;
  }
};

size_t bytes_of(size_t floats) noexcept { return round_up(floats * sizeof(float), kAlignment); }

void run_pass(const Pass& pass, const float* src, float* dst, std::byte* scratch, size_t scratch_step,
              const Parallel& parallel) noexcept {
  const auto blend = LINNET_DISPATCH(blend_simd, blend_reference);
  const auto stretch = LINNET_DISPATCH(stretch_simd, stretch_reference);
  const size_t src_rows = pass.rows ? pass.rows->src : 1;
  const size_t dst_rows = pass.rows ? pass.rows->dst : 1;
  const size_t src_row = pass.src_row(), dst_row = pass.dst_row();
  const double item_ns = static_cast<double>(src_row + dst_row) / 2.0;
  parallel.for_range(pass.outer * dst_rows, grain_for(item_ns), [&](size_t begin, size_t end, size_t worker) {
    for (size_t item = begin; item < end; ++item) {
      if (item % 16 == 0 && parallel.stopped()) return;
      const float* from = src + item / dst_rows * src_rows * src_row;
      float* to = dst + item * dst_row;
      if (pass.rows) {
        const size_t entry = item % dst_rows * pass.rows->taps;
        float* row = pass.columns ? reinterpret_cast<float*>(scratch + worker * scratch_step) : to;
        blend(from, src_row, pass.rows->index + entry, pass.rows->weight + entry, pass.rows->taps, src_row, row);
        from = row;
      }
      if (pass.columns) stretch(*pass.columns, pass.inner, from, to);
    }
  });
}

}  // namespace

size_t resize_scratch_size(std::span<const ResizeAxis> axes, size_t threads) noexcept {
  const Passes passes(axes);
  return threads * bytes_of(passes.longest_row()) + (passes.count > 2 ? 2 : 1) * bytes_of(passes.largest_between());
}

void resize_separable(std::span<const ResizeAxis> axes, const float* src, float* dst, std::byte* scratch,
                      const Parallel& parallel) noexcept {
  const Passes passes(axes);
  if (passes.count == 0) {
    size_t count = 1;
    for (const ResizeAxis& axis : axes) count *= axis.dst;
    std::copy_n(src, count, dst);
    return;
  }
  const size_t row = bytes_of(passes.longest_row());
  std::byte* between = scratch + parallel.threads() * row;
  for (size_t i = 0; i < passes.count; ++i) {
    float* to =
        i + 1 == passes.count ? dst : reinterpret_cast<float*>(between + i % 2 * bytes_of(passes.largest_between()));
    run_pass(passes.pass[i], src, to, scratch, row, parallel);
    src = to;
  }
}

}  // namespace linnet
#endif
