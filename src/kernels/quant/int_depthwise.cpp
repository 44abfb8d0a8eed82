// Depthwise, 16 channels at a time. A row of the image is spread first: each position's codes and those of its
// neighbour alternate as 16-bit numbers, so that one instruction multiplies two taps and adds the products. The rows of
// outputs that meet the same row of the image find it spread already.
#include <algorithm>
#include <cstring>
#include <numeric>

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

constexpr size_t kSpread = 2 * kIntPanel;  // numbers of a position: [16][2]

// Positions first, first + step, ... of a row of the image, spread.
struct SpreadRow {
  const uint8_t* src = nullptr;  // the row's first position, or null for a row outside
  size_t width = 0;              // of the image; what is outside has the code `zero`
  size_t channels = 0;           // of the image: from a position to the next one
  ptrdiff_t first = 0;
  size_t step = 1, neighbour = 1, count = 0;
  size_t columns = 0;  // channels that are spread, 16 at most
  uint8_t zero = 0;
  int16_t* dst = nullptr;  // [count][16][2]
};

// 16 channels of a row of outputs.
struct DepthwiseRow {
  const int16_t* const* rows;  // [row_count]: spread rows, from the first output's first tap
  size_t row_count, pairs;     // pairs of taps in each
  size_t stride, pair_step;    // from an output to the next one, and from a pair: numbers
  size_t count;                // outputs
  const int16_t* weights;      // [row_count][pairs][16][2]
  IntStore store;
  std::byte* c;
  size_t c_stride;  // bytes
};

}  // namespace
}  // namespace linnet
#endif

HWY_BEFORE_NAMESPACE();
namespace linnet::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// [16][2] of two positions' codes.
template <class V8>
HWY_INLINE void store_spread(V8 x, V8 y, int16_t* dst) {
  const hn::DFromV<V8> d8;
  if constexpr (kSumVectors == 1) {
    const Ints d;
    const auto even = hn::PromoteTo(d, x), odd = hn::ShiftLeft<16>(hn::PromoteTo(d, y));
    return hn::Store(hn::Or(hwy::IsSigned<hn::TFromV<V8>>() ? hn::And(even, hn::Set(d, 0xffff)) : even, odd), d,
                     reinterpret_cast<int32_t*>(dst));
  }
  const hn::CappedTag<int16_t, 16> d16;
  const auto low = hn::InterleaveLower(d8, x, y), high = hn::InterleaveUpper(d8, x, y);
  if constexpr (hn::MaxLanes(d16) == 16) {
    hn::Store(hn::PromoteTo(d16, low), d16, dst);
    hn::Store(hn::PromoteTo(d16, high), d16, dst + 16);
  } else {
    const hn::Half<decltype(d8)> half;
    hn::Store(hn::PromoteTo(d16, hn::LowerHalf(half, low)), d16, dst);
    hn::Store(hn::PromoteTo(d16, hn::UpperHalf(half, low)), d16, dst + 8);
    hn::Store(hn::PromoteTo(d16, hn::LowerHalf(half, high)), d16, dst + 16);
    hn::Store(hn::PromoteTo(d16, hn::UpperHalf(half, high)), d16, dst + 24);
  }
}

template <class T>
void spread_row_of(const SpreadRow& row) {
  const hn::FixedTag<T, 16> d8;
  using Codes = hn::Vec<decltype(d8)>;
  const Codes zero = hn::Set(d8, static_cast<T>(row.zero));
  const T* const src = reinterpret_cast<const T*>(row.src);
  const auto at = [&](ptrdiff_t position) HWY_ATTR -> Codes {
    if (!src || position < 0 || position >= static_cast<ptrdiff_t>(row.width)) return zero;
    const T* codes = src + static_cast<size_t>(position) * row.channels;
    if (row.columns == kIntPanel) return hn::LoadU(d8, codes);
    HWY_ALIGN T some[kIntPanel] = {};
    memcpy(some, codes, row.columns);
    return hn::Load(d8, some);
  };
  const auto step = static_cast<ptrdiff_t>(row.step), neighbour = static_cast<ptrdiff_t>(row.neighbour),
             width = static_cast<ptrdiff_t>(row.width);
  ptrdiff_t position = row.first;
  size_t i = 0;
  while (i < row.count) {
    if (src && position >= 0 && position + neighbour < width && row.columns == kIntPanel) {
      // As long as both are inside.
      const size_t end = HWY_MIN(row.count, i + static_cast<size_t>((width - neighbour - 1 - position) / step) + 1);
      const T* codes = src + static_cast<size_t>(position) * row.channels;
      const size_t next = row.step * row.channels, other = row.neighbour * row.channels;
      position += static_cast<ptrdiff_t>(end - i) * step;
      for (; i < end; ++i, codes += next)
        store_spread(hn::LoadU(d8, codes), hn::LoadU(d8, codes + other), row.dst + i * kSpread);
      continue;
    }
    store_spread(at(position), at(position + neighbour), row.dst + i * kSpread);
    position += step;
    ++i;
  }
}

