// https://onnx.ai/onnx/operators/onnx__Det.html
#include <cmath>

#include "ops/element_types.h"
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

class Det final : public Op {
 public:
  Status parse(NodeReader&) { return {}; }
  Status infer(InferContext& context) const override {
    LINNET_TRY(expect_type(context, 0, kFloatTypes));
    if (!context.ranked(0)) {
      context.set_unranked(0, context.dtype(0));
      return {};
    }
    const SymShape& in = context.shape(0);
    const size_t rank = in.size();
    LINNET_REQUIRE(rank >= 2 && (!in[rank - 1].known() || !in[rank - 2].known() || in[rank - 1] == in[rank - 2]),
                   invalid_argument("the input must be a square matrix or a stack of them"));
    context.set(0, context.dtype(0), SymShape(in.begin(), in.end() - 2));
    return {};
  }
  Status bind(BindContext& context) const override {
    context.request_scratch(context.threads() * worker_bytes(context.shape(0)));
    return {};
  }
  Status run(RunContext& context) const override {
    const Tensor& in = context.in(0);
    Tensor& out = context.out(0);
    const int64_t n = in.shape[in.shape.rank() - 1];
    const double cost = static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n);
    visit_float(in.dtype, [&]<class T>(TypeTag<T>) {
      context.parallel.for_range(
          static_cast<size_t>(out.count()), grain_for(cost), [&](size_t begin, size_t end, size_t worker) {
            auto* matrix = reinterpret_cast<double*>(context.scratch() + worker * worker_bytes(in.shape));
            for (size_t i = begin; i < end; ++i) {
              std::copy_n(in.ptr<T>() + static_cast<int64_t>(i) * n * n, n * n, matrix);
              out.ptr<T>()[i] = rounded<T>(determinant(matrix, n));
            }
          });
    });
    return {};
  }

 private:
  static size_t worker_bytes(const Shape& in) {
    const size_t n = static_cast<size_t>(in[in.rank() - 1]);
    return round_up(n * n * sizeof(double), 64);
  }
};

constexpr OpDef kDefs[] = {
    {"", "Det", 11, 1, 1, 1, 1, create<Det>},
};

}  // namespace

extern const std::span<const OpDef> kLinearAlgebraOps = kDefs;

}  // namespace linnet
