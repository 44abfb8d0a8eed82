#include "kernels/conv/conv.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "base/checked.h"
#include "kernels/conv/conv_phase.h"
#include "kernels/conv/depthwise.h"
#include "kernels/conv/planes.h"
#include "kernels/conv/pointwise.h"
#include "kernels/conv/tile.h"
#include "kernels/conv/winograd.h"

namespace linnet {
namespace {

constexpr size_t kAlignment = 64;

// With fewer filters the vectors of a costly activation over one position's row are too empty: it runs over all of dst.
constexpr size_t kLeastActivated = 8;

// Output positions whose pointers are looked up together; a panel of weights is read once for all of them.
constexpr size_t kTapsOfLargeBlock = 64;
constexpr size_t block_positions(size_t taps) noexcept { return taps <= kTapsOfLargeBlock ? 60 : 12; }

size_t most_taps(const ConvGeometry& g) noexcept {
  size_t taps = 1;
  for (size_t a = 0; a < kSpatialAxes; ++a)
    taps *= g.transposed ? ceil_div(g.kernel[a], g.stride[a] / std::gcd(g.stride[a], g.dilation[a])) : g.kernel[a];
  return taps;
}

// A worker's scratch.
struct Workspace {
  const float** pointers;  // [block][taps]
  const float** rows;      // [block]: where a position's copied run begins
  size_t* offsets;         // [block]: of positions in dst
  size_t* steps;           // [taps]: from the first tap's run to the others, for a position away from borders
  float* zeros;            // [run]
  float* edges;            // [block][taps][run], for merged and copied runs

  // Lays the parts out behind `base`; returns their size.
  size_t place(std::byte* base, size_t taps, size_t run, bool has_edges) noexcept {
    const size_t block = block_positions(taps);
    size_t at = 0;
    const auto take = [&](size_t bytes) {
      std::byte* part = base + at;
      at += round_up(bytes, kAlignment);
      return part;
    };
    pointers = reinterpret_cast<const float**>(take(block * taps * sizeof(float*)));
    rows = reinterpret_cast<const float**>(take(block * sizeof(float*)));
    offsets = reinterpret_cast<size_t*>(take(block * sizeof(size_t)));
    steps = reinterpret_cast<size_t*>(take(taps * sizeof(size_t)));
    zeros = reinterpret_cast<float*>(take(run * sizeof(float)));
    edges = reinterpret_cast<float*>(has_edges ? take(block * taps * run * sizeof(float)) : base);
    return at;
  }
};

// Bytes for each worker.
size_t workspace_size(const ConvGeometry& g) noexcept {
  std::byte base[1];
  Workspace workspace{};
  const size_t taps = most_taps(g);
  const size_t run = g.channels / g.groups;
  // A phase has fewer taps or as many, and with fewer its blocks may be larger.
  if (g.transposed)
    return std::max(workspace.place(base, taps, run, true),
                    workspace.place(base, std::min<size_t>(taps, kTapsOfLargeBlock), run, true));
  const ConvRuns runs = conv_runs(g, conv_phase(g, 0));
  return workspace.place(base, runs.taps, runs.run, runs.merged || runs.copied);
}

// Finds the memory behind each (output position, tap) of a phase.
class Gather {
 public:
  Gather(const ConvGeometry& g, const ConvPhase& phase, const ConvRuns& runs, const float* src,
         const Workspace& workspace) noexcept
      : g_(g), axis_(phase.axis), runs_(runs), src_(src), workspace_(workspace) {
    std::memset(workspace.zeros, 0, runs.run * sizeof(float));
    fill_steps();
  }

