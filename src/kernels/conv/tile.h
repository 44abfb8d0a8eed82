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

}  // namespace linnet
