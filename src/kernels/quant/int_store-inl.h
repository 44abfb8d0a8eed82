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

inline constexpr size_t kSumVectors = kIntPanel / hwy::HWY_NAMESPACE::MaxLanes(Ints());
using SumVector = hwy::HWY_NAMESPACE::Vec<Ints>;

// Rounds to even; what does not fit becomes the least integer.
template <class VF>
HWY_INLINE SumVector nearest(VF x) {
#if HWY_TARGET == HWY_AVX3
  return SumVector{_mm512_cvtps_epi32(x.raw)};
#elif HWY_TARGET == HWY_AVX2
  return SumVector{_mm256_cvtps_epi32(x.raw)};
#else
  return SumVector{_mm_cvtps_epi32(x.raw)};
#endif
}

// 16 integers, `zero` added, saturated to codes. `zero` is one of the codes.
template <bool kSigned>
HWY_INLINE __m128i narrow_codes(const SumVector (&x)[kSumVectors], int32_t zero) {
#if HWY_TARGET == HWY_AVX3
  const __m256i words =
      _mm256_adds_epi16(_mm512_cvtsepi32_epi16(x[0].raw), _mm256_set1_epi16(static_cast<int16_t>(zero)));
  const __m128i low = _mm256_castsi256_si128(words), upper = _mm256_extracti128_si256(words, 1);
  return kSigned ? _mm_packs_epi16(low, upper) : _mm_packus_epi16(low, upper);
#elif HWY_TARGET == HWY_AVX2
  const __m256i words =
      _mm256_adds_epi16(_mm256_packs_epi32(x[0].raw, x[1].raw), _mm256_set1_epi16(static_cast<int16_t>(zero)));
  const __m128i low = _mm256_castsi256_si128(words), upper = _mm256_extracti128_si256(words, 1);
  return _mm_shuffle_epi32(kSigned ? _mm_packs_epi16(low, upper) : _mm_packus_epi16(low, upper), 0xd8);
#else
  const __m128i by = _mm_set1_epi16(static_cast<int16_t>(zero));
  const __m128i low = _mm_adds_epi16(_mm_packs_epi32(x[0].raw, x[1].raw), by),
                upper = _mm_adds_epi16(_mm_packs_epi32(x[2].raw, x[3].raw), by);
  return kSigned ? _mm_packs_epi16(low, upper) : _mm_packus_epi16(low, upper);
#endif
}

// Sums times their scales, rounded. What is beyond the range of codes stays within that of integers; below it, and for
// NaN, rounding gives the least integer.
HWY_INLINE SumVector scaled(SumVector sums, const float* scale) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::RebindToFloat<Ints> df;
  return nearest(hn::Min(hn::Set(df, 65536.0f), hn::Mul(hn::ConvertTo(df, sums), hn::Load(df, scale))));
}

// Codes of a row: 16 sums times their scales, rounded.
template <bool kSigned>
HWY_INLINE __m128i codes_of(const SumVector (&sums)[kSumVectors], const float* scale, int32_t zero) {
  SumVector x[kSumVectors];
#pragma GCC unroll 4
  for (size_t v = 0; v < kSumVectors; ++v) x[v] = scaled(sums[v], scale + v * hwy::HWY_NAMESPACE::MaxLanes(Ints()));
  return narrow_codes<kSigned>(x, zero);
}

HWY_INLINE void store_row(__m128i codes, size_t columns, std::byte* c) {
  if (columns == kIntPanel) return _mm_storeu_si128(reinterpret_cast<__m128i*>(c), codes);
#if HWY_TARGET == HWY_AVX3
  _mm_mask_storeu_epi8(c, static_cast<__mmask16>((1u << columns) - 1u), codes);
#else
  alignas(16) std::byte out[kIntPanel];
  _mm_store_si128(reinterpret_cast<__m128i*>(out), codes);
  memcpy(c, out, columns);
#endif
}

