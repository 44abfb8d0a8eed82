#include "kernels/conv/depthwise.h"

#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "kernels/conv/tile.h"

namespace linnet {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kMostPointers = (kDepthwiseColumns - 1) * 2 + kDepthwisePiece;

struct Workspace {
  const float** pointers;  // [taps][kMostPointers]
  DepthwisePiece* pieces;  // [taps]
  float* zeros;            // [channels]

  size_t place(std::byte* base, size_t taps, size_t channels) noexcept {
    pointers = reinterpret_cast<const float**>(base);
    size_t at = round_up(taps * kMostPointers * sizeof(float*), kAlignment);
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

// The columns of a tile: eight, unless fours leave much less unused.
size_t tile_columns(size_t count) noexcept {
  return ceil_div(count, size_t{8}) * 8 * 4 <= ceil_div(count, size_t{4}) * 4 * 5 ? 8 : 4;
}

}  // namespace

size_t depthwise_scratch_size(const ConvGeometry& g) noexcept {
  std::byte base[1];
  Workspace workspace{};
  return workspace.place(base, positions_of(g.kernel), g.channels);
}

void depthwise_conv(const ConvGeometry& g, const ConvPhase& phase, const float* src, const float* packed,
                    const ConvEpilogue& epilogue, float* dst, std::byte* scratch, const Parallel& parallel) noexcept {
  const size_t channels = g.channels;
  const auto& [a0, a1, a2] = phase.axis;
  const size_t group = channels / g.groups;
  const size_t columns = group > 1 ? 4 : tile_columns(a2.count);
  const size_t tiles = ceil_div(a2.count, columns);
  const size_t weight_step = round_up(channels, 16);
  const bool shared = group == 1 && a2.delta_step == 1 && a2.advance <= 2;
  const size_t worker_size = conv_scratch_size(g);
  const double item_ns = static_cast<double>(columns * phase.taps() * channels * group) / 20.0 + 50.0;

  parallel.for_range(g.batch * a0.count * a1.count * tiles, grain_for(item_ns), [&](size_t begin, size_t end,
                                                                                  size_t worker) {
    Workspace workspace{};
    workspace.place(scratch + worker * worker_size, positions_of(g.kernel), channels);
    std::memset(workspace.zeros, 0, channels * sizeof(float));
    for (size_t item = begin; item < end; ++item) {
      if (item % 64 == 0 && parallel.stopped()) return;
      const size_t column = item % tiles * columns;
      const size_t o1 = item / tiles % a1.count;
      const size_t o0 = item / tiles / a1.count % a0.count;
      const size_t n = item / tiles / a1.count / a0.count;

      const float** pointers = workspace.pointers;
      size_t pieces = 0;
      for (size_t t0 = 0; t0 < a0.taps; ++t0) {
        const ptrdiff_t i0 = static_cast<ptrdiff_t>(o0 * a0.advance) + a0.delta + static_cast<ptrdiff_t>(t0) * a0.delta_step;
        if (i0 < 0 || i0 >= static_cast<ptrdiff_t>(g.src[0])) continue;
        for (size_t t1 = 0; t1 < a1.taps; ++t1) {
          const ptrdiff_t i1 = static_cast<ptrdiff_t>(o1 * a1.advance) + a1.delta + static_cast<ptrdiff_t>(t1) * a1.delta_step;
          if (i1 < 0 || i1 >= static_cast<ptrdiff_t>(g.src[1])) continue;
          const float* row = src + ((n * g.src[0] + static_cast<size_t>(i0)) * g.src[1] + static_cast<size_t>(i1)) *
                                       g.src[2] * channels;
          const ptrdiff_t size = static_cast<ptrdiff_t>(g.src[2]);
          for (size_t t2 = 0; t2 < a2.taps;) {
            const size_t length = shared ? piece_length(a2.taps - t2) : 1;
            const size_t entries = shared ? (columns - 1) * a2.advance + length : columns;
            const ptrdiff_t step = shared ? 1 : static_cast<ptrdiff_t>(a2.advance);
            ptrdiff_t i2 = static_cast<ptrdiff_t>(column * a2.advance) + a2.delta + static_cast<ptrdiff_t>(t2) * a2.delta_step;
            for (size_t j = 0; j < entries; ++j, i2 += step)
              pointers[j] = i2 >= 0 && i2 < size ? row + static_cast<size_t>(i2) * channels : workspace.zeros;
            workspace.pieces[pieces++] = {
                pointers, packed + ((t0 * a1.taps + t1) * a2.taps + t2) * group * weight_step, length};
            pointers += entries;
            t2 += length;
          }
        }
      }

      const size_t position = ((n * g.dst[0] + a0.first + o0 * a0.step) * g.dst[1] + a1.first + o1 * a1.step) * g.dst[2] +
                              a2.first + column * a2.step;
      DepthwiseTile tile{};
      tile.pieces = workspace.pieces;
      tile.piece_count = pieces;
      tile.columns = columns;
      tile.stored = std::min(columns, a2.count - column);
      tile.advance = shared ? a2.advance : 1;
      tile.weight_step = weight_step;
      tile.group = group;
      tile.channels = channels;
      tile.dst_step = a2.step * channels;
      tile.dst = dst + position * channels;
      tile.bias = epilogue.bias;
      tile.residual = epilogue.residual ? epilogue.residual + position * channels : nullptr;
      tile.activation = epilogue.activation;
      depthwise_tile(tile);
    }
  });
}

}  // namespace linnet
