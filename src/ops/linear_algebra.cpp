// https://onnx.ai/onnx/operators/onnx__Det.html, and com.microsoft's Inverse:
// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.Inverse
#include <algorithm>
#include <cmath>
#include <utility>

#include "ops/element_types.h"
#include "ops/float_scratch.h"
#include "ops/infer_shapes.h"

namespace linnet {
namespace {

// By elimination with partial pivoting; destroys the matrix.
double determinant(double* a, int64_t n) noexcept {
  double result = 1.0;
  for (int64_t c = 0; c < n; ++c) {
    int64_t pivot = c;
    for (int64_t r = c + 1; r < n; ++r)
      if (std::fabs(a[r * n + c]) > std::fabs(a[pivot * n + c])) pivot = r;
    if (pivot != c) {
      std::swap_ranges(a + c * n, a + (c + 1) * n, a + pivot * n);
      result = -result;
    }
    const double head = a[c * n + c];
    result *= head;
    if (head == 0.0) return result;
    for (int64_t r = c + 1; r < n; ++r) {
      const double factor = a[r * n + c] / head;
      for (int64_t k = c + 1; k < n; ++k) a[r * n + k] -= factor * a[c * n + k];
    }
  }
  return result;
}

// Turns the matrix into its inverse, by Gauss-Jordan elimination with partial pivoting; a singular one gets infinities
// and NaN. `pivots` has room for n.
void invert(double* a, int64_t* pivots, int64_t n) noexcept {
  for (int64_t c = 0; c < n; ++c) {
    int64_t pivot = c;
    for (int64_t r = c + 1; r < n; ++r)
      if (std::fabs(a[r * n + c]) > std::fabs(a[pivot * n + c])) pivot = r;
    pivots[c] = pivot;
    if (pivot != c) std::swap_ranges(a + c * n, a + (c + 1) * n, a + pivot * n);
    const double head = a[c * n + c];
    a[c * n + c] = 1.0;
    for (int64_t k = 0; k < n; ++k) a[c * n + k] /= head;
    for (int64_t r = 0; r < n; ++r) {
      if (r == c) continue;
      const double factor = std::exchange(a[r * n + c], 0.0);
      for (int64_t k = 0; k < n; ++k) a[r * n + k] -= factor * a[c * n + k];
    }
  }
  for (int64_t c = n; c-- > 0;)
    for (int64_t r = 0; pivots[c] != c && r < n; ++r) std::swap(a[r * n + c], a[r * n + pivots[c]]);
}

// An operator on each matrix of a stack of square ones.
class OfSquareMatrices : public Op {
 public:
  Status parse(NodeReader&) { return {}; }
  Status bind(BindContext& context) const override {
    context.request_scratch(scratch_size(static_cast<int64_t>(context.threads()), worker_bytes(context.shape(0))));
    return {};
  }

 protected:
  static Status check(const InferContext& context) {
    LINNET_TRY(expect_type(context, 0, kFloatTypes));
    if (!context.ranked(0)) return {};
    const SymShape& in = context.shape(0);
    const size_t rank = in.size();
    LINNET_REQUIRE(rank >= 2 && (!in[rank - 1].known() || !in[rank - 2].known() || in[rank - 1] == in[rank - 2]),
                   invalid_argument("the input must be a square matrix or a stack of them"));
    return {};
  }
  // Calls f(type, i, matrix, n) for the i-th of `count` matrices, which it may destroy; n numbers of room follow it.
  template <class F>
  static void for_each(RunContext& context, int64_t count, const F& f) {
    const Tensor& in = context.in(0);
    const int64_t n = in.shape[in.shape.rank() - 1];
    const double cost = static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n);
    visit_float(in.dtype, [&]<class T>(TypeTag<T> type) {
      context.parallel.for_range(
          static_cast<size_t>(count), grain_for(cost), [&](size_t begin, size_t end, size_t worker) {
            auto* matrix = reinterpret_cast<double*>(context.scratch() + worker * worker_bytes(in.shape));
            for (size_t i = begin; i < end; ++i) {
              std::copy_n(in.ptr<T>() + static_cast<int64_t>(i) * n * n, n * n, matrix);
              f(type, static_cast<int64_t>(i), matrix, n);
            }
          });
    });
  }

 private:
  static size_t worker_bytes(const Shape& in) {
    const int64_t n = in[in.rank() - 1];
    return round_up(scratch_size(n, scratch_size(n + 1, sizeof(double))) + 1, 64);
  }
};

class Det final : public OfSquareMatrices {
 public:
  Status infer(InferContext& context) const override {
    LINNET_TRY(check(context));
    if (!context.ranked(0)) {
      context.set_unranked(0, context.dtype(0));
      return {};
    }
    context.set(0, context.dtype(0), SymShape(context.shape(0).begin(), context.shape(0).end() - 2));
    return {};
  }
  Status run(RunContext& context) const override {
    Tensor& out = context.out(0);
    for_each(context, out.count(), [&]<class T>(TypeTag<T>, int64_t i, double* matrix, int64_t n) {
      out.ptr<T>()[i] = rounded<T>(determinant(matrix, n));
    });
    return {};
  }
};

class Inverse final : public OfSquareMatrices {
 public:
  Status infer(InferContext& context) const override {
    LINNET_TRY(check(context));
    return infer_same_as_input(context);
  }
  Status run(RunContext& context) const override {
    Tensor& out = context.out(0);
    if (out.count() == 0) return {};
    const int64_t side = out.shape.sizes().back();
    for_each(context, out.count() / (side * side), [&]<class T>(TypeTag<T>, int64_t i, double* matrix, int64_t n) {
      invert(matrix, reinterpret_cast<int64_t*>(matrix + n * n), n);
      std::transform(matrix, matrix + n * n, out.ptr<T>() + i * n * n, rounded<T>);
    });
    return {};
  }
};

constexpr OpDef kDefs[] = {
    {"", "Det", 11, 1, 1, 1, 1, create<Det>},
    {"com.microsoft", "Inverse", 1, 1, 1, 1, 1, create<Inverse>},
};

}  // namespace

extern const std::span<const OpDef> kLinearAlgebraOps = kDefs;

}  // namespace linnet
