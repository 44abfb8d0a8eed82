// Softmax and its logarithm along the middle axis of [outer, n, inner]. `dst` may be `src`.
#pragma once

#include <cstddef>

#include "base/parallel.h"

namespace linnet {

struct SoftmaxShape {
  size_t outer, n, inner;
};

// T: float (SIMD), double. A NaN makes its whole row NaN; so does a row of nothing but -infinity, or one with
// +infinity.
template <class T>
void softmax(bool log, const SoftmaxShape& shape, const T* src, T* dst, const Parallel& parallel) noexcept;

// One row of floats, inner = 1, on this thread; for kernels that hold a row of scores. `dst` may be `src`.
void softmax_row(bool log, const float* src, float* dst, size_t n) noexcept;

}  // namespace linnet
