// The sliding window that convolution and pooling share: attributes, output sizes, padding.
#pragma once

#include "kernels/spatial.h"
#include "ops/op.h"

namespace linnet {

enum class AutoPad : uint8_t { notset, same_upper, same_lower, valid };

// Along one axis, everything known.
struct WindowAxis {
  int64_t kernel = 1, stride = 1, dilation = 1;
  int64_t pad_begin = 0, pad_end = 0;  // with auto_pad only after resolve_pads

  int64_t extent() const noexcept { return (kernel - 1) * dilation + 1; }
};

class Window {
 public:
  // Reads auto_pad, dilations, kernel_shape, pads, strides.
  Status parse(NodeReader& reader);

  AutoPad auto_pad() const noexcept { return auto_pad_; }
  const std::vector<int64_t>& kernel_shape() const noexcept { return kernel_shape_; }

  // Checks that the attributes describe `axes` axes.
  Status check(size_t axes) const;
  // Axis a as written; the kernel from kernel_shape or, without it, from `kernel`. After check().
  WindowAxis axis(size_t a, int64_t kernel) const noexcept;

  // The output size of a window sliding over an axis of size `in`.
  Result<Dim> output_size(const WindowAxis& axis, Dim in, bool ceil_mode, SymbolTable& symbols) const;
  // Fills the padding that auto_pad implies for sizes `in` and `out`.
  void resolve_pads(WindowAxis& axis, int64_t in, int64_t out) const noexcept;

 private:
  AutoPad auto_pad_ = AutoPad::notset;
  std::vector<int64_t> dilations_, kernel_shape_, pads_, strides_;
};

// Where batch, channels and spatial axes stand in a tensor of at least three axes.
struct SpatialLayout {
  size_t rank = 0;
  bool channels_last = false;

  size_t axes() const noexcept { return rank - 2; }
  size_t channel_axis() const noexcept { return channels_last ? rank - 1 : 1; }
  size_t spatial_axis(size_t a) const noexcept { return a + (channels_last ? 1 : 2); }
  // The spatial sizes, with leading ones where there are fewer than three.
  SpatialSizes sizes(const Shape& shape) const noexcept {
    SpatialSizes sizes{1, 1, 1};
    for (size_t a = 0; a < axes(); ++a) sizes[kSpatialAxes - axes() + a] = static_cast<size_t>(shape[spatial_axis(a)]);
    return sizes;
  }
};

// Rank at least 3 and at most three spatial axes, unless any number will do.
Result<SpatialLayout> spatial_layout(size_t rank, bool channels_last, bool any_number = false);
inline bool has_many_axes(size_t rank) noexcept { return rank > kSpatialAxes + 2; }

}  // namespace linnet
