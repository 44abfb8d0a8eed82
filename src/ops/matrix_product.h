// Which matrices a product of two tensors multiplies: shared by MatMul, Gemm, Einsum and their fused forms.
#pragma once

#include <array>

#include "kernels/gemm/gemm.h"
#include "ops/infer_shapes.h"

namespace linnet {

// How a tensor of rank two and more is a batch of matrices. A vector is one row on the left and one column on the
// right, and knows no transposition.
struct MatrixForm {
  bool transposed = false;
  bool rows_first = false;  // the axis of the rows stands before the batch axes (com.microsoft's transBatch)
};

// Plain data. Strides are in elements.
struct MatrixProduct {
  struct Matrix {
    size_t row = 0, column = 0;
  };
  struct Axis {
    size_t count = 1;
    size_t a = 0, b = 0, c = 0;
  };
  static constexpr size_t kMaxAxes = 8;

  size_t m = 0, n = 0, k = 0;
  Matrix a, b;
  size_t c_row = 0;  // columns of c are adjacent
  size_t axes = 0;   // of the batch, merged where strides allow, the innermost last
  std::array<Axis, kMaxAxes> axis;

  // Adds an axis around those there are, merging it with the innermost that allows it. False when there are too many.
  bool add_outer(Axis outer) noexcept;
  // Makes the rows of several products with the same B one product.
  void merge_rows() noexcept;
};

Result<MatrixProduct> matrix_product(const Shape& a, const Shape& b, MatrixForm form_a, MatrixForm form_b);
// The sizes and strides for gemm. A and B each have a stride of 1.
GemmArgs gemm_arguments(const MatrixProduct& product) noexcept;
// Scratch for multiply, of gemm_arguments or with other forms of B.
size_t multiply_scratch_size(const MatrixProduct& product, const GemmArgs& first, size_t threads) noexcept;
// All matrices of the batch; `first` is the first. An addend is c itself or shared by all.
void multiply(const MatrixProduct& product, const GemmArgs& first, const Parallel& parallel) noexcept;

// Calls body(a, b, c) with the offsets of each matrix of the outermost `axes` axes.
template <class Body>
void for_matrices(const MatrixProduct& p, size_t axes, Body&& body) {
  size_t count = 1;
  for (size_t i = 0; i < axes; ++i) count *= p.axis[i].count;
  for (size_t item = 0; item < count; ++item) {
    size_t a = 0, b = 0, c = 0, rest = item;
    for (size_t i = axes; i-- > 0;) {
      const size_t index = rest % p.axis[i].count;
      rest /= p.axis[i].count;
      a += index * p.axis[i].a;
      b += index * p.axis[i].b;
      c += index * p.axis[i].c;
    }
    body(a, b, c);
  }
}

Result<SymShape> matrix_product_shape(const SymShape& a, const SymShape& b, MatrixForm form_a, MatrixForm form_b,
                                      SymbolTable& symbols);

}  // namespace linnet
