// What convolution, pooling and their relatives share: up to three spatial axes, and where tensors lie.
#pragma once

#include <array>
#include <cstddef>

namespace linnet {

// Fewer axes are written with leading ones.
inline constexpr size_t kSpatialAxes = 3;
using SpatialSizes = std::array<size_t, kSpatialAxes>;

constexpr size_t positions_of(const SpatialSizes& sizes) noexcept { return sizes[0] * sizes[1] * sizes[2]; }

// Steps in elements between images, channels and positions, for code that takes either layout.
struct SpatialStrides {
  size_t batch = 0, channel = 0, position = 0;
};
constexpr SpatialStrides channels_last_strides(size_t channels, const SpatialSizes& sizes) noexcept {
  return {channels * positions_of(sizes), 1, channels};
}
constexpr SpatialStrides channels_first_strides(size_t channels, const SpatialSizes& sizes) noexcept {
  return {channels * positions_of(sizes), positions_of(sizes), 1};
}

}  // namespace linnet
