#include "kernels/conv/pointwise.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "base/checked.h"
#include "kernels/conv/conv_phase.h"
#include "kernels/conv/planes_tile.h"

namespace linnet {
namespace {

constexpr size_t kMostChannels = 64;
// Positions of a call: they and their results stay in L1 while a panel passes over them.
constexpr size_t kBlock = 96;

}  // namespace

bool conv_is_pointwise(const ConvGeometry& g, const ConvEpilogue& epilogue) noexcept {
  constexpr SpatialSizes ones{1, 1, 1};
  return g.kernel == ones && g.stride == ones && g.groups == 1 && g.channels <= kMostChannels && !g.src_planes &&
         !g.transposed && g.src == g.dst && !conv_is_narrow(g) && !epilogue.residual &&
         g.pad == std::array<ptrdiff_t, kSpatialAxes>{};
}

void pointwise_conv(const ConvGeometry& g, const float* src, const float* packed, const ConvEpilogue& epilogue,
                    float* dst, const Parallel& parallel) noexcept {
  const size_t positions = g.batch * positions_of(g.dst);
  // As many for each thread; where the cuts fall changes no sum.
  const size_t blocks = std::min(round_up(ceil_div(positions, kBlock), parallel.threads()), positions);
  if (blocks == 0) return;
  std::array<size_t, kMostChannels> offsets;
  std::iota(offsets.begin(), offsets.end(), size_t{0});
  const double item_ns =
      static_cast<double>(positions) / static_cast<double>(blocks) * static_cast<double>(g.channels * g.filters) / 40.0;
  parallel.for_range(blocks, grain_for(item_ns), [&](size_t begin, size_t end, size_t) {
    for (size_t block = begin; block < end; ++block) {
      if (parallel.stopped()) return;
      const size_t first = part_begin(positions, blocks, block);
      PlanesTile tile{};
      tile.src = src + first * g.channels;
      tile.offsets = offsets.data();
      tile.depth = g.channels;
      tile.rows = 1;
      tile.columns = part_begin(positions, blocks, block + 1) - first;
      tile.column_step = g.channels;
      tile.weights = packed;
      tile.filters = g.filters;
      tile.dst = dst + first * g.filters;
      tile.bias = epilogue.bias;
      tile.activation = epilogue.activation;
      planes_tile(tile);
    }
  });
}

}  // namespace linnet
