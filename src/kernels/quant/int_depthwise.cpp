// The taps of 16 channels, two by two: their bytes alternate, and 16-bit products of neighbours are summed.
#include <algorithm>
#include <cstring>

#include "kernels/quant/int_block.h"
#include "kernels/quant/int_conv.h"
#include "kernels/quant/int_store.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/quant/int_depthwise.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/quant/byte_products-inl.h"
#include "kernels/quant/int_store-inl.h"

#ifndef LINNET_INT_DEPTHWISE_ONCE
#define LINNET_INT_DEPTHWISE_ONCE
namespace linnet {
namespace {
// All channels of some output positions that are neighbours in a row.
struct DepthwiseRun {
  const uint8_t* const* taps;  // [2 pairs]: of the first position
  size_t pairs;
  size_t count;
  size_t step;  // from the taps of a position to those of the next one, in bytes
  size_t channels;
  const int16_t* weights;          // [blocks of 16 channels][pairs][16][2]
  const PanelEpilogue* epilogues;  // [blocks]
  IntStore store;                  // but for what differs by block
  std::byte* c;
};
}  // namespace
}  // namespace linnet
#endif

HWY_BEFORE_NAMESPACE();
namespace linnet::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using Wide = hn::CappedTag<int16_t, 16>;  // products of 16-bit lanes, at most 8 channels at once
using Sums = hn::Repartition<int32_t, Wide>;

// The same 16 sums in vectors as store_sums takes them.
template <class V, size_t kVectors>
HWY_INLINE void widen(const V (&sums)[kVectors], SumVector (&row)[kSumVectors]) {
  if constexpr (kVectors == kSumVectors) {
#pragma GCC unroll 4
    for (size_t v = 0; v < kVectors; ++v) row[v] = sums[v];
  } else {
    row[0] = hn::Combine(Ints(), sums[1], sums[0]);
  }
}

// 16 neighbours, or as many as there are.
template <bool kFull, class T>
HWY_INLINE hn::Vec<hn::FixedTag<T, 16>> channels_at(const T* src, size_t columns) {
  const hn::FixedTag<T, 16> d;
  if constexpr (kFull) return hn::LoadU(d, src);
  if (columns == kIntPanel / 2) {
    const hn::Half<decltype(d)> half;
    return hn::ZeroExtendVector(d, hn::LoadU(half, src));
  }
  HWY_ALIGN T some[kIntPanel] = {};
  memcpy(some, src, columns);
  return hn::Load(d, some);
}

template <bool kVnni>
HWY_INLINE hn::Vec<Sums> add_pairs(hn::Vec<Sums> sum, hn::Vec<Wide> a, hn::Vec<Wide> b) {
#if HWY_TARGET == HWY_AVX3
  if constexpr (kVnni) return add_short_products(sum, a, b);
#endif
  return hn::Add(sum, madd_shorts(a, b));
}

