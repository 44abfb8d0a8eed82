#include "kernels/conv/winograd.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/checked.h"
#include "kernels/conv/conv_phase.h"
#include "kernels/conv/tile.h"
#include "kernels/conv/winograd_tile.h"
#include "kernels/isa.h"

namespace linnet {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kTaps = 9;
constexpr size_t kSide = 4;  // of a square of the source; two of the results

// Floats of a block's transformed source, that a core's L2 holds beside the weights that stream by.
constexpr size_t kSourceFloats = 48 << 10;
constexpr size_t kMostSquares = 48;
// Floats of weights that are transformed together, and panels at least: the source is transformed again for each group.
constexpr size_t kWeightFloats = 1 << 20;
constexpr size_t kLeastPanels = 8;
// Panels of the products that are turned into results together.
constexpr size_t kChunkPanels = 4;
// Keeps the 16 points of a number from falling into one set of the cache.
constexpr size_t kSkew = 16;

struct Plan {
  size_t rows = 0, columns = 0;  // squares of an image
  size_t squares = 0;            // of all images
  size_t panels = 0;
  size_t groups = 1, group_panels = 0;  // panels whose weights are transformed together, at most
  size_t blocks = 0, block = 0;         // squares of a block, at most
  size_t source_step = 0, product_step = 0, weight_step = 0;

  Plan(const ConvGeometry& g, size_t threads) noexcept {
    rows = ceil_div(g.dst[1], size_t{2}), columns = ceil_div(g.dst[2], size_t{2});
    squares = g.batch * g.dst[0] * rows * columns;
    panels = ceil_div(g.filters, kConvPanel);
    const size_t wanted = std::max(kLeastPanels, kWeightFloats / (g.channels * kConvPanel * kWinogradPoints));
    groups = ceil_div(panels, wanted);
    group_panels = ceil_div(panels, groups);
    const size_t fitting = kSourceFloats / (g.channels * kWinogradPoints) / 6 * 6;
    block = std::clamp<size_t>(fitting, 6, kMostSquares);
    // Few blocks are made as many for each thread.
    blocks = ceil_div(squares, block);
    if (blocks < 8 * threads) blocks = std::min(round_up(blocks, threads), squares);
    source_step = block * g.channels + kSkew;
    product_step = block * kChunkPanels * kConvPanel + kSkew;
    weight_step = group_panels * g.channels * kConvPanel + kSkew;
  }
};

// A worker's scratch.
struct Workspace {
  float* source;          // [point][square][channels]
  float* products;        // [point][square][filters of a chunk]
  const float** squares;  // [square][16]: pixels
  const float** rows;     // [point][square]: where they begin in source
  size_t* offsets;        // [square]: in products
  float* zeros;           // [channels]

  // Lays the parts out behind `base`; returns their size.
  size_t place(std::byte* base, const Plan& plan, size_t channels) noexcept {
    size_t at = 0;
    const auto take = [&](size_t bytes) {
      std::byte* part = base + at;
      at += round_up(bytes, kAlignment);
      return part;
    };
    source = reinterpret_cast<float*>(take(kWinogradPoints * plan.source_step * sizeof(float)));
    products = reinterpret_cast<float*>(take(kWinogradPoints * plan.product_step * sizeof(float)));
    squares = reinterpret_cast<const float**>(take(plan.block * kWinogradPoints * sizeof(float*)));
    rows = reinterpret_cast<const float**>(take(plan.block * kWinogradPoints * sizeof(float*)));
    offsets = reinterpret_cast<size_t*>(take(plan.block * sizeof(size_t)));
    zeros = reinterpret_cast<float*>(take(channels * sizeof(float)));
    return at;
  }
};

size_t workspace_size(const Plan& plan, size_t channels) noexcept {
  std::byte base[1];
  Workspace workspace{};
  return workspace.place(base, plan, channels);
}

class Winograd {
 public:
  Winograd(const ConvGeometry& g, const Plan& plan, const float* src, const float* packed, const ConvEpilogue& epilogue,
           float* dst, const float* weights, size_t first_panel, size_t last_panel, std::byte* scratch) noexcept
      : g_(g),
        plan_(plan),
        src_(src),
        packed_(packed),
        epilogue_(epilogue),
        dst_(dst),
        weights_(weights),
        first_panel_(first_panel),
        last_panel_(last_panel) {
    work_.place(scratch, plan, g.channels);
    std::memset(work_.zeros, 0, g.channels * sizeof(float));
    for (size_t p = 0; p < kWinogradPoints; ++p)
      for (size_t s = 0; s < plan.block; ++s)
        work_.rows[p * plan.block + s] = work_.source + p * plan.source_step + s * g.channels;
    for (size_t s = 0; s < plan.block; ++s) work_.offsets[s] = s * kChunkPanels * kConvPanel;
  }

