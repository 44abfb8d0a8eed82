#include "kernels/conv/depthwise_tile.h"

#include <algorithm>
#include <bit>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/conv/depthwise_tile.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/conv/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace linnet::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// Where a row begins, in floats from the first one.
struct Row {
  size_t src = 0, dst = 0;
};

HWY_INLINE const float* entry_of(const DepthwiseTile& t, const DepthwisePiece& piece, size_t at, size_t entry) {
  return piece.row + (piece.start + static_cast<ptrdiff_t>(at + entry * t.entry_step));
}

HWY_INLINE bool has_entry(const DepthwisePiece& piece, size_t entry) {
  return entry >= piece.first && entry < piece.last;
}

constexpr size_t entries_of(size_t columns, size_t advance, size_t taps) { return (columns - 1) * advance + taps; }

// A vector of channels; Part has the first of one.
struct AllChannels {
  HWY_INLINE Vector load(const float* src) const { return hn::LoadU(Floats(), src); }
  HWY_INLINE void store(Vector v, float* dst) const { hn::StoreU(v, Floats(), dst); }
};

template <size_t kTaps, size_t kColumns, size_t kAdvance, bool kInside, class Channels>
HWY_INLINE void depthwise_piece(const DepthwiseTile& t, const DepthwisePiece& piece, size_t at, size_t c,
                                Channels channels, Vector (&sum)[kColumns][1]) {
  const Floats d;
  Vector w[kTaps];
  HWY_UNROLL(8)
  for (size_t k = 0; k < kTaps; ++k) w[k] = hn::LoadU(d, piece.weights + k * t.weight_step + c);
  const float* HWY_RESTRICT row = piece.row + at + c;
  const ptrdiff_t step = static_cast<ptrdiff_t>(t.entry_step);
  ptrdiff_t from = piece.start;
  constexpr size_t kEntries = (kColumns - 1) * kAdvance + kTaps;
  HWY_UNROLL(32)
  for (size_t j = 0; j < kEntries; ++j, from += step) {
    if (kInside || has_entry(piece, j)) {
      const Vector x = channels.load(row + from);
      HWY_UNROLL(8)
      for (size_t p = 0; p < kColumns; ++p)
        if (j >= p * kAdvance && j < p * kAdvance + kTaps) sum[p][0] = hn::MulAdd(x, w[j - p * kAdvance], sum[p][0]);
    }
  }
}

// One vector of channels of all columns. kTaps: of every piece, or 0 for any.
template <size_t kColumns, size_t kAdvance, size_t kTaps, bool kInside, class Channels>
HWY_INLINE void depthwise_vector(const DepthwiseTile& t, Row row, size_t c, Channels channels) {
  Vector sum[kColumns][1];
  const Vector start = t.bias ? channels.load(t.bias + c) : hn::Zero(Floats());
  HWY_UNROLL(8)
  for (size_t p = 0; p < kColumns; ++p) sum[p][0] = start;
  for (size_t i = 0; i < t.piece_count; ++i) {
    const DepthwisePiece& piece = t.pieces[i];
    if constexpr (kTaps != 0) {
      depthwise_piece<kTaps, kColumns, kAdvance, kInside>(t, piece, row.src, c, channels, sum);
    } else if (piece.taps == 3) {
      depthwise_piece<3, kColumns, kAdvance, kInside>(t, piece, row.src, c, channels, sum);
    } else if (piece.taps == 5) {
      depthwise_piece<5, kColumns, kAdvance, kInside>(t, piece, row.src, c, channels, sum);
    } else {
      depthwise_piece<1, kColumns, kAdvance, kInside>(t, piece, row.src, c, channels, sum);
    }
  }
  if (t.residual) {
    HWY_UNROLL(8)
    for (size_t p = 0; p < kColumns; ++p)
      if (p < t.stored) sum[p][0] = hn::Add(sum[p][0], channels.load(t.residual + row.dst + p * t.dst_step + c));
  }
  if (is_short(t.activation)) activate_short(t.activation, sum);
  float* HWY_RESTRICT dst = t.dst + row.dst + c;
  const size_t step = t.dst_step, stored = t.stored;
  HWY_UNROLL(8)
  for (size_t p = 0; p < kColumns; ++p)
    if (p < stored) channels.store(sum[p][0], dst + p * step);
}

