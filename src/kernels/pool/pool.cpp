#include "kernels/pool/pool.h"

#include <algorithm>
#include <limits>

#include "base/checked.h"
#include "kernels/pool/pool_window.h"

#ifndef LINNET_KERNELS_POOL_WINDOWS
#define LINNET_KERNELS_POOL_WINDOWS
namespace linnet {
namespace {

// Windows with the same taps, `channels` elements from src[i src_step + taps[t]] on each, to dst[i dst_step].
struct PoolWindows {
  const size_t* taps;
  size_t count;
  size_t windows, channels;
  size_t src_step, dst_step;
  float divisor = 1.0f;
};

}  // namespace
}  // namespace linnet
#endif

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/pool/pool.cpp"
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

template <bool kMax>
HWY_INLINE Vector join(Vector sum, Vector x) {
  return kMax ? hn::Max(x, sum) : hn::Add(sum, x);
}

// Taps that are added up by themselves: the rounding of a global average would grow with its number of taps otherwise.
constexpr size_t kRun = 128;

template <bool kMax, class Load>
HWY_INLINE Vector column(const size_t* taps, size_t count, Vector start, Load load) {
  Vector sum = start;
  for (size_t run = 0; run < count; run += kRun) {
    Vector part = start;
    for (size_t t = run; t < std::min(run + kRun, count); ++t) part = join<kMax>(part, load(taps[t]));
    sum = join<kMax>(sum, part);
  }
  return sum;
}

template <bool kMax>
HWY_INLINE void window(const float* src, const size_t* taps, size_t count, size_t channels, float divisor, float* dst) {
  const Floats d;
  const Vector start = kMax ? hn::Set(d, -std::numeric_limits<float>::infinity()) : hn::Zero(d);
  const Vector by = hn::Set(d, divisor);
  size_t c = 0;
  for (; c + 4 * kLanes <= channels; c += 4 * kLanes) {
    Vector s0 = start, s1 = start, s2 = start, s3 = start;
    for (size_t run = 0; run < count; run += kRun) {
      Vector r0 = start, r1 = start, r2 = start, r3 = start;
      for (size_t t = run; t < std::min(run + kRun, count); ++t) {
        const float* x = src + taps[t] + c;
        r0 = join<kMax>(r0, hn::LoadU(d, x));
        r1 = join<kMax>(r1, hn::LoadU(d, x + kLanes));
        r2 = join<kMax>(r2, hn::LoadU(d, x + 2 * kLanes));
        r3 = join<kMax>(r3, hn::LoadU(d, x + 3 * kLanes));
      }
      s0 = join<kMax>(s0, r0);
      s1 = join<kMax>(s1, r1);
      s2 = join<kMax>(s2, r2);
      s3 = join<kMax>(s3, r3);
    }
    hn::StoreU(kMax ? s0 : hn::Div(s0, by), d, dst + c);
    hn::StoreU(kMax ? s1 : hn::Div(s1, by), d, dst + c + kLanes);
    hn::StoreU(kMax ? s2 : hn::Div(s2, by), d, dst + c + 2 * kLanes);
    hn::StoreU(kMax ? s3 : hn::Div(s3, by), d, dst + c + 3 * kLanes);
  }
  for (; c + kLanes <= channels; c += kLanes) {
    const Vector sum =
        column<kMax>(taps, count, start, [&](size_t tap) HWY_ATTR { return hn::LoadU(d, src + tap + c); });
    hn::StoreU(kMax ? sum : hn::Div(sum, by), d, dst + c);
  }
  if (c < channels) {
    const Part<Floats> rest{channels - c};
    const Vector sum = column<kMax>(taps, count, start, [&](size_t tap) HWY_ATTR { return rest.load(src + tap + c); });
    rest.store(kMax ? sum : hn::Div(sum, by), dst + c);
  }
}

template <bool kMax>
void windows_of(const PoolWindows& w, const float* src, float* dst) {
  for (size_t i = 0; i < w.windows; ++i)
    window<kMax>(src + i * w.src_step, w.taps, w.count, w.channels, w.divisor, dst + i * w.dst_step);
}
void windows_simd(bool max, const PoolWindows& w, const float* src, float* dst) {
  max ? windows_of<true>(w, src, dst) : windows_of<false>(w, src, dst);
}

}  // namespace
}  // namespace linnet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/dispatch.h"

namespace linnet {
namespace {

void windows_reference(bool max, const PoolWindows& w, const float* src, float* dst) {
  for (size_t i = 0; i < w.windows; ++i)
    for (size_t c = 0; c < w.channels; ++c) {
      float greatest = -std::numeric_limits<float>::infinity();
      double sum = 0;
      for (size_t t = 0; t < w.count; ++t) {
        const float x = src[i * w.src_step + w.taps[t] + c];
        greatest = x > greatest ? x : greatest;
        sum += static_cast<double>(x);
      }
      dst[i * w.dst_step + c] = max ? greatest : static_cast<float>(sum / static_cast<double>(w.divisor));
    }
}

// With few positions (a global pool has one) threads share out the channels as well.
constexpr size_t kChannelChunk = 256;
// Elements of a row of positions that are one item of work.
constexpr size_t kRowChunk = 2048;

// The positions of the last axis whose window has all of its taps inside the input, and of its end's padding none.
struct Interior {
  size_t first = 0, last = 0;