HWY_INLINE void store_row(const SumVector (&x)[kSumVectors], size_t columns, std::byte* c) {
  namespace hn = hwy::HWY_NAMESPACE;
  const Ints d;
#if HWY_TARGET == HWY_AVX3
  if (columns != kIntPanel) return hn::BlendedStore(x[0], hn::FirstN(d, columns), d, reinterpret_cast<int32_t*>(c));
  hn::StoreU(x[0], d, reinterpret_cast<int32_t*>(c));
#else
  HWY_ALIGN int32_t out[kIntPanel];
  int32_t* to = columns == kIntPanel ? reinterpret_cast<int32_t*>(c) : out;
#pragma GCC unroll 4
  for (size_t v = 0; v < kSumVectors; ++v) hn::StoreU(x[v], d, to + v * hn::MaxLanes(d));
  if (to == out) memcpy(c, out, columns * sizeof(int32_t));
#endif
}

// A row of a panel's sums, what the epilogue adds included, into C.
template <IntOutput kKind>
HWY_INLINE void store_sums(const IntStore& s, const SumVector (&sums)[kSumVectors], std::byte* c) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::RebindToFloat<Ints> df;
  const PanelEpilogue& e = *s.epilogue;
  if constexpr (kKind == IntOutput::u8 || kKind == IntOutput::s8) {
    store_row(codes_of<kKind == IntOutput::s8>(sums, e.scale, s.zero), s.columns, c);
  } else if constexpr (kKind == IntOutput::i32) {
    store_row(sums, s.columns, c);
  } else {
    SumVector x[kSumVectors];
#pragma GCC unroll 4
    for (size_t v = 0; v < kSumVectors; ++v) {
      const size_t i = v * hn::MaxLanes(df);
      x[v] = hn::BitCast(
          Ints(), hn::Add(hn::Mul(hn::ConvertTo(df, sums[v]), hn::Load(df, e.scale + i)), hn::Load(df, e.bias + i)));
    }
    store_row(x, s.columns, c);
  }
}

#if HWY_TARGET == HWY_AVX3
// Four rows at once are narrowed in fewer steps: each 16 bytes get 4 codes of every row first.
template <bool kSigned>
HWY_INLINE __m512i codes_of_four(const SumVector (&sums)[4], const float* scale, int32_t zero) {
  const __m512i by = _mm512_set1_epi16(static_cast<int16_t>(zero));
  const __m512i low = _mm512_adds_epi16(_mm512_packs_epi32(scaled(sums[0], scale).raw, scaled(sums[1], scale).raw), by);
  const __m512i high =
      _mm512_adds_epi16(_mm512_packs_epi32(scaled(sums[2], scale).raw, scaled(sums[3], scale).raw), by);
  return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15),
                                  kSigned ? _mm512_packs_epi16(low, high) : _mm512_packus_epi16(low, high));
}
#endif

// Of kRows rows, the next of which is `stride` bytes behind.
template <IntOutput kKind, size_t kRows>
HWY_INLINE void store_rows(const IntStore& s, const SumVector (&sums)[kRows][kSumVectors], std::byte* c,
                           size_t stride) {
#if HWY_TARGET == HWY_AVX3
  if constexpr (kRows % 4 == 0 && (kKind == IntOutput::u8 || kKind == IntOutput::s8)) {
#pragma GCC unroll 2
    for (size_t r = 0; r < kRows; r += 4, c += 4 * stride) {
      const SumVector four[4] = {sums[r][0], sums[r + 1][0], sums[r + 2][0], sums[r + 3][0]};
      const __m512i codes = codes_of_four<kKind == IntOutput::s8>(four, s.epilogue->scale, s.zero);
      store_row(_mm512_castsi512_si128(codes), s.columns, c);
      store_row(_mm512_extracti32x4_epi32(codes, 1), s.columns, c + stride);
      store_row(_mm512_extracti32x4_epi32(codes, 2), s.columns, c + 2 * stride);
      store_row(_mm512_extracti32x4_epi32(codes, 3), s.columns, c + 3 * stride);
    }
    return;
  }
#endif
#pragma GCC unroll 8
  for (size_t r = 0; r < kRows; ++r) store_sums<kKind>(s, sums[r], c + r * stride);
}

}  // namespace
}  // namespace linnet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
