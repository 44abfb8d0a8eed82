#include "kernels/elementwise/half_convert.h"

#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/elementwise/half_convert.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace linnet::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;

using Half = hn::Rebind<uint16_t, D>;

// The first `count` lanes of a vector, for the end of a row.
template <class Any>
HWY_INLINE hn::VFromD<Any> load_rest(Any d, const hn::TFromD<Any>* src, size_t count) {
#if HWY_TARGET <= HWY_AVX3
  return hn::MaskedLoad(hn::FirstN(d, count), d, src);
#else
  HWY_ALIGN hn::TFromD<Any> lanes[hn::MaxLanes(Any())] = {};
  std::memcpy(lanes, src, count * sizeof(*src));
  return hn::Load(d, lanes);
#endif
}
template <class Any>
HWY_INLINE void store_rest(hn::VFromD<Any> v, Any d, hn::TFromD<Any>* dst, size_t count) {
#if HWY_TARGET <= HWY_AVX3
  hn::BlendedStore(v, hn::FirstN(d, count), d, dst);
#else
  HWY_ALIGN hn::TFromD<Any> lanes[hn::MaxLanes(Any())];
  hn::Store(v, d, lanes);
  std::memcpy(dst, lanes, count * sizeof(*dst));
#endif
}

// dst = convert(src), vector by vector: what an element gives does not depend on its place.
template <class From, class To, class Convert>
HWY_INLINE void for_vectors(From from, const hn::TFromD<From>* src, To to, hn::TFromD<To>* dst, size_t count,
                            Convert convert) {
  const size_t lanes = hn::Lanes(from);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(convert(hn::LoadU(from, src + i)), to, dst + i);
  if (i < count) store_rest(convert(load_rest(from, src + i, count - i)), to, dst + i, count - i);
}
uint16_t* bits(void* halves) { return static_cast<uint16_t*>(halves); }
const uint16_t* bits(const void* halves) { return static_cast<const uint16_t*>(halves); }

#if HWY_TARGET <= HWY_AVX2
HWY_INLINE hn::VFromD<D> promote_f16(hn::VFromD<Half> x) {
  return hn::PromoteTo(D(), hn::BitCast(hn::Rebind<hwy::float16_t, D>(), x));
}
HWY_INLINE hn::VFromD<Half> demote_f16(hn::VFromD<D> x) {
  return hn::BitCast(Half(), hn::DemoteTo(hn::Rebind<hwy::float16_t, D>(), x));
}

void f16_to_float(const f16* src, float* dst, size_t count) {
  for_vectors(Half(), bits(src), D(), dst, count, [](hn::VFromD<Half> x) HWY_ATTR { return promote_f16(x); });
}
void float_to_f16(const float* src, f16* dst, size_t count) {
  for_vectors(D(), src, Half(), bits(dst), count, [](hn::VFromD<D> x) HWY_ATTR { return demote_f16(x); });
}
void round_as_f16(const float* src, float* dst, size_t count) {
  for_vectors(D(), src, D(), dst, count, [](hn::VFromD<D> x) HWY_ATTR { return promote_f16(demote_f16(x)); });
}
#else  // SSE4 has no instruction for it, and Highway's emulation knows no infinities
void f16_to_float(const f16* src, float* dst, size_t count) {
  for (size_t i = 0; i < count; ++i) dst[i] = src[i];
}
void float_to_f16(const float* src, f16* dst, size_t count) {
  for (size_t i = 0; i < count; ++i) dst[i] = f16(src[i]);
}
void round_as_f16(const float* src, float* dst, size_t count) {
  for (size_t i = 0; i < count; ++i) dst[i] = f16(src[i]);
}
#endif

HWY_INLINE hn::VFromD<D> promote_bf16(hn::VFromD<Half> x) {
  return hn::BitCast(D(), hn::ShiftLeft<16>(hn::PromoteTo(hn::RebindToUnsigned<D>(), x)));
}
// In the lower halves of integers.
HWY_INLINE hn::VFromD<hn::RebindToUnsigned<D>> rounded_bf16(hn::VFromD<D> x) {
  const hn::RebindToUnsigned<D> du;
  const auto all = hn::BitCast(du, x);
  const auto upper = hn::ShiftRight<16>(all);
  const auto rounded = hn::ShiftRight<16>(hn::Add(all, hn::Add(hn::Set(du, 0x7fffu), hn::And(upper, hn::Set(du, 1u)))));
  return hn::IfThenElse(hn::RebindMask(du, hn::IsNaN(x)), hn::Or(upper, hn::Set(du, 0x40u)), rounded);
}

void bf16_to_float(const bf16* src, float* dst, size_t count) {
  for_vectors(Half(), bits(src), D(), dst, count, [](hn::VFromD<Half> x) HWY_ATTR { return promote_bf16(x); });
}
void float_to_bf16(const float* src, bf16* dst, size_t count) {
  for_vectors(D(), src, Half(), bits(dst), count, [](hn::VFromD<D> x) HWY_ATTR {
    return hn::DemoteTo(Half(), hn::BitCast(hn::RebindToSigned<D>(), rounded_bf16(x)));
  });
}
void round_as_bf16(const float* src, float* dst, size_t count) {
  for_vectors(D(), src, D(), dst, count,
              [](hn::VFromD<D> x) HWY_ATTR { return hn::BitCast(D(), hn::ShiftLeft<16>(rounded_bf16(x))); });
}

}  // namespace
}  // namespace linnet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/dispatch.h"

namespace linnet {
namespace {

template <class From, class To>
void convert_reference(const From* src, To* dst, size_t count) {
  for (size_t i = 0; i < count; ++i) dst[i] = To(src[i]);
}

template <class Half>
void round_reference(const float* src, float* dst, size_t count) {
  for (size_t i = 0; i < count; ++i) dst[i] = Half(src[i]);
}

}  // namespace

void to_float(const f16* src, float* dst, size_t count) noexcept {
  LINNET_DISPATCH(f16_to_float, (convert_reference<f16, float>))(src, dst, count);
}
void to_float(const bf16* src, float* dst, size_t count) noexcept {
  LINNET_DISPATCH(bf16_to_float, (convert_reference<bf16, float>))(src, dst, count);
}
void from_float(const float* src, f16* dst, size_t count) noexcept {
  LINNET_DISPATCH(float_to_f16, (convert_reference<float, f16>))(src, dst, count);
}
void from_float(const float* src, bf16* dst, size_t count) noexcept {
  LINNET_DISPATCH(float_to_bf16, (convert_reference<float, bf16>))(src, dst, count);
}
void round_to_f16(const float* src, float* dst, size_t count) noexcept {
  LINNET_DISPATCH(round_as_f16, round_reference<f16>)(src, dst, count);
}
void round_to_bf16(const float* src, float* dst, size_t count) noexcept {
  LINNET_DISPATCH(round_as_bf16, round_reference<bf16>)(src, dst, count);
}

}  // namespace linnet
#endif
