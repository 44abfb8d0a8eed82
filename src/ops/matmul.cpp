// Products of matrices, with what fuses into them. linnet.FusedMatMul is what passes make of a product by a constant
// matrix: y = activation(alpha a b + bias + residual), bias a row, residual of y's shape, transB and alpha as Gemm has
// them. https://onnx.ai/onnx/operators/onnx__MatMul.html, ...Gemm; com.microsoft: FusedMatMul, TransposeMatMul,
// FusedGemm, https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
#include <algorithm>
#include <limits>
#include <vector>

#include "kernels/elementwise/half_convert.h"
#include "kernels/gemm/gemm.h"
#include "kernels/gemm/plain_product.h"
#include "ops/fused_activation.h"
#include "ops/matrix_product.h"
#include "ops/packed_matrix.h"

namespace linnet {
namespace {

// y = activation(alpha a b + beta c), c broadcast to y's last two axes. Plain data, as bind computes it.
struct Bound {
  MatrixProduct product;
  // Of input c: 0 where it is broadcast.
  size_t c_row = 0, c_column = 0;
  // Half precision goes through float: offsets into scratch, in floats.
  size_t a = 0, b = 0, c = 0, y = 0, gemm = 0;
};

constexpr size_t kC = 2;
constexpr size_t kResidual = 3;

class Product final : public Op {
 public:
  Status parse(NodeReader& reader) {
    const bool gemm = reader.op_type() == "Gemm";
    matrices_only_ = gemm;
    if (reader.op_type() == "MatMul") return {};
    alpha_ = reader.number("alpha", 1.0f);
    form_a_.transposed = reader.flag("transA", false);
    form_b_.transposed = reader.flag("transB", false);
    if (gemm) beta_ = reader.number("beta", 1.0f);
    if (reader.domain() == "linnet") {
      LINNET_ASSIGN(activation_, parse_fused_activation(reader));
      return {};
    }
    if (reader.op_type() == "FusedMatMul") {
      form_a_.rows_first = reader.flag("transBatchA", false);
      form_b_.rows_first = reader.flag("transBatchB", false);
    }
    return {};
  }

  Status infer(InferContext& context) const override {
    const DType type = context.dtype(0);
    LINNET_REQUIRE(
        is_float(type) || type == DType::i32 || type == DType::u32 || type == DType::i64 || type == DType::u64,
        unsupported("cannot multiply matrices of ", dtype_name(type)));
    for (size_t i = 1; i < context.inputs(); ++i)
      LINNET_REQUIRE(
          !context.has(i) || context.dtype(i) == type,
          invalid_model("input ", i, " is of type ", dtype_name(context.dtype(i)), ", not ", dtype_name(type)));
    LINNET_REQUIRE(activation_.kind == Activation::none || (is_float(type) && type != DType::f64),
                   unsupported("cannot fuse an activation with a product of ", dtype_name(type)));
    if (!context.ranked(0) || !context.ranked(1)) {
      context.set_unranked(0, type);
      return {};
    }
    if (matrices_only_)
      for (size_t i : {0, 1})
        LINNET_REQUIRE(context.shape(i).size() == 2,
                       invalid_argument("input ", i, " has rank ", context.shape(i).size(), ", not 2"));
    LINNET_ASSIGN(SymShape shape,
                  matrix_product_shape(context.shape(0), context.shape(1), form_a_, form_b_, context.symbols()));
    if (context.has(kC) && context.ranked(kC)) LINNET_TRY(check_c(context.shape(kC), shape));
    if (context.has(kResidual)) {
      LINNET_REQUIRE(type == DType::f32 && context.ranked(1) && context.shape(1).size() == 2 && !form_a_.transposed,
                     unsupported("a residual can be fused with a float product by one matrix only"));
      LINNET_REQUIRE(!context.ranked(kResidual) || !context.shape(kResidual).known() || !shape.known() ||
                         context.shape(kResidual) == shape,
                     invalid_argument("the residual is not of the product's shape"));
    }
    context.set(0, type, std::move(shape));
    return {};
  }

  Status prepare(PrepareContext& context) override {
    if (form_b_.rows_first) return {};
    LINNET_ASSIGN(const PackedMatrix packed, pack_matrix(context, 1, form_b_.transposed));
    packed_b_ = packed.data;
    b_form_ = packed.form;
    return {};
  }