void spread_row_u8(const SpreadRow& row) { spread_row_of<uint8_t>(row); }
void spread_row_s8(const SpreadRow& row) { spread_row_of<int8_t>(row); }

using Taps = hn::Vec<Shorts>;
constexpr size_t kTapLanes = hn::MaxLanes(Shorts());

HWY_INLINE void start(const DepthwiseRow& row, SumVector (&sums)[kSumVectors]) {
#pragma GCC unroll 4
  for (size_t v = 0; v < kSumVectors; ++v)
    sums[v] = hn::Load(Ints(), row.store.epilogue->add + v * hn::MaxLanes(Ints()));
}

// In vectors of 64 bytes; in those of 32 it would be no faster.
constexpr bool kVnni = HWY_TARGET == HWY_AVX3;

// sums += a0 b0 + a1 b1 in each lane.
HWY_INLINE void add_taps(SumVector& sums, Taps a, Taps b) {
#if HWY_TARGET == HWY_AVX3
  add_short_products(sums, a, b);
#else
  sums = hn::Add(sums, madd_shorts(a, b));
#endif
}

// Outputs that are summed together: they share the weights, and none waits for its own sums.
constexpr size_t kTogether = kSumVectors == 4 ? 2 : 4;

// Of outputs from i on; behind the last one, it again.
HWY_NOINLINE void sum_taps(const DepthwiseRow& row, size_t i, SumVector (&to)[kTogether][kSumVectors]) {
  SumVector sums[kTogether][kSumVectors];
  size_t offset[kTogether];
#pragma GCC unroll 4
  for (size_t j = 0; j < kTogether; ++j) {
    start(row, sums[j]);
    offset[j] = HWY_MIN(i + j, row.count - 1) * row.stride;
  }
  const int16_t* weights = row.weights;
  for (size_t r = 0; r < row.row_count; ++r) {
    const int16_t* taps = row.rows[r];
    for (size_t p = 0; p < row.pairs; ++p, taps += row.pair_step, weights += kSpread)
#pragma GCC unroll 4
      for (size_t v = 0; v < kSumVectors; ++v) {
        const Taps w = hn::Load(Shorts(), weights + v * kTapLanes);
#pragma GCC unroll 4
        for (size_t j = 0; j < kTogether; ++j)
          add_taps(sums[j][v], w, hn::Load(Shorts(), taps + offset[j] + v * kTapLanes));
      }
  }
#pragma GCC unroll 4
  for (size_t j = 0; j < kTogether; ++j)
#pragma GCC unroll 4
    for (size_t v = 0; v < kSumVectors; ++v) to[j][v] = sums[j][v];
}

template <Stored kStored>
void depthwise_row_of(const DepthwiseRow& row) {
  for (size_t i = 0; i < row.count; i += kTogether) {
    SumVector sums[kTogether][kSumVectors];
    sum_taps(row, i, sums);
    for (size_t j = 0; j < HWY_MIN(kTogether, row.count - i); ++j)
      store_sums<kStored>(row.store, sums[j], row.c + (i + j) * row.c_stride);
  }
}