  // Fills pointers and offsets for positions [begin, end) of the phase, counted over all images.
  void operator()(size_t begin, size_t end, size_t group) noexcept {
    const size_t image_step = g_.channels * positions_of(g_.src);
    const size_t channel = group * (g_.channels / g_.groups);
    size_t o2 = begin % axis_[2].count;
    size_t o1 = begin / axis_[2].count % axis_[1].count;
    size_t o0 = begin / axis_[2].count / axis_[1].count % axis_[0].count;
    size_t n = begin / axis_[2].count / axis_[1].count / axis_[0].count;
    for (size_t p = 0; p < end - begin;) {
      const size_t d0 = axis_[0].first + o0 * axis_[0].step;
      const size_t d1 = axis_[1].first + o1 * axis_[1].step;
      const size_t d2 = axis_[2].first + o2 * axis_[2].step;
      const float* image = src_ + n * image_step + channel;
      const ptrdiff_t s0 = axis_[0].source(o0, 0), s1 = axis_[1].source(o1, 0), s2 = axis_[2].source(o2, 0);
      size_t count = 1;
      if (axis_[0].interior(o0, g_.src[0]) && axis_[1].interior(o1, g_.src[1]) && axis_[2].interior(o2, g_.src[2])) {
        const size_t most = std::min(end - begin - p, axis_[2].count - o2);
        while (count < most && axis_[2].interior(o2 + count, g_.src[2])) ++count;
        inner_positions(p, count,
                        image + ((static_cast<size_t>(s0) * g_.src[1] + static_cast<size_t>(s1)) * g_.src[2] +
                                 static_cast<size_t>(s2)) *
                                    g_.channels);
      } else {
        const float** to = workspace_.pointers + p * runs_.taps;
        position(image, s0, s1, s2, to);
        if (runs_.copied) copy_runs(p, 1, 0, [to](size_t t) { return to[t]; });
      }
      size_t offset = (((n * g_.dst[0] + d0) * g_.dst[1] + d1) * g_.dst[2] + d2) * g_.filters;
      for (size_t i = 0; i < count; ++i, offset += axis_[2].step * g_.filters) workspace_.offsets[p + i] = offset;
      p += count;
      o2 += count;
      if (o2 < axis_[2].count) continue;
      o2 = 0;
      if (++o1 < axis_[1].count) continue;
      o1 = 0;
      if (++o0 < axis_[0].count) continue;
      o0 = 0;
      ++n;
    }
  }

 private:
  void fill_steps() noexcept {
    size_t* to = workspace_.steps;
    for (size_t i = 0; i < axis_[0].taps; ++i)
      for (size_t j = 0; j < axis_[1].taps; ++j)
        for (size_t k = 0; k < (runs_.merged ? 1 : axis_[2].taps); ++k) {
          const auto at = [&](size_t a, size_t tap) { return static_cast<ptrdiff_t>(tap) * axis_[a].delta_step; };
          const ptrdiff_t row = at(0, i) * static_cast<ptrdiff_t>(g_.src[1]) + at(1, j);
          *to++ = static_cast<size_t>((row * static_cast<ptrdiff_t>(g_.src[2]) + at(2, k)) *
                                      static_cast<ptrdiff_t>(g_.channels));
        }
  }

  // `count` neighbours away from borders, of which p is the first; `first` is where its first run begins.
  void inner_positions(size_t p, size_t count, const float* first) noexcept {
    const size_t advance = axis_[2].advance * g_.channels;
    if (runs_.copied)
      return copy_runs(p, count, advance, [first, steps = workspace_.steps](size_t t) {
        return first + static_cast<ptrdiff_t>(steps[t]);
      });
    const float** to = workspace_.pointers + p * runs_.taps;
    for (size_t i = 0; i < count; ++i, first += advance)
      for (size_t t = 0; t < runs_.taps; ++t) *to++ = first + static_cast<ptrdiff_t>(workspace_.steps[t]);
  }

  // The runs of `count` positions from p on, one behind the other; from(t) is where tap t's begins, and a position's
  // runs begin `advance` floats behind those of the one before it.
  template <class From>
  void copy_runs(size_t p, size_t count, size_t advance, From from) noexcept {
    const size_t row = runs_.taps * runs_.run;
    float* to = workspace_.edges + p * row;
    for (size_t i = 0; i < count; ++i) workspace_.rows[p + i] = to + i * row;
    for (size_t t = 0; t < runs_.taps; ++t, to += runs_.run) {
      const float* src = from(t);
      switch (runs_.run) {
        case 1: copy_run<1>(src, advance, to, row, count); break;
        case 2: copy_run<2>(src, advance, to, row, count); break;
        case 3: copy_run<3>(src, advance, to, row, count); break;
        case 4: copy_run<4>(src, advance, to, row, count); break;
        case 5: copy_run<5>(src, advance, to, row, count); break;
        case 6: copy_run<6>(src, advance, to, row, count); break;
        case 7: copy_run<7>(src, advance, to, row, count); break;
        default: copy_run<8>(src, advance, to, row, count); break;
      }
    }
  }
  template <size_t kRun>
  static void copy_run(const float* src, size_t advance, float* to, size_t row, size_t count) noexcept {
    if (src == to) return;  // a border's run was put there at once
    for (size_t i = 0; i < count; ++i, src += advance, to += row) std::memcpy(to, src, kRun * sizeof(float));
  }

