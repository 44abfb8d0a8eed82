// Sums of products on their way into C, for the targets' files.
#include "kernels/quant/int_block.h"

#if defined(LINNET_INT_STORE_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef LINNET_INT_STORE_INL_H
#undef LINNET_INT_STORE_INL_H
#else
#define LINNET_INT_STORE_INL_H
#endif

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace linnet::HWY_NAMESPACE {
namespace {

using Bytes = hwy::HWY_NAMESPACE::CappedTag<int8_t, 64>;
using Shorts = hwy::HWY_NAMESPACE::Repartition<int16_t, Bytes>;
using Ints = hwy::HWY_NAMESPACE::Repartition<int32_t, Bytes>;

// a0 b0 + a1 b1 in each 32-bit lane.
template <class V16>
HWY_INLINE hwy::HWY_NAMESPACE::Vec<Ints> madd(V16 a, V16 b) {
#if HWY_TARGET == HWY_AVX3
  return hwy::HWY_NAMESPACE::Vec<Ints>{_mm512_madd_epi16(a.raw, b.raw)};
#elif HWY_TARGET == HWY_AVX2
  return hwy::HWY_NAMESPACE::Vec<Ints>{_mm256_madd_epi16(a.raw, b.raw)};
#elif HWY_TARGET == HWY_SSE4
  return hwy::HWY_NAMESPACE::Vec<Ints>{_mm_madd_epi16(a.raw, b.raw)};
#else
#error "add the products of neighbouring 16-bit lanes on this target"
#endif
}

// One row of a panel's sums into C. `kBytes`: u8 or s8; else i32 or f32.
template <bool kBytes>
HWY_INLINE void store_sums(const IntStore& s, const int32_t* sums, int32_t row_sum, bool has_zero, std::byte* c) {
  namespace hn = hwy::HWY_NAMESPACE;
  const Ints d;
  const hn::RebindToFloat<Ints> df;
  constexpr size_t kLanes = hn::MaxLanes(d);
  const PanelEpilogue& e = *s.epilogue;
  const auto total = [&](size_t i) HWY_ATTR {
    const auto sum = hn::Add(hn::Load(d, sums + i), hn::Load(d, e.add + i));
    return has_zero ? hn::Sub(sum, hn::Mul(hn::Set(d, row_sum), hn::Load(d, e.b_zero + i))) : sum;
  };
  if constexpr (!kBytes) {
    HWY_ALIGN int32_t out[kIntPanel];
    int32_t* to = s.columns == kIntPanel ? reinterpret_cast<int32_t*>(c) : out;
    for (size_t i = 0; i < kIntPanel; i += kLanes) {
      auto x = total(i);
      if (s.kind == IntOutput::f32)
        x = hn::BitCast(d, hn::Add(hn::Mul(hn::ConvertTo(df, x), hn::Load(df, e.scale + i)), hn::Load(df, e.bias + i)));
      hn::StoreU(x, d, to + i);
    }
    if (to == out) memcpy(c, out, s.columns * sizeof(int32_t));
  } else {
    const bool is_signed = s.kind == IntOutput::s8;
    const auto low = hn::Set(df, static_cast<float>((is_signed ? -128 : 0) - s.zero));
    const auto high = hn::Set(df, static_cast<float>((is_signed ? 127 : 255) - s.zero));
    HWY_ALIGN uint8_t out[kIntPanel];
    uint8_t* to = s.columns == kIntPanel ? reinterpret_cast<uint8_t*>(c) : out;
    for (size_t i = 0; i < kIntPanel; i += kLanes) {
      const auto x = hn::Mul(hn::ConvertTo(df, total(i)), hn::Load(df, e.scale + i));
      const auto y = hn::Add(hn::NearestInt(hn::Min(hn::Max(x, low), high)), hn::Set(d, s.zero));
      if (is_signed) {
        hn::StoreU(hn::DemoteTo(hn::Rebind<int8_t, Ints>(), y), hn::Rebind<int8_t, Ints>(),
                   reinterpret_cast<int8_t*>(to + i));
      } else {
        hn::StoreU(hn::DemoteTo(hn::Rebind<uint8_t, Ints>(), y), hn::Rebind<uint8_t, Ints>(), to + i);
      }
    }
    if (to == out) memcpy(c, out, s.columns);
  }
}

}  // namespace
}  // namespace linnet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