// The channels that do not fill a vector.
#if HWY_TARGET <= HWY_AVX3
template <size_t kAdvance>
HWY_NOINLINE void depthwise_rest(const DepthwiseTile& t, Row row, size_t c) {
  // Fewer columns than the most are those whose entries the pieces have.
  depthwise_vector<kDepthwiseColumns, kAdvance, 0, false>(t, row, c, Part<Floats>{t.last - c});
}
#else
template <size_t>
HWY_NOINLINE void depthwise_rest(const DepthwiseTile& t, Row row, size_t c) {
  const Floats d;
  const size_t count = t.last - c;
  for (size_t p = 0; p < t.stored; ++p) {
    Vector x[1][1] = {{t.bias ? load_partial(d, t.bias + c, count) : hn::Zero(d)}};
    for (size_t i = 0; i < t.piece_count; ++i) {
      const DepthwisePiece& piece = t.pieces[i];
      for (size_t k = 0; k < piece.taps; ++k) {
        const size_t entry = p * t.advance + k;
        if (!has_entry(piece, entry)) continue;
        x[0][0] = hn::MulAdd(load_partial(d, entry_of(t, piece, row.src, entry) + c, count),
                             hn::LoadU(d, piece.weights + k * t.weight_step + c), x[0][0]);
      }
    }
    const size_t at = row.dst + p * t.dst_step + c;
    if (t.residual) x[0][0] = hn::Add(x[0][0], load_partial(d, t.residual + at, count));
    if (is_short(t.activation)) activate_short(t.activation, x);
    store_partial(x[0][0], d, t.dst + at, count);
  }
}
#endif

// A group's channels where there is no source.
alignas(64) constexpr float kZeros[8] = {};

// The sums of `count` channels from c on, of kColumns columns from `column` on, into dst.
template <size_t kColumns>
HWY_INLINE void finish_group(const DepthwiseTile& t, Row row, size_t c, size_t column, Vector (&sum)[kColumns][1]) {
  const size_t count = std::min(t.last - c, kLanes);
  if (is_short(t.activation) && !t.residual) activate_short(t.activation, sum);
  HWY_ALIGN float sums[kColumns][kLanes];  // the loop would keep `sum` itself in memory, all the time
  HWY_UNROLL(8)
  for (size_t p = 0; p < kColumns; ++p) hn::Store(sum[p][0], Floats(), sums[p]);
  for (size_t p = 0; p < kColumns && column + p < t.stored; ++p) {
    Vector y[1][1] = {{hn::Load(Floats(), sums[p])}};
    const size_t at = row.dst + (column + p) * t.dst_step + c;
    if (t.residual) {
      y[0][0] = hn::Add(y[0][0], load_some(t.residual + at, count));
      if (is_short(t.activation)) activate_short(t.activation, y);
    }
    store_some(y[0][0], t.dst + at, count);
  }
}

// Groups that fill a vector or more: its filters read each channel of the group in turn.
HWY_NOINLINE void wide_group_vector(const DepthwiseTile& t, Row row, size_t c) {
  constexpr size_t kColumns = kDepthwiseColumns;
  const Floats d;
  Vector sum[kColumns][1];
  const Vector start = t.bias ? load_some(t.bias + c, std::min(t.last - c, kLanes)) : hn::Zero(d);
  HWY_UNROLL(8)
  for (size_t p = 0; p < kColumns; ++p) sum[p][0] = start;
  for (size_t i = 0; i < t.piece_count; ++i) {
    const DepthwisePiece& piece = t.pieces[i];
    const float* HWY_RESTRICT w = piece.weights + c;
    const float* x[kColumns];
    HWY_UNROLL(8)
    for (size_t p = 0; p < kColumns; ++p)
      x[p] = has_entry(piece, p) ? entry_of(t, piece, row.src, p) + c / t.group * t.group : kZeros;
    for (size_t k = 0; k < t.group; ++k, w += t.weight_step) {
      const Vector weights = hn::LoadU(d, w);
      HWY_UNROLL(8)
      for (size_t p = 0; p < kColumns; ++p) sum[p][0] = hn::MulAdd(hn::Set(d, x[p][k]), weights, sum[p][0]);
    }
  }
  finish_group(t, row, c, 0, sum);
}

// Several groups to a vector: a filter's lane takes each channel of its group in turn, or its only one.
HWY_NOINLINE void narrow_group_vector(const DepthwiseTile& t, Row row, size_t c, size_t column) {
  constexpr size_t kColumns = 4;
  const Floats d;
  const hn::RebindToSigned<Floats> di;
  const size_t count = std::min(t.last - c, kLanes);
  const auto lane = hn::Iota(di, 0);
  const auto first = t.multiplier > 1 ? hn::ShiftRightSame(lane, std::countr_zero(t.multiplier))
                                      : hn::AndNot(hn::Set(di, static_cast<int32_t>(t.group - 1)), lane);
  const size_t from = c / t.multiplier, channels = (count + t.multiplier - 1) / t.multiplier;
  Vector sum[kColumns][1];
  const Vector start = t.bias ? load_some(t.bias + c, count) : hn::Zero(d);
  HWY_UNROLL(8)
  for (size_t p = 0; p < kColumns; ++p) sum[p][0] = start;
  for (size_t i = 0; i < t.piece_count; ++i) {
    const DepthwisePiece& piece = t.pieces[i];
    Vector x[kColumns];
    HWY_UNROLL(8)
    for (size_t p = 0; p < kColumns; ++p)
      x[p] = has_entry(piece, column + p) ? load_some(entry_of(t, piece, row.src, column + p) + from, channels)
                                          : hn::Zero(d);
    const auto add = [&](size_t k, auto channel) {
      const Vector weights = hn::LoadU(d, piece.weights + c + k * t.weight_step);
      HWY_UNROLL(8)
      for (size_t p = 0; p < kColumns; ++p) sum[p][0] = hn::MulAdd(channel(x[p]), weights, sum[p][0]);
    };
    if (t.group == 4) {  // the blocks that a vector is made of
      add(0, [](Vector v) { return hn::Broadcast<0>(v); });
      add(1, [](Vector v) { return hn::Broadcast<1>(v); });
      add(2, [](Vector v) { return hn::Broadcast<2>(v); });
      add(3, [](Vector v) { return hn::Broadcast<3>(v); });
    } else {
      for (size_t k = 0; k < t.group; ++k) {
        const auto lanes = hn::IndicesFromVec(d, hn::Add(first, hn::Set(di, static_cast<int32_t>(k))));
        add(k, [&](Vector v) { return hn::TableLookupLanes(v, lanes); });
      }
    }
  }
  finish_group(t, row, c, column, sum);
}