  // The pointers of all taps of one position.
  void position(const float* image, ptrdiff_t s0, ptrdiff_t s1, ptrdiff_t s2, const float** to) noexcept {
    const size_t columns = runs_.merged ? 1 : axis_[2].taps;
    for (size_t i = 0; i < axis_[0].taps; ++i) {
      const ptrdiff_t i0 = s0 + static_cast<ptrdiff_t>(i) * axis_[0].delta_step;
      for (size_t j = 0; j < axis_[1].taps; ++j, to += columns) {
        const ptrdiff_t i1 = s1 + static_cast<ptrdiff_t>(j) * axis_[1].delta_step;
        if (!is_inside(i0, g_.src[0]) || !is_inside(i1, g_.src[1])) {
          std::fill_n(to, columns, workspace_.zeros);
          continue;
        }
        const float* row =
            image + (static_cast<size_t>(i0) * g_.src[1] + static_cast<size_t>(i1)) * g_.src[2] * g_.channels;
        if (runs_.merged) {
          *to = merged(row, s2, static_cast<size_t>(to - workspace_.pointers));
          continue;
        }
        ptrdiff_t i2 = s2;
        for (size_t k = 0; k < columns; ++k, i2 += axis_[2].delta_step)
          to[k] = is_inside(i2, g_.src[2]) ? row + static_cast<size_t>(i2) * g_.channels : workspace_.zeros;
      }
    }
  }

  // A run over all taps of the last axis: in place, or copied with zeros where it leaves the row.
  const float* merged(const float* row, ptrdiff_t start, size_t slot) noexcept {
    const ptrdiff_t size = static_cast<ptrdiff_t>(g_.src[2]);
    const ptrdiff_t taps = static_cast<ptrdiff_t>(axis_[2].taps);
    if (start >= 0 && start + taps <= size) return row + static_cast<size_t>(start) * g_.channels;
    if (start >= size || start + taps <= 0) return workspace_.zeros;
    float* copy = workspace_.edges + slot * runs_.run;
    const size_t first = static_cast<size_t>(std::max<ptrdiff_t>(0, -start));
    const size_t last = static_cast<size_t>(std::min(taps, size - start));
    std::memset(copy, 0, runs_.run * sizeof(float));
    std::memcpy(copy + first * g_.channels,
                row + static_cast<size_t>(start + static_cast<ptrdiff_t>(first)) * g_.channels,
                (last - first) * g_.channels * sizeof(float));
    return copy;
  }