// A kernel of 3 x 3: its weights stay in registers.
template <Stored kStored>
void depthwise_3x3_of(const DepthwiseRow& row) {
  Taps weights[6][kSumVectors];
#pragma GCC unroll 6
  for (size_t w = 0; w < 6; ++w)
#pragma GCC unroll 4
    for (size_t v = 0; v < kSumVectors; ++v)
      weights[w][v] = hn::Load(Shorts(), row.weights + w * kSpread + v * kTapLanes);
  const int16_t *r0 = row.rows[0], *r1 = row.rows[1], *r2 = row.rows[2];
  const size_t stride = row.stride, pair_step = row.pair_step, count = row.count, c_stride = row.c_stride;
  const IntStore store = row.store;
  std::byte* c = row.c;
  const auto next = [&](SumVector(&sums)[kSumVectors]) HWY_ATTR {
    start(row, sums);
#pragma GCC unroll 4
    for (size_t v = 0; v < kSumVectors; ++v) {
      const size_t at = v * kTapLanes;
      const int16_t* const taps[] = {r0, r0 + pair_step, r1, r1 + pair_step, r2, r2 + pair_step};
      SumVector more = hn::Zero(Ints());  // VNNI's sums wait long for each other
#pragma GCC unroll 6
      for (size_t w = 0; w < 6; ++w)
        add_taps(kVnni && w % 2 != 0 ? more : sums[v], weights[w][v], hn::Load(Shorts(), taps[w] + at));
      if constexpr (kVnni) sums[v] = hn::Add(sums[v], more);
    }
    r0 += stride, r1 += stride, r2 += stride;
  };
  size_t i = 0;
  if constexpr (kSumVectors == 1) {
    for (; i + 4 <= count; i += 4, c += 4 * c_stride) {
      SumVector sums[4][kSumVectors];
#pragma GCC unroll 4
      for (size_t j = 0; j < 4; ++j) next(sums[j]);
      store_rows<kStored>(store, sums, c, c_stride);
    }
  }
  for (; i < count; ++i, c += c_stride) {
    SumVector sums[1][kSumVectors];
    next(sums[0]);
    store_rows<kStored>(store, sums, c, c_stride);
  }
}

template <Stored kStored>
void depthwise_row_to(const DepthwiseRow& row) {
  if (row.row_count == 3 && row.pairs == 2) return depthwise_3x3_of<kStored>(row);
  depthwise_row_of<kStored>(row);
}

void depthwise_row_simd(const DepthwiseRow& row) {
  switch (row.store.kind) {
    case IntOutput::i32: return depthwise_row_to<Stored::integers>(row);
    case IntOutput::f32: return depthwise_row_to<Stored::floats>(row);
    case IntOutput::u8:
    case IntOutput::s8: return depthwise_row_to<Stored::codes>(row);
  }
}

}  // namespace
}  // namespace linnet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/dispatch.h"

namespace linnet {
namespace {

template <class T>
void spread_row_reference(const SpreadRow& row) {
  for (size_t i = 0; i < row.count; ++i)
    for (size_t c = 0; c < kIntPanel; ++c)
      for (size_t tap = 0; tap < 2; ++tap) {
        const ptrdiff_t position = row.first + static_cast<ptrdiff_t>(i * row.step + tap * row.neighbour);
        T code = static_cast<T>(row.zero);
        if (row.src && position >= 0 && position < static_cast<ptrdiff_t>(row.width))
          code = c < row.columns ? static_cast<T>(row.src[static_cast<size_t>(position) * row.channels + c]) : T{};
        row.dst[i * kSpread + 2 * c + tap] = code;
      }
}

void depthwise_row_reference(const DepthwiseRow& row) {
  for (size_t i = 0; i < row.count; ++i) {
    int32_t sums[kIntPanel] = {};
    for (size_t r = 0; r < row.row_count; ++r)
      for (size_t p = 0; p < row.pairs; ++p)
        for (size_t c = 0; c < kSpread; ++c) {
          const int32_t product =
              row.rows[r][i * row.stride + p * row.pair_step + c] * row.weights[(r * row.pairs + p) * kSpread + c];
          sums[c / 2] = static_cast<int32_t>(static_cast<uint32_t>(sums[c / 2]) + static_cast<uint32_t>(product));
        }
    store_sums_reference(row.store, sums, 0, row.c + i * row.c_stride);
  }
}

size_t channel_blocks(const IntConv& c) noexcept { return ceil_div(c.channels, kIntPanel); }
size_t kernel_rows(const IntConv& c) noexcept { return c.kernel[0] * c.kernel[1]; }
size_t row_pairs(const IntConv& c) noexcept { return ceil_div<size_t>(c.kernel[2], 2); }
size_t block_weights(const IntConv& c) noexcept { return kernel_rows(c) * row_pairs(c) * kSpread; }

// Packed: sums of the channels' weights, then the weights.
size_t sums_bytes(const IntConv& c) noexcept { return channel_blocks(c) * kIntPanel * sizeof(int32_t); }

// A worker computes tiles of so many outputs at most.
constexpr size_t kTileRows = 16, kTileColumns = 128;

// Which rows are spread at once, and which positions of each.
struct Places {
  // Rows of the image have their places by their numbers modulo `span`, in each plane of the kernel; where taps lie far
  // apart, by their tap. The last place is for rows outside.
  bool by_number;
  size_t span;
  // All positions that taps meet, `step` apart; where they are few among those between, the outputs' for each pair.
  bool by_pair;
  size_t step, stride, pair_step, positions;  // strides: in positions

