// The transforms of winograd.h: what is compiled for every instruction set. A transformed 4x4 square is 16 numbers, one
// in each of 16 matrices, row by row.
#pragma once

#include <cstddef>

#include "kernels/conv/conv.h"

namespace linnet {

inline constexpr size_t kWinogradPoints = 16;

// G w G^T of a panel: weights [9][channels][16] -> dst[point * step], each [channels][16].
void winograd_weights(const float* weights, size_t channels, float* dst, size_t step) noexcept;

// B^T d B of one square: src[point] -> dst + point * step, each [channels].
void winograd_source(const float* const* src, size_t channels, float* dst, size_t step) noexcept;

struct WinogradResult {
  const float* sums;  // sums + point * step: [filters rounded up to 8]
  size_t step = 0;
  size_t filters = 0;
  size_t rows = 2, columns = 2;  // of results that are wanted: 1 or 2
  size_t row_step = 0;           // floats between the results in dst and residual
  size_t column_step = 0;
  float* dst;
  const float* bias;      // [filters], or null
  const float* residual;  // or null; may be dst
  ActivationSpec activation;
};
// A^T m A, and the epilogue. Ends before the first panel of 16 filters that has results which are not finite, bias and
// residual left aside; returns how many filters were written.
size_t winograd_result(const WinogradResult& result) noexcept;

}  // namespace linnet
