// Elementary functions over vectors of float, for files that are compiled once a target (see kernels/dispatch.h).
// Errors are the greatest seen over all floats of the range, with fused multiply-add (SSE4 loses up to 1e-7 more).
// NaN gives NaN. The order of Min's and Max's arguments matters: on x86 they return the second when one is NaN.
#if defined(LINNET_KERNELS_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LINNET_KERNELS_MATH_INL_H_
#undef LINNET_KERNELS_MATH_INL_H_
#else
#define LINNET_KERNELS_MATH_INL_H_
#endif

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace linnet::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// c[0] + c[1] x + c[2] x^2 + ... (Horner)
template <class D, class V, size_t kCount>
HWY_INLINE V polynomial(D d, V x, const float (&c)[kCount]) {
  V sum = hn::Set(d, c[kCount - 1]);
  for (size_t i = kCount - 1; i-- > 0;) sum = hn::MulAdd(sum, x, hn::Set(d, c[i]));
  return sum;
}

// e^x, relative error 1.2e-7; subnormal results are rounded once; 0 below -104, infinity above 88.72.
// x = n ln 2 + r, e^r by a polynomial, times 2^n in two steps so that neither leaves the range of floats.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V vec_exp(D d, V x) {
  constexpr float kPowers[] = {1.0f,
                                   1.0f,
                                   5.0000001201e-1f,
                                   1.6666665459e-1f,
                                   4.1665795894e-2f,
                                   8.3334519073e-3f,
                                   1.3981999507e-3f,
                                   1.9875691500e-4f};
  const hn::RebindToSigned<D> di;
  x = hn::Min(hn::Set(d, 89.0f), hn::Max(hn::Set(d, -105.0f), x));
  const V round = hn::Set(d, 12582912.0f);  // 1.5 * 2^23: the sum's low bits are the nearest integer
  const V shifted = hn::MulAdd(x, hn::Set(d, 1.44269504088896341f), round);
  const V n = hn::Sub(shifted, round);
  V r = hn::NegMulAdd(n, hn::Set(d, 0.693359375f), x);
  r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4f), r);
  const V p = polynomial(d, r, kPowers);
  const auto exponent = hn::Sub(hn::BitCast(di, shifted), hn::BitCast(di, round));
  const auto half = hn::ShiftRight<1>(exponent);
  const auto one = hn::Set(di, 127);
  const V scale1 = hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(half, one)));
  const V scale2 = hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(hn::Sub(exponent, half), one)));
  return hn::Mul(hn::Mul(p, scale1), scale2);
}

// 1 / (1 + e^-x), relative error 2.5e-7 above -87.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V vec_sigmoid(D d, V x) {
  const V one = hn::Set(d, 1.0f);
  return hn::Div(one, hn::Add(one, vec_exp(d, hn::Neg(x))));
}

// Relative error 3.2e-7. An odd rational function up to 9; from there tanh is 1 in float.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V vec_tanh(D d, V x) {
  constexpr float kP[] = {9.999999795e-01f, 1.338103736e-01f, 3.495601649e-03f, 2.060928933e-05f, 1.335491980e-08f};
  constexpr float kQ[] = {1.0f, 4.671435298e-01f, 2.587703466e-02f, 3.285656258e-04f, 7.776670029e-07f};
  const V limit = hn::Set(d, 9.0f);
  const V one = hn::Set(d, 1.0f);
  const V z = hn::Mul(x, x);
  const V y = hn::Div(hn::Mul(x, polynomial(d, z, kP)), polynomial(d, z, kQ));
  const V bounded = hn::Min(one, hn::Max(hn::Neg(one), y));
  return hn::IfThenElse(hn::Ge(hn::Abs(x), limit), hn::CopySign(one, x), bounded);
}

// Relative error 3.3e-7. An odd rational function up to 3.92; from there erf is 1 in float.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V vec_erf(D d, V x) {
  constexpr float kP[] = {1.128379146e+00f, 1.904046706e-01f, 5.274849284e-02f,
                          3.765541013e-03f, 2.848812017e-04f, 2.050104035e-06f};
  constexpr float kQ[] = {1.0f,             5.020744874e-01f, 1.141083752e-01f,
                          1.496906571e-02f, 1.162517360e-03f, 3.809180773e-05f};
  const V limit = hn::Set(d, 3.92f);
  const V one = hn::Set(d, 1.0f);
  const V z = hn::Mul(x, x);
  const V y = hn::Div(hn::Mul(x, polynomial(d, z, kP)), polynomial(d, z, kQ));
  const V bounded = hn::Min(one, hn::Max(hn::Neg(one), y));
  return hn::IfThenElse(hn::Ge(hn::Abs(x), limit), hn::CopySign(one, x), bounded);
}

}  // namespace linnet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // the guard of one target