template <size_t kColumns, size_t kAdvance, size_t kTaps, bool kInside>
void depthwise_columns(const DepthwiseTile& t) {
  Row row;
  for (size_t r = 0; r < t.rows; ++r, row.src += t.row_step, row.dst += t.dst_row_step) {
    size_t c = t.first;
    for (; c + kLanes <= t.last; c += kLanes)
      depthwise_vector<kColumns, kAdvance, kTaps, kInside>(t, row, c, AllChannels());
    if (c < t.last) depthwise_rest<kAdvance>(t, row, c);
  }
}

template <size_t kColumns, size_t kAdvance>
void depthwise_taps(const DepthwiseTile& t) {
  bool threes = true, fives = true, inside = true;
  for (size_t i = 0; i < t.piece_count; ++i) {
    const DepthwisePiece& piece = t.pieces[i];
    threes &= piece.taps == 3;
    fives &= piece.taps == 5;
    inside &= piece.first == 0 && piece.last == entries_of(kColumns, kAdvance, piece.taps);
  }
  if (!inside) return depthwise_columns<kColumns, kAdvance, 0, false>(t);
  if constexpr (kLanes > 4) {  // SSE4 is not worth the code
    if (threes) return depthwise_columns<kColumns, kAdvance, 3, true>(t);
    if (fives) return depthwise_columns<kColumns, kAdvance, 5, true>(t);
  }
  depthwise_columns<kColumns, kAdvance, 0, true>(t);
}

void depthwise_tile_simd(const DepthwiseTile& t) {
  if (t.group > 1 || t.multiplier > 1) {
    Row row;
    for (size_t r = 0; r < t.rows; ++r, row.src += t.row_step, row.dst += t.dst_row_step)
      for (size_t c = t.first; c < t.last; c += kLanes) {
        if (t.group >= kLanes) {
          wide_group_vector(t, row, c);
        } else {
          for (size_t column = 0; column < t.stored; column += 4) narrow_group_vector(t, row, c, column);
        }
      }
  } else if (t.columns == kDepthwiseColumns) {
    t.advance == 1 ? depthwise_taps<kDepthwiseColumns, 1>(t) : depthwise_taps<kDepthwiseColumns, 2>(t);
  } else {
    t.advance == 1 ? depthwise_taps<4, 1>(t) : depthwise_taps<4, 2>(t);
  }
  if (t.activation.kind == Activation::none || is_short(t.activation)) return;
  for (size_t r = 0; r < t.rows; ++r)
    activate_block(t.activation, t.dst + r * t.dst_row_step + t.first, t.dst_step, t.stored, t.last - t.first);
}

}  // namespace
}  // namespace linnet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/dispatch.h"

namespace linnet {
namespace {

void depthwise_tile_reference(const DepthwiseTile& t) {
  for (size_t r = 0; r < t.rows; ++r)
    for (size_t p = 0; p < t.stored; ++p)
      for (size_t c = t.first; c < t.last; ++c) {
        float sum = t.bias ? t.bias[c] : 0.0f;
        for (size_t i = 0; i < t.piece_count; ++i) {
          const DepthwisePiece& piece = t.pieces[i];
          for (size_t k = 0; k < (t.group > 1 ? t.group : piece.taps); ++k) {
            const size_t entry = t.group > 1 ? p : p * t.advance + k;
            if (entry < piece.first || entry >= piece.last) continue;
            const float* src =
                piece.row + (piece.start + static_cast<ptrdiff_t>(r * t.row_step + entry * t.entry_step));
            sum +=
                src[t.group > 1 ? c / t.group * t.group + k : c / t.multiplier] * piece.weights[k * t.weight_step + c];
          }
        }
        const size_t at = r * t.dst_row_step + p * t.dst_step + c;
        if (t.residual) sum += t.residual[at];
        t.dst[at] = activate_reference(t.activation, sum);
      }
}

}  // namespace

void depthwise_tile(const DepthwiseTile& tile) noexcept {
  LINNET_DISPATCH(depthwise_tile_simd, depthwise_tile_reference)(tile);
}

}  // namespace linnet
#endif
