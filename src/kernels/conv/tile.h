// The inner parts of the convolution: what is compiled for every instruction set.
#pragma once

#include "kernels/conv/conv.h"

namespace linnet {

// Some output positions times some panels of 16 filters.
struct ConvTile {
  const float* const* src;  // [positions][taps]: where each tap's run begins
  size_t positions = 0;
  size_t taps = 0;
  size_t run = 0;                // floats behind a pointer
  const float* zeros = nullptr;  // a run outside the image: what only meets such runs may be left out. Or null
  bool narrow = false;           // weights are [filter][taps][run rounded up to 16], of at most kNarrowFilters
  const float* weights;          // else the first panel; panels lie taps * run * 16 floats apart
  size_t filters = 0;            // of these panels: 16 for each but the last
  const size_t* offsets;         // [positions]: where a position's filters begin in dst and residual
  float* dst;                    // at the first panel's first filter, as are:
  const float* bias;             // or null
  const float* residual;         // or null
  ActivationSpec activation;
};
void conv_tile(const ConvTile& tile) noexcept;

// The most output positions that lie next to each other in one call of the depthwise kernel.
inline constexpr size_t kDepthwiseColumns = 8;

// Taps that follow each other along the last axis: tap j of column p reads src[p * advance + j].
struct DepthwisePiece {
  const float* const* src;  // [(columns - 1) * advance + taps]
  const float* weights;     // tap j (channel j of a group) at j * weight_step
  size_t taps = 0;          // 1, 3 or 5
};

// Up to `columns` neighbouring output positions, a range of channels.
struct DepthwiseTile {
  const DepthwisePiece* pieces;
  size_t piece_count = 0;
  size_t columns = 0;      // computed: 4 or 8
  size_t stored = 0;       // of these, to be written
  size_t advance = 1;      // 1 or 2
  size_t weight_step = 0;  // floats from tap to tap, or from channel to channel of a group
  size_t group = 1;        // channels: 1, 2, 4 or 8. Above 1, pieces have one tap and advance is 1
  size_t first = 0;        // channel, a multiple of 16
  size_t last = 0;         // one past
  size_t dst_step = 0;     // floats between columns of dst and residual
  float* dst;
  const float* bias;      // or null
  const float* residual;  // or null
  ActivationSpec activation;
};
void depthwise_tile(const DepthwiseTile& tile) noexcept;

}  // namespace linnet
