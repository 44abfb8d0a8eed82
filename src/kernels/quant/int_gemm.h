// Products of 8-bit integer matrices, exact on every instruction set:
//
//   C[m][n] = sum over k of (A[m][k] - a_zero) (B[k][n] - b_zero[n])       in int32 that wraps around
//
// The vector instruction that multiplies unsigned by signed bytes adds two products in 16 bits and saturates. Packing
// sorts the quads of rows of each panel by what their weights allow: the products of two quads summed in 16 bits, those
// of one, or none, which takes 16-bit products. Where many are, and no weight is -128, few rows of A
// are multiplied as |A - 128| by weights that have its signs: two such products always fit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/parallel.h"

namespace linnet {

inline constexpr size_t kIntPanel = 16;  // columns of a panel

// B as the caller has it. `is_signed` says int8 rather than uint8.
struct IntMatrix {
  const void* data = nullptr;
  size_t k = 0, n = 0;
  size_t k_stride = 0, n_stride = 0;  // elements
  bool is_signed = false;
};

// Packed form: column sums of B as int8 (uint8 less 128), then the panels [K/4][16][4], their quads in an order of
// their own, each followed by a list that tells it.
size_t int_gemm_packed_size(size_t k, size_t n) noexcept;
void int_gemm_pack(const IntMatrix& b, std::byte* packed, const Parallel& parallel) noexcept;

enum class IntOutput : uint8_t { i32, f32, u8, s8 };

struct IntGemm {
  size_t m = 0, n = 0, k = 0;
  const void* a = nullptr;  // rows of k bytes, `lda` apart
  size_t lda = 0;
  bool a_signed = false;
  int32_t a_zero = 0;
  const std::byte* b = nullptr;  // packed
  bool b_signed = false;         // what was packed
  // One for each column, or one for all, or nullptr for 0 (of the type that was packed).
  const int32_t* b_zero = nullptr;
  bool b_zero_by_column = false;
  const int32_t* bias = nullptr;  // n, or nullptr; added to the sum

  // i32: the sum. f32: sum scale + float_bias. u8, s8: saturate(round to even(sum scale) + zero_point).
  IntOutput output = IntOutput::i32;
  void* c = nullptr;
  size_t ldc = 0;                // elements
  const float* scale = nullptr;  // one for each column, or one for all
  bool scale_by_column = false;
  const float* float_bias = nullptr;  // n, or nullptr
  int32_t c_zero = 0;
};

// `scratch`: int_gemm_scratch() bytes, 64-byte aligned.
size_t int_gemm_scratch(size_t m, size_t k, bool a_signed) noexcept;
void int_gemm(const IntGemm& gemm, std::byte* scratch, const Parallel& parallel) noexcept;
// Products of one a, with its m, k, lda, type and zero point: it is prepared once, and threads meet once.
void int_gemm_group(std::span<const IntGemm> products, std::byte* scratch, const Parallel& parallel) noexcept;

// What int_gemm does with sums that something else has made: [m][n] whole numbers as floats, zero points taken off.
void int_gemm_finish(const IntGemm& gemm, const float* sums, const Parallel& parallel) noexcept;

}  // namespace linnet