  // Results of squares [begin, end) for the group's filters.
  void operator()(size_t begin, size_t end) noexcept {
    for (size_t s = begin; s < end; ++s) {
      const float** pixels = work_.squares + (s - begin) * kWinogradPoints;
      find_pixels(s, pixels);
      winograd_source(pixels, g_.channels, work_.source + (s - begin) * g_.channels, plan_.source_step);
    }
    for (size_t panel = first_panel_; panel < last_panel_; panel += kChunkPanels) {
      const size_t last = std::min(panel + kChunkPanels, last_panel_);
      multiply(end - begin, panel, last);
      for (size_t s = begin; s < end; ++s) finish(s, s - begin, panel, last);
    }
  }

 private:
  struct Place {
    size_t image, row, column;  // of the first result
  };
  Place place_of(size_t square) const noexcept {
    const size_t in_image = square % (plan_.rows * plan_.columns);
    return {square / (plan_.rows * plan_.columns), in_image / plan_.columns * 2, in_image % plan_.columns * 2};
  }

  void find_pixels(size_t square, const float** to) const noexcept {
    const Place place = place_of(square);
    const float* image = src_ + place.image * g_.src[1] * g_.src[2] * g_.channels;
    const ptrdiff_t top = static_cast<ptrdiff_t>(place.row) - g_.pad[1];
    const ptrdiff_t left = static_cast<ptrdiff_t>(place.column) - g_.pad[2];
    for (size_t r = 0; r < kSide; ++r)
      for (size_t c = 0; c < kSide; ++c) {
        const ptrdiff_t y = top + static_cast<ptrdiff_t>(r), x = left + static_cast<ptrdiff_t>(c);
        const bool inside =
            y >= 0 && y < static_cast<ptrdiff_t>(g_.src[1]) && x >= 0 && x < static_cast<ptrdiff_t>(g_.src[2]);
        *to++ =
            inside ? image + (static_cast<size_t>(y) * g_.src[2] + static_cast<size_t>(x)) * g_.channels : work_.zeros;
      }
  }

  void multiply(size_t squares, size_t first, size_t last) const noexcept {
    ConvTile tile{};
    tile.positions = squares;
    tile.taps = 1;
    tile.run = g_.channels;
    tile.filters = round_up(std::min(last * kConvPanel, g_.filters) - first * kConvPanel, kConvPanel / 2);
    tile.offsets = work_.offsets;
    for (size_t p = 0; p < kWinogradPoints; ++p) {
      tile.src = work_.rows + p * plan_.block;
      tile.weights = weights_ + p * plan_.weight_step + (first - first_panel_) * g_.channels * kConvPanel;
      tile.dst = work_.products + p * plan_.product_step;
      conv_tile(tile);
    }
  }

  void finish(size_t square, size_t slot, size_t first, size_t last) const noexcept {
    const Place place = place_of(square);
    const size_t filter = first * kConvPanel, filters = std::min(last * kConvPanel, g_.filters) - filter;
    const size_t at = ((place.image * g_.dst[1] + place.row) * g_.dst[2] + place.column) * g_.filters + filter;
    WinogradResult result{};
    result.sums = work_.products + work_.offsets[slot];
    result.step = plan_.product_step;
    result.filters = filters;
    result.rows = std::min<size_t>(2, g_.dst[1] - place.row);
    result.columns = std::min<size_t>(2, g_.dst[2] - place.column);
    result.row_step = g_.dst[2] * g_.filters;
    result.column_step = g_.filters;
    result.dst = dst_ + at;
    result.bias = epilogue_.bias ? epilogue_.bias + filter : nullptr;
    result.residual = epilogue_.residual ? epilogue_.residual + at : nullptr;
    result.activation = epilogue_.activation;
    const size_t done = winograd_result(result);
    if (done < filters) sum_plainly(result, work_.squares + slot * kWinogradPoints, filter, done);
  }

  // The results from filter `done` of a chunk on, that begins with filter `first`.
  void sum_plainly(const WinogradResult& result, const float* const* pixels, size_t first, size_t done) const noexcept {
    std::array<const float*, 4 * kTaps> taps;
    std::array<size_t, 4> offsets;
    ConvTile tile{};
    for (size_t r = 0; r < result.rows; ++r)
      for (size_t c = 0; c < result.columns; ++c) {
        for (size_t t = 0; t < kTaps; ++t) taps[tile.positions * kTaps + t] = pixels[(r + t / 3) * kSide + c + t % 3];
        offsets[tile.positions++] = r * result.row_step + c * result.column_step;
      }
    tile.src = taps.data();
    tile.taps = kTaps;
    tile.run = g_.channels;
    tile.weights = packed_ + (first + done) * kTaps * g_.channels;
    tile.filters = result.filters - done;
    tile.offsets = offsets.data();
    tile.dst = result.dst + done;
    tile.bias = result.bias ? result.bias + done : nullptr;
    tile.residual = result.residual ? result.residual + done : nullptr;
    tile.activation = result.activation;
    conv_tile(tile);
  }

