#include "ops/sliding_window.h"

#include <algorithm>

namespace linnet {
namespace {

// Keeps extents and padded sizes far from overflow.
constexpr int64_t kMost = int64_t{1} << 30;

Status check_list(std::string_view name, const std::vector<int64_t>& values, size_t count, int64_t least) {
  LINNET_REQUIRE(values.empty() || values.size() == count,
                 invalid_model(name, " has ", values.size(), " entries instead of ", count));
  for (const int64_t v : values) LINNET_REQUIRE(v >= least && v <= kMost, invalid_model(name, " has an entry of ", v));
  return {};
}

}  // namespace

Status Window::parse(NodeReader& reader) {
  const std::string pad = reader.text("auto_pad", "NOTSET");
  dilations_ = reader.integers("dilations");
  kernel_shape_ = reader.integers("kernel_shape");
  pads_ = reader.integers("pads");
  strides_ = reader.integers("strides");
  if (pad == "SAME_UPPER") {
    auto_pad_ = AutoPad::same_upper;
  } else if (pad == "SAME_LOWER") {
    auto_pad_ = AutoPad::same_lower;
  } else if (pad == "VALID") {
    auto_pad_ = AutoPad::valid;
  } else {
    LINNET_REQUIRE(pad == "NOTSET" || pad.empty(), invalid_model("auto_pad is '", pad, "'"));
  }
  return {};
}

Status Window::check(size_t axes) const {
  LINNET_TRY(check_list("dilations", dilations_, axes, 1));
  LINNET_TRY(check_list("kernel_shape", kernel_shape_, axes, 1));
  LINNET_TRY(check_list("pads", pads_, 2 * axes, -kMost));
  return check_list("strides", strides_, axes, 1);
}

WindowAxis Window::axis(size_t a, int64_t kernel) const noexcept {
  WindowAxis axis;
  axis.kernel = kernel_shape_.empty() ? kernel : kernel_shape_[a];
  if (!strides_.empty()) axis.stride = strides_[a];
  if (!dilations_.empty()) axis.dilation = dilations_[a];
  if (!pads_.empty() && auto_pad_ == AutoPad::notset) {
    axis.pad_begin = pads_[a];
    axis.pad_end = pads_[pads_.size() / 2 + a];
  }
  return axis;
}

Result<Dim> Window::output_size(const WindowAxis& axis, Dim in, bool ceil_mode, SymbolTable& symbols) const {
  LINNET_REQUIRE(axis.kernel <= kMost && axis.kernel >= 1, invalid_model("a kernel has size ", axis.kernel));
  if (auto_pad_ == AutoPad::same_upper || auto_pad_ == AutoPad::same_lower)
    return symbols.div(symbols.add(in, axis.stride - 1), axis.stride);
  const Dim room = symbols.sub(symbols.add(in, axis.pad_begin + axis.pad_end), axis.extent());
  LINNET_REQUIRE(!room.known() || room.value() >= 0,
                 invalid_argument("a window of ", axis.extent(), " does not fit into a padded size of ",
                                  in.value() + axis.pad_begin + axis.pad_end));
  if (!ceil_mode) return symbols.add(symbols.div(room, axis.stride), 1);
  if (!room.known()) return symbols.fresh();
  int64_t size = ceil_div(room.value(), axis.stride) + 1;
  if ((size - 1) * axis.stride >= in.value() + axis.pad_begin) --size;  // no window starts behind the input
  return Dim(size);
}

void Window::resolve_pads(WindowAxis& axis, int64_t in, int64_t out) const noexcept {
  if (auto_pad_ != AutoPad::same_upper && auto_pad_ != AutoPad::same_lower) return;
  const int64_t total = std::max<int64_t>(0, (out - 1) * axis.stride + axis.extent() - in);
  axis.pad_begin = auto_pad_ == AutoPad::same_upper ? total / 2 : total - total / 2;
  axis.pad_end = total - axis.pad_begin;
}

Result<SpatialLayout> spatial_layout(size_t rank, bool channels_last, bool any_number) {
  LINNET_REQUIRE(rank >= 3,
                 invalid_argument("the input has rank ", rank, "; batch, channels and a spatial axis are wanted"));
  LINNET_REQUIRE(!has_many_axes(rank) || (any_number && !channels_last), unsupported("more than three spatial axes"));
  return SpatialLayout{rank, channels_last};
}

}  // namespace linnet
