// Functions of one number, element by element. `dst` may be `src`; both may be unaligned.
//
// float: one SIMD form per function (those without one call the C library). f16 and bf16: through float. double: the C
// library. Integers: abs, neg, sign and relu exactly, others in double, truncated and saturated.
#pragma once

#include <cstddef>

#include "base/half.h"
#include "base/parallel.h"

namespace linnet {

enum class UnaryFn : int {
  abs,
  neg,
  sign,
  relu,
  reciprocal,
  rsqrt,
  sqrt,
  floor,
  ceil,
  round,  // half to even
  exp,
  log,
  sin,
  cos,
  tan,
  asin,
  acos,
  atan,
  sinh,
  cosh,
  asinh,
  acosh,
  atanh,
  tanh,
  sigmoid,
  erf,
  gelu_erf,
  gelu_tanh,
  swish,  // x sigmoid(alpha x): SiLU, QuickGelu
  mish,   // x tanh(softplus(x))
  softplus,
  softsign,
  leaky_relu,        // alpha
  thresholded_relu,  // alpha
  elu,               // alpha
  selu,              // alpha, beta (gamma)
  celu,              // alpha
  hard_sigmoid,      // alpha, beta
  hard_swish,
  shrink,  // alpha (lambd), beta (bias)
  clip,    // alpha <= x <= beta; NaN stays NaN
};

struct UnaryParams {
  float alpha = 0.0f;
  float beta = 0.0f;
};

// Whether the function is exact on integers.
constexpr bool unary_on_integers(UnaryFn fn) noexcept { return fn <= UnaryFn::relu; }
// The cost of one float, roughly.
double unary_ns(UnaryFn fn) noexcept;

// T: float, double, f16, bf16, every integer type.
template <class T>
void unary(UnaryFn fn, UnaryParams params, const T* src, T* dst, size_t count, const Parallel& parallel) noexcept;

// One float range on this thread, for kernels that apply a function to what they have just computed.
void unary_range(UnaryFn fn, UnaryParams params, const float* src, float* dst, size_t count) noexcept;

}  // namespace linnet
