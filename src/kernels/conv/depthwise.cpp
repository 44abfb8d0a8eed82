#include "kernels/conv/depthwise.h"

#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "kernels/conv/tile.h"

namespace linnet {
namespace {

constexpr size_t kAlignment = 64;
// Rows of a band, swept downwards: an input row then serves all output rows that it reaches while it is in L1.
constexpr size_t kBandRows = 8;
// Channels of an item: a window of a few rows and ten columns of them fits into L1.
constexpr size_t kBlockChannels = 64;

// How a phase is cut into items, and how its pointers are kept.
struct Plan {
  size_t group = 1;
  size_t columns = 8;
  bool shared = false;  // neighbouring columns read the same pointers: step 1 between taps, advance 1 or 2
  size_t band = 1;      // output rows of an item
  size_t rows = 1;      // input rows of a band, in one plane
  size_t entries = 0;   // pointers for a row
  size_t planes = 1;

  Plan(const ConvGeometry& g, const ConvPhase& phase) noexcept {
    const auto& [a0, a1, a2] = phase.axis;
    group = g.channels / g.groups;
    // Eight columns, unless four leave much less unused.
    const bool wide = ceil_div(a2.count, size_t{8}) * 8 * 4 <= ceil_div(a2.count, size_t{4}) * 4 * 5;
    columns = group == 1 && wide ? kDepthwiseColumns : 4;
    shared = group == 1 && a2.delta_step == 1 && a2.advance <= 2;
    band = a1.delta_step == 1 && a1.advance <= 2 ? std::min(kBandRows, a1.count) : 1;
    rows = (band - 1) * a1.advance + a1.taps;
    entries = shared ? (columns - 1) * a2.advance + a2.taps : columns * a2.taps;
    planes = a0.taps;
  }
};

struct Workspace {
  const float** pointers;  // [planes][rows][entries]; a row's first is null when it lies outside
  DepthwisePiece* pieces;  // [taps]
  float* zeros;            // [channels]

