// Resampling along any axes. https://onnx.ai/onnx/operators/onnx__Resize.html
//
// Interpolation is separable: each resized axis has a table that says, for every output index, which input indices
// count with which weights. The tables are built once for a shape, in memory of the caller.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/parallel.h"

namespace linnet {

enum class ResizeMode : uint8_t { nearest, linear, cubic };
enum class ResizeTransform : uint8_t {
  half_pixel,
  half_pixel_symmetric,
  pytorch_half_pixel,
  align_corners,
  asymmetric,
  tf_crop_and_resize,
  tf_half_pixel_for_nn,  // of operator set 11 only
};
enum class ResizeNearest : uint8_t {
  round_prefer_floor,
  round_prefer_ceil,
  floor,
  ceil,
  simple,  // before operator set 11: ceil where the axis shrinks, else floor
};

struct ResizeSpec {
  ResizeMode mode = ResizeMode::nearest;
  ResizeTransform transform = ResizeTransform::half_pixel;
  ResizeNearest nearest = ResizeNearest::round_prefer_floor;
  float cubic_coeff_a = -0.75f;
  bool exclude_outside = false;
  bool antialias = false;
};

// One axis of the tensor. Without a table it stays as it is.
struct ResizeAxis {
  size_t src = 1, dst = 1;
  size_t taps = 0;  // 0: not resized
  const int32_t* index =
      nullptr;  // [dst][taps], inside src; the first is -1 for an output outside the region of interest
  const float* weight = nullptr;  // [dst][taps]; null for nearest
};

// The scale is at least kLeastResizeScale, so that an antialiased window stays within reason.
inline constexpr float kLeastResizeScale = 1e-6f;

// Input elements behind one output element.
size_t resize_taps(const ResizeSpec& spec, size_t src, float scale) noexcept;
// Bytes of an axis' table.
size_t resize_table_size(const ResizeSpec& spec, size_t src, size_t dst, float scale) noexcept;
// Builds the table in `memory` (aligned to 4 bytes). src is at least 1. The region of interest is read for
// tf_crop_and_resize only.
ResizeAxis resize_table(const ResizeSpec& spec, size_t src, size_t dst, double scale, float roi_start, float roi_end,
                        std::byte* memory) noexcept;

inline constexpr size_t kMostResizeAxes = 8;

// Nearest for elements of any width: `axes` are all axes of the tensor, at most kMostResizeAxes, with tables of one
// tap. Outputs outside the region of interest become the element at `outside`.
void resize_nearest(std::span<const ResizeAxis> axes, size_t element_size, const std::byte* src, std::byte* dst,
                    const std::byte* outside, const Parallel& parallel) noexcept;

// Weighted tables on fp32, axis by axis; no output may lie outside. `scratch` is one part for all threads.
size_t resize_scratch_size(std::span<const ResizeAxis> axes, size_t threads) noexcept;
void resize_separable(std::span<const ResizeAxis> axes, const float* src, float* dst, std::byte* scratch,
                      const Parallel& parallel) noexcept;

// Weighted tables on any type: float, double, f16, bf16 and the integers of 8 to 64 bits, which saturate and are
// truncated or rounded (halves away from zero). The plain form and the oracle of the tests.
template <class T>
void resize_plain(std::span<const ResizeAxis> axes, const T* src, T* dst, float outside, bool rounds,
                  const Parallel& parallel) noexcept;

}  // namespace linnet
