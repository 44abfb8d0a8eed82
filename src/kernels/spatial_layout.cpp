#include "kernels/spatial_layout.h"

#include <algorithm>

#include "base/checked.h"
#include "kernels/transpose/transpose.h"

namespace linnet {

void to_channels_last(size_t width, const void* src, void* dst, size_t batch, size_t channels, size_t positions,
                      const Parallel& parallel) noexcept {
  constexpr size_t kChunk = 256;  // rows of dst that move together
  const size_t chunks = ceil_div(positions, kChunk);
  const double item_ns = static_cast<double>(std::min(positions, kChunk) * channels * width) / 4.0;
  parallel.for_range(batch * chunks, grain_for(item_ns), [&](size_t begin, size_t end, size_t) {
    for (size_t item = begin; item < end; ++item) {
      const size_t first = item % chunks * kChunk;
      const size_t image = item / chunks * channels * positions;
      transpose_plane(width, static_cast<const std::byte*>(src) + (image + first) * width, positions,
                      static_cast<std::byte*>(dst) + (image + first * channels) * width, channels,
                      std::min(kChunk, positions - first), channels);
    }
  });
}

}  // namespace linnet
