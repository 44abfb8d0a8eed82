// Products of small integers, summed in neighbouring lanes, for the targets' files. For vectors of any width that the
// target has.
#if defined(LINNET_BYTE_PRODUCTS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef LINNET_BYTE_PRODUCTS_INL_H
#undef LINNET_BYTE_PRODUCTS_INL_H
#else
#define LINNET_BYTE_PRODUCTS_INL_H
#endif

#include <cstring>

#include "hwy/highway.h"

#if HWY_TARGET != HWY_SSE4 && HWY_TARGET != HWY_AVX2 && HWY_TARGET != HWY_AVX3
#error "add the byte products of this target"
#endif

HWY_BEFORE_NAMESPACE();
namespace linnet::HWY_NAMESPACE {
namespace {

namespace products {
template <class T, class V>
using As = hwy::HWY_NAMESPACE::Vec<hwy::HWY_NAMESPACE::Repartition<T, hwy::HWY_NAMESPACE::DFromV<V>>>;
}

// a0 b0 + a1 b1 in each 16-bit lane; a unsigned, b signed. Saturates: callers see to it that nothing is that large.
template <class V8>
HWY_INLINE products::As<int16_t, V8> madd_bytes(V8 a, V8 b) {
  using Result = products::As<int16_t, V8>;
  if constexpr (sizeof(a.raw) == 16) return Result{_mm_maddubs_epi16(a.raw, b.raw)};
#if HWY_TARGET <= HWY_AVX2
  if constexpr (sizeof(a.raw) == 32) return Result{_mm256_maddubs_epi16(a.raw, b.raw)};
#endif
#if HWY_TARGET <= HWY_AVX3
  if constexpr (sizeof(a.raw) == 64) return Result{_mm512_maddubs_epi16(a.raw, b.raw)};
#endif
}

// a0 b0 + a1 b1 in each 32-bit lane.
template <class V16>
HWY_INLINE products::As<int32_t, V16> madd_shorts(V16 a, V16 b) {
  using Result = products::As<int32_t, V16>;
  if constexpr (sizeof(a.raw) == 16) return Result{_mm_madd_epi16(a.raw, b.raw)};
#if HWY_TARGET <= HWY_AVX2
  if constexpr (sizeof(a.raw) == 32) return Result{_mm256_madd_epi16(a.raw, b.raw)};
#endif
#if HWY_TARGET <= HWY_AVX3
  if constexpr (sizeof(a.raw) == 64) return Result{_mm512_madd_epi16(a.raw, b.raw)};
#endif
}

#if HWY_TARGET == HWY_AVX3
#define LINNET_VNNI_SUM(name, sum, a, b) asm(name " %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b))
#elif HWY_TARGET == HWY_AVX2
#define LINNET_VNNI_SUM(name, sum, a, b) asm("%{vex%} " name " %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b))
#endif
#ifdef LINNET_VNNI_SUM
// VNNI's sums of products, for what is called at levels with VNNI alone. The target does not promise these
// instructions, so the compiler is not asked for them: the rest of the file's code is shared with machines that lack
// them.

// sum += a0 b0 + a1 b1 + a2 b2 + a3 b3 in each 32-bit lane; a unsigned, b signed. Exact.
template <class V32, class V8>
HWY_INLINE void add_byte_products(V32& sum, V8 a, V8 b) {
  LINNET_VNNI_SUM("vpdpbusd", sum.raw, a.raw, b.raw);
}

// sum += a0 b0 + a1 b1 in each 32-bit lane.
template <class V32, class V16>
HWY_INLINE void add_short_products(V32& sum, V16 a, V16 b) {
  LINNET_VNNI_SUM("vpdpwssd", sum.raw, a.raw, b.raw);
}
#undef LINNET_VNNI_SUM
#endif

// b with the signs of a, where a is not 0; b above -128.
template <class V8>
HWY_INLINE V8 with_signs_of(V8 a, V8 b) {
  if constexpr (sizeof(a.raw) == 16) return V8{_mm_sign_epi8(b.raw, a.raw)};
#if HWY_TARGET <= HWY_AVX2
  if constexpr (sizeof(a.raw) == 32) return V8{_mm256_sign_epi8(b.raw, a.raw)};
#endif
#if HWY_TARGET <= HWY_AVX3
  if constexpr (sizeof(a.raw) == 64)
    return V8{_mm512_mask_sub_epi8(b.raw, _mm512_movepi8_mask(a.raw), _mm512_setzero_si512(), b.raw)};
#endif
}

// Four bytes, in each 32-bit lane.
template <class D8>
HWY_INLINE hwy::HWY_NAMESPACE::Vec<D8> quad_at(D8 d, const void* bytes) {
  int32_t quad;
  std::memcpy(&quad, bytes, sizeof quad);
  return hwy::HWY_NAMESPACE::BitCast(d, hwy::HWY_NAMESPACE::Set(hwy::HWY_NAMESPACE::Repartition<int32_t, D8>(), quad));
}

}  // namespace
}  // namespace linnet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