  const ConvGeometry& g_;
  const Plan& plan_;
  const float* src_;
  const float* packed_;
  const ConvEpilogue& epilogue_;
  float* dst_;
  const float* weights_;  // transformed, of the group
  size_t first_panel_, last_panel_;
  Workspace work_{};
};

size_t weights_size(const Plan& plan) noexcept {
  return round_up(kWinogradPoints * plan.weight_step * sizeof(float), kAlignment);
}

}  // namespace

bool conv_is_winograd(const ConvGeometry& g) noexcept {
  const SpatialSizes kernel{1, 3, 3}, ones{1, 1, 1};
  if (g.groups != 1 || g.transposed || g.src_planes || g.kernel != kernel || g.stride != ones || g.dilation != ones ||
      g.dst[0] != g.src[0] || g.pad[0] != 0 || conv_is_narrow(g) || g.channels < kConvPanel)
    return false;
  // Cycles of a core with two multiply-adds of 8 floats, for a channel and a panel. Transforming weights is bound by
  // memory, and takes as long where multiply-adds are twice as wide.
  const Plan plan(g, 1);
  const double positions = static_cast<double>(g.batch * positions_of(g.dst));
  const double squares = static_cast<double>(plan.squares), channels = static_cast<double>(g.channels);
  const double products = 16.0 + 128.0 / channels, result = 130.0 / channels;
  const double source = (4.0 + 60.0 / channels) / static_cast<double>(plan.group_panels);
  const double weights = current_isa() >= Isa::avx512 ? 300.0 : 150.0;
  return weights + squares * (products + source + result) < 0.95 * kTaps * positions;
}

size_t winograd_scratch_size(const ConvGeometry& g, size_t threads) noexcept {
  const Plan plan(g, threads);
  return weights_size(plan) + threads * workspace_size(plan, g.channels);
}

void winograd_conv(const ConvGeometry& g, const float* src, const float* packed, const ConvEpilogue& epilogue,
                   float* dst, std::byte* scratch, const Parallel& parallel) noexcept {
  const Plan plan(g, parallel.threads());
  if (plan.squares == 0) return;
  auto* weights = reinterpret_cast<float*>(scratch);
  const size_t worker_size = workspace_size(plan, g.channels);
  const size_t panel_size = g.channels * kConvPanel;
  // The weights of panels [begin, end), one panel after the other.
  const auto transform = [&](size_t begin, size_t end, float* to) {
    for (size_t panel = begin; panel < end; ++panel, to += panel_size)
      winograd_weights(packed + panel * kTaps * panel_size, g.channels, to, plan.weight_step);
  };
  const auto run_blocks = [&](size_t first_panel, size_t last_panel, const float* of_panels, size_t worker,
                              size_t begin, size_t end) {
    Winograd run(g, plan, src, packed, epilogue, dst, of_panels, first_panel, last_panel,
                 scratch + weights_size(plan) + worker * worker_size);
    for (size_t b = begin; b < end && !parallel.stopped(); ++b)
      run(part_begin(plan.squares, plan.blocks, b), part_begin(plan.squares, plan.blocks, b + 1));
  };
  for (size_t group = 0; group < plan.groups; ++group) {
    const size_t first = plan.panels * group / plan.groups, last = plan.panels * (group + 1) / plan.groups;
    const double block_ns =
        static_cast<double>(plan.squares * (last - first) * panel_size) / static_cast<double>(plan.blocks) / 3.0;
    // More weights than source: each thread transforms the weights of its own filters, and the whole source.
    if (parallel.threads() > 1 && plan.squares < g.filters) {
      const size_t parts = std::min(last - first, parallel.threads());
      const double part_ns = block_ns * static_cast<double>(plan.blocks) / static_cast<double>(parts);
      parallel.for_range(parts, grain_for(part_ns), [&](size_t begin, size_t end, size_t worker) {
        const size_t from = part_begin(last - first, parts, begin), to = part_begin(last - first, parts, end);
        float* const own = weights + from * panel_size;
        transform(first + from, first + to, own);
        run_blocks(first + from, first + to, own, worker, 0, plan.blocks);
      });
      continue;
    }
    parallel.for_range(last - first, grain_for(static_cast<double>(panel_size)), [&](size_t begin, size_t end, size_t) {
      transform(first + begin, first + end, weights + begin * panel_size);
    });
    parallel.for_range(plan.blocks, grain_for(block_ns), [&](size_t begin, size_t end, size_t worker) {
      run_blocks(first, last, weights, worker, begin, end);
    });
  }
}

}  // namespace linnet
