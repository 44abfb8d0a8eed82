// The part of a pooling window that lies inside the input.
#pragma once

#include <algorithm>

#include "kernels/pool/pool.h"

namespace linnet {

// Along one axis, for one output position: taps [first, last) read src[start + tap * dilation].
struct PoolSpan {
  ptrdiff_t start = 0;
  size_t first = 0, last = 0;
  size_t counted = 0;  // taps that an average over the padded input divides by
};

inline PoolSpan pool_span(const PoolGeometry& g, size_t axis, size_t position) noexcept {
  const ptrdiff_t dilation = static_cast<ptrdiff_t>(g.dilation[axis]);
  const ptrdiff_t size = static_cast<ptrdiff_t>(g.src[axis]);
  const ptrdiff_t kernel = static_cast<ptrdiff_t>(g.kernel[axis]);
  const ptrdiff_t start = static_cast<ptrdiff_t>(position * g.stride[axis]) - g.pad_begin[axis];
  // The number of taps before `limit`. Most windows are not dilated, and a division costs more than all the rest.
  const auto before = [&](ptrdiff_t limit) {
    if (limit <= start) return ptrdiff_t{0};
    return std::min(kernel, dilation == 1 ? limit - start : (limit - start + dilation - 1) / dilation);
  };
  const ptrdiff_t first = before(0);
  return {start, static_cast<size_t>(first), static_cast<size_t>(std::max(first, before(size))),
          static_cast<size_t>(before(size + g.pad_end[axis]))};
}

// What the sum over a window is divided by.
inline size_t pool_divisor(const PoolGeometry& g, const PoolSpan (&spans)[kSpatialAxes]) noexcept {
  size_t count = 1;
  for (const PoolSpan& span : spans) count *= g.count_include_pad ? span.counted : span.last - span.first;
  return count;
}

}  // namespace linnet
