#include "kernels/activation.h"

#include <algorithm>
#include <cmath>

namespace linnet {

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

}  // namespace linnet