  const ConvGeometry& g_;
  const std::array<ConvAxisPhase, kSpatialAxes>& axis_;
  const ConvRuns& runs_;
  const float* src_;
  const Workspace& workspace_;
};

void conv_phase_run(const ConvGeometry& g, const ConvPhase& phase, const float* src, const float* packed,
                    const ConvEpilogue& epilogue, float* dst, std::byte* scratch, const Parallel& parallel) noexcept {
  const size_t positions = g.batch * phase.positions();
  const size_t filters = g.filters / g.groups;
  if (positions == 0 || filters == 0) return;
  const ConvRuns runs = conv_runs(g, phase);
  const size_t depth = runs.taps * runs.run;
  const size_t panels = ceil_div(filters, kConvPanel);
  const size_t blocks = ceil_div(positions, block_positions(runs.taps));
  const double panel_ns = static_cast<double>(positions * depth * kConvPanel) / static_cast<double>(blocks) / 50.0;

  // With few blocks the panels are split as well. Where the cuts fall changes no sum.
  const size_t wanted_chunks = ceil_div(parallel.threads() * 4, std::max<size_t>(1, blocks * g.groups));
  const size_t worthwhile = std::max<size_t>(1, static_cast<size_t>(static_cast<double>(panels) * panel_ns / 10'000.0));
  const size_t chunks = parallel.threads() == 1 ? 1 : std::min({panels, wanted_chunks, worthwhile});
  const double item_ns = panel_ns * static_cast<double>(panels) / static_cast<double>(chunks);

  const size_t worker_size = workspace_size(g);
  parallel.for_range(g.groups * blocks * chunks, grain_for(item_ns), [&](size_t begin, size_t end, size_t worker) {
    Workspace workspace{};
    workspace.place(scratch + worker * worker_size, runs.taps, runs.run, runs.merged || runs.copied);
    Gather gather(g, phase, runs, src, workspace);
    size_t gathered = SIZE_MAX;
    for (size_t item = begin; item < end; ++item) {
      if (parallel.stopped()) return;
      const size_t group = item / chunks / blocks;
      const size_t block = item / chunks % blocks;
      const size_t first_position = part_begin(positions, blocks, block);
      const size_t last_position = part_begin(positions, blocks, block + 1);
      if (gathered != item / chunks) gather(first_position, last_position, group);
      gathered = item / chunks;

      const size_t first_panel = panels * (item % chunks) / chunks;
      const size_t last_panel = panels * (item % chunks + 1) / chunks;
      const size_t first_filter = group * filters + first_panel * kConvPanel;
      ConvTile tile{};
      tile.src = runs.copied ? workspace.rows : workspace.pointers;
      tile.positions = last_position - first_position;
      tile.taps = runs.copied ? 1 : runs.taps;
      tile.run = runs.copied ? depth : runs.run;
      tile.zeros = runs.copied ? nullptr : workspace.zeros;
      tile.narrow = conv_is_narrow(g);
      tile.weights = packed + (group * panels + first_panel) * depth * kConvPanel;
      tile.filters = std::min(filters, last_panel * kConvPanel) - first_panel * kConvPanel;
      tile.offsets = workspace.offsets;
      tile.dst = dst + first_filter;
      tile.bias = epilogue.bias ? epilogue.bias + first_filter : nullptr;
      tile.residual = epilogue.residual ? epilogue.residual + first_filter : nullptr;
      tile.activation = epilogue.activation;
      conv_tile(tile);
    }
  });
}

}  // namespace

size_t conv_scratch_size(const ConvGeometry& g, size_t threads) noexcept {
  if (conv_is_winograd(g)) return winograd_scratch_size(g, threads);
  if (g.src_planes) return planes_scratch_size(g, threads);
  return threads * (conv_is_depthwise(g) ? depthwise_scratch_size(g) : workspace_size(g));
}

void conv(const ConvGeometry& g, const float* src, const float* packed, const ConvEpilogue& epilogue, float* dst,
          std::byte* scratch, const Parallel& parallel) noexcept {
  const Activation kind = epilogue.activation.kind;
  const bool costly = kind != Activation::none && kind != Activation::relu && kind != Activation::clip;
  if (costly && g.filters < kLeastActivated) {
    conv(g, src, packed, {epilogue.bias, epilogue.residual, {}}, dst, scratch, parallel);
    return parallel.for_range(
        g.batch * positions_of(g.dst) * g.filters, size_t{1} << 13,
        [&](size_t begin, size_t end, size_t) { activate_block(epilogue.activation, dst + begin, 0, 1, end - begin); });
  }
  if (conv_is_winograd(g)) return winograd_conv(g, src, packed, epilogue, dst, scratch, parallel);
  if (conv_is_pointwise(g, epilogue)) return pointwise_conv(g, src, packed, epilogue, dst, parallel);
  if (g.src_planes) return planes_conv(g, src, packed, epilogue, dst, scratch, parallel);
  const size_t phases = conv_phase_count(g);
  for (size_t p = 0; p < phases; ++p) {
    const ConvPhase phase = conv_phase(g, p);
    if (conv_is_depthwise(g)) {
      depthwise_conv(g, phase, src, packed, epilogue, dst, scratch, parallel);
    } else {
      conv_phase_run(g, phase, src, packed, epilogue, dst, scratch, parallel);
    }
    packed += conv_phase_packed_size(g, phase);
  }
}

}  // namespace linnet
