// The inner part of integer products: what is compiled for every instruction set.
#pragma once

#include <span>

#include "kernels/quant/int_gemm.h"

namespace linnet {

// What the columns of a panel add to a sum, and multiply it with.
struct alignas(64) PanelEpilogue {
  float scale[kIntPanel];
  float bias[kIntPanel];
  int32_t add[kIntPanel];
  int32_t b_zero[kIntPanel];  // times the row's sum, taken off
};

// How sums become elements of C.
struct IntStore {
  IntOutput kind = IntOutput::i32;
  int32_t zero = 0;  // of C
  size_t columns = 0;
  const PanelEpilogue* epilogue = nullptr;
};

// Some rows of A (uint8) times one panel of B.
struct IntBlock {
  const uint8_t* const* rows;  // [count]
  size_t count;
  const int8_t* quads;  // [paired + singles + wide][16][4]
  const uint32_t* at;   // of each quad: where in a row its four elements begin
  size_t paired, singles, wide;
  const int32_t* row_sums;  // [count], or null where no column has a zero point
  bool balanced;            // by magnitudes and signs, where the panel allows it: sums are those of A - 128
  IntStore store;
  std::byte* c;
  size_t c_stride;  // bytes
  // What is multiplied after this, or nothing: fetched into the cache by rows of several tiles.
  std::span<const std::byte> next = {};
};
void int_block(const IntBlock& block) noexcept;

// How many panels are best multiplied at once with so many rows: 1 or 2.
size_t panels_together(size_t rows, size_t quads) noexcept;
inline constexpr size_t kMostQuadsTogether = 2048;
// Two panels of one matrix and the same rows, where panels_together() says so; none of them balanced. `orders` are
// those of their quads, as packed; the second block's `at` is not read.
void int_block_pair(const IntBlock (&blocks)[2], const uint32_t* const (&orders)[2]) noexcept;

// Rows of sums, [count][kIntPanel], into C.
void int_store(const IntStore& store, const int32_t* sums, size_t count, std::byte* c, size_t c_stride) noexcept;

// Of columns [column, column + columns). `sums` of B's columns as packed, or null where zero points are taken off
// already; `a_zero` of A as uint8. IntBlock::balanced takes 128 off A itself.
PanelEpilogue panel_epilogue(const IntGemm& gemm, const int32_t* sums, size_t column, size_t columns, int32_t a_zero,
                             bool balanced = false) noexcept;
// Whether a column has a zero point, as packed.
bool any_b_zero(const IntGemm& gemm) noexcept;
// Adds what zero points make of a sum of `k` products whatever the row.
inline void add_zero_points(PanelEpilogue& e, const int32_t* sums, size_t k, int32_t a_zero, bool balanced) noexcept {
  const auto zero = static_cast<uint32_t>(a_zero), depth = static_cast<uint32_t>(k),
             taken_off = zero - (balanced ? 128u : 0u);
  for (size_t c = 0; c < kIntPanel; ++c)
    e.add[c] =
        static_cast<int32_t>(static_cast<uint32_t>(e.add[c]) + zero * depth * static_cast<uint32_t>(e.b_zero[c]) -
                             taken_off * static_cast<uint32_t>(sums[c]));
}
// Up to so many rows IntBlock::balanced is faster where the panel allows it. None at levels with VNNI, which have no
// such form.
size_t balanced_rows() noexcept;
// Products of 8-bit numbers that a core adds, about, for the grain of parallel work.
double int_products_per_ns() noexcept;
inline size_t element_bytes(IntOutput kind) noexcept {
  return kind == IntOutput::i32 || kind == IntOutput::f32 ? 4 : 1;
}

// The sum of n bytes.
uint32_t sum_of_bytes(const uint8_t* src, size_t n) noexcept;
// dst = src, each byte's highest bit inverted: int8 becomes uint8, 128 greater.
void flip_bytes(const uint8_t* src, uint8_t* dst, size_t n) noexcept;

}  // namespace linnet
