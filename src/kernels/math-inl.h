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

// c[0] + c[1] x + c[2] x^2 + ... (Horner). A recursion, because compilers leave a loop as it is at -O2.
template <size_t kFirst = 0, class D, class V, class T, size_t kCount>
HWY_INLINE V polynomial(D d, V x, const T (&c)[kCount]) {
  if constexpr (kFirst + 1 == kCount) {
    return hn::Set(d, c[kFirst]);
  } else {
    return hn::MulAdd(polynomial<kFirst + 1>(d, x, c), x, hn::Set(d, c[kFirst]));
  }
}

// The parts of e^x = p 2^n with p between 0.7 and 1.42: x = n ln 2 + r, p = e^r by a polynomial.
template <class D, class V = hn::Vec<D>>
struct ExpParts {
  V p, whole;
  hn::Vec<hn::RebindToSigned<D>> n;
  HWY_INLINE ExpParts(D d, V x) {
    const hn::RebindToSigned<D> di;
    const V one = hn::Set(d, 1.0f);
    const V round = hn::Set(d, 12582912.0f);  // 1.5 * 2^23: the sum's low bits are the nearest integer
    const V shifted = hn::MulAdd(x, hn::Set(d, 1.44269504088896341f), round);
    n = hn::Sub(hn::BitCast(di, shifted), hn::BitCast(di, round));
    whole = hn::Sub(shifted, round);
    V r = hn::NegMulAdd(whole, hn::Set(d, 0.693359375f), x);
    r = hn::NegMulAdd(whole, hn::Set(d, -2.12194440e-4f), r);
    // Pairs of terms instead of Horner's chain, whose latency would bound a row of exponentials.
    const V r2 = hn::Mul(r, r);
    const V low = hn::MulAdd(hn::MulAdd(hn::Set(d, 0.1666652113f), r, hn::Set(d, 0.4999999404f)), r2, hn::Add(one, r));
    const V middle = hn::MulAdd(hn::Set(d, 8.3687454462e-3f), r, hn::Set(d, 4.1668388993e-2f));
    const V high = hn::MulAdd(hn::Set(d, 1.3814539415e-3f), r2, middle);
    p = hn::MulAdd(high, hn::Mul(r2, r2), low);
  }
  // p 2^n for -126 <= n <= 127; infinity for n = 128.
  HWY_INLINE V scaled(D d) const {
    const hn::RebindToSigned<D> di;
    return hn::Mul(p, hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(n, hn::Set(di, 127)))));
  }
};

// e^x, relative error 1.2e-7; subnormal results are rounded once; 0 below -104, infinity above 88.72.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V vec_exp(D d, V x) {
  const hn::RebindToSigned<D> di;
  const ExpParts<D> parts(d, hn::Min(hn::Set(d, 89.0f), hn::Max(hn::Set(d, -105.0f), x)));
#if HWY_TARGET == HWY_AVX3  // has an instruction for it
  if constexpr (hn::MaxLanes(d) == 16) return V{_mm512_scalef_ps(parts.p.raw, parts.whole.raw)};
#endif
  // 2^n in two steps, so that neither leaves the range of floats.
  const auto half = hn::ShiftRight<1>(parts.n);
  const auto one = hn::Set(di, 127);
  const V scale1 = hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(half, one)));
  const V scale2 = hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(hn::Sub(parts.n, half), one)));
  return hn::Mul(hn::Mul(parts.p, scale1), scale2);
}

// e^x for x <= 0, as softmax needs it: results below 2^-126 are 0, or with AVX-512 what they are.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V vec_exp_nonpositive(D d, V x) {
#if HWY_TARGET == HWY_AVX3
  if constexpr (hn::MaxLanes(d) == 16) {
    const ExpParts<D> parts(d, hn::Max(hn::Set(d, -105.0f), x));
    return V{_mm512_scalef_ps(parts.p.raw, parts.whole.raw)};
  }
#endif
  const V least = hn::Set(d, -87.33f);
  return hn::IfThenZeroElse(hn::Lt(x, least), ExpParts<D>(d, hn::Max(least, x)).scaled(d));
}

// 1 / (1 + e^-x), relative error 2.5e-7 above -87; 0 below -88.4, where 2^n becomes the bits of infinity.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V vec_sigmoid(D d, V x) {
  const V one = hn::Set(d, 1.0f);
  const V clamped = hn::Min(hn::Set(d, 89.0f), hn::Max(hn::Set(d, -87.33f), hn::Neg(x)));
  return hn::Div(one, hn::Add(one, ExpParts<D>(d, clamped).scaled(d)));
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
  constexpr float kQ[] = {
      1.0f, 5.020744874e-01f, 1.141083752e-01f, 1.496906571e-02f, 1.162517360e-03f, 3.809180773e-05f};
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
