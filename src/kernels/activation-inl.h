// The vector forms of kernels/activation.h, for files that are compiled once a target (see kernels/dispatch.h).
#if defined(LINNET_KERNELS_ACTIVATION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LINNET_KERNELS_ACTIVATION_INL_H_
#undef LINNET_KERNELS_ACTIVATION_INL_H_
#else
#define LINNET_KERNELS_ACTIVATION_INL_H_
#endif

#include "hwy/highway.h"
#include "kernels/activation.h"
#include "kernels/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace linnet::HWY_NAMESPACE {

// Applies one activation to a vector. `a` and `b` are the parameters of ActivationSpec in every lane.
template <Activation kKind, class D, class V = hn::Vec<D>>
HWY_INLINE V activate(D d, V x, V a, V b) {
  const V zero = hn::Zero(d);
  const V one = hn::Set(d, 1.0f);
  const V half = hn::Set(d, 0.5f);
  if constexpr (kKind == Activation::relu) {
    return hn::Max(zero, x);
  } else if constexpr (kKind == Activation::clip) {
    return hn::Min(b, hn::Max(a, x));
  } else if constexpr (kKind == Activation::leaky_relu) {
    return hn::IfThenElse(hn::Lt(x, zero), hn::Mul(a, x), x);
  } else if constexpr (kKind == Activation::hard_sigmoid) {
    return hn::Min(one, hn::Max(zero, hn::MulAdd(a, x, b)));
  } else if constexpr (kKind == Activation::hard_swish) {
    const V gate = hn::MulAdd(x, hn::Set(d, 1.0f / 6.0f), half);
    return hn::Mul(x, hn::Min(one, hn::Max(zero, gate)));
  } else if constexpr (kKind == Activation::sigmoid) {
    return vec_sigmoid(d, x);
  } else if constexpr (kKind == Activation::silu) {
    return hn::Mul(x, vec_sigmoid(d, hn::Mul(a, x)));
  } else if constexpr (kKind == Activation::gelu_erf) {
    const V erf = vec_erf(d, hn::Mul(x, hn::Set(d, 0.70710678118654752f)));
    return hn::Mul(hn::Mul(half, x), hn::Add(one, erf));
  } else if constexpr (kKind == Activation::gelu_tanh) {
    const V cubic = hn::MulAdd(hn::Mul(hn::Mul(x, x), hn::Set(d, 0.044715f)), x, x);
    const V tanh = vec_tanh(d, hn::Mul(cubic, hn::Set(d, 0.79788456080286536f)));
    return hn::Mul(hn::Mul(half, x), hn::Add(one, tanh));
  } else if constexpr (kKind == Activation::tanh) {
    return vec_tanh(d, x);
  } else {
    return x;
  }
}

}  // namespace linnet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // the guard of one target
