// Arithmetic on 8-bit codes of one scale and zero point each: a code stands for (code - zero) scale.
#pragma once

#include <cstddef>
#include <cstdint>

namespace linnet {

// dst[i] = table[src[i]]; dst may be src.
void map_codes(const uint8_t (&table)[256], const uint8_t* src, uint8_t* dst, size_t n) noexcept;

// c = saturate(round to even((a - a_zero) a_factor + (b - b_zero) b_factor) + c_zero), and for a product
// saturate(round to even((a - a_zero) (b - b_zero) a_factor) + c_zero). NaN becomes the least code.
struct CodePair {
  bool is_signed = false;  // of all three
  bool multiplies = false;
  float a_factor = 1.0f, b_factor = 1.0f;  // scales over that of c
  int32_t a_zero = 0, b_zero = 0, c_zero = 0;
};
// `b_step`: 1, or 0 for one code that meets all of a. c may be a or b.
void combine_codes(const CodePair& pair, const uint8_t* a, const uint8_t* b, size_t b_step, uint8_t* c,
                   size_t n) noexcept;

// The sums of codes over rows of n channels; `sums` begins with what is to be added to.
void add_rows_of_codes(bool is_signed, const uint8_t* src, size_t rows, size_t n, int32_t* sums) noexcept;
// to[i] = the greater of to[i] and src[i].
void max_codes(bool is_signed, const uint8_t* src, uint8_t* to, size_t n) noexcept;

}  // namespace linnet
