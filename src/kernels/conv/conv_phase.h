// The convolution as the kernels see it: output positions at a regular step, and for each axis a progression of taps.
// An ordinary convolution has one phase. A transposed one has a phase for each residue of the output position (plus
// padding) modulo the stride; a phase reads the input at step 1 through those taps that fall on its residue.
#pragma once

#include <algorithm>

#include "kernels/conv/conv.h"

namespace linnet {

// i is an index of `size` elements.
inline bool is_inside(ptrdiff_t i, size_t size) noexcept { return i >= 0 && i < static_cast<ptrdiff_t>(size); }

struct ConvAxisPhase {
  size_t count = 1;  // output positions i
  size_t first = 0;  // dst index = first + i * step
  size_t step = 1;
  size_t advance = 1;  // src index = i * advance + delta + j * delta_step, for tap j
  ptrdiff_t delta = 0;
  ptrdiff_t delta_step = 1;
  size_t taps = 1;  // tap j reads the weight at index tap + j * tap_step
  size_t tap = 0;
  size_t tap_step = 1;

  // The src index of a tap, which may lie outside.
  ptrdiff_t source(size_t position, size_t j) const noexcept {
    return static_cast<ptrdiff_t>(position * advance) + delta + static_cast<ptrdiff_t>(j) * delta_step;
  }
  // All taps of the position lie inside.
  bool interior(size_t position, size_t size) const noexcept {
    return is_inside(source(position, 0), size) && is_inside(source(position, taps - 1), size);
  }
};

struct ConvPhase {
  std::array<ConvAxisPhase, kSpatialAxes> axis;
  size_t positions() const noexcept { return axis[0].count * axis[1].count * axis[2].count; }
  size_t taps() const noexcept { return axis[0].taps * axis[1].taps * axis[2].taps; }
};

size_t conv_phase_count(const ConvGeometry& geometry) noexcept;
ConvPhase conv_phase(const ConvGeometry& geometry, size_t index) noexcept;
// Floats of a phase's packed weights.
size_t conv_phase_packed_size(const ConvGeometry& geometry, const ConvPhase& phase) noexcept;

// Where part `i` begins of so many of `count` positions, which are as equal as can be; part `parts` begins at the end.
// No product on the way is larger than `count`: 32-bit machines have a million positions, too.
constexpr size_t part_begin(size_t count, size_t parts, size_t i) noexcept {
  return count / parts * i + std::min(i, count % parts);
}

// Taps next to each other in memory are read as one run when a single tap has few channels: (taps x run) = K.
struct ConvRuns {
  size_t taps = 0;      // pointers for each output position
  size_t run = 0;       // floats behind a pointer
  bool merged = false;  // a run covers all taps of the last axis
  bool copied = false;  // runs are so short that they are copied into one for each position
};
ConvRuns conv_runs(const ConvGeometry& geometry, const ConvPhase& phase) noexcept;

}  // namespace linnet
