<<<<<<< HEAD
// Windows and filter banks of signal processing.
// https://onnx.ai/onnx/operators/onnx__HannWindow.html, ...HammingWindow, ...BlackmanWindow, ...MelWeightMatrix
#include <cmath>

#include "ops/element_types.h"
#include "ops/infer_shapes.h"
=======
#include "ops/window.h"

#include <algorithm>
>>>>>>> 26e5414 (Conv, ConvTranspose, pooling and Resize operators with their old forms)

namespace linnet {
namespace {

<<<<<<< HEAD
Result<DType> output_type(NodeReader& reader) {
  const DType dtype = reader.dtype("output_datatype", DType::f32);
  LINNET_REQUIRE(kNumberTypes.has(dtype), unsupported("output_datatype ", dtype_name(dtype), " is not supported"));
  return dtype;
}

// a - b cos(2 pi i / n) + c cos(4 pi i / n)
class Window : public Op {
 public:
  Window(double a, double b, double c) : a_(a), b_(b), c_(c) {}

  Status parse(NodeReader& reader) {
    periodic_ = reader.flag("periodic", true);
    LINNET_ASSIGN(dtype_, output_type(reader));
    return {};
  }
  Status infer(InferContext& context) const override {
    LINNET_TRY(expect_type(context, 0, kIndexTypes));
    LINNET_TRY(expect_one_element(context, 0));
    DimVector size;
    if (!context.ints(0, size) || size.size() != 1) size = {Dim()};
    LINNET_REQUIRE(!size[0].known() || size[0].value() >= 0, invalid_argument("the size is ", size[0].value()));
    context.set(0, dtype_, std::move(size));
    return {};
  }
  Status run(RunContext& context) const override {
    Tensor& out = context.out(0);
    const int64_t count = out.count(), n = periodic_ ? count : std::max<int64_t>(count - 1, 1);
    visit_number(dtype_, [&]<class T>(TypeTag<T>) {
      for (int64_t i = 0; i < count; ++i) {
        const double angle = 6.28318530717958647693 * static_cast<double>(i) / static_cast<double>(n);
        out.ptr<T>()[i] = rounded<T>(a_ - b_ * std::cos(angle) + c_ * std::cos(2 * angle));
      }
    });
    return {};
  }

 private:
  double a_, b_, c_;
  bool periodic_ = true;
  DType dtype_ = DType::f32;
};

struct HannWindow final : Window {
  HannWindow() : Window(0.5, 0.5, 0) {}
};
struct HammingWindow final : Window {
  HammingWindow() : Window(25.0 / 46.0, 21.0 / 46.0, 0) {}
};
struct BlackmanWindow final : Window {
  BlackmanWindow() : Window(0.42, 0.5, 0.08) {}
};

// Triangles at equal distances on the mel scale, over the bins of a spectrum.
class MelWeightMatrix final : public Op {
 public:
  Status parse(NodeReader& reader) {
    LINNET_ASSIGN(dtype_, output_type(reader));
    return {};
  }
  Status infer(InferContext& context) const override {
    for (size_t i = 0; i < 5; ++i) {
      LINNET_TRY(expect_type(context, i, i < 3 ? kIndexTypes : kFloatTypes));
      LINNET_TRY(expect_one_element(context, i));
    }
    Dim bins, length;
    if (const auto n = context.known_int(0)) bins = *n;
    if (const auto n = context.known_int(1)) length = *n;
    LINNET_REQUIRE((!bins.known() || bins.value() >= 0) && (!length.known() || length.value() >= 0), invalid_argument("a number of bins is negative"));
    context.set(0, dtype_, {context.symbols().add(context.symbols().div(length, 2), 1), bins});
    return {};
  }
  Status run(RunContext& context) const override {
    const int64_t length = integer_at(context.in(1), 0), rate = integer_at(context.in(2), 0);
    const double low = number_at(context.in(3), 0), high = number_at(context.in(4), 0);
    LINNET_REQUIRE(rate > 0, invalid_argument("the sample rate is ", rate));
    LINNET_REQUIRE(low >= 0 && high > low && high < 1e300, invalid_argument("the edges ", low, " and ", high, " Hz bound no band"));
    Tensor& out = context.out(0);
    const int64_t rows = out.shape[0], bins = out.shape[1];
    const auto mel = [](double hertz) { return 2595.0 * std::log10(1.0 + hertz / 700.0); };
    const double step = (mel(high) - mel(low)) / static_cast<double>(bins + 2);
    const auto bin = [&](int64_t i) {
      const double hertz = 700.0 * (std::pow(10.0, (static_cast<double>(i) * step + mel(low)) / 2595.0) - 1.0);
      return std::floor(static_cast<double>(length + 1) * hertz / static_cast<double>(rate));
    };
    LINNET_REQUIRE(bins == 0 || bin(bins + 1) <= static_cast<double>(rows), invalid_argument("the upper edge of ", high, " Hz is beyond the spectrum"));
    std::memset(out.data, 0, out.bytes());
    visit_number(dtype_, [&]<class T>(TypeTag<T>) {
      T* dst = out.ptr<T>();
      for (int64_t i = 0; i < bins; ++i) {
        const int64_t left = static_cast<int64_t>(bin(i)), center = static_cast<int64_t>(bin(i + 1)), right = static_cast<int64_t>(bin(i + 2));
        const auto set = [&](int64_t row, double value) {
          if (row < rows) dst[row * bins + i] = rounded<T>(value);
        };
        if (center == left) set(center, 1.0);
        for (int64_t row = left; row <= center && center > left; ++row) set(row, static_cast<double>(row - left) / static_cast<double>(center - left));
        for (int64_t row = center; row < right; ++row) set(row, static_cast<double>(right - row) / static_cast<double>(right - center));
      }
    });
    return {};
  }

 private:
  DType dtype_ = DType::f32;
};

constexpr OpDef kDefs[] = {
    {"", "HannWindow", 17, 1, 1, 1, 1, create<HannWindow>},
    {"", "HammingWindow", 17, 1, 1, 1, 1, create<HammingWindow>},
    {"", "BlackmanWindow", 17, 1, 1, 1, 1, create<BlackmanWindow>},
    {"", "MelWeightMatrix", 17, 5, 5, 1, 1, create<MelWeightMatrix>},
};

}  // namespace

extern const std::span<const OpDef> kWindowOps = kDefs;
=======
// Keeps extents and padded sizes far from overflow.
constexpr int64_t kMost = int64_t{1} << 30;

Status check_list(std::string_view name, const std::vector<int64_t>& values, size_t count, int64_t least) {
  LINNET_REQUIRE(values.empty() || values.size() == count,
                 invalid_model(name, " has ", values.size(), " entries instead of ", count));
  for (const int64_t v : values)
    LINNET_REQUIRE(v >= least && v <= kMost, invalid_model(name, " has an entry of ", v));
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

Result<SpatialLayout> spatial_layout(size_t rank, bool channels_last) {
  LINNET_REQUIRE(rank >= 3, invalid_argument("the input has rank ", rank, "; batch, channels and a spatial axis are wanted"));
  LINNET_REQUIRE(rank - 2 <= kSpatialAxes, unsupported("more than three spatial axes"));
  return SpatialLayout{rank, channels_last};
}
>>>>>>> 26e5414 (Conv, ConvTranspose, pooling and Resize operators with their old forms)

}  // namespace linnet
