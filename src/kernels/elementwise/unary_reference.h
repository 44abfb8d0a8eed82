// The definition of every UnaryFn for one number: the oracle of the SIMD forms, and the form for the other types.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <type_traits>

#include "kernels/elementwise/unary.h"

namespace linnet {

template <std::floating_point T>
T unary_reference(UnaryFn fn, T alpha, T beta, T x) noexcept {
  const auto sigmoid = [](T v) { return v >= 0 ? 1 / (1 + std::exp(-v)) : std::exp(v) / (1 + std::exp(v)); };
  const auto softplus = [](T v) { return v > 0 ? v + std::log1p(std::exp(-v)) : std::log1p(std::exp(v)); };
  switch (fn) {
    case UnaryFn::abs: return std::fabs(x);
    case UnaryFn::neg: return -x;
    case UnaryFn::sign: return x > 0 ? T{1} : x < 0 ? T{-1} : x == 0 ? T{0} : x;
    case UnaryFn::relu: return x < 0 ? T{0} : x;
    case UnaryFn::reciprocal: return 1 / x;
    case UnaryFn::rsqrt: return 1 / std::sqrt(x);
    case UnaryFn::sqrt: return std::sqrt(x);
    case UnaryFn::floor: return std::floor(x);
    case UnaryFn::ceil: return std::ceil(x);
    case UnaryFn::round: return std::nearbyint(x);
    case UnaryFn::exp: return std::exp(x);
    case UnaryFn::log: return std::log(x);
    case UnaryFn::sin: return std::sin(x);
    case UnaryFn::cos: return std::cos(x);
    case UnaryFn::tan: return std::tan(x);
    case UnaryFn::asin: return std::asin(x);
    case UnaryFn::acos: return std::acos(x);
    case UnaryFn::atan: return std::atan(x);
    case UnaryFn::sinh: return std::sinh(x);
    case UnaryFn::cosh: return std::cosh(x);
    case UnaryFn::asinh: return std::asinh(x);
    case UnaryFn::acosh: return std::acosh(x);
    case UnaryFn::atanh: return std::atanh(x);
    case UnaryFn::tanh: return std::tanh(x);
    case UnaryFn::sigmoid: return sigmoid(x);
    case UnaryFn::erf: return std::erf(x);
    case UnaryFn::gelu_erf: return T(0.5) * x * (1 + std::erf(x * T(0.70710678118654752440)));
    case UnaryFn::gelu_tanh:
      return T(0.5) * x * (1 + std::tanh(T(0.79788456080286535588) * (x + T(0.044715) * x * x * x)));
    case UnaryFn::swish: return x * sigmoid(alpha * x);
    case UnaryFn::mish: return x * std::tanh(softplus(x));
    case UnaryFn::softplus: return softplus(x);
    case UnaryFn::softsign: return x / (1 + std::fabs(x));
    case UnaryFn::leaky_relu: return x < 0 ? alpha * x : x;
    case UnaryFn::thresholded_relu: return x > alpha ? x : T{0};
    case UnaryFn::elu: return x < 0 ? alpha * (std::exp(x) - 1) : x;
    case UnaryFn::selu: return beta * (x < 0 ? alpha * (std::exp(x) - 1) : x);
    case UnaryFn::celu: return x < 0 ? alpha * (std::exp(x / alpha) - 1) : x;
    case UnaryFn::hard_sigmoid: return std::isnan(x) ? x : std::clamp(alpha * x + beta, T{0}, T{1});
    case UnaryFn::hard_swish: return std::isnan(x) ? x : x * std::clamp(x / 6 + T(0.5), T{0}, T{1});
    case UnaryFn::shrink: return x < -alpha ? x + beta : x > alpha ? x - beta : T{0};
    case UnaryFn::clip: return std::isnan(x) ? x : std::min(std::max(x, alpha), beta);
  }
  return x;
}

// Wraps on overflow: abs and neg of the least number are that number.
template <std::integral T>
T unary_reference(UnaryFn fn, T x) noexcept {
  const auto negated = [](T v) {
    return static_cast<T>(std::make_unsigned_t<T>{0} - static_cast<std::make_unsigned_t<T>>(v));
  };
  switch (fn) {
    case UnaryFn::abs: return x < 0 ? negated(x) : x;
    case UnaryFn::neg: return negated(x);
    case UnaryFn::sign: return static_cast<T>(x > 0 ? 1 : x < 0 ? -1 : 0);
    default: return x < 0 ? T{0} : x;
  }
}

}  // namespace linnet