  explicit Places(const IntConv& c) noexcept {
    constexpr size_t kNear = 4;
    by_number = c.dilation[1] <= kNear;
    span = by_number ? (c.kernel[1] - 1) * c.dilation[1] + 1 : c.kernel[1];
    by_pair = c.stride[2] > kNear || c.dilation[2] > kNear;
    step = by_pair ? c.stride[2] : std::gcd(c.stride[2], 2 * c.dilation[2]);
    stride = c.stride[2] / step;
    const size_t outputs = std::min(kTileColumns, c.dst[2]);
    pair_step = by_pair ? outputs : 2 * c.dilation[2] / step;
    positions = (outputs - 1) * stride + (row_pairs(c) - 1) * pair_step + 1;
  }
  size_t count(const IntConv& c) const noexcept { return c.kernel[0] * span + 1; }
  size_t numbers() const noexcept { return positions * kSpread; }
};

struct Workspace {
  size_t rows, held, workers, worker, bytes;  // the epilogues stand in front

  Workspace(const IntConv& c, const Places& places, size_t threads) noexcept {
    rows = places.count(c) * places.numbers() * sizeof(int16_t);
    held = rows + kernel_rows(c) * sizeof(const int16_t*);
    worker = round_up(held + places.count(c) * sizeof(ptrdiff_t), 64);
    workers = channel_blocks(c) * sizeof(PanelEpilogue);
    bytes = workers + threads * worker;
  }
};

}  // namespace

size_t int_depthwise_packed_size(const IntConv& c) noexcept {
  return sums_bytes(c) + channel_blocks(c) * block_weights(c) * sizeof(int16_t);
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
      const size_t row = t / c.kernel[2], tap = t % c.kernel[2];
      to[channel / kIntPanel * block_weights(c) + (row * row_pairs(c) + tap / 2) * kSpread + channel % kIntPanel * 2 +
         tap % 2] = static_cast<int16_t>(w);
      sums[channel] += w;
    }
}

size_t int_depthwise_scratch_size(const IntConv& c, size_t threads) noexcept {
  if (positions_of(c.dst) == 0) return 0;
  return Workspace(c, Places(c), threads).bytes;
}