template <class T, IntOutput kKind, bool kVnni, bool kFull>
void depthwise_block(const DepthwiseRun& run, size_t block) {
  const Wide d16;
  const Sums d;
  const hn::FixedTag<T, 16> d8;
  const hn::Rebind<T, Wide> d_part;
  constexpr size_t kLanes = hn::MaxLanes(d), kVectors = kIntPanel / kLanes;
  constexpr size_t kWidth = kKind == IntOutput::i32 || kKind == IntOutput::f32 ? 4 : 1;
  const size_t first = block * kIntPanel, columns = kFull ? kIntPanel : run.channels - first;
  const PanelEpilogue& epilogue = run.epilogues[block];
  const IntStore store{kKind, run.store.zero, columns, &epilogue};
  std::byte* c = run.c + first * kWidth;
  for (size_t i = 0; i < run.count; ++i, c += run.channels * kWidth) {
    const size_t at = first + i * run.step;
    const int16_t* weights = run.weights + block * run.pairs * 2 * kIntPanel;
    hn::Vec<Sums> total[kVectors];
#pragma GCC unroll 4
    for (size_t v = 0; v < kVectors; ++v) total[v] = hn::Load(d, epilogue.add + v * kLanes);
    for (size_t pair = 0; pair < run.pairs; ++pair, weights += 2 * kIntPanel) {
      const auto x = channels_at<kFull>(reinterpret_cast<const T*>(run.taps[2 * pair]) + at, columns),
                 y = channels_at<kFull>(reinterpret_cast<const T*>(run.taps[2 * pair + 1]) + at, columns);
      const auto low = hn::InterleaveLower(d8, x, y), high = hn::InterleaveUpper(d8, x, y);
      const auto part = [&](size_t v) HWY_ATTR {
        if constexpr (kVectors == 2) {
          return hn::PromoteTo(d16, v == 0 ? low : high);
        } else {
          const auto half = v < 2 ? low : high;
          return hn::PromoteTo(d16, v % 2 == 0 ? hn::LowerHalf(d_part, half) : hn::UpperHalf(d_part, half));
        }
      };
#pragma GCC unroll 4
      for (size_t v = 0; v < kVectors; ++v)
        total[v] = add_pairs<kVnni>(total[v], part(v), hn::Load(d16, weights + 2 * kLanes * v));
    }
    SumVector row[kSumVectors];
    widen(total, row);
    store_sums<kKind>(store, row, c);
  }
}

template <class T, IntOutput kKind, bool kVnni>
void depthwise_run_of(const DepthwiseRun& run) {
  const size_t full = run.channels / kIntPanel;
  for (size_t block = 0; block < full; ++block) depthwise_block<T, kKind, kVnni, true>(run, block);
  if (run.channels % kIntPanel != 0) depthwise_block<T, kKind, kVnni, false>(run, full);
}

template <class T, bool kVnni = false>
void depthwise_run_to(const DepthwiseRun& run) {
  switch (run.store.kind) {
    case IntOutput::i32: return depthwise_run_of<T, IntOutput::i32, kVnni>(run);
    case IntOutput::f32: return depthwise_run_of<T, IntOutput::f32, kVnni>(run);
    case IntOutput::u8: return depthwise_run_of<T, IntOutput::u8, kVnni>(run);
    case IntOutput::s8: return depthwise_run_of<T, IntOutput::s8, kVnni>(run);
  }
}

void depthwise_run_u8(const DepthwiseRun& run) { depthwise_run_to<uint8_t>(run); }
void depthwise_run_s8(const DepthwiseRun& run) { depthwise_run_to<int8_t>(run); }
#if HWY_TARGET == HWY_AVX3
void depthwise_run_u8_vnni(const DepthwiseRun& run) { depthwise_run_to<uint8_t, true>(run); }
void depthwise_run_s8_vnni(const DepthwiseRun& run) { depthwise_run_to<int8_t, true>(run); }
#endif

}  // namespace
}  // namespace linnet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/dispatch.h"

namespace linnet {
namespace {

template <class T>
void depthwise_run_reference(const DepthwiseRun& run) {
  for (size_t i = 0; i < run.count; ++i)
    for (size_t block = 0; block * kIntPanel < run.channels; ++block) {
      const size_t first = block * kIntPanel, columns = std::min(kIntPanel, run.channels - first);
      int32_t sums[kIntPanel] = {};
      for (size_t t = 0; t < 2 * run.pairs; ++t)
        for (size_t c = 0; c < columns; ++c) {
          const int32_t product = reinterpret_cast<const T*>(run.taps[t])[first + i * run.step + c] *
                                  run.weights[((block * run.pairs + t / 2) * kIntPanel + c) * 2 + t % 2];
          sums[c] = static_cast<int32_t>(static_cast<uint32_t>(sums[c]) + static_cast<uint32_t>(product));
        }
      IntStore store = run.store;
      store.columns = columns;
      store.epilogue = run.epilogues + block;
      store_sums_reference(store, sums, 0, run.c + (i * run.channels + first) * element_bytes(store.kind));
    }
}

// A run has so many positions at most: as far as zeros stand in for a row outside the image.
constexpr size_t kMostPositions = 16;

size_t channel_blocks(const IntConv& c) noexcept { return ceil_div(c.channels, kIntPanel); }
size_t tap_pairs(const IntConv& c) noexcept { return ceil_div<size_t>(c.taps(), 2); }

// Packed: sums of the channels' weights, then the weights.
size_t sums_bytes(const IntConv& c) noexcept { return channel_blocks(c) * kIntPanel * sizeof(int32_t); }

size_t zeros_bytes(const IntConv& c) noexcept {
  return ((std::min(kMostPositions, c.dst[2]) - 1) * c.stride[2] + 1) * c.channels;
}

struct Workspace {
  size_t zeros, workers, worker, bytes;  // the epilogues stand in front

