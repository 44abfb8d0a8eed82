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
// All channels of one output position.
struct DepthwisePosition {
  const uint8_t* const* taps;  // [2 pairs]
  size_t pairs;
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

template <class T, IntOutput kKind>
void depthwise_position_of(const DepthwisePosition& p) {
  const Wide d16;
  const Sums d;
  const hn::FixedTag<T, 16> d8;
  const hn::Rebind<T, Wide> d_part;
  constexpr size_t kLanes = hn::MaxLanes(d), kVectors = kIntPanel / kLanes;
  HWY_ALIGN int32_t sums[kIntPanel];
  for (size_t block = 0; block * kIntPanel < p.channels; ++block) {
    const size_t first = block * kIntPanel, columns = HWY_MIN(kIntPanel, p.channels - first);
    const int16_t* weights = p.weights + block * p.pairs * 2 * kIntPanel;
    hn::Vec<Sums> total[kVectors];
    const PanelEpilogue& epilogue = p.epilogues[block];
#pragma GCC unroll 4
    for (size_t v = 0; v < kVectors; ++v) total[v] = hn::Load(d, epilogue.add + v * kLanes);
    for (size_t pair = 0; pair < p.pairs; ++pair, weights += 2 * kIntPanel) {
      HWY_ALIGN T bytes[2 * kIntPanel];
      const T* a = reinterpret_cast<const T*>(p.taps[2 * pair]) + first;
      const T* b = reinterpret_cast<const T*>(p.taps[2 * pair + 1]) + first;
      if (columns != kIntPanel) {  // no more than there is
        memcpy(bytes, a, columns);
        memcpy(bytes + kIntPanel, b, columns);
        a = bytes, b = bytes + kIntPanel;
      }
      const auto x = hn::LoadU(d8, a), y = hn::LoadU(d8, b);
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
        total[v] = hn::Add(total[v], madd_shorts(part(v), hn::Load(d16, weights + 2 * kLanes * v)));
    }
#pragma GCC unroll 4
    for (size_t v = 0; v < kVectors; ++v) hn::Store(total[v], d, sums + v * kLanes);
    SumVector row[kSumVectors];
#pragma GCC unroll 4
    for (size_t v = 0; v < kSumVectors; ++v) row[v] = hn::Load(Ints(), sums + v * hn::MaxLanes(Ints()));
    store_sums<kKind>({kKind, p.store.zero, columns, &epilogue}, row,
                      p.c + first * (kKind == IntOutput::u8 || kKind == IntOutput::s8 ? 1 : 4));
  }
}

template <class T>
void depthwise_positions(const DepthwisePosition& p) {
  switch (p.store.kind) {
    case IntOutput::i32: return depthwise_position_of<T, IntOutput::i32>(p);
    case IntOutput::f32: return depthwise_position_of<T, IntOutput::f32>(p);
    case IntOutput::u8: return depthwise_position_of<T, IntOutput::u8>(p);
    case IntOutput::s8: return depthwise_position_of<T, IntOutput::s8>(p);
  }
}

void depthwise_position_u8(const DepthwisePosition& p) { depthwise_positions<uint8_t>(p); }
void depthwise_position_s8(const DepthwisePosition& p) { depthwise_positions<int8_t>(p); }

}  // namespace
}  // namespace linnet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/dispatch.h"

namespace linnet {
namespace {

template <class T>
void depthwise_position_reference(const DepthwisePosition& p) {
  for (size_t block = 0; block * kIntPanel < p.channels; ++block) {
    const size_t first = block * kIntPanel, columns = std::min(kIntPanel, p.channels - first);
    int32_t sums[kIntPanel] = {};
    for (size_t t = 0; t < 2 * p.pairs; ++t)
      for (size_t c = 0; c < columns; ++c) {
        const int32_t product = reinterpret_cast<const T*>(p.taps[t])[first + c] *
                                p.weights[((block * p.pairs + t / 2) * kIntPanel + c) * 2 + t % 2];
        sums[c] = static_cast<int32_t>(static_cast<uint32_t>(sums[c]) + static_cast<uint32_t>(product));
      }
    IntStore store = p.store;
    store.columns = columns;
    store.epilogue = p.epilogues + block;
    store_sums_reference(store, sums, 0, p.c + first * element_bytes(store.kind));
  }
}

size_t channel_blocks(const IntConv& c) noexcept { return ceil_div(c.channels, kIntPanel); }
size_t tap_pairs(const IntConv& c) noexcept { return ceil_div<size_t>(c.taps(), 2); }

// Packed: sums of the channels' weights, then the weights.
size_t sums_bytes(const IntConv& c) noexcept { return channel_blocks(c) * kIntPanel * sizeof(int32_t); }

struct Workspace {
  size_t zeros, workers, worker, bytes;  // the epilogues stand in front

  Workspace(const IntConv& c, size_t threads) noexcept {
    zeros = channel_blocks(c) * sizeof(PanelEpilogue);
    workers = zeros + round_up(c.channels, 64);
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
  std::memset(zeros, like.a_zero, c.channels);

  const auto position = like.a_signed ? LINNET_DISPATCH(depthwise_position_s8, depthwise_position_reference<int8_t>)
                                      : LINNET_DISPATCH(depthwise_position_u8, depthwise_position_reference<uint8_t>);
  const size_t pairs = tap_pairs(c), taps = c.taps(), width = element_bytes(like.output);
  const double row_ns = static_cast<double>(c.dst[2] * channel_blocks(c)) * (10.0 + 2.0 * static_cast<double>(taps));
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
      for (size_t x = 0; x < c.dst[2]; ++x) {
        const ptrdiff_t start = static_cast<ptrdiff_t>(x * c.stride[2]) - c.pad[2];
        for (size_t t = 0, t2 = 0; t < taps; ++t, t2 = t2 + 1 == c.kernel[2] ? 0 : t2 + 1) {
          const ptrdiff_t i2 = start + static_cast<ptrdiff_t>(t2 * c.dilation[2]);
          at[t] = line[t] && i2 >= 0 && i2 < static_cast<ptrdiff_t>(c.src[2])
                      ? line[t] + static_cast<size_t>(i2) * c.channels
                      : zeros;
        }
        position({at,
                  pairs,
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
