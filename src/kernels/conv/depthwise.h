// Convolution with groups of one or a few channels: vectors over channels, some neighbouring output columns at a time.
#pragma once

#include "kernels/conv/conv_phase.h"

namespace linnet {

// Bytes of scratch for each worker.
size_t depthwise_scratch_size(const ConvGeometry& geometry) noexcept;
// One phase; `packed` are the phase's weights, as conv.h describes them.
void depthwise_conv(const ConvGeometry& geometry, const ConvPhase& phase, const float* src, const float* packed,
                    const ConvEpilogue& epilogue, float* dst, std::byte* scratch, const Parallel& parallel) noexcept;

}  // namespace linnet
