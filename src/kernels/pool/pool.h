// Pooling over windows of up to three axes. https://onnx.ai/onnx/operators/onnx__MaxPool.html, ...AveragePool,
// ...LpPool
#pragma once

#include <cstdint>

#include "base/parallel.h"
#include "kernels/spatial.h"

namespace linnet {

enum class PoolKind : uint8_t {
  max,      // a NaN is greater than nothing, so it loses; a window of padding alone gives the type's least value
  average,  // over the window without its padding, or over all of it (count_include_pad)
  lp,       // (sum |x|^p)^(1/p)
};

struct PoolGeometry {
  size_t batch = 1;
  size_t channels = 1;
  SpatialSizes src{1, 1, 1};
  SpatialSizes dst{1, 1, 1};
  SpatialSizes kernel{1, 1, 1};
  SpatialSizes stride{1, 1, 1};
  SpatialSizes dilation{1, 1, 1};
  std::array<ptrdiff_t, kSpatialAxes> pad_begin{};
  std::array<ptrdiff_t, kSpatialAxes> pad_end{};
  PoolKind kind = PoolKind::max;
  bool count_include_pad = false;
  int64_t p = 2;
};

// Bytes of scratch for each of the parallel's threads.
size_t pool_scratch_size(const PoolGeometry& geometry) noexcept;
// Maximum and average of fp32, channels-last. `scratch` holds parallel.threads() parts, aligned to 64 bytes.
void pool_channels_last(const PoolGeometry& geometry, const float* src, float* dst, std::byte* scratch,
                        const Parallel& parallel) noexcept;

// The same, channels-first, where pool_planes_fits: no windows far beyond the input, averages over few numbers.
bool pool_planes_fits(const PoolGeometry& geometry) noexcept;
size_t pool_planes_scratch_size(const PoolGeometry& geometry) noexcept;
void pool_planes(const PoolGeometry& geometry, const float* src, float* dst, std::byte* scratch,
                 const Parallel& parallel) noexcept;

// Maximum of int8 or uint8, channels-last.
void max_pool_codes(const PoolGeometry& geometry, bool is_signed, const uint8_t* src, uint8_t* dst,
                    const Parallel& parallel) noexcept;

// Where the maximum stands: its index in the channels-first tensor, over all images and channels, axes in row-major or
// column-major order. -1 for a window of padding alone. `dst` has the strides of the values.
struct PoolIndices {
  int64_t* dst = nullptr;
  bool column_major = false;
};

// Any kind, layout and type: float, double, f16, bf16, int8_t, uint8_t. The plain form and the oracle of the tests.
template <class T>
void pool_plain(const PoolGeometry& geometry, const T* src, SpatialStrides src_strides, T* dst,
                SpatialStrides dst_strides, PoolIndices indices, const Parallel& parallel) noexcept;

}  // namespace linnet