  explicit Interior(const PoolGeometry& g) noexcept {
    constexpr size_t kAxis = kSpatialAxes - 1;
    const ptrdiff_t stride = static_cast<ptrdiff_t>(g.stride[kAxis]);
    const ptrdiff_t before = std::max<ptrdiff_t>(g.pad_begin[kAxis], 0);
    const ptrdiff_t room = static_cast<ptrdiff_t>(g.src[kAxis]) + std::min<ptrdiff_t>(g.pad_end[kAxis], 0) +
                           g.pad_begin[kAxis] - static_cast<ptrdiff_t>((g.kernel[kAxis] - 1) * g.dilation[kAxis]) - 1;
    if (room < 0) return;
    first = static_cast<size_t>((before + stride - 1) / stride);
    last = std::min(g.dst[kAxis], static_cast<size_t>(room / stride) + 1);
  }
};

}  // namespace

size_t pool_scratch_size(const PoolGeometry& g) noexcept {
  return round_up(positions_of(g.kernel) * sizeof(size_t), 64);
}

void pool_channels_last(const PoolGeometry& g, const float* src, float* dst, std::byte* scratch,
                        const Parallel& parallel) noexcept {
  const auto pool_windows = LINNET_DISPATCH(windows_simd, windows_reference);
  const bool max = g.kind == PoolKind::max;
  const size_t image = positions_of(g.src) * g.channels;
  const size_t chunks = ceil_div(g.channels, kChannelChunk), chunk = std::min(g.channels, kChannelChunk);
  const size_t part = std::min(g.dst[2], std::max<size_t>(kRowChunk / std::max<size_t>(chunk, 1), 1));
  const size_t parts = part == 0 ? 0 : ceil_div(g.dst[2], part);
  const Interior interior(g);
  const double part_ns = static_cast<double>(part * (positions_of(g.kernel) * chunk + 100)) / 20.0 + 20.0;
  const auto body = [&](size_t begin, size_t end, size_t worker) {
    size_t* taps = reinterpret_cast<size_t*>(scratch + worker * pool_scratch_size(g));
    for (size_t item = begin; item < end; ++item) {
      if (parallel.stopped()) return;
      const size_t channel = item % chunks * kChannelChunk;
      const size_t from = item / chunks % parts * part, to = std::min(from + part, g.dst[2]);
      const size_t row = item / chunks / parts;  // over all images
      const size_t p1 = row % g.dst[1], p0 = row / g.dst[1] % g.dst[0], n = row / g.dst[1] / g.dst[0];
      PoolSpan spans[kSpatialAxes] = {pool_span(g, 0, p0), pool_span(g, 1, p1), {}};
      const size_t channels = std::min(kChannelChunk, g.channels - channel);
      for (size_t p = from, run; p < to; p += run) {
        spans[2] = pool_span(g, 2, p);
        run = p >= interior.first && p < interior.last ? std::min(to, interior.last) - p : 1;
        const size_t steps[kSpatialAxes] = {g.dilation[0] * g.src[1] * g.src[2] * g.channels,
                                            g.dilation[1] * g.src[2] * g.channels, g.dilation[2] * g.channels};
        size_t count = 0;
        for (size_t a = spans[0].first; a < spans[0].last; ++a)
          for (size_t b = spans[1].first; b < spans[1].last; ++b)
            for (size_t c = spans[2].first; c < spans[2].last; ++c)
              taps[count++] =
                  (a - spans[0].first) * steps[0] + (b - spans[1].first) * steps[1] + (c - spans[2].first) * steps[2];
        const float* first = src;
        if (count != 0) {
          const auto at = [&](size_t axis) {
            return static_cast<size_t>(spans[axis].start +
                                       static_cast<ptrdiff_t>(spans[axis].first * g.dilation[axis]));
          };
          first += n * image + ((at(0) * g.src[1] + at(1)) * g.src[2] + at(2)) * g.channels + channel;
        }
        PoolWindows w{taps, count, run, channels, g.stride[2] * g.channels, g.channels};
        w.divisor = static_cast<float>(pool_divisor(g, spans));
        pool_windows(max, w, first, dst + (row * g.dst[2] + p) * g.channels + channel);
      }
    }
  };
  parallel.for_range(g.batch * g.dst[0] * g.dst[1] * parts * chunks, grain_for(part_ns), body);
}

}  // namespace linnet
#endif
