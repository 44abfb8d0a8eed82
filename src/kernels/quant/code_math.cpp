#include "kernels/quant/code_math.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/quant/code_math.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/quant/int_store-inl.h"

HWY_BEFORE_NAMESPACE();
namespace linnet::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// A table of 256 is 16 of 16. In the t-th, x - 16 t saturated upwards by 0x70 keeps its highest bit clear only where it
// is below 16, and bytes looked up with that bit set are 0.
void map_codes_simd(const uint8_t (&table)[256], const uint8_t* src, uint8_t* dst, size_t n) {
  const hn::CappedTag<uint8_t, 64> d;
  const auto step = hn::Set(d, 16), above = hn::Set(d, 0x70);
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    auto x = hn::LoadU(d, src + i);
    auto y = hn::Zero(d);
#pragma GCC unroll 16
    for (size_t t = 0; t < 16; ++t) {
      y = hn::Or(y, hn::TableLookupBytesOr0(hn::LoadDup128(d, table + 16 * t), hn::SaturatedAdd(x, above)));
      x = hn::Sub(x, step);
    }
    hn::StoreU(y, d, dst + i);
  }
  for (; i < n; ++i) dst[i] = table[src[i]];
}

// 16 codes as integers.
template <class T>
HWY_INLINE void widen(const T* src, SumVector (&to)[kSumVectors]) {
  const Ints d;
  const hn::Rebind<T, Ints> d8;
#pragma GCC unroll 4
  for (size_t v = 0; v < kSumVectors; ++v) to[v] = hn::PromoteTo(d, hn::LoadU(d8, src + v * hn::MaxLanes(d)));
}

// 16 codes of c. `pair` is a copy, so that no store to c can change it.
template <class T, bool kMultiplies>
HWY_INLINE void combine_16(const CodePair pair, const T* a, const T* b, T* c) {
  const Ints d;
  const hn::RebindToFloat<Ints> df;
  SumVector x[kSumVectors], y[kSumVectors];
  widen(a, x);
  widen(b, y);
  const auto high = hn::Set(df, 65536.0f);
#pragma GCC unroll 4
  for (size_t v = 0; v < kSumVectors; ++v) {
    const auto p = hn::ConvertTo(df, hn::Sub(x[v], hn::Set(d, pair.a_zero))),
               q = hn::ConvertTo(df, hn::Sub(y[v], hn::Set(d, pair.b_zero)));
    const auto sum = kMultiplies
                         ? hn::Mul(hn::Mul(p, q), hn::Set(df, pair.a_factor))
                         : hn::Add(hn::Mul(p, hn::Set(df, pair.a_factor)), hn::Mul(q, hn::Set(df, pair.b_factor)));
    x[v] = nearest(hn::Min(high, sum));
  }
  _mm_storeu_si128(reinterpret_cast<__m128i*>(c), narrow_codes(x, {std::is_signed_v<T>, pair.c_zero}));
}

template <class T, bool kMultiplies>
void combine_all(const CodePair& pair, const T* a, const T* b, size_t b_step, T* c, size_t n) {
  constexpr size_t kPiece = 16;
  T spread[kPiece], rest[3][kPiece] = {};
  if (b_step == 0)
    for (T& to : spread) to = *b;
  size_t i = 0;
  for (; i + kPiece <= n; i += kPiece) combine_16<T, kMultiplies>(pair, a + i, b_step == 0 ? spread : b + i, c + i);
  if (i == n) return;
  memcpy(rest[0], a + i, n - i);
  if (b_step != 0) memcpy(rest[1], b + i, n - i);
  combine_16<T, kMultiplies>(pair, rest[0], b_step == 0 ? spread : rest[1], rest[2]);
  memcpy(c + i, rest[2], n - i);
}

template <class T>
HWY_INLINE void combine_typed(const CodePair& pair, const uint8_t* a, const uint8_t* b, size_t b_step, uint8_t* c,
                              size_t n) {
  (pair.multiplies ? combine_all<T, true> : combine_all<T, false>)(pair, reinterpret_cast<const T*>(a),
                                                                   reinterpret_cast<const T*>(b), b_step,
                                                                   reinterpret_cast<T*>(c), n);
}

void combine_codes_simd(const CodePair& pair, const uint8_t* a, const uint8_t* b, size_t b_step, uint8_t* c, size_t n) {
  if (pair.is_signed) {
    combine_typed<int8_t>(pair, a, b, b_step, c, n);
  } else {
    combine_typed<uint8_t>(pair, a, b, b_step, c, n);
  }
}