void int_depthwise(const IntConv& c, const void* src, const std::byte* packed, const IntGemm& like, std::byte* scratch,
                   const Parallel& parallel) noexcept {
  if (c.batch * positions_of(c.dst) * c.channels == 0) return;
  const Places places(c);
  const Workspace workspace(c, places, parallel.threads());
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

  const auto spread = like.a_signed ? LINNET_DISPATCH(spread_row_s8, spread_row_reference<int8_t>)
                                    : LINNET_DISPATCH(spread_row_u8, spread_row_reference<uint8_t>);
  const auto compute = LINNET_DISPATCH_VNNI(depthwise_row_simd, depthwise_row_simd, depthwise_row_reference);
  const size_t width = element_bytes(like.output), blocks = channel_blocks(c);
  const size_t bands = ceil_div(c.dst[1], kTileRows), tiles = ceil_div(c.dst[2], kTileColumns);
  const double tile_ns = static_cast<double>(std::min(c.dst[1], kTileRows) * std::min(c.dst[2], kTileColumns)) *
                         (4.0 + static_cast<double>(c.taps()) * 0.5);
  const size_t items = c.batch * c.dst[0] * bands * tiles * blocks;
  parallel.for_range(items, grain_for(tile_ns), [&](size_t begin, size_t end, size_t worker) {
    std::byte* own = scratch + workspace.workers + worker * workspace.worker;
    auto* spreads = reinterpret_cast<int16_t*>(own);
    auto** rows = reinterpret_cast<const int16_t**>(own + workspace.rows);
    auto* held = reinterpret_cast<ptrdiff_t*>(own + workspace.held);  // the row in each place, or -1
    int16_t* const outside = spreads + (places.count(c) - 1) * places.numbers();
    spread({.src = nullptr, .count = places.positions, .zero = static_cast<uint8_t>(like.a_zero), .dst = outside});
    for (size_t item = begin; item < end; ++item) {
      if (parallel.stopped()) return;
      const size_t block = item % blocks, tile = item / blocks % tiles, band = item / blocks / tiles % bands,
                   z = item / blocks / tiles / bands % c.dst[0], n = item / blocks / tiles / bands / c.dst[0];
      const size_t x = tile * kTileColumns, count = std::min(kTileColumns, c.dst[2] - x), first = block * kIntPanel;
      SpreadRow row;
      row.width = c.src[2];
      row.channels = c.channels;
      row.step = places.step;
      row.neighbour = c.dilation[2];
      row.columns = std::min(kIntPanel, c.channels - first);
      row.zero = static_cast<uint8_t>(like.a_zero);
      const auto spread_all = [&](const uint8_t* from, int16_t* to) {
        row.src = from;
        row.dst = to;
        row.first = static_cast<ptrdiff_t>(x * c.stride[2]) - c.pad[2];
        if (!places.by_pair) {
          row.count = (count - 1) * places.stride + (row_pairs(c) - 1) * places.pair_step + 1;
          return spread(row);
        }
        row.count = count;
        for (size_t p = 0; p < row_pairs(c); ++p) {
          spread(row);
          row.first += static_cast<ptrdiff_t>(2 * c.dilation[2]);
          row.dst += places.pair_step * kSpread;
        }
      };
      std::fill_n(held, places.count(c), ptrdiff_t{-1});
      const size_t y_end = std::min(c.dst[1], (band + 1) * kTileRows);
      for (size_t y = band * kTileRows; y < y_end; ++y) {
        for (size_t r = 0; r < kernel_rows(c); ++r) {
          const size_t t0 = r / c.kernel[1], t1 = r % c.kernel[1];
          const ptrdiff_t i0 = static_cast<ptrdiff_t>(z * c.stride[0] + t0 * c.dilation[0]) - c.pad[0],
                          i1 = static_cast<ptrdiff_t>(y * c.stride[1] + t1 * c.dilation[1]) - c.pad[1];
          if (i0 < 0 || i1 < 0 || i0 >= static_cast<ptrdiff_t>(c.src[0]) || i1 >= static_cast<ptrdiff_t>(c.src[1])) {
            rows[r] = outside;
            continue;
          }
          const size_t place = t0 * places.span + (places.by_number ? static_cast<size_t>(i1) % places.span : t1);
          int16_t* const to = spreads + place * places.numbers();
          rows[r] = to;
          if (held[place] == i1) continue;
          held[place] = i1;
          spread_all(static_cast<const uint8_t*>(src) +
                         ((n * c.src[0] + static_cast<size_t>(i0)) * c.src[1] + static_cast<size_t>(i1)) * c.src[2] *
                             c.channels +
                         first,
                     to);
        }
        const size_t position = ((n * c.dst[0] + z) * c.dst[1] + y) * c.dst[2] + x;
        compute({rows,
                 kernel_rows(c),
                 row_pairs(c),
                 places.stride * kSpread,
                 places.pair_step * kSpread,
                 count,
                 reinterpret_cast<const int16_t*>(packed + sums_bytes(c)) + block * block_weights(c),
                 {like.output, like.c_zero, row.columns, epilogues + block},
                 static_cast<std::byte*>(like.c) + (position * c.channels + first) * width,
                 c.channels * width});
      }
    }
  });
}

}  // namespace linnet
#endif
