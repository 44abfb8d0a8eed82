// Permutation of axes, by the width of an element. Planned once per shape: axes that stay neighbours merge, and what
// remains is copied in runs or transposed in square tiles.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/fixed_vector.h"
#include "base/parallel.h"

namespace linnet {

struct TransposeAxis {
  size_t size = 1;
  size_t src_stride = 0;  // in units of `width` bytes
  size_t dst_stride = 0;
};

struct TransposePlan {
  size_t width = 1;                      // bytes of what moves as one: an element, or a run of neighbours
  size_t count = 0;                      // elements of that width
  FixedVector<TransposeAxis, 14> outer;  // from the slowest of the result
  // The plane of the last two: in `row` the source is contiguous, in `column` the result. When the fastest axis stays
  // the fastest, `row` alone is used and is contiguous on both sides.
  bool runs = false;
  TransposeAxis row;
  TransposeAxis column;
};

// `order[i]` is the axis of `shape` that becomes axis i. `element` is 1, 2, 4, 8 or 16 bytes.
// Nothing when more than 16 axes remain after merging.
std::optional<TransposePlan> plan_transpose(std::span<const int64_t> shape, std::span<const size_t> order,
                                            size_t element);

// `src` and `dst` do not overlap.
void transpose(const TransposePlan& plan, const void* src, void* dst, const Parallel& parallel) noexcept;

// One plane: dst[i * dst_stride + j] = src[j * src_stride + i] for i < rows, j < columns; strides in elements.
void transpose_plane(size_t width, const void* src, size_t src_stride, void* dst, size_t dst_stride, size_t rows,
                     size_t columns) noexcept;

}  // namespace linnet