  Status bind(BindContext& context) const override {
    Bound& bound = context.state<Bound>();
    LINNET_ASSIGN(bound.product, matrix_product(context.shape(0), context.shape(1), form_a_, form_b_));
    MatrixProduct& p = bound.product;
    if (context.has(kC)) {
      const Shape& c = context.shape(kC);
      if (c.rank() >= 1 && (c.back() != 1 || p.n == 1)) bound.c_column = 1;
      if (c.rank() >= 2 && c[c.rank() - 2] != 1) bound.c_row = static_cast<size_t>(c.back());
    }
    const DType type = context.dtype(0);
    if (type != DType::f32 && type != DType::f16 && type != DType::bf16) return {};
    if (packed_b_) {  // matrices of B are as far apart as their panels
      const size_t matrix = p.k * p.n, panels = packed_b_size(p.k, p.n, b_form_) / b_element(b_form_);
      for (size_t i = 0; i < p.axes && matrix != 0; ++i) p.axis[i].b = p.axis[i].b / matrix * panels;
    }
    if (!form_a_.transposed && (!context.has(kC) || bound.c_row == 0)) p.merge_rows();
    const GemmArgs g = arguments(bound);
    const size_t gemm_bytes = multiply_scratch_size(p, g, context.threads());
    size_t floats = 0;
    if (type != DType::f32) {
      const auto take = [&](const Shape& shape) {
        const size_t at = floats;
        floats += round_up(static_cast<size_t>(shape.count()), 16);
        return at;
      };
      bound.a = take(context.shape(0));
      if (!packed_b_) bound.b = take(context.shape(1));
      if (context.has(kC)) bound.c = take(context.shape(kC));
      bound.y = take(context.out_shape(0));
    }
    bound.gemm = floats;
    const std::optional<size_t> copies = checked_mul(floats, sizeof(float));
    const std::optional<size_t> bytes = copies ? checked_add(*copies, gemm_bytes) : std::nullopt;
    LINNET_REQUIRE(bytes, error(Code::out_of_memory, "the product's scratch memory is too large"));
    context.request_scratch(*bytes);
    return {};
  }

  bool can_overwrite(size_t input, size_t) const override { return input == kResidual; }

  Status run(RunContext& context) const override {
    switch (context.out(0).dtype) {
      case DType::f32: return run_float(context);
      case DType::f16:
      case DType::bf16: return run_half(context);
      case DType::f64: return run_plain<double>(context);
      case DType::i32: return run_plain<int32_t>(context);
      case DType::u32: return run_plain<uint32_t>(context);
      case DType::i64: return run_plain<int64_t>(context);
      default: return run_plain<uint64_t>(context);
    }
  }

 private:
  // C of rank 2 and less, each size that of the product or 1.
  Status check_c(const SymShape& c, const SymShape& shape) const {
    LINNET_REQUIRE(c.size() <= 2 && c.size() <= shape.size(),
                   invalid_argument("C has rank ", c.size(), "; it must be broadcastable to a matrix"));
    for (size_t i = 0; i < c.size(); ++i) {
      const Dim size = c[c.size() - 1 - i], wanted = shape[shape.size() - 1 - i];
      LINNET_REQUIRE(size.is(1) || !size.known() || !wanted.known() || size == wanted,
                     invalid_argument("C cannot be broadcast: its size ", size.value(), " meets ", wanted.value()));
    }
    return {};
  }

  static void widen(const Tensor& t, size_t begin, size_t count, float* dst) {
    t.dtype == DType::f16 ? to_float(t.ptr<f16>() + begin, dst, count) : to_float(t.ptr<bf16>() + begin, dst, count);
  }
  static void widen(const Tensor& t, float* dst, const Parallel& parallel) {
    const size_t count = static_cast<size_t>(t.count());
    parallel.for_range(ceil_div(count, kHalfChunk), 32, [&](size_t begin, size_t end, size_t) {
      widen(t, begin * kHalfChunk, std::min(count, end * kHalfChunk) - begin * kHalfChunk, dst + begin * kHalfChunk);
    });
  }

  // Sizes, strides and forms; no pointers.
  GemmArgs arguments(const Bound& bound) const {
    GemmArgs g = gemm_arguments(bound.product);
    if (packed_b_) g.b_form = b_form_;
    g.alpha = alpha_;
    g.activation = activation_;
    return g;
  }

  void multiply_floats(const Bound& bound, const float* a, const void* b, const float* c, const float* residual,
                       float* y, float* scratch, const Parallel& parallel) const {
    const MatrixProduct& p = bound.product;
    GemmArgs g = arguments(bound);
    g.a = a;
    g.b = b;
    g.c = y;
    g.scratch = scratch;
    if (c && bound.c_column == 1 && bound.c_row == 0 && beta_ == 1.0f) {
      g.bias = c;
    } else if (c) {
      g.beta = beta_;
      g.addend = c;
      g.ld_addend = bound.c_row;
      if (bound.c_column == 0) {  // one number a row: y itself holds it until the product is added
        for (size_t i = 0; i < p.m; ++i) std::fill_n(y + i * p.n, p.n, c[i * bound.c_row]);
        g.addend = y;
        g.ld_addend = p.n;
      }
    }
    if (residual) {  // one matrix: merge_rows has left no batch
      g.addend = residual;
      g.ld_addend = p.n;
    }
    multiply(p, g, parallel);
  }

