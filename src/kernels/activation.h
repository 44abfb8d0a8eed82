// Activations that a kernel can apply to its result before it leaves the cache.
#pragma once

#include <cstddef>
#include <cstdint>

namespace linnet {

enum class Activation : uint8_t {
  none,
  relu,          // max(x, 0)
  clip,          // min(max(x, a), b)
  leaky_relu,    // x < 0 ? a x : x
  hard_sigmoid,  // min(max(a x + b, 0), 1)
  hard_swish,    // x min(max(x / 6 + 1/2, 0), 1)
  sigmoid,       // 1 / (1 + exp(-x))
  silu,          // x sigmoid(a x): a = 1 is SiLU, a = 1.702 QuickGelu
  gelu_erf,      // x (1 + erf(x / sqrt 2)) / 2
  gelu_tanh,     // x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2
  tanh,
};

struct ActivationSpec {
  Activation kind = Activation::none;
  float a = 0.0f;
  float b = 0.0f;
};

// In double precision, rounded once: the oracle of the tests and what Isa::reference computes.
// NaN stays NaN, whatever the activation.
float activate_reference(const ActivationSpec& spec, float x) noexcept;

// In place, over rows x columns. An element's result does not depend on where it stands.
void activate_block(const ActivationSpec& spec, float* data, size_t row_stride, size_t rows, size_t columns) noexcept;

}  // namespace linnet