template <class T>
HWY_INLINE void add_rows(const T* src, size_t rows, size_t n, int32_t* sums) {
  const Ints d;
  size_t c = 0;
  for (; c + kIntPanel <= n; c += kIntPanel) {
    SumVector total[kSumVectors], row[kSumVectors];
#pragma GCC unroll 4
    for (size_t v = 0; v < kSumVectors; ++v) total[v] = hn::LoadU(d, sums + c + v * hn::MaxLanes(d));
    for (size_t r = 0; r < rows; ++r) {
      widen(src + r * n + c, row);
#pragma GCC unroll 4
      for (size_t v = 0; v < kSumVectors; ++v) total[v] = hn::Add(total[v], row[v]);
    }
#pragma GCC unroll 4
    for (size_t v = 0; v < kSumVectors; ++v) hn::StoreU(total[v], d, sums + c + v * hn::MaxLanes(d));
  }
  for (; c < n; ++c)
    for (size_t r = 0; r < rows; ++r) sums[c] += src[r * n + c];
}

void add_rows_of_codes_simd(bool is_signed, const uint8_t* src, size_t rows, size_t n, int32_t* sums) {
  if (is_signed) {
    add_rows(reinterpret_cast<const int8_t*>(src), rows, n, sums);
  } else {
    add_rows(src, rows, n, sums);
  }
}

template <class T>
HWY_INLINE void max_all(const T* src, T* to, size_t n) {
  const hn::ScalableTag<T> d;
  size_t i = 0;
  for (; i + hn::Lanes(d) <= n; i += hn::Lanes(d))
    hn::StoreU(hn::Max(hn::LoadU(d, src + i), hn::LoadU(d, to + i)), d, to + i);
  for (; i < n; ++i) to[i] = HWY_MAX(src[i], to[i]);
}

void max_codes_simd(bool is_signed, const uint8_t* src, uint8_t* to, size_t n) {
  if (is_signed) {
    max_all(reinterpret_cast<const int8_t*>(src), reinterpret_cast<int8_t*>(to), n);
  } else {
    max_all(src, to, n);
  }
}

}  // namespace
}  // namespace linnet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/dispatch.h"

namespace linnet {
namespace {

int32_t number_of(uint8_t code, bool is_signed) noexcept { return is_signed ? static_cast<int8_t>(code) : code; }

void map_codes_reference(const uint8_t (&table)[256], const uint8_t* src, uint8_t* dst, size_t n) {
  for (size_t i = 0; i < n; ++i) dst[i] = table[src[i]];
}

void combine_codes_reference(const CodePair& p, const uint8_t* a, const uint8_t* b, size_t b_step, uint8_t* c,
                             size_t n) {
  const float least = p.is_signed ? -128.0f : 0.0f, greatest = p.is_signed ? 127.0f : 255.0f;
  for (size_t i = 0; i < n; ++i) {
    const auto x = static_cast<float>(number_of(a[i], p.is_signed) - p.a_zero),
               y = static_cast<float>(number_of(b[i * b_step], p.is_signed) - p.b_zero);
    const float sum = p.multiplies ? x * y * p.a_factor : x * p.a_factor + y * p.b_factor;
    const float code = std::nearbyint(sum) + static_cast<float>(p.c_zero);
    c[i] = static_cast<uint8_t>(static_cast<int32_t>(code > least ? std::min(code, greatest) : least));
  }
}

void add_rows_of_codes_reference(bool is_signed, const uint8_t* src, size_t rows, size_t n, int32_t* sums) {
  for (size_t r = 0; r < rows; ++r)
    for (size_t c = 0; c < n; ++c) sums[c] += number_of(src[r * n + c], is_signed);
}

void max_codes_reference(bool is_signed, const uint8_t* src, uint8_t* to, size_t n) {
  for (size_t i = 0; i < n; ++i)
    if (number_of(src[i], is_signed) > number_of(to[i], is_signed)) to[i] = src[i];
}

}  // namespace

void map_codes(const uint8_t (&codes)[256], const uint8_t* src, uint8_t* dst, size_t n) noexcept {
  LINNET_DISPATCH(map_codes_simd, map_codes_reference)(codes, src, dst, n);
}
void combine_codes(const CodePair& pair, const uint8_t* a, const uint8_t* b, size_t b_step, uint8_t* c,
                   size_t n) noexcept {
  LINNET_DISPATCH(combine_codes_simd, combine_codes_reference)(pair, a, b, b_step, c, n);
}
void add_rows_of_codes(bool is_signed, const uint8_t* src, size_t rows, size_t n, int32_t* sums) noexcept {
  LINNET_DISPATCH(add_rows_of_codes_simd, add_rows_of_codes_reference)(is_signed, src, rows, n, sums);
}
void max_codes(bool is_signed, const uint8_t* src, uint8_t* to, size_t n) noexcept {
  LINNET_DISPATCH(max_codes_simd, max_codes_reference)(is_signed, src, to, n);
}

}  // namespace linnet
#endif
