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

// What becomes of sums. Codes are stored by the same code whether signed or not: signed ones are those of a zero point
// that is 128 greater, with their highest bits inverted.
enum class Stored { integers, floats, codes };

// Sums times their scales, rounded. What is beyond the range of codes stays within that of integers; below it, and for
// NaN, rounding gives the least integer.
HWY_INLINE SumVector scaled(SumVector sums, const float* scale) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::RebindToFloat<Ints> df;
  return nearest(hn::Min(hn::Set(df, 65536.0f), hn::Mul(hn::ConvertTo(df, sums), hn::Load(df, scale))));
}

struct CodeRange {
  int32_t zero;
  int32_t inverted;  // bits of each code

  CodeRange(bool is_signed, int32_t of_zero) noexcept
      : zero(of_zero + (is_signed ? 128 : 0)), inverted(is_signed ? 0x80 : 0) {}
  explicit CodeRange(const IntStore& s) noexcept : CodeRange(s.kind == IntOutput::s8, s.zero) {}
};

// 16 integers, the zero point added, saturated to codes.
HWY_INLINE __m128i narrow_codes(const SumVector (&x)[kSumVectors], const CodeRange& range) {
  const auto zero = static_cast<int16_t>(range.zero);
#if HWY_TARGET == HWY_AVX3
  const __m256i words = _mm256_adds_epi16(_mm512_cvtsepi32_epi16(x[0].raw), _mm256_set1_epi16(zero));
  const __m128i codes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
#elif HWY_TARGET == HWY_AVX2
  const __m256i words = _mm256_adds_epi16(_mm256_packs_epi32(x[0].raw, x[1].raw), _mm256_set1_epi16(zero));
  const __m128i codes =
      _mm_shuffle_epi32(_mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)), 0xd8);
#else
  const __m128i by = _mm_set1_epi16(zero);
  const __m128i codes = _mm_packus_epi16(_mm_adds_epi16(_mm_packs_epi32(x[0].raw, x[1].raw), by),
                                         _mm_adds_epi16(_mm_packs_epi32(x[2].raw, x[3].raw), by));
#endif
  return _mm_xor_si128(codes, _mm_set1_epi8(static_cast<char>(range.inverted)));
}

// Codes of a row.
HWY_INLINE __m128i codes_of(const SumVector (&sums)[kSumVectors], const float* scale, const CodeRange& range) {
  SumVector x[kSumVectors];
#pragma GCC unroll 4
  for (size_t v = 0; v < kSumVectors; ++v) x[v] = scaled(sums[v], scale + v * hwy::HWY_NAMESPACE::MaxLanes(Ints()));
  return narrow_codes(x, range);
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
template <Stored kStored>
HWY_INLINE void store_sums(const IntStore& s, const SumVector (&sums)[kSumVectors], std::byte* c) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::RebindToFloat<Ints> df;
  const PanelEpilogue& e = *s.epilogue;
  if constexpr (kStored == Stored::codes) {
    store_row(codes_of(sums, e.scale, CodeRange(s)), s.columns, c);
  } else if constexpr (kStored == Stored::integers) {
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

// Several rows are narrowed to codes in fewer steps together: each 16 bytes of a vector get codes of all of them first.
#if HWY_TARGET == HWY_AVX3
inline constexpr size_t kNarrowRows = 4;

HWY_INLINE void store_codes(const IntStore& s, const SumVector (&sums)[kNarrowRows], std::byte* c, size_t stride) {
  const CodeRange range(s);
  const float* scale = s.epilogue->scale;
  const __m512i zero = _mm512_set1_epi16(static_cast<int16_t>(range.zero));
  const __m512i low =
      _mm512_adds_epi16(_mm512_packs_epi32(scaled(sums[0], scale).raw, scaled(sums[1], scale).raw), zero);
  const __m512i high =
      _mm512_adds_epi16(_mm512_packs_epi32(scaled(sums[2], scale).raw, scaled(sums[3], scale).raw), zero);
  const __m512i codes = _mm512_permutexvar_epi32(
      _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15),
      _mm512_xor_si512(_mm512_packus_epi16(low, high), _mm512_set1_epi8(static_cast<char>(range.inverted))));
  store_row(_mm512_castsi512_si128(codes), s.columns, c);
  store_row(_mm512_extracti32x4_epi32(codes, 1), s.columns, c + stride);
  store_row(_mm512_extracti32x4_epi32(codes, 2), s.columns, c + 2 * stride);
  store_row(_mm512_extracti32x4_epi32(codes, 3), s.columns, c + 3 * stride);
}
#elif HWY_TARGET == HWY_AVX2
inline constexpr size_t kNarrowRows = 2;

HWY_INLINE void store_codes(const IntStore& s, const SumVector (&sums)[4], std::byte* c, size_t stride) {
  const CodeRange range(s);
  const float* scale = s.epilogue->scale;
  const __m256i zero = _mm256_set1_epi16(static_cast<int16_t>(range.zero));
  const __m256i first =
      _mm256_adds_epi16(_mm256_packs_epi32(scaled(sums[0], scale).raw, scaled(sums[1], scale + 8).raw), zero);
  const __m256i second =
      _mm256_adds_epi16(_mm256_packs_epi32(scaled(sums[2], scale).raw, scaled(sums[3], scale + 8).raw), zero);
  const __m256i codes = _mm256_permutevar8x32_epi32(
      _mm256_xor_si256(_mm256_packus_epi16(first, second), _mm256_set1_epi8(static_cast<char>(range.inverted))),
      _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  store_row(_mm256_castsi256_si128(codes), s.columns, c);
  store_row(_mm256_extracti128_si256(codes, 1), s.columns, c + stride);
}
#else
inline constexpr size_t kNarrowRows = SIZE_MAX;
#endif

// Of kRows rows, the next of which is `stride` bytes behind.
template <Stored kStored, size_t kRows>
HWY_INLINE void store_rows(const IntStore& s, const SumVector (&sums)[kRows][kSumVectors], std::byte* c,
                           size_t stride) {
  constexpr size_t kTogether = kStored == Stored::codes && kNarrowRows <= kRows ? kRows / kNarrowRows * kNarrowRows : 0;
#if HWY_TARGET <= HWY_AVX2
  if constexpr (kTogether > 0) {
#pragma GCC unroll 4
    for (size_t r = 0; r < kTogether; r += kNarrowRows) {
      SumVector some[kNarrowRows * kSumVectors];
#pragma GCC unroll 4
      for (size_t i = 0; i < kNarrowRows * kSumVectors; ++i) some[i] = sums[r + i / kSumVectors][i % kSumVectors];
      store_codes(s, some, c + r * stride, stride);
    }
  }
#endif
#pragma GCC unroll 8
  for (size_t r = kTogether; r < kRows; ++r) store_sums<kStored>(s, sums[r], c + r * stride);
}

}  // namespace
}  // namespace linnet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
