#include "kernels/elementwise/half_convert.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/elementwise/half_convert.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace linnet::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;

void f16_to_float(const f16* src, float* dst, size_t count) {
  size_t i = 0;
#if HWY_TARGET <= HWY_AVX2  // SSE4 has no instruction for it, and Highway's emulation knows no infinities
  const D d;
  const hn::Rebind<hwy::float16_t, D> dh;
  const auto* halves = reinterpret_cast<const hwy::float16_t*>(src);
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d))
    hn::StoreU(hn::PromoteTo(d, hn::LoadU(dh, halves + i)), d, dst + i);
#endif
  for (; i < count; ++i) dst[i] = src[i];
}

void float_to_f16(const float* src, f16* dst, size_t count) {
  size_t i = 0;
#if HWY_TARGET <= HWY_AVX2
  const D d;
  const hn::Rebind<hwy::float16_t, D> dh;
  auto* halves = reinterpret_cast<hwy::float16_t*>(dst);
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d))
    hn::StoreU(hn::DemoteTo(dh, hn::LoadU(d, src + i)), dh, halves + i);
#endif
  for (; i < count; ++i) dst[i] = f16(src[i]);
}

void bf16_to_float(const bf16* src, float* dst, size_t count) {
  const D d;
  const hn::RebindToUnsigned<D> du;
  const hn::Rebind<uint16_t, D> dh;
  const auto* halves = reinterpret_cast<const uint16_t*>(src);
  size_t i = 0;
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
    const auto bits = hn::ShiftLeft<16>(hn::PromoteTo(du, hn::LoadU(dh, halves + i)));
    hn::StoreU(hn::BitCast(d, bits), d, dst + i);
  }
  for (; i < count; ++i) dst[i] = src[i];
}

void float_to_bf16(const float* src, bf16* dst, size_t count) {
  const D d;
  const hn::RebindToUnsigned<D> du;
  const hn::RebindToSigned<D> di;
  const hn::Rebind<uint16_t, D> dh;
  auto* halves = reinterpret_cast<uint16_t*>(dst);
  size_t i = 0;
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
    const auto x = hn::LoadU(d, src + i);
    const auto bits = hn::BitCast(du, x);
    const auto upper = hn::ShiftRight<16>(bits);
    const auto rounded =
        hn::ShiftRight<16>(hn::Add(bits, hn::Add(hn::Set(du, 0x7fffu), hn::And(upper, hn::Set(du, 1u)))));
    const auto result = hn::IfThenElse(hn::RebindMask(du, hn::IsNaN(x)), hn::Or(upper, hn::Set(du, 0x40u)), rounded);
    hn::StoreU(hn::DemoteTo(dh, hn::BitCast(di, result)), dh, halves + i);
  }
  for (; i < count; ++i) dst[i] = bf16(src[i]);
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

}  // namespace linnet
#endif
