// The inner part of the depthwise convolution: what is compiled for every instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/activation.h"

namespace linnet {

// The most output columns of one call.
inline constexpr size_t kDepthwiseColumns = 8;

// Taps that follow each other along the last axis of one input row. Tap j of column p reads entry p * advance + j.
struct DepthwisePiece {
  const float* row;      // of the image
  ptrdiff_t start;       // floats from the row's first channel to entry 0, which may lie outside
  uint32_t first, last;  // entries [first, last) lie inside the row; what lies outside takes no part
  const float* weights;  // tap j (channel j of a group) at j * weight_step
  size_t taps = 0;       // 1, 3 or 5
};

// Some rows of up to `columns` neighbouring output positions, a range of channels.
struct DepthwiseTile {
  const DepthwisePiece* pieces;  // of the first row; those of the next lie `row_step` floats further
  size_t piece_count = 0;
  size_t rows = 1;
  size_t row_step = 0, dst_row_step = 0;
  size_t columns = 0;      // computed: 4 or 8
  size_t stored = 0;       // of these, to be written
  size_t advance = 1;      // 1 or 2
  size_t entry_step = 0;   // floats between entries
  size_t weight_step = 0;  // floats from tap to tap, or from channel to channel of a group
  // Channels of a group: 1, 2, 4 or 8; or filters to a channel: 1, 2, 4, 8 or 16. Where one of them is above 1, pieces
  // have one tap and advance is 1.
  size_t group = 1, multiplier = 1;
  size_t first = 0;     // filter, a multiple of 16
  size_t last = 0;      // one past
  size_t dst_step = 0;  // floats between columns of dst and residual
  float* dst;
  const float* bias;      // or null
  const float* residual;  // or null
  ActivationSpec activation;
};
void depthwise_tile(const DepthwiseTile& tile) noexcept;

}  // namespace linnet
