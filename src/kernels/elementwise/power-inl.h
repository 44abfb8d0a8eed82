// x to the power of y over vectors of float, for files that are compiled once a target (see kernels/dispatch.h).
// Computed in double and rounded once, so that exact powers are exact; zeros, infinities, NaN and negative bases as the
// C library has them: https://en.cppreference.com/w/cpp/numeric/math/pow
#if defined(LINNET_KERNELS_POWER_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LINNET_KERNELS_POWER_INL_H_
#undef LINNET_KERNELS_POWER_INL_H_
#else
#define LINNET_KERNELS_POWER_INL_H_
#endif

#include "hwy/highway.h"
#include "kernels/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace linnet::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// x^y as double, for x >= 0 from float's range: from 2^-160 to 2^140, which float rounds to 0 and infinity.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V power_of_magnitude(D d, V x, V y) {
  // 2^f for |f| <= 1/2, relative error 2^-40; log2((1 + s) / (1 - s)) / s in s^2, 2^-45.
  constexpr double kExp[] = {0.999999999999762345,    0.693147180546514162,    0.240226506988803695,
                             0.0555041093934170913,   0.0096181285428627327,   0.00133334520622454159,
                             0.000154038517484505076, 0.000015309737423569868, 1.31758581761864969e-6};
  constexpr double kLog[] = {2.88539008177784954,  0.961796694114260887, 0.577077942074485955,
                             0.412209283892205588, 0.319904321831189612, 0.282920906730748367};
  constexpr uint64_t kMantissa = 0xfffffffffffff, kOne = 0x3ff0000000000000, kRootOfHalf = 0x3fe6a09e667f3bcd;
  const hn::RebindToUnsigned<D> du;
  const V one = hn::Set(d, 1.0);
  const V infinity = hn::Set(d, HUGE_VAL);
  // x = m 2^k with m from the root of 1/2 to that of 2. A 2^52 beside it makes a number of the bits of k.
  const auto shifted = hn::Add(hn::BitCast(du, x), hn::Set(du, kOne - kRootOfHalf));
  const V m = hn::BitCast(d, hn::Add(hn::And(shifted, hn::Set(du, kMantissa)), hn::Set(du, kRootOfHalf)));
  const V k = hn::Sub(hn::BitCast(d, hn::Or(hn::ShiftRight<52>(shifted), hn::Set(du, uint64_t{0x433} << 52))),
                      hn::Set(d, 0x1p52 + 1023.0));
  const V s = hn::Div(hn::Sub(m, one), hn::Add(m, one));
  V log = hn::MulAdd(s, polynomial(d, hn::Mul(s, s), kLog), k);
  log = hn::IfThenElse(hn::Eq(x, hn::Zero(d)), hn::Neg(infinity), log);
  log = hn::IfThenElse(hn::Eq(x, infinity), infinity, log);
  const V t = hn::Min(hn::Max(hn::Mul(y, log), hn::Set(d, -160.0)), hn::Set(d, 140.0));
  const V n = hn::Round(t);
  const auto exponent = hn::ShiftLeft<52>(hn::BitCast(du, hn::Add(n, hn::Set(d, 0x1.8p52))));
  return hn::Mul(polynomial(d, hn::Sub(t, n), kExp), hn::BitCast(d, hn::Add(exponent, hn::Set(du, kOne))));
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V vec_pow(D d, V x, V y) {
  const hn::Half<D> dh;
  const hn::RepartitionToWide<D> dd;
  const V one = hn::Set(d, 1.0f), zero = hn::Zero(d);
  const V magnitude = hn::Abs(x);
  const auto low =
      power_of_magnitude(dd, hn::PromoteTo(dd, hn::LowerHalf(dh, magnitude)), hn::PromoteTo(dd, hn::LowerHalf(dh, y)));
  const auto high =
      power_of_magnitude(dd, hn::PromoteTo(dd, hn::UpperHalf(dh, magnitude)), hn::PromoteTo(dd, hn::UpperHalf(dh, y)));
  V power = hn::Combine(d, hn::DemoteTo(dh, high), hn::DemoteTo(dh, low));
  power = hn::IfThenElse(hn::Eq(magnitude, one), one, power);  // to an infinite exponent, too
  const auto whole = hn::Eq(hn::Floor(y), y);
  const V half = hn::Mul(y, hn::Set(d, 0.5f));
  const auto odd = hn::And(whole, hn::Ne(hn::Floor(half), half));
  power = hn::Or(power, hn::IfThenElseZero(odd, hn::AndNot(magnitude, x)));
  const auto no_root = hn::AndNot(whole, hn::And(hn::Lt(x, zero), hn::Lt(magnitude, hn::Set(d, HUGE_VALF))));
  power = hn::IfThenElse(hn::Or(no_root, hn::Or(hn::IsNaN(x), hn::IsNaN(y))), hn::NaN(d), power);
  return hn::IfThenElse(hn::Or(hn::Eq(x, one), hn::Eq(y, zero)), one, power);
}

}  // namespace linnet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // the guard of one target
