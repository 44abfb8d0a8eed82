#include "kernels/pool/pool.h"

#include <algorithm>
#include <limits>

#include "base/checked.h"
#include "kernels/pool/pool_window.h"

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
HWY_INLINE Vector column(const float* const* taps, size_t count, Vector start, Load load) {
  Vector sum = start;
  for (size_t run = 0; run < count; run += kRun) {
    Vector part = start;
    for (size_t t = run; t < std::min(run + kRun, count); ++t) part = join<kMax>(part, load(taps[t]));
    sum = join<kMax>(sum, part);
  }
  return sum;
}

template <bool kMax>
void window(const float* const* taps, size_t count, size_t channels, float divisor, float* dst) {
  const Floats d;
  const Vector start = kMax ? hn::Set(d, -std::numeric_limits<float>::infinity()) : hn::Zero(d);
  const Vector by = hn::Set(d, divisor);
  size_t c = 0;
  for (; c + 4 * kLanes <= channels; c += 4 * kLanes) {
    Vector s0 = start, s1 = start, s2 = start, s3 = start;
    for (size_t run = 0; run < count; run += kRun) {
      Vector r0 = start, r1 = start, r2 = start, r3 = start;
      for (size_t t = run; t < std::min(run + kRun, count); ++t) {
        const float* x = taps[t] + c;
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
        column<kMax>(taps, count, start, [&](const float* tap) HWY_ATTR { return hn::LoadU(d, tap + c); });
    hn::StoreU(kMax ? sum : hn::Div(sum, by), d, dst + c);
  }
  if (c < channels) {
    const auto rest = [&](const float* tap) HWY_ATTR { return load_partial(d, tap + c, channels - c); };
    const Vector sum = column<kMax>(taps, count, start, rest);
    store_partial(kMax ? sum : hn::Div(sum, by), d, dst + c, channels - c);
  }
}

void window_simd(bool max, const float* const* taps, size_t count, size_t channels, float divisor, float* dst) {
  max ? window<true>(taps, count, channels, divisor, dst) : window<false>(taps, count, channels, divisor, dst);
}

}  // namespace
}  // namespace linnet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/dispatch.h"

namespace linnet {
namespace {

void window_reference(bool max, const float* const* taps, size_t count, size_t channels, float divisor, float* dst) {
  for (size_t c = 0; c < channels; ++c) {
    float greatest = -std::numeric_limits<float>::infinity();
    double sum = 0;
    for (size_t t = 0; t < count; ++t) {
      greatest = taps[t][c] > greatest ? taps[t][c] : greatest;
      sum += static_cast<double>(taps[t][c]);
    }
    dst[c] = max ? greatest : static_cast<float>(sum / static_cast<double>(divisor));
  }
}

// With few positions (a global pool has one) threads share out the channels as well.
constexpr size_t kChannelChunk = 256;

}  // namespace

size_t pool_scratch_size(const PoolGeometry& g) noexcept {
  return round_up(positions_of(g.kernel) * sizeof(const float*), 64);
}

void pool_channels_last(const PoolGeometry& g, const float* src, float* dst, std::byte* scratch,
                        const Parallel& parallel) noexcept {
  const auto pool_window = LINNET_DISPATCH(window_simd, window_reference);
  const size_t positions = positions_of(g.dst);
  const size_t image = positions_of(g.src) * g.channels;
  const size_t chunks = ceil_div(g.channels, kChannelChunk);
  const double item_ns =
      static_cast<double>(positions_of(g.kernel) * std::min(g.channels, kChannelChunk)) / 20.0 + 20.0;
  parallel.for_range(g.batch * positions * chunks, grain_for(item_ns), [&](size_t begin, size_t end, size_t worker) {
    const float** taps = reinterpret_cast<const float**>(scratch + worker * pool_scratch_size(g));
    for (size_t item = begin; item < end; ++item) {
      if (item % 64 == 0 && parallel.stopped()) return;
      const size_t first = item % chunks * kChannelChunk;
      const size_t p = item / chunks % positions;
      const size_t n = item / chunks / positions;
      const PoolSpan spans[kSpatialAxes] = {pool_span(g, 0, p / g.dst[2] / g.dst[1]),
                                            pool_span(g, 1, p / g.dst[2] % g.dst[1]), pool_span(g, 2, p % g.dst[2])};
      const auto at = [&](size_t axis, size_t tap) {
        return static_cast<size_t>(spans[axis].start + static_cast<ptrdiff_t>(tap * g.dilation[axis]));
      };
      size_t count = 0;
      for (size_t a = spans[0].first; a < spans[0].last; ++a)
        for (size_t b = spans[1].first; b < spans[1].last; ++b) {
          const float* row = src + n * image + (at(0, a) * g.src[1] + at(1, b)) * g.src[2] * g.channels + first;
          for (size_t c = spans[2].first; c < spans[2].last; ++c) taps[count++] = row + at(2, c) * g.channels;
        }
      pool_window(g.kind == PoolKind::max, taps, count, std::min(kChannelChunk, g.channels - first),
                  static_cast<float>(pool_divisor(g, spans)), dst + (n * positions + p) * g.channels + first);
    }
  });
}

}  // namespace linnet
#endif
