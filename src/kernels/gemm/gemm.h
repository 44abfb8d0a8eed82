// Products of fp32 matrices: c = activation(alpha a b + bias + beta addend), or activation((alpha a b + bias) addend).
//
// B is read in panels of 16 columns: [ceil(n / 16)][k][16], zero-padded. Constants are packed once, when a model loads;
// other matrices are packed into scratch by gemm itself, or read where they are when that is faster.
//
// What holds for the bits of a result, within one instruction set:
// * they do not depend on the number of threads;
// * each element is one sum over k in ascending order, whatever m, n, the row, the column, or the form of B, so that
//   a row gives the same bits alone and in a batch;
// * except where gemm takes dot products (n == 1, or BForm::columns with m <= 2): those sum in another order, which
//   depends on k alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/parallel.h"
#include "kernels/activation.h"

namespace linnet {

inline constexpr size_t kPanelWidth = 16;

enum class BForm : uint8_t {
  packed,      // by pack_b
  packed_f16,  // by pack_b_halves: half-precision storage, widened as it is read
  packed_bf16,
  rows,     // [k][n], rows ldb apart
  columns,  // [n][k], columns ldb apart: B transposed
};

constexpr bool is_packed(BForm form) noexcept { return form <= BForm::packed_bf16; }
// Bytes of an element of B.
constexpr size_t b_element(BForm form) noexcept {
  return form == BForm::packed_f16 || form == BForm::packed_bf16 ? 2 : 4;
}

// The form that keeps all of these numbers exactly in the fewest bits. They may lie at any address.
BForm narrowest_form(const float* values, size_t count) noexcept;

// Bytes of a packed B, and where it starts: 64-byte aligned. The greatest size_t when they are too many.
size_t packed_b_size(size_t k, size_t n, BForm form = BForm::packed) noexcept;

// Packs src: [k][n] with rows `stride` apart, or [n][k] when transposed. It may lie at any address.
void pack_b(const float* src, size_t k, size_t n, size_t stride, bool transposed, float* dst,
            const Parallel& parallel) noexcept;

// The same for numbers of 16 bits.
void pack_b_halves(const uint16_t* src, size_t k, size_t n, size_t stride, bool transposed, uint16_t* dst,
                   const Parallel& parallel) noexcept;

struct GemmArgs {
  size_t m = 0;
  size_t n = 0;
  size_t k = 0;  // 0 is an empty sum

  const float* a = nullptr;  // [m][k], rows lda apart; [k][m] when a_transposed
  size_t lda = 0;
  bool a_transposed = false;

  const void* b = nullptr;  // float, or what b_form says
  size_t ldb = 0;           // of BForm::rows and columns
  BForm b_form = BForm::packed;

  float alpha = 1.0f;
  const float* bias = nullptr;    // [n], or null
  const float* addend = nullptr;  // [m][n], or null; may be c itself
  size_t ld_addend = 0;
  float beta = 1.0f;        // the factor of addend
  bool multiplies = false;  // addend is a factor of the sum
  ActivationSpec activation;

  float* c = nullptr;  // [m][n], rows ldc apart; overlaps neither a nor b
  size_t ldc = 0;

  float* scratch = nullptr;  // gemm_scratch_size bytes, 64-byte aligned
};

// B moved by so many elements.
inline const void* b_at(const GemmArgs& args, size_t elements) noexcept {
  return static_cast<const char*>(args.b) + elements * b_element(args.b_form);
}

// Reads the sizes, strides and forms of `args`, none of its pointers.
size_t gemm_scratch_size(const GemmArgs& args, size_t threads) noexcept;

// Once parallel.stopped(), c holds anything.
void gemm(const GemmArgs& args, const Parallel& parallel) noexcept;

// Products of one a (with its m, k, lda and form), cut once for all: threads meet at the end only. Each thread computes
// what it has of a product before the next, the same rows and columns of products of the same n: c of an earlier one
// may be the addend, or the addend and c, of a later one.
size_t gemm_group_scratch_size(std::span<const GemmArgs> products, size_t threads) noexcept;
void gemm_group(std::span<const GemmArgs> products, float* scratch, const Parallel& parallel) noexcept;

// outer x inner products of one shape, each matrix a stride (in elements; 0 shares it) after the one before.
struct GemmBatch {
  struct Strides {
    size_t outer = 0;
    size_t inner = 0;
  };
  size_t outer = 1;
  size_t inner = 1;
  Strides a;
  Strides b;
  Strides c;
  Strides addend;
};

size_t batched_gemm_scratch_size(const GemmArgs& args, size_t threads) noexcept;
void batched_gemm(const GemmArgs& first, const GemmBatch& batch, const Parallel& parallel) noexcept;

}  // namespace linnet