  Status run_float(RunContext& context) const {
    const Bound& bound = context.state<Bound>();
    const Tensor* c = context.maybe(kC);
    const Tensor* residual = context.maybe(kResidual);
    multiply_floats(bound, context.in(0).ptr<float>(), packed_b_ ? packed_b_ : context.in(1).data,
                    c ? c->ptr<float>() : nullptr, residual ? residual->ptr<float>() : nullptr,
                    context.out(0).ptr<float>(), reinterpret_cast<float*>(context.scratch()), context.parallel);
    return {};
  }

  Status run_half(RunContext& context) const {
    const Bound& bound = context.state<Bound>();
    float* scratch = reinterpret_cast<float*>(context.scratch());
    float* y = scratch + bound.y;
    widen(context.in(0), scratch + bound.a, context.parallel);
    if (!packed_b_) widen(context.in(1), scratch + bound.b, context.parallel);
    const Tensor* c = context.maybe(kC);
    if (c) widen(*c, scratch + bound.c, context.parallel);
    multiply_floats(bound, scratch + bound.a, packed_b_ ? packed_b_ : static_cast<const void*>(scratch + bound.b),
                    c ? scratch + bound.c : nullptr, nullptr, y, scratch + bound.gemm, context.parallel);
    Tensor& out = context.out(0);
    const size_t count = static_cast<size_t>(out.count());
    context.parallel.for_range(ceil_div(count, kHalfChunk), 32, [&](size_t begin, size_t end, size_t) {
      const size_t first = begin * kHalfChunk, size = std::min(count, end * kHalfChunk) - first;
      out.dtype == DType::f16 ? from_float(y + first, out.ptr<f16>() + first, size)
                              : from_float(y + first, out.ptr<bf16>() + first, size);
    });
    return {};
  }

  template <class T>
  Status run_plain(RunContext& context) const {
    const Bound& bound = context.state<Bound>();
    const MatrixProduct& p = bound.product;
    const Tensor* c = context.maybe(kC);
    const double work = static_cast<double>(p.n) * static_cast<double>(p.k);
    for_matrices(p, p.axes, [&](size_t at_a, size_t at_b, size_t at_c) {
      PlainProduct<T> product;
      product.n = p.n, product.k = p.k;
      product.a = context.in(0).ptr<T>() + at_a;
      product.a_row = p.a.row, product.a_column = p.a.column;
      product.b = context.in(1).ptr<T>() + at_b;
      product.b_row = p.b.row, product.b_column = p.b.column;
      product.c = context.out(0).ptr<T>() + at_c;
      product.ldc = p.n;
      constexpr size_t kRows = 16;  // between looks at whether to stop
      context.parallel.for_range(ceil_div(p.m, kRows), grain_for(work * kRows), [&](size_t begin, size_t end, size_t) {
        for (size_t block = begin; block < end && !context.parallel.stopped(); ++block) {
          const size_t first = block * kRows, last = std::min(p.m, first + kRows);
          if constexpr (std::is_same_v<T, double>) {
            double_product(product, first, last);
          } else {
            plain_product(product, first, last);
          }
          for (size_t i = first; i < last; ++i)
            finish_row(product.c + i * p.n, c ? c->ptr<T>() + i * bound.c_row : nullptr, bound.c_column, p.n);
        }
      });
    });
    return {};
  }

  template <class T>
  void finish_row(T* y, const T* c, size_t c_column, size_t n) const {
    if (alpha_ != 1.0f)
      for (size_t j = 0; j < n; ++j) y[j] = static_cast<T>(static_cast<double>(alpha_) * static_cast<double>(y[j]));
    if (!c) return;
    for (size_t j = 0; j < n; ++j) {
      const T addend = beta_ == 1.0f
                           ? c[j * c_column]
                           : static_cast<T>(static_cast<double>(beta_) * static_cast<double>(c[j * c_column]));
      if constexpr (std::is_integral_v<T>) {
        using U = std::make_unsigned_t<T>;
        y[j] = static_cast<T>(static_cast<U>(y[j]) + static_cast<U>(addend));
      } else {
        y[j] += addend;
      }
    }
  }

  float alpha_ = 1.0f, beta_ = 1.0f;
  MatrixForm form_a_, form_b_;
  bool matrices_only_ = false;
  ActivationSpec activation_;
  const void* packed_b_ = nullptr;
  BForm b_form_ = BForm::packed;  // of packed_b_
};

constexpr OpDef kDefs[] = {
    {"", "MatMul", 1, 2, 2, 1, 1, create<Product>},
    {"", "Gemm", 7, 2, 3, 1, 1, create<Product>},
    {"com.microsoft", "FusedMatMul", 1, 2, 2, 1, 1, create<Product>},
    {"com.microsoft", "TransposeMatMul", 1, 2, 2, 1, 1, create<Product>},
    {"linnet", "FusedMatMul", 1, 2, 4, 1, 1, create<Product>},
};

}  // namespace

extern const std::span<const OpDef> kMatMulOps = kDefs;

}  // namespace linnet
