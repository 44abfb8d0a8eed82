#include "kernels/gemm/gemm_kernels.h"

#include <cstring>

#include "base/half.h"

namespace linnet {
namespace {

double b_element_at(const GemmBlock& t, size_t offset) {
  switch (t.type) {
    case PanelType::f16: return static_cast<const f16*>(t.b)[offset];
    case PanelType::bf16: return static_cast<const bf16*>(t.b)[offset];
    default: return static_cast<const float*>(t.b)[offset];
  }
}

void block_reference(const GemmBlock& t) {
  for (size_t i = 0; i < t.rows; ++i)
    for (size_t j = 0; j < t.columns; ++j) {
      const size_t panel = j / 16 * t.panel_stride + j % 16;
      float& c = t.c[i * t.ldc + j];
      double sum = t.sums ? t.sums[i * t.ld_sums + j] : 0.0;
      for (size_t k = 0; k < t.k; ++k)
        sum += static_cast<double>(t.a[i * t.lda + k]) * b_element_at(t, panel + k * t.k_stride);
      if (t.finish) {
        sum *= t.alpha;
        if (t.bias) sum += t.bias[j];
        const double other = t.addend ? static_cast<double>(t.addend[i * t.ld_addend + j]) : 0.0;
        if (t.addend) sum = t.multiplies ? sum * other : sum + static_cast<double>(t.beta) * other;
      }
      c = t.finish ? activate_reference(t.activation, static_cast<float>(sum)) : static_cast<float>(sum);
    }
}

void dots_reference(const float* x, const float* rows, size_t row_stride, size_t count, size_t k, float* out) {
  for (size_t i = 0; i < count; ++i) {
    double sum = 0.0;
    for (size_t j = 0; j < k; ++j) sum += static_cast<double>(x[j]) * rows[i * row_stride + j];
    out[i] = static_cast<float>(sum);
  }
}

void transpose_reference(const float* src, size_t src_stride, size_t rows, size_t columns, float* dst,
                         size_t dst_stride) {
  for (size_t i = 0; i < rows; ++i)
    for (size_t j = 0; j < columns; ++j) std::memcpy(dst + i * dst_stride + j, src + j * src_stride + i, sizeof *dst);
}

}  // namespace

GemmKernels gemm_kernels_reference() { return {1, 1, 1, false, block_reference, dots_reference, transpose_reference}; }

}  // namespace linnet
