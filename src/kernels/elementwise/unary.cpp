// The SIMD forms of UnaryFn for float.
#include "kernels/elementwise/unary.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/elementwise/unary.cpp"
#include "hwy/foreach_target.h"

#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"
#include "kernels/activation-inl.h"
#include "kernels/math-inl.h"
#include "kernels/partial-inl.h"

HWY_BEFORE_NAMESPACE();
namespace linnet::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

template <class F>
HWY_INLINE void map(const float* src, float* dst, size_t count, F f) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(f(hn::LoadU(d, src + i)), d, dst + i);
  if (i < count) store_partial(f(load_partial(d, src + i, count - i)), d, dst + i, count - i);
}

HWY_INLINE V set(float value) { return hn::Set(D(), value); }

HWY_INLINE V vec_log(V x) {
  const D d;
  const V infinity = set(HUGE_VALF);
  V y = hn::Log(d, x);
  y = hn::IfThenElse(hn::Eq(x, infinity), infinity, y);
  y = hn::IfThenElse(hn::Eq(x, hn::Zero(d)), hn::Neg(infinity), y);
  return hn::IfThenElse(hn::Ge(x, hn::Zero(d)), y, hn::NaN(d));
}

// Highway's reduction of the argument holds up to 39,000; beyond, and for infinities and NaN, the C library's.
template <class Vector, class Scalar>
HWY_INLINE V vec_trigonometric(V x, Vector vector, Scalar scalar) {
  const D d;
  const auto held = hn::Lt(hn::Abs(x), set(39000.0f));
  if (HWY_LIKELY(hn::AllTrue(d, held))) return vector(x);
  HWY_ALIGN float lanes[hn::MaxLanes(D())];
  hn::Store(x, d, lanes);
  for (size_t i = 0; i < hn::Lanes(d); ++i) lanes[i] = scalar(lanes[i]);
  // What a number gives does not depend on its neighbours.
  return hn::IfThenElse(held, vector(hn::IfThenElseZero(held, x)), hn::Load(d, lanes));
}

// a (e^x - 1) below zero, else x.
HWY_INLINE V elu(V x, V a) {
  const D d;
  const V zero = hn::Zero(d);
  const V below = hn::Mul(a, hn::Sub(vec_exp(d, hn::Min(zero, x)), set(1.0f)));
  return hn::IfThenElse(hn::Lt(x, zero), below, x);
}

// x tanh(log(1 + w)) = x n / (n + 2) with w = e^x, n = w (w + 2); for x > 20 that is x.
HWY_INLINE V mish(V x) {
  const V two = set(2.0f);
  const V w = vec_exp(D(), hn::Min(set(20.0f), x));
  const V n = hn::Mul(w, hn::Add(w, two));
  return hn::Mul(x, hn::Div(n, hn::Add(n, two)));
}

HWY_INLINE V softplus(V x) {
  const D d;
  return hn::Add(hn::Max(hn::Zero(d), x), hn::Log1p(d, vec_exp(d, hn::Neg(hn::Abs(x)))));
}

HWY_INLINE V sign(V x) {
  const V zero = hn::Zero(D());
  const V signed_one = hn::CopySign(set(1.0f), x);
  return hn::IfThenElse(hn::Or(hn::Eq(x, zero), hn::IsNaN(x)), hn::Add(x, zero), signed_one);
}

HWY_INLINE V shrink(V x, V lambda, V bias) {
  const V inside = hn::Zero(D());
  const V below = hn::IfThenElse(hn::Lt(x, hn::Neg(lambda)), hn::Add(x, bias), inside);
  return hn::IfThenElse(hn::Gt(x, lambda), hn::Sub(x, bias), below);
}

