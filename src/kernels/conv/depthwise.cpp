#include "kernels/conv/depthwise.h"

#include <algorithm>

#include "base/checked.h"
#include "kernels/conv/depthwise_tile.h"

namespace linnet {
namespace {

constexpr size_t kAlignment = 64;
// Rows of a band, swept downwards: an input row then serves all output rows that it reaches while it is in L1.
constexpr size_t kBandRows = 8;
// Filters of an item: a few rows and ten columns of them stay in the nearest caches.
constexpr size_t kMostFilters = 256;

// How a phase is cut into items.
struct Plan {
  size_t columns = 8;
  bool shared = false;  // neighbouring columns read the same entries: step 1 between taps, advance 1 or 2
  size_t band = 1;      // output rows of an item
  size_t block = 1;     // filters of an item

  Plan(const ConvGeometry& g, const ConvPhase& phase) noexcept {
    const auto& [a0, a1, a2] = phase.axis;
    const bool alone = g.filters == g.groups;
    // Eight columns, unless four leave much less unused.
    const bool wide = ceil_div(a2.count, size_t{8}) * 8 * 4 <= ceil_div(a2.count, size_t{4}) * 4 * 5;
    columns = wide ? kDepthwiseColumns : 4;
    shared = alone && a2.delta_step == 1 && a2.advance <= 2;
    band = a1.delta_step == 1 && a1.advance <= 2 ? std::min(kBandRows, a1.count) : 1;
    block = round_up(ceil_div(g.filters, ceil_div(g.filters, kMostFilters)), kConvPanel);
  }
};

// The length of the next piece of `left` taps: fives and threes as long as they last.
size_t piece_length(size_t left) noexcept {
  if (left >= 8 || left == 5) return 5;
  return left >= 3 ? 3 : 1;
}

// How many of `count` entries, `step` pixels apart from pixel `start` on, lie before pixel `end`.
uint32_t entries_before(ptrdiff_t end, ptrdiff_t start, size_t step, size_t count) noexcept {
  if (start >= end) return 0;
  return static_cast<uint32_t>(std::min(count, ceil_div(static_cast<size_t>(end - start), step)));
}

// The pieces of any input row for the columns from `column` on, with weights counted from the row's; returns how many.
size_t row_pieces(const ConvGeometry& g, const ConvAxisPhase& axis, const Plan& plan, const float* weights,
                  size_t tap_size, size_t column, DepthwisePiece* to) noexcept {
  const size_t step = plan.shared ? 1 : axis.advance;
  size_t pieces = 0;
  for (size_t tap = 0; tap < axis.taps; ++pieces) {
    const size_t length = plan.shared ? piece_length(axis.taps - tap) : 1;
    const size_t entries = plan.shared ? (plan.columns - 1) * axis.advance + length : plan.columns;
    const ptrdiff_t start = axis.source(column, tap);
    to[pieces] = {nullptr,
                  start * static_cast<ptrdiff_t>(g.channels),
                  entries_before(0, start, step, entries),
                  entries_before(static_cast<ptrdiff_t>(g.src[2]), start, step, entries),
                  weights + tap * tap_size,
                  length};
    tap += length;
  }
  return pieces;
}

}  // namespace

size_t depthwise_scratch_size(const ConvGeometry& g) noexcept {
  return round_up((g.kernel[2] + positions_of(g.kernel)) * sizeof(DepthwisePiece), kAlignment);
}

void depthwise_conv(const ConvGeometry& g, const ConvPhase& phase, const float* src, const float* packed,
                    const ConvEpilogue& epilogue, float* dst, std::byte* scratch, const Parallel& parallel) noexcept {
  const size_t channels = g.channels, filters = g.filters;
  const auto& [a0, a1, a2] = phase.axis;
  const Plan plan(g, phase);
  const size_t tiles = ceil_div(a2.count, plan.columns);
  const size_t bands = ceil_div(a1.count, plan.band);
  const size_t blocks = ceil_div(filters, plan.block);
  const size_t group = channels / g.groups;
  const size_t weight_step = round_up(filters, kConvPanel);
  const size_t worker_size = depthwise_scratch_size(g);
  const double item_ns =
      static_cast<double>(plan.band * plan.columns * phase.taps() * plan.block * group) / 20.0 + 100.0;

  parallel.for_range(
      g.batch * a0.count * bands * tiles * blocks, grain_for(item_ns), [&](size_t begin, size_t end, size_t worker) {
        DepthwisePiece* const of_row = reinterpret_cast<DepthwisePiece*>(scratch + worker * worker_size);
        DepthwisePiece* const pieces = of_row + g.kernel[2];
        DepthwiseTile tile{};
        tile.pieces = pieces;
        tile.columns = plan.columns;
        tile.advance = plan.shared ? a2.advance : 1;
        tile.entry_step = plan.shared ? channels : a2.advance * channels;
        tile.weight_step = weight_step;
        tile.group = group;
        tile.multiplier = group == 1 ? filters / channels : 1;
        tile.dst_step = a2.step * filters;
        tile.row_step = a1.advance * g.src[2] * channels;
        tile.dst_row_step = a1.step * g.dst[2] * filters;
        tile.bias = epilogue.bias;
        tile.activation = epilogue.activation;
        for (size_t item = begin; item < end; ++item) {
          if (item % 16 == 0 && parallel.stopped()) return;
          const size_t window = item / blocks;
          const size_t column = window % tiles * plan.columns;
          const size_t first_row = window / tiles % bands * plan.band;
          const size_t last_row = std::min(a1.count, first_row + plan.band);
          const size_t o0 = window / tiles / bands % a0.count;
          const size_t n = window / tiles / bands / a0.count;
          tile.stored = std::min(plan.columns, a2.count - column);
          tile.first = item % blocks * plan.block;
          tile.last = std::min(filters, tile.first + plan.block);
          const size_t count = row_pieces(g, a2, plan, packed, group * weight_step, column, of_row);
          for (size_t o1 = first_row; o1 < last_row; o1 += tile.rows) {
            // Rows whose taps all lie inside the image have the same pieces.
            tile.rows = 0;
            while (o1 + tile.rows < last_row && a1.interior(o1 + tile.rows, g.src[1])) ++tile.rows;
            tile.rows = std::max<size_t>(1, tile.rows);
            tile.piece_count = 0;
            size_t weights = 0;
            for (size_t t0 = 0; t0 < a0.taps; ++t0) {
              const ptrdiff_t i0 = a0.source(o0, t0);
              for (size_t t1 = 0; t1 < a1.taps; ++t1, weights += a2.taps * group * weight_step) {
                const ptrdiff_t i1 = a1.source(o1, t1);
                if (!is_inside(i0, g.src[0]) || !is_inside(i1, g.src[1])) continue;
                const size_t row = (n * g.src[0] + static_cast<size_t>(i0)) * g.src[1] + static_cast<size_t>(i1);
                for (size_t i = 0; i < count; ++i) {
                  DepthwisePiece& piece = pieces[tile.piece_count++] = of_row[i];
                  piece.row = src + row * g.src[2] * channels;
                  piece.weights += weights;
                }
              }
            }
            const size_t position =
                ((n * g.dst[0] + a0.first + o0 * a0.step) * g.dst[1] + a1.first + o1 * a1.step) * g.dst[2] + a2.first +
                column * a2.step;
            tile.dst = dst + position * filters;
            tile.residual = epilogue.residual ? epilogue.residual + position * filters : nullptr;
            depthwise_tile(tile);
          }
        }
      });
}

}  // namespace linnet
