// Which matrices a product of two tensors multiplies: shared by MatMul, Gemm, Einsum and their fused forms.
#pragma once

#include <array>

#include "ops/infer_shapes.h"

namespace linnet {

// How a tensor of rank two and more is a batch of matrices. A vector is one row on the left and one column on the right,
// and knows no transposition.
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
  size_t axes = 0;  // of the batch, merged where strides allow, the innermost last
  std::array<Axis, kMaxAxes> axis;

  // The number of matrices in c.
  size_t batch() const noexcept;
  // Makes the rows of several products with the same B one product.
  void merge_rows() noexcept;
};

Result<MatrixProduct> matrix_product(const Shape& a, const Shape& b, MatrixForm form_a, MatrixForm form_b);
Result<SymShape> matrix_product_shape(const SymShape& a, const SymShape& b, MatrixForm form_a, MatrixForm form_b,
                                      SymbolTable& symbols);

}  // namespace linnet
