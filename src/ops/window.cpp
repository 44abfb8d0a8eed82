// Windows and filter banks of signal processing.
// https://onnx.ai/onnx/operators/onnx__HannWindow.html, ...HammingWindow, ...BlackmanWindow, ...MelWeightMatrix
#include <cmath>

#include "ops/element_types.h"
#include "ops/infer_shapes.h"

namespace linnet {
namespace {

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
    if (!context.list(0, size) || size.size() != 1) size = {Dim()};
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
    LINNET_REQUIRE((!bins.known() || bins.value() >= 0) && (!length.known() || length.value() >= 0),
                   invalid_argument("a number of bins is negative"));
    context.set(0, dtype_, {context.symbols().add(context.symbols().div(length, 2), 1), bins});
    return {};
  }
  Status run(RunContext& context) const override {
    const int64_t length = integer_at(context.in(1), 0), rate = integer_at(context.in(2), 0);
    const double low = number_at(context.in(3), 0), high = number_at(context.in(4), 0);
    LINNET_REQUIRE(rate > 0, invalid_argument("the sample rate is ", rate));
    LINNET_REQUIRE(low >= 0 && high > low && high < 1e300,
                   invalid_argument("the edges ", low, " and ", high, " Hz bound no band"));
    Tensor& out = context.out(0);
    const int64_t rows = out.shape[0], bins = out.shape[1];
    const auto mel = [](double hertz) { return 2595.0 * std::log10(1.0 + hertz / 700.0); };
    const double step = (mel(high) - mel(low)) / static_cast<double>(bins + 2);
    const auto bin = [&](int64_t i) {
      const double hertz = 700.0 * (std::pow(10.0, (static_cast<double>(i) * step + mel(low)) / 2595.0) - 1.0);
      return std::floor(static_cast<double>(length + 1) * hertz / static_cast<double>(rate));
    };
    LINNET_REQUIRE(bins == 0 || bin(bins + 1) <= static_cast<double>(rows),
                   invalid_argument("the upper edge of ", high, " Hz is beyond the spectrum"));
    std::memset(out.data, 0, out.bytes());
    visit_number(dtype_, [&]<class T>(TypeTag<T>) {
      T* dst = out.ptr<T>();
      for (int64_t i = 0; i < bins; ++i) {
        const int64_t left = static_cast<int64_t>(bin(i)), center = static_cast<int64_t>(bin(i + 1)),
                      right = static_cast<int64_t>(bin(i + 2));
        const auto set = [&](int64_t row, double value) {
          if (row < rows) dst[row * bins + i] = rounded<T>(value);
        };
        if (center == left) set(center, 1.0);
        for (int64_t row = left; row <= center && center > left; ++row)
          set(row, static_cast<double>(row - left) / static_cast<double>(center - left));
        for (int64_t row = center; row < right; ++row)
          set(row, static_cast<double>(right - row) / static_cast<double>(right - center));
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

}  // namespace linnet