  Workspace(const IntConv& c, size_t threads) noexcept {
    zeros = channel_blocks(c) * sizeof(PanelEpilogue);
    workers = zeros + round_up(zeros_bytes(c), 64);
    worker = round_up(2 * 2 * tap_pairs(c) * sizeof(const uint8_t*), 64);
    bytes = workers + threads * worker;
  }
};

}  // namespace

size_t int_depthwise_packed_size(const IntConv& c) noexcept {
  return sums_bytes(c) + channel_blocks(c) * tap_pairs(c) * 2 * kIntPanel * sizeof(int16_t);
}

void int_depthwise_pack(const IntConv& c, const void* weights, bool is_signed, const int32_t* zero,
                        bool zero_by_channel, std::byte* packed) noexcept {
  std::memset(packed, 0, int_depthwise_packed_size(c));
  auto* sums = reinterpret_cast<int32_t*>(packed);
  auto* to = reinterpret_cast<int16_t*>(packed + sums_bytes(c));
  const auto* from = static_cast<const uint8_t*>(weights);
  for (size_t channel = 0; channel < c.channels; ++channel)
    for (size_t t = 0; t < c.taps(); ++t) {
      const uint8_t code = *from++;
      const int32_t w =
          (is_signed ? static_cast<int8_t>(code) : code) - (zero ? zero[zero_by_channel ? channel : 0] : 0);
      to[((channel / kIntPanel * tap_pairs(c) + t / 2) * kIntPanel + channel % kIntPanel) * 2 + t % 2] =
          static_cast<int16_t>(w);
      sums[channel] += w;
    }
}

size_t int_depthwise_scratch_size(const IntConv& c, size_t threads) noexcept { return Workspace(c, threads).bytes; }

void int_depthwise(const IntConv& c, const void* src, const std::byte* packed, const IntGemm& like, std::byte* scratch,
                   const Parallel& parallel) noexcept {
  if (c.batch * positions_of(c.dst) * c.channels == 0) return;
  const Workspace workspace(c, parallel.threads());
  const auto* sums = reinterpret_cast<const int32_t*>(packed);
  auto* epilogues = reinterpret_cast<PanelEpilogue*>(scratch);
  IntGemm g = like;
  g.n = c.channels;
  for (size_t block = 0; block < channel_blocks(c); ++block) {
    const size_t column = block * kIntPanel, columns = std::min(kIntPanel, c.channels - column);
    epilogues[block] = panel_epilogue(g, nullptr, column, columns, 0);
    for (size_t i = 0; i < columns; ++i)
      epilogues[block].add[i] =
          static_cast<int32_t>(static_cast<uint32_t>(epilogues[block].add[i]) -
                               static_cast<uint32_t>(like.a_zero) * static_cast<uint32_t>(sums[column + i]));
  }
  auto* zeros = reinterpret_cast<uint8_t*>(scratch + workspace.zeros);
  std::memset(zeros, like.a_zero, zeros_bytes(c));

  const auto compute =
      like.a_signed ? LINNET_DISPATCH_VNNI(depthwise_run_s8, depthwise_run_s8_vnni, depthwise_run_reference<int8_t>)
                    : LINNET_DISPATCH_VNNI(depthwise_run_u8, depthwise_run_u8_vnni, depthwise_run_reference<uint8_t>);
  const size_t pairs = tap_pairs(c), taps = c.taps(), width = element_bytes(like.output);
  const size_t step = c.stride[2] * c.channels;
  // Positions from `inner` to `inner_end` have all taps of a row inside the image, or none.
  const auto position_of = [&](ptrdiff_t column) {  // the first whose first tap is not before it
    return std::clamp<ptrdiff_t>(
        ceil_div(std::max<ptrdiff_t>(column + c.pad[2], 0), static_cast<ptrdiff_t>(c.stride[2])), 0,
        static_cast<ptrdiff_t>(c.dst[2]));
  };
  const auto reach = static_cast<ptrdiff_t>((c.kernel[2] - 1) * c.dilation[2]);
  const auto inner = static_cast<size_t>(position_of(0));
  const size_t inner_end = std::max(inner, static_cast<size_t>(position_of(static_cast<ptrdiff_t>(c.src[2]) - reach)));
  const double row_ns = static_cast<double>(c.dst[2] * channel_blocks(c)) * (4.0 + static_cast<double>(taps) * 0.5);
  parallel.for_range(c.batch * c.dst[0] * c.dst[1], grain_for(row_ns), [&](size_t begin, size_t end, size_t worker) {
    auto* at = reinterpret_cast<const uint8_t**>(scratch + workspace.workers + worker * workspace.worker);
    const uint8_t** line = at + 2 * pairs;  // each tap's row of the image, or null
    std::fill_n(at, 2 * pairs, zeros);
    for (size_t item = begin; item < end; ++item) {
      if (parallel.stopped()) return;
      const size_t y = item % c.dst[1], z = item / c.dst[1] % c.dst[0], n = item / c.dst[1] / c.dst[0];
      for (size_t t = 0; t < taps; ++t) {
        const ptrdiff_t i0 = static_cast<ptrdiff_t>(z * c.stride[0] + t / c.kernel[2] / c.kernel[1] * c.dilation[0]) -
                             c.pad[0],
                        i1 = static_cast<ptrdiff_t>(y * c.stride[1] + t / c.kernel[2] % c.kernel[1] * c.dilation[1]) -
                             c.pad[1];
        const bool inside =
            i0 >= 0 && i1 >= 0 && i0 < static_cast<ptrdiff_t>(c.src[0]) && i1 < static_cast<ptrdiff_t>(c.src[1]);
        line[t] = inside ? static_cast<const uint8_t*>(src) +
                               ((n * c.src[0] + static_cast<size_t>(i0)) * c.src[1] + static_cast<size_t>(i1)) *
                                   c.src[2] * c.channels
                         : nullptr;
      }
      for (size_t x = 0, count = 1; x < c.dst[2]; x += count) {
        count = x < inner || x >= inner_end ? 1 : std::min(kMostPositions, inner_end - x);
        const ptrdiff_t start = static_cast<ptrdiff_t>(x * c.stride[2]) - c.pad[2];
        for (size_t t = 0, t2 = 0; t < taps; ++t, t2 = t2 + 1 == c.kernel[2] ? 0 : t2 + 1) {
          const ptrdiff_t i2 = start + static_cast<ptrdiff_t>(t2 * c.dilation[2]);
          at[t] = line[t] && i2 >= 0 && i2 < static_cast<ptrdiff_t>(c.src[2])
                      ? line[t] + static_cast<size_t>(i2) * c.channels
                      : zeros;
        }
        compute({at,
                 pairs,
                 count,
                 step,
                 c.channels,
                 reinterpret_cast<const int16_t*>(packed + sums_bytes(c)),
                 epilogues,
                 {like.output, like.c_zero, 0, nullptr},
                 static_cast<std::byte*>(like.c) + (item * c.dst[2] + x) * c.channels * width});
      }
    }
  });
}

}  // namespace linnet
#endif