  size_t place(std::byte* base, size_t entries, size_t taps, size_t channels) noexcept {
    pointers = reinterpret_cast<const float**>(base);
    size_t at = round_up(entries * sizeof(float*), kAlignment);
    pieces = reinterpret_cast<DepthwisePiece*>(base + at);
    at += round_up(taps * sizeof(DepthwisePiece), kAlignment);
    zeros = reinterpret_cast<float*>(base + at);
    return at + round_up(channels * sizeof(float), kAlignment);
  }
};

// The length of the next piece of `left` taps: fives and threes as long as they last.
size_t piece_length(size_t left) noexcept {
  if (left >= 8 || left == 5) return 5;
  return left >= 3 ? 3 : 1;
}

// The most that any phase needs.
size_t most_entries(const ConvGeometry& g) noexcept {
  const size_t rows = (kBandRows - 1) * 2 + g.kernel[1];
  return g.kernel[0] * rows * std::max((kDepthwiseColumns - 1) * 2 + g.kernel[2], kDepthwiseColumns * g.kernel[2]);
}

ptrdiff_t source(const ConvAxisPhase& axis, size_t position, size_t tap) noexcept {
  return static_cast<ptrdiff_t>(position * axis.advance) + axis.delta + static_cast<ptrdiff_t>(tap) * axis.delta_step;
}
bool inside(ptrdiff_t i, size_t size) noexcept { return i >= 0 && i < static_cast<ptrdiff_t>(size); }

// The pointers of one input row for the columns from `column` on.
void fill_row(const Plan& plan, const ConvAxisPhase& axis, const float* row, size_t size, size_t channels,
              size_t column, const float* zeros, const float** to) noexcept {
  if (plan.shared) {
    const ptrdiff_t first = source(axis, column, 0);
    const ptrdiff_t last = first + static_cast<ptrdiff_t>(plan.entries) - 1;
    if (inside(first, size) && inside(last, size)) {
      const float* x = row + static_cast<size_t>(first) * channels;
      for (size_t j = 0; j < plan.entries; ++j, x += channels) to[j] = x;
      return;
    }
    for (size_t j = 0; j < plan.entries; ++j) {
      const ptrdiff_t i = first + static_cast<ptrdiff_t>(j);
      to[j] = inside(i, size) ? row + static_cast<size_t>(i) * channels : zeros;
    }
    return;
  }
  for (size_t tap = 0; tap < axis.taps; ++tap)
    for (size_t p = 0; p < plan.columns; ++p) {
      const ptrdiff_t i = source(axis, column + p, tap);
      *to++ = inside(i, size) ? row + static_cast<size_t>(i) * channels : zeros;
    }
}

}  // namespace

size_t depthwise_scratch_size(const ConvGeometry& g) noexcept {
  std::byte base[1];
  Workspace workspace{};
  return workspace.place(base, most_entries(g), positions_of(g.kernel), g.channels);
}

void depthwise_conv(const ConvGeometry& g, const ConvPhase& phase, const float* src, const float* packed,
                    const ConvEpilogue& epilogue, float* dst, std::byte* scratch, const Parallel& parallel) noexcept {
  const size_t channels = g.channels;
  const auto& [a0, a1, a2] = phase.axis;
  const Plan plan(g, phase);
  const size_t tiles = ceil_div(a2.count, plan.columns);
  const size_t bands = ceil_div(a1.count, plan.band);
  const size_t blocks = ceil_div(channels, kBlockChannels);
  const size_t weight_step = round_up(channels, 16);
  const size_t worker_size = depthwise_scratch_size(g);
  const double item_ns =
      static_cast<double>(plan.band * plan.columns * phase.taps() * std::min(channels, kBlockChannels) * plan.group) /
          20.0 +
      100.0;

  parallel.for_range(
      g.batch * a0.count * bands * tiles * blocks, grain_for(item_ns), [&](size_t begin, size_t end, size_t worker) {
        Workspace workspace{};
        workspace.place(scratch + worker * worker_size, most_entries(g), positions_of(g.kernel), channels);
        std::memset(workspace.zeros, 0, channels * sizeof(float));
        size_t filled = SIZE_MAX;  // which window the pointers are for
        for (size_t item = begin; item < end; ++item) {
          if (item % 16 == 0 && parallel.stopped()) return;
          const size_t window = item / blocks;
          const size_t column = window % tiles * plan.columns;
          const size_t first_row = window / tiles % bands * plan.band;
          const size_t last_row = std::min(a1.count, first_row + plan.band);
          const size_t o0 = window / tiles / bands % a0.count;
          const size_t n = window / tiles / bands / a0.count;

          if (filled != window) {
            const float** to = workspace.pointers;
            for (size_t t0 = 0; t0 < plan.planes; ++t0) {
              const ptrdiff_t i0 = source(a0, o0, t0);
              for (size_t r = 0; r < plan.rows; ++r, to += plan.entries) {
                // In a band, rows follow each other; alone, they are those of the taps.
                const ptrdiff_t i1 = source(a1, first_row, 0) + static_cast<ptrdiff_t>(r) * a1.delta_step;
                if (!inside(i0, g.src[0]) || !inside(i1, g.src[1])) {
                  *to = nullptr;
                  continue;
                }
                const float* row =
                    src + ((n * g.src[0] + static_cast<size_t>(i0)) * g.src[1] + static_cast<size_t>(i1)) * g.src[2] *
                              channels;
                fill_row(plan, a2, row, g.src[2], channels, column, workspace.zeros, to);
              }
            }
            filled = window;
          }

          DepthwiseTile tile{};
          tile.pieces = workspace.pieces;
          tile.columns = plan.columns;
          tile.stored = std::min(plan.columns, a2.count - column);
          tile.advance = plan.shared ? a2.advance : 1;
          tile.weight_step = weight_step;
          tile.group = plan.group;
          tile.first = item % blocks * kBlockChannels;
          tile.last = std::min(channels, tile.first + kBlockChannels);
          tile.dst_step = a2.step * channels;
          tile.bias = epilogue.bias;
          tile.activation = epilogue.activation;
          for (size_t o1 = first_row; o1 < last_row; ++o1) {
            tile.piece_count = 0;
            for (size_t t0 = 0; t0 < a0.taps; ++t0)
              for (size_t t1 = 0; t1 < a1.taps; ++t1) {
                const float* const* row =
                    workspace.pointers + (t0 * plan.rows + (o1 - first_row) * a1.advance + t1) * plan.entries;
                if (*row == nullptr) continue;
                const float* weights = packed + (t0 * a1.taps + t1) * a2.taps * plan.group * weight_step;
                for (size_t t2 = 0; t2 < a2.taps;) {
                  const size_t length = plan.shared ? piece_length(a2.taps - t2) : 1;
                  workspace.pieces[tile.piece_count++] = {row + (plan.shared ? t2 : t2 * plan.columns),
                                                          weights + t2 * plan.group * weight_step, length};
                  t2 += length;
                }
              }
            const size_t position =
                ((n * g.dst[0] + a0.first + o0 * a0.step) * g.dst[1] + a1.first + o1 * a1.step) * g.dst[2] + a2.first +
                column * a2.step;
            tile.dst = dst + position * channels;
            tile.residual = epilogue.residual ? epilogue.residual + position * channels : nullptr;
            depthwise_tile(tile);
          }
        }
      });
}

}  // namespace linnet
