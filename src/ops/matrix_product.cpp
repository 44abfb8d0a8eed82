#include "ops/matrix_product.h"

#include <algorithm>

namespace linnet {
namespace {

// The axes of one operand.
template <class Sizes>
struct Operand {
  Sizes batch;          // sizes
  Shape batch_strides;  // where Sizes is Shape
  typename Sizes::value_type rows{1}, columns{1};
  size_t row_stride = 0, column_stride = 0;
  bool vector = false;
};

template <class Sizes>
Result<Operand<Sizes>> operand(const Sizes& sizes, MatrixForm form, bool left) {
  const size_t rank = sizes.size();
  LINNET_REQUIRE(rank > 0, invalid_argument("cannot multiply a scalar as a matrix"));
  Shape strides(rank, 1);
  if constexpr (std::is_same_v<Sizes, Shape>) strides = strides_of(sizes);
  Operand<Sizes> o;
  if (rank == 1) {
    o.vector = true;
    (left ? o.columns : o.rows) = sizes[0];
    o.row_stride = o.column_stride = 1;
    return o;
  }
  const size_t row = form.rows_first ? 0 : rank - 2;
  o.rows = sizes[row];
  o.columns = sizes[rank - 1];
  o.row_stride = static_cast<size_t>(strides[row]);
  o.column_stride = static_cast<size_t>(strides[rank - 1]);
  if (form.transposed) {
    std::swap(o.rows, o.columns);
    std::swap(o.row_stride, o.column_stride);
  }
  for (size_t i = 0; i < rank - 1; ++i) {
    if (i == row) continue;
    o.batch.push_back(sizes[i]);
    o.batch_strides.push_back(strides[i]);
  }
  return o;
}

}  // namespace

bool MatrixProduct::add_outer(Axis outer) noexcept {
  if (outer.count == 1) return true;
  if (axes > 0) {
    Axis& inner = axis[0];
    if (outer.a == inner.a * inner.count && outer.b == inner.b * inner.count && outer.c == inner.c * inner.count) {
      inner.count *= outer.count;
      return true;
    }
  }
  if (axes == kMaxAxes) return false;
  std::move_backward(axis.begin(), axis.begin() + axes, axis.begin() + axes + 1);
  axis[0] = outer;
  ++axes;
  return true;
}

void MatrixProduct::merge_rows() noexcept {
  while (axes > 0) {
    const Axis& last = axis[axes - 1];
    if (last.b != 0 || last.a != m * a.row || last.c != m * c_row) return;
    m *= last.count;
    --axes;
  }
}

Result<MatrixProduct> matrix_product(const Shape& a_shape, const Shape& b_shape, MatrixForm form_a, MatrixForm form_b) {
  LINNET_ASSIGN(const Operand<Shape> a, operand(a_shape, form_a, true));
  LINNET_ASSIGN(const Operand<Shape> b, operand(b_shape, form_b, false));
  LINNET_REQUIRE(a.columns == b.rows,
                 invalid_argument("cannot multiply matrices of ", a.columns, " columns and of ", b.rows, " rows"));
  MatrixProduct p;
  p.m = static_cast<size_t>(a.rows);
  p.n = static_cast<size_t>(b.columns);
  p.k = static_cast<size_t>(a.columns);
  p.a = {a.row_stride, a.column_stride};
  p.b = {b.row_stride, b.column_stride};
  p.c_row = p.n;
  const size_t rank = std::max(a.batch.size(), b.batch.size());
  size_t c_stride = p.m * p.n;
  for (size_t i = 0; i < rank; ++i) {
    MatrixProduct::Axis axis;
    int64_t count_a = 1, count_b = 1;
    if (i < a.batch.size()) {
      const size_t at = a.batch.size() - 1 - i;
      count_a = a.batch[at];
      if (count_a != 1) axis.a = static_cast<size_t>(a.batch_strides[at]);
    }
    if (i < b.batch.size()) {
      const size_t at = b.batch.size() - 1 - i;
      count_b = b.batch[at];
      if (count_b != 1) axis.b = static_cast<size_t>(b.batch_strides[at]);
    }
    LINNET_REQUIRE(count_a == count_b || count_a == 1 || count_b == 1,
                   invalid_argument("the batch sizes ", count_a, " and ", count_b, " contradict"));
    axis.count = static_cast<size_t>(count_a == 1 ? count_b : count_a);
    axis.c = c_stride;
    c_stride *= axis.count;
    LINNET_REQUIRE(p.add_outer(axis),
                   unsupported("cannot multiply over more than ", MatrixProduct::kMaxAxes, " batch axes"));
  }
  return p;
}

GemmArgs gemm_arguments(const MatrixProduct& p) noexcept {
  GemmArgs g;
  g.m = p.m, g.n = p.n, g.k = p.k;
  g.a_transposed = p.a.column != 1 && p.k > 1;
  g.lda = g.a_transposed ? p.a.column : p.a.row;
  g.b_form = p.b.column == 1 || p.n <= 1 ? BForm::rows : BForm::columns;
  g.ldb = g.b_form == BForm::rows ? p.b.row : p.b.column;
  g.ldc = p.c_row;
  return g;
}

size_t multiply_scratch_size(const MatrixProduct& p, const GemmArgs& first, size_t threads) noexcept {
  return p.axes == 0 ? gemm_scratch_size(first, threads) : batched_gemm_scratch_size(first, threads);
}

void multiply(const MatrixProduct& p, const GemmArgs& first, const Parallel& parallel) noexcept {
  if (p.axes == 0) return gemm(first, parallel);
  GemmBatch batch;
  const MatrixProduct::Axis& inner = p.axis[p.axes - 1];
  batch.inner = inner.count;
  batch.a.inner = inner.a, batch.b.inner = inner.b, batch.c.inner = inner.c;
  const size_t outer = p.axes > 2 ? p.axes - 2 : 0;
  if (p.axes > 1) {
    const MatrixProduct::Axis& second = p.axis[p.axes - 2];
    batch.outer = second.count;
    batch.a.outer = second.a, batch.b.outer = second.b, batch.c.outer = second.c;
  }
  if (first.addend == first.c) batch.addend = batch.c;
  for_matrices(p, outer, [&](size_t a, size_t b, size_t c) {
    GemmArgs g = first;
    g.a += a;
    g.b = b_at(first, b);
    g.c += c;
    if (first.addend == first.c) g.addend = g.c;
    batched_gemm(g, batch, parallel);
  });
}

Result<SymShape> matrix_product_shape(const SymShape& a_shape, const SymShape& b_shape, MatrixForm form_a,
                                      MatrixForm form_b, SymbolTable& symbols) {
  LINNET_ASSIGN(const Operand<SymShape> a, operand(a_shape, form_a, true));
  LINNET_ASSIGN(const Operand<SymShape> b, operand(b_shape, form_b, false));
  LINNET_REQUIRE(!a.columns.known() || !b.rows.known() || a.columns == b.rows,
                 invalid_argument("cannot multiply matrices of ", symbols.to_string(a.columns), " columns and of ",
                                  symbols.to_string(b.rows), " rows"));
  LINNET_ASSIGN(SymShape shape, broadcast_shapes(a.batch, b.batch, symbols));
  if (!a.vector) shape.push_back(a.rows);
  if (!b.vector) shape.push_back(b.columns);
  return shape;
}

}  // namespace linnet
