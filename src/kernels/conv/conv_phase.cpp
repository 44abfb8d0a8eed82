#include "kernels/conv/conv_phase.h"

#include <algorithm>
#include <numeric>

#include "base/checked.h"

namespace linnet {
namespace {

// Beyond this many floats a run costs more to copy at a border than it saves in pointers.
constexpr size_t kLongestMergedRun = 64;
// Up to this many floats a copy costs less than a pointer that the inner loop has to load.
constexpr size_t kLongestCopiedRun = 8;

ConvAxisPhase transposed_axis(const ConvGeometry& g, size_t a, size_t residue) noexcept {
  const ptrdiff_t stride = static_cast<ptrdiff_t>(g.stride[a]);
  const ptrdiff_t dilation = static_cast<ptrdiff_t>(g.dilation[a]);
  ConvAxisPhase axis;
  // Counted with the padding, so that the taps of a phase do not depend on it.
  const ptrdiff_t first = (static_cast<ptrdiff_t>(residue) - g.pad[a]) % stride;
  axis.first = static_cast<size_t>(first < 0 ? first + stride : first);
  axis.step = g.stride[a];
  axis.count = axis.first < g.dst[a] ? ceil_div(g.dst[a] - axis.first, g.stride[a]) : 0;
  axis.tap_step = g.stride[a] / std::gcd(g.stride[a], g.dilation[a]);
  axis.taps = 0;
  const ptrdiff_t at = static_cast<ptrdiff_t>(axis.first) + g.pad[a];
  const size_t period = std::min(axis.tap_step, g.kernel[a]);
  for (size_t k = 0; k < period; ++k) {
    const ptrdiff_t distance = at - static_cast<ptrdiff_t>(k) * dilation;
    if (distance % stride != 0) continue;
    axis.tap = k;
    axis.taps = ceil_div(g.kernel[a] - k, axis.tap_step);
    axis.delta = distance / stride;
    axis.delta_step = -(dilation * static_cast<ptrdiff_t>(axis.tap_step) / stride);
    break;
  }
  return axis;
}

}  // namespace

size_t conv_phase_count(const ConvGeometry& g) noexcept {
  return g.transposed ? g.stride[0] * g.stride[1] * g.stride[2] : 1;
}

ConvPhase conv_phase(const ConvGeometry& g, size_t index) noexcept {
  ConvPhase phase;
  for (size_t a = kSpatialAxes; a-- > 0;) {
    if (g.transposed) {
      phase.axis[a] = transposed_axis(g, a, index % g.stride[a]);
      index /= g.stride[a];
      continue;
    }
    ConvAxisPhase& axis = phase.axis[a];
    axis.count = g.dst[a];
    axis.advance = g.stride[a];
    axis.delta = -g.pad[a];
    axis.delta_step = static_cast<ptrdiff_t>(g.dilation[a]);
    axis.taps = g.kernel[a];
  }
  return phase;
}

namespace {

size_t packed_size(const ConvGeometry& g, size_t taps) noexcept {
  if (conv_is_depthwise(g)) return taps * (g.channels / g.groups) * round_up(g.filters, kConvPanel);
  if (conv_is_narrow(g)) return g.filters * taps * round_up(g.channels, kConvPanel);
  return g.groups * ceil_div(g.filters / g.groups, kConvPanel) * kConvPanel * taps * (g.channels / g.groups);
}

}  // namespace

size_t conv_phase_packed_size(const ConvGeometry& g, const ConvPhase& phase) noexcept {
  return packed_size(g, phase.taps());
}

// The taps of all phases are the taps of the kernel.
size_t conv_packed_size(const ConvGeometry& g) noexcept { return packed_size(g, positions_of(g.kernel)); }

ConvRuns conv_runs(const ConvGeometry& g, const ConvPhase& phase) noexcept {
  const ConvAxisPhase& last = phase.axis[kSpatialAxes - 1];
  const size_t channels = g.channels / g.groups;
  const bool merged = last.delta_step == 1 && g.groups == 1 && !conv_is_narrow(g) && !g.transposed && last.taps > 1 &&
                      last.taps * channels <= kLongestMergedRun;
  ConvRuns runs{phase.taps(), channels, merged, false};
  if (merged) {
    runs.taps /= last.taps;
    runs.run *= last.taps;
  }
  runs.copied = runs.taps > 1 && runs.run <= kLongestCopiedRun;
  return runs;
}

}  // namespace linnet