void unary_simd(UnaryFn fn, UnaryParams params, const float* src, float* dst, size_t count) {
  const D d;
  const V a = set(params.alpha);
  const V b = set(params.beta);
  const V zero = hn::Zero(d);
  const V one = set(1.0f);
#define LINNET_CASE(name, expression) \
  case UnaryFn::name: return map(src, dst, count, [=](V x) HWY_ATTR { return expression; })
#define LINNET_ACTIVATION(name, activation) LINNET_CASE(name, activate<Activation::activation>(d, x, a, b))
#define LINNET_LIBRARY(name)                                       \
  case UnaryFn::name:                                              \
    for (size_t i = 0; i < count; ++i) dst[i] = std::name(src[i]); \
    return
  switch (fn) {
    LINNET_CASE(abs, hn::Abs(x));
    LINNET_CASE(neg, hn::Neg(x));
    LINNET_CASE(sign, sign(x));
    LINNET_ACTIVATION(relu, relu);
    LINNET_CASE(reciprocal, hn::Div(one, x));
    LINNET_CASE(rsqrt, hn::Div(one, hn::Sqrt(x)));
    LINNET_CASE(sqrt, hn::Sqrt(x));
    LINNET_CASE(floor, hn::Floor(x));
    LINNET_CASE(ceil, hn::Ceil(x));
    LINNET_CASE(round, hn::Round(x));
    LINNET_CASE(exp, vec_exp(d, x));
    LINNET_CASE(log, vec_log(x));
    LINNET_CASE(sin, vec_trigonometric(
                         x, [](V v) HWY_ATTR { return hn::Sin(D(), v); }, [](float v) { return std::sin(v); }));
    LINNET_CASE(cos, vec_trigonometric(
                         x, [](V v) HWY_ATTR { return hn::Cos(D(), v); }, [](float v) { return std::cos(v); }));
    LINNET_LIBRARY(tan);
    LINNET_CASE(asin, hn::Asin(d, x));
    LINNET_CASE(acos, hn::Acos(d, x));
    LINNET_CASE(atan, hn::Atan(d, x));
    LINNET_LIBRARY(sinh);
    LINNET_LIBRARY(cosh);
    LINNET_LIBRARY(asinh);
    LINNET_LIBRARY(acosh);
    LINNET_LIBRARY(atanh);
    LINNET_ACTIVATION(tanh, tanh);
    LINNET_ACTIVATION(sigmoid, sigmoid);
    LINNET_CASE(erf, vec_erf(d, x));
    LINNET_ACTIVATION(gelu_erf, gelu_erf);
    LINNET_ACTIVATION(gelu_tanh, gelu_tanh);
    LINNET_ACTIVATION(swish, silu);
    LINNET_CASE(mish, mish(x));
    LINNET_CASE(softplus, softplus(x));
    LINNET_CASE(softsign, hn::Div(x, hn::Add(one, hn::Abs(x))));
    LINNET_ACTIVATION(leaky_relu, leaky_relu);
    LINNET_CASE(thresholded_relu, hn::IfThenElseZero(hn::Gt(x, a), x));
    LINNET_CASE(elu, elu(x, a));
    LINNET_CASE(selu, hn::Mul(b, elu(x, a)));
    LINNET_CASE(celu, hn::IfThenElse(hn::Lt(x, zero), elu(hn::Div(x, a), a), x));
    LINNET_ACTIVATION(hard_sigmoid, hard_sigmoid);
    LINNET_ACTIVATION(hard_swish, hard_swish);
    LINNET_CASE(shrink, shrink(x, a, b));
    LINNET_ACTIVATION(clip, clip);
  }
#undef LINNET_CASE
#undef LINNET_ACTIVATION
#undef LINNET_LIBRARY
}

}  // namespace
}  // namespace linnet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/dispatch.h"
#include "kernels/elementwise/unary_reference.h"

namespace linnet {
namespace {

void unary_range_reference(UnaryFn fn, UnaryParams params, const float* src, float* dst, size_t count) {
  const double alpha = params.alpha;
  const double beta = params.beta;
  for (size_t i = 0; i < count; ++i)
    dst[i] = static_cast<float>(unary_reference<double>(fn, alpha, beta, static_cast<double>(src[i])));
}

}  // namespace

void unary_range(UnaryFn fn, UnaryParams params, const float* src, float* dst, size_t count) noexcept {
  LINNET_DISPATCH(unary_simd, unary_range_reference)(fn, params, src, dst, count);
}

}  // namespace linnet
#endif
