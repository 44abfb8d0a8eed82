// The inner part of the convolution of planes: what is compiled for every instruction set.
#pragma once

#include <cstddef>

#include "kernels/activation.h"

namespace linnet {

// Some rows of neighbouring output positions times panels of 16 filters.
struct PlanesTile {
  const float* src;       // what the first position's first tap reads
  const size_t* offsets;  // [depth]: from there to the other taps
  size_t depth = 0;
  size_t rows = 0, columns = 0;  // output positions
  size_t row_step = 0;           // floats of src between rows
  size_t column_step = 0;        // and between columns
  const float* weights;          // [panel][depth][16]
  size_t filters = 0;            // of all panels
  float* dst;                    // [column][filters], as is:
  const float* residual;         // or null
  size_t dst_row_step = 0;       // floats of dst and residual between rows
  const float* bias;             // [filters], or null
  ActivationSpec activation;
};
void planes_tile(const PlanesTile& tile) noexcept;

}  // namespace linnet
