// What gemm's driver asks of an instruction set.
#pragma once

#include <cstddef>

#include "kernels/activation.h"

namespace linnet {

enum class PanelType : uint8_t { f32, f16, bf16 };

// So many products are summed on their own before their sum joins the others', counted from the block's first k:
// rounding errors grow with the length of a chain of additions.
inline constexpr size_t kGemmChain = 256;

// rows x columns of c, over one range of k.
struct GemmBlock {
  size_t rows = 0;
  size_t columns = 0;
  size_t k = 0;

  const float* a = nullptr;
  size_t lda = 0;
  // Panel p, row i starts at b + p * panel_stride + i * k_stride; whole units of columns are readable.
  const void* b = nullptr;
  PanelType type = PanelType::f32;
  size_t panel_stride = 0;
  size_t k_stride = 0;

  const float* sums = nullptr;  // of what comes before this range, or null; may be c
  size_t ld_sums = 0;
  float* c = nullptr;
  size_t ldc = 0;
  bool finish = false;  // apply what follows

  float alpha = 1.0f;
  const float* bias = nullptr;
  const float* addend = nullptr;
  size_t ld_addend = 0;
  float beta = 1.0f;
  bool multiplies = false;
  ActivationSpec activation;
};

struct GemmKernels {
  size_t row_tile;     // rows that one pass over a panel serves
  size_t panel_group;  // panels that a pass over few rows reads at once
  size_t column_unit;  // b is read in whole units of columns
  bool splits_k;       // whether sums survive in c between ranges of k without loss
  void (*block)(const GemmBlock& block);
  // out[i] = x . rows[i]
  void (*dots)(const float* x, const float* rows, size_t row_stride, size_t count, size_t k, float* out);
  // dst[i * dst_stride + j] = src[j * src_stride + i] for i < rows, j < columns; src may lie at any address
  void (*transpose)(const float* src, size_t src_stride, size_t rows, size_t columns, float* dst, size_t dst_stride);
};

GemmKernels gemm_kernels() noexcept;  // of the current instruction set

// Sums in double precision and rounds once: the oracle of the tests and what Isa::reference computes.
GemmKernels gemm_kernels_reference();

}  // namespace linnet
