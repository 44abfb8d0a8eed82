#include "kernels/activation.h"

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/activation.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/activation-inl.h"
#include "kernels/partial-inl.h"

HWY_BEFORE_NAMESPACE();
namespace linnet::HWY_NAMESPACE {
namespace {

template <Activation kKind>
void activate_rows(float* data, size_t row_stride, size_t rows, size_t columns, float a, float b) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  const auto va = hn::Set(d, a);
  const auto vb = hn::Set(d, b);
  for (size_t r = 0; r < rows; ++r, data += row_stride) {
    size_t i = 0;
    for (; i + lanes <= columns; i += lanes)
      hn::StoreU(activate<kKind>(d, hn::LoadU(d, data + i), va, vb), d, data + i);
    if (i < columns) {
      const Part<hn::ScalableTag<float>> rest{columns - i};
      rest.store(activate<kKind>(d, rest.load(data + i), va, vb), data + i);
    }
  }
}

void activate_block_simd(const ActivationSpec& spec, float* data, size_t row_stride, size_t rows, size_t columns) {
#define LINNET_ACTIVATION_CASE(kind) \
  case Activation::kind: return activate_rows<Activation::kind>(data, row_stride, rows, columns, spec.a, spec.b)
  switch (spec.kind) {
    case Activation::none:
      return;
      LINNET_ACTIVATION_CASE(relu);
      LINNET_ACTIVATION_CASE(clip);
      LINNET_ACTIVATION_CASE(leaky_relu);
      LINNET_ACTIVATION_CASE(hard_sigmoid);
      LINNET_ACTIVATION_CASE(hard_swish);
      LINNET_ACTIVATION_CASE(sigmoid);
      LINNET_ACTIVATION_CASE(silu);
      LINNET_ACTIVATION_CASE(gelu_erf);
      LINNET_ACTIVATION_CASE(gelu_tanh);
      LINNET_ACTIVATION_CASE(tanh);
  }
#undef LINNET_ACTIVATION_CASE
}

}  // namespace
}  // namespace linnet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/dispatch.h"

namespace linnet {
namespace {

void activate_block_reference(const ActivationSpec& spec, float* data, size_t row_stride, size_t rows, size_t columns) {
  for (size_t r = 0; r < rows; ++r)
    for (size_t i = 0; i < columns; ++i) data[r * row_stride + i] = activate_reference(spec, data[r * row_stride + i]);
}

}  // namespace

float activate_reference(const ActivationSpec& spec, float value) noexcept {
  const double x = value;
  const double a = spec.a;
  const double b = spec.b;
  // The argument comes first: std::clamp and friends then return a NaN unchanged.
  const auto clamped = [](double v, double low, double high) { return v < low ? low : v > high ? high : v; };
  const auto sigmoid = [](double v) { return 1.0 / (1.0 + std::exp(-v)); };
  const auto result = [&]() -> double {
    switch (spec.kind) {
      case Activation::none: return x;
      case Activation::relu: return x < 0.0 ? 0.0 : x;
      case Activation::clip: return std::isnan(x) ? x : std::min(std::max(x, a), b);
      case Activation::leaky_relu: return x < 0.0 ? a * x : x;
      case Activation::hard_sigmoid: return clamped(a * x + b, 0.0, 1.0);
      case Activation::hard_swish: return x * clamped(x / 6.0 + 0.5, 0.0, 1.0);
      case Activation::sigmoid: return sigmoid(x);
      case Activation::silu: return x * sigmoid(a * x);
      case Activation::gelu_erf: return 0.5 * x * (1.0 + std::erf(x * 0.70710678118654752440));
      case Activation::gelu_tanh:
        return 0.5 * x * (1.0 + std::tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
      case Activation::tanh: return std::tanh(x);
    }
    return x;
  };
  return static_cast<float>(result());
}

void activate_block(const ActivationSpec& spec, float* data, size_t row_stride, size_t rows, size_t columns) noexcept {
  LINNET_DISPATCH(activate_block_simd, activate_block_reference)(spec, data, row_stride, rows, columns);
}

}  // namespace linnet
#endif
