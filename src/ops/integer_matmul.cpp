// Matrix products of 8-bit integers.
// https://onnx.ai/onnx/operators/onnx__MatMulInteger.html, ...QLinearMatMul; com.microsoft: QGemm, MatMulIntegerToFloat
// and DynamicQuantizeMatMul, https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
#include "kernels/quant/int_gemm.h"

#include <algorithm>
#include <cmath>

#include "kernels/quant/quantize.h"
#include "ops/float_scratch.h"
#include "ops/infer_shapes.h"
#include "ops/packed_integers.h"

namespace linnet {
namespace {

// Where each operator has which input; -1 for what it does not have.
struct Slots {
  std::string_view name;
  int a, a_scale, a_zero, b, b_scale, b_zero, bias, y_scale, y_zero;
};
constexpr Slots kSlots[] = {
    {"MatMulInteger", 0, -1, 2, 1, -1, 3, -1, -1, -1},
    {"QLinearMatMul", 0, 1, 2, 3, 4, 5, -1, 6, 7},
    {"MatMulIntegerToFloat", 0, 2, 4, 1, 3, 5, 6, -1, -1},
    {"DynamicQuantizeMatMul", 0, -1, -1, 1, 2, 3, 4, -1, -1},
    {"QGemm", 0, 1, 2, 3, 4, 5, 6, 7, 8},
};

bool is_int8(DType t) noexcept { return t == DType::u8 || t == DType::i8; }

// C = A B over a batch of matrices. `batch` is 1 when all rows of A meet the same B.
struct Product {
  size_t m = 1, n = 1, k = 1, batch = 1;
  size_t bias_rows = 1;      // QGemm's C may have a row for each of the product's,
  bool bias_spread = false;  // and one number for a whole row
};

class IntegerMatMul final : public Op {
 public:
  Status parse(NodeReader& reader) {
    for (const Slots& s : kSlots)
      if (s.name == reader.op_type()) slots_ = &s;
    if (slots_->name == "QGemm") {
      alpha_ = reader.number("alpha", 1.0f);
      trans_a_ = reader.flag("transA", false);
      trans_b_ = reader.flag("transB", false);
    }
    return {};
  }

  Status infer(InferContext& context) const override {
    const auto at = [&](int slot) { return static_cast<size_t>(slot); };
    const auto has = [&](int slot) { return slot >= 0 && context.has(at(slot)); };
    LINNET_REQUIRE(dynamic() ? context.dtype(0) == DType::f32 : is_code(context.dtype(at(slots_->a))),
                   unsupported("A is of type ", dtype_name(context.dtype(at(slots_->a)))));
    LINNET_REQUIRE(is_code(context.dtype(at(slots_->b))),
                   unsupported("B is of type ", dtype_name(context.dtype(at(slots_->b)))));
    for (const auto& [zero, of] : {std::pair{slots_->a_zero, slots_->a}, std::pair{slots_->b_zero, slots_->b}})
      LINNET_REQUIRE(!has(zero) || context.dtype(at(zero)) == context.dtype(at(of)),
                     invalid_model("the type of input ", zero, " is not that of input ", of));
    for (const int scale : {slots_->a_scale, slots_->b_scale, slots_->y_scale})
      LINNET_REQUIRE(!has(scale) || is_float(context.dtype(at(scale))),
                     invalid_model("the scale (input ", scale, ") is not a float"));
    for (const int scalar : {slots_->a_scale, slots_->a_zero, slots_->y_scale, slots_->y_zero})
      LINNET_REQUIRE(!has(scalar) || !context.ranked(at(scalar)) || !context.shape(at(scalar)).known() ||
                         context.shape(at(scalar)).values().count() == 1,
                     unsupported("input ", scalar,
                                 " holds more than one element; only columns of B may have scales of their own"));
    const DType bias = slots_->name == "QGemm" ? DType::i32 : DType::f32;
    LINNET_REQUIRE(!has(slots_->bias) || context.dtype(at(slots_->bias)) == bias,
                   unsupported("the bias is of type ", dtype_name(context.dtype(at(slots_->bias)))));
    DType output = slots_->a_scale < 0 && !dynamic() ? DType::i32 : DType::f32;
    if (has(slots_->y_scale))
      output = has(slots_->y_zero) ? context.dtype(at(slots_->y_zero)) : context.dtype(at(slots_->a));
    LINNET_REQUIRE(output == DType::i32 || output == DType::f32 || is_code(output),
                   unsupported("the output is of type ", dtype_name(output)));
    if (!context.ranked(at(slots_->a)) || !context.ranked(at(slots_->b))) {
      context.set_unranked(0, output);
      return {};
    }
    LINNET_ASSIGN(SymShape shape, output_shape(context));
    context.set(0, output, std::move(shape));
    return {};
  }

  Status prepare(PrepareContext& context) override {
    const auto slot = static_cast<size_t>(slots_->b);
    const Tensor* b = packing(context).stored(slot);
    if (!b || of_float8(context) || b->shape.rank() < 2 || b->shape.count(0, b->shape.rank() - 2) != 1) return {};
    const IntMatrix matrix = matrix_b(*b, 0);
    LINNET_ASSIGN(packed_, packed_integers(context, slot, trans_b_ ? "int8 quads, transposed" : "int8 quads", matrix));
    context.release(slot);
    return {};
  }

  Status bind(BindContext& context) const override {
    const Shape& a = context.shape(static_cast<size_t>(slots_->a));
    const Shape& b = context.shape(static_cast<size_t>(slots_->b));
    Product& p = context.state<Product>();
    p.k = static_cast<size_t>(trans_a_ ? a[0] : a.back());
    p.n = b.rank() == 1 ? 1 : static_cast<size_t>(b[b.rank() - (trans_b_ ? 2 : 1)]);
    const size_t rows = static_cast<size_t>(trans_a_ ? a[1] : a.rank() == 1 ? 1 : a[a.rank() - 2]);
    const size_t b_batch = b.rank() <= 2 ? 1 : static_cast<size_t>(b.count(0, b.rank() - 2));
    const size_t total = static_cast<size_t>(context.out_shape(0).count());
    if (b_batch == 1) {
      p.m = p.n == 0 ? 0 : total / p.n;
    } else {
      p.m = rows;
      p.batch = rows * p.n == 0 ? 0 : total / (rows * p.n);
    }
    for (const int slot : {slots_->b_scale, slots_->b_zero, slots_->bias})
      if (slot >= 0 && context.has(static_cast<size_t>(slot))) {
        const Shape& shape = context.shape(static_cast<size_t>(slot));
        if (slot == slots_->bias && slots_->name == "QGemm") {
          const int64_t columns = shape.rank() > 0 ? shape.back() : 1, lines = shape.rank() == 2 ? shape[0] : 1;
          LINNET_REQUIRE(shape.rank() <= 2 && (columns == 1 || columns == static_cast<int64_t>(p.n)) &&
                             (lines == 1 || lines == static_cast<int64_t>(p.m)),
                         invalid_argument("C of shape ", shape, " does not fit ", p.m, " x ", p.n, " sums"));
          p.bias_rows = static_cast<size_t>(lines);
          p.bias_spread = columns == 1 && p.n != 1;
          continue;
        }
        LINNET_REQUIRE((slot != slots_->bias && shape.count() == 1) || shape.count() == static_cast<int64_t>(p.n),
                       unsupported("input ", slot, " of shape ", shape, " does not fit ", p.n, " columns"));
      }
    if (of_float8(context)) {
      context.request_scratch(FloatScratch::bytes(context.dtype(0), a) + FloatScratch::bytes(context.dtype(3), b) +
                              FloatScratch::bytes(DType::f16, context.out_shape(0)));
      return {};
    }
    context.request_scratch(
        layout(p, a, context.dtype(static_cast<size_t>(slots_->a)) == DType::i8, context.threads()).bytes);
    return {};
  }

  Status run(RunContext& context) const override {
    const Product& p = context.state<Product>();
    if (context.in(0).dtype != DType::f32 &&
        (is_float8(context.in(0).dtype) || is_float8(context.in(slot_b()).dtype) || is_float8(context.out(0).dtype)))
      return multiply_float8(context, p);
    const Tensor& a = context.in(static_cast<size_t>(slots_->a));
    const Tensor& b = context.in(static_cast<size_t>(slots_->b));
    Tensor& y = context.out(0);
    const Layout at = layout(p, a.shape, a.dtype == DType::i8, context.parallel.threads());
    std::byte* scratch = context.scratch();
    const auto input = [&](int slot) { return slot < 0 ? nullptr : context.maybe(static_cast<size_t>(slot)); };

    IntGemm g;
    g.m = p.m;
    g.n = p.n;
    g.k = p.k;
    g.lda = p.k;
    g.ldc = p.n;
    g.b_signed = b.dtype == DType::i8;
    float a_scale = 1.0f;
    const auto* a_data = static_cast<const uint8_t*>(a.data);
    if (dynamic()) {
      auto* quantized = reinterpret_cast<uint8_t*>(scratch + at.a);
      const QuantizationU8 q = dynamic_quantize(a.ptr<float>(), quantized, static_cast<size_t>(a.count()),
                                                reinterpret_cast<FloatRange*>(scratch + at.ranges), context.parallel);
      a_scale = q.scale;
      g.a_zero = q.zero_point;
      a_data = quantized;
    } else {
      g.a_signed = a.dtype == DType::i8;
      if (const Tensor* scale = input(slots_->a_scale)) a_scale = static_cast<float>(number_at(*scale, 0));
      if (const Tensor* zero = input(slots_->a_zero)) g.a_zero = static_cast<int32_t>(integer_at(*zero, 0));
      if (trans_a_) {
        auto* transposed = reinterpret_cast<uint8_t*>(scratch + at.a);
        for (size_t m = 0; m < p.m; ++m)
          for (size_t k = 0; k < p.k; ++k) transposed[m * p.k + k] = a_data[k * p.m + m];
        a_data = transposed;
      }
    }
    if (const Tensor* zero = input(slots_->b_zero)) {
      auto* zeros = reinterpret_cast<int32_t*>(scratch + at.zeros);
      const auto* codes = static_cast<const uint8_t*>(zero->data);
      for (int64_t i = 0; i < zero->count(); ++i) zeros[i] = g.b_signed ? static_cast<int8_t>(codes[i]) : codes[i];
      g.b_zero = zeros;
      g.b_zero_by_column = zero->count() > 1;
    } else {
      static constexpr int32_t kZero = 0;
      g.b_zero = &kZero;
    }
    if (const Tensor* scale = input(slots_->b_scale)) {
      auto* scales = reinterpret_cast<float*>(scratch + at.scales);
      const Tensor* y_scale = input(slots_->y_scale);
      const float divisor = y_scale ? static_cast<float>(number_at(*y_scale, 0)) : 1.0f;
      for (int64_t i = 0; i < scale->count(); ++i) {
        const float b_scale =
            scale->dtype == DType::f32 ? scale->ptr<float>()[i] : static_cast<float>(number_at(*scale, i));
        const float product = alpha_ * a_scale * b_scale;
        scales[i] = y_scale ? product / divisor : product;
      }
      g.scale = scales;
      g.scale_by_column = scale->count() > 1;
    }
    if (const Tensor* bias = input(slots_->bias)) {
      if (bias->dtype == DType::i32) {
        g.bias = bias->ptr<int32_t>();
      } else {
        g.float_bias = bias->ptr<float>();
      }
    }
    if (const Tensor* zero = input(slots_->y_zero)) g.c_zero = static_cast<int32_t>(integer_at(*zero, 0));
    g.output = y.dtype == DType::i32   ? IntOutput::i32
               : y.dtype == DType::f32 ? IntOutput::f32
               : y.dtype == DType::u8  ? IntOutput::u8
                                       : IntOutput::s8;

    const auto multiply = [&](size_t i, std::byte* work, const Parallel& parallel) {
      const auto [a_at, b_at] = p.batch == 1 ? std::pair<size_t, size_t>{} : batch_item(a.shape, b.shape, i);
      IntGemm one = g;
      one.a = a_data + a_at * p.m * p.k;
      one.b = packed_;
      if (!packed_) {
        int_gemm_pack(matrix_b(b, b_at), work + at.b, parallel);
        one.b = work + at.b;
      }
      one.c = static_cast<std::byte*>(y.data) + i * p.m * p.n * element_size(y.dtype);
      if (p.bias_rows > 1 || p.bias_spread) {
        add_by_rows(p, one, input(slots_->bias)->ptr<int32_t>(), scratch, at, element_size(y.dtype), parallel);
      } else {
        int_gemm(one, work, parallel);
      }
    };
    if (at.workers == 1) {
      for (size_t i = 0; i < p.batch; ++i) multiply(i, scratch, context.parallel);
    } else {
      const Parallel serial;
      context.parallel.for_range(p.batch, grain_for(product_ns(p)), [&](size_t begin, size_t end, size_t worker) {
        for (size_t i = begin; i < end && !context.parallel.stopped(); ++i)
          multiply(i, scratch + worker * at.work, serial);
      });
    }
    return {};
  }

 private:
  size_t slot_b() const noexcept { return static_cast<size_t>(slots_->b); }
  // QLinearMatMul takes 8-bit floats as well, for which no processor of ours has products.
  bool is_code(DType t) const noexcept {
    return is_int8(t) || (slots_->name == "QLinearMatMul" && is_float8(t) && t != DType::f8e8m0);
  }
  template <class Context>
  bool of_float8(const Context& context) const {
    for (const int slot : {slots_->a, slots_->b, slots_->y_zero})
      if (slot >= 0 && context.has(static_cast<size_t>(slot)) && is_float8(context.dtype(static_cast<size_t>(slot))))
        return true;
    return false;
  }

  // QLinearMatMul as it is defined: A, its scale and zero point, B with its, the output's.
  static Status multiply_float8(RunContext& context, const Product& p) {
    const Tensor &a = context.in(0), &b = context.in(3);
    Tensor& y = context.out(0);
    const auto number = [&](size_t i, size_t column) {
      const Tensor& t = context.in(i);
      return static_cast<float>(number_at(t, t.count() == 1 ? 0 : static_cast<int64_t>(column)));
    };
    FloatScratch floats(context);
    const float *a_all = floats.in(a), *b_all = floats.in(b);
    float* out = reinterpret_cast<float*>(floats.raw(static_cast<size_t>(y.count()) * sizeof(float)));
    context.parallel.for_range(
        p.batch * p.m, grain_for(static_cast<double>(p.n * p.k)), [&](size_t begin, size_t end, size_t) {
          for (size_t row = begin; row < end; ++row) {
            const auto [a_at, b_at] =
                p.batch == 1 ? std::pair<size_t, size_t>{} : batch_item(a.shape, b.shape, row / p.m);
            const float* x = a_all + (a_at * p.m + row % p.m) * p.k;
            for (size_t j = 0; j < p.n; ++j) {
              float sum = 0.0f;
              for (size_t k = 0; k < p.k; ++k)
                sum += (x[k] - number(2, 0)) * (b_all[(b_at * p.k + k) * p.n + j] - number(5, j));
              out[row * p.n + j] = sum * number(1, 0) * number(4, j) / number(6, 0);
            }
          }
        });
    const float zero = number(7, 0);
    for (int64_t i = 0; i < y.count(); ++i) {
      out[i] = (is_int8(y.dtype) ? std::nearbyint(out[i]) : out[i]) + zero;
      if (y.dtype == DType::u8) out[i] = std::clamp(out[i], 0.0f, 255.0f);
      if (y.dtype == DType::i8) out[i] = std::clamp(out[i], -128.0f, 127.0f);
    }
    cast(NumberType::f32, out, number_type(y.dtype), y.data, static_cast<size_t>(y.count()), {}, context.parallel);
    return {};
  }

  bool dynamic() const noexcept { return slots_->name == "DynamicQuantizeMatMul"; }

  Result<SymShape> output_shape(InferContext& context) const {
    const SymShape& a = context.shape(static_cast<size_t>(slots_->a));
    const SymShape& b = context.shape(static_cast<size_t>(slots_->b));
    LINNET_REQUIRE(!a.empty() && !b.empty(), invalid_argument("a product of matrices does not take scalars"));
    if (slots_->name == "QGemm")
      LINNET_REQUIRE(a.size() == 2 && b.size() == 2, invalid_argument("QGemm takes matrices"));
    const Dim ka = trans_a_ ? a[0] : a.back(), kb = b.size() == 1 ? b[0] : b[b.size() - (trans_b_ ? 1 : 2)];
    LINNET_REQUIRE(
        !ka.known() || !kb.known() || ka == kb,
        invalid_argument("cannot multiply ", context.symbols().to_string(a), " and ", context.symbols().to_string(b)));
    const auto batch_of = [](const SymShape& s) {
      return s.size() <= 2 ? SymShape() : SymShape(s.begin(), s.end() - 2);
    };
    LINNET_ASSIGN(SymShape shape, broadcast_shapes(batch_of(a), batch_of(b), context.symbols()));
    if (a.size() > 1) shape.push_back(trans_a_ ? a[1] : a[a.size() - 2]);
    if (b.size() > 1) shape.push_back(b[b.size() - (trans_b_ ? 2 : 1)]);
    return shape;
  }

  // Offsets of a run's parts in scratch memory.
  struct Layout {
    size_t a = 0, ranges = 0, zeros = 0, scales = 0, bias = 0, bytes = 0;
    // The workers' parts stand first: what int_gemm needs, and B where it is packed by each run.
    size_t workers = 1, work = 0, b = 0;
  };
  static constexpr size_t kMostWork = 1 << 20;
  static double product_ns(const Product& p) { return static_cast<double>(p.m * p.n * p.k) * 0.02 + 200.0; }
  // A product whose rows have biases of their own, or one number each.
  static void add_by_rows(const Product& p, IntGemm g, const int32_t* bias, std::byte* scratch, const Layout& at,
                          size_t width, const Parallel& parallel) {
    auto* spread = reinterpret_cast<int32_t*>(scratch + at.bias);
    g.m = p.bias_rows > 1 ? 1 : p.m;
    for (size_t row = 0; row < p.m; row += g.m) {
      g.bias = bias;
      if (p.bias_spread) {
        std::fill_n(spread, p.n, *bias);
        g.bias = spread;
      }
      int_gemm(g, scratch, parallel);
      bias += p.bias_spread ? 1 : p.n;
      g.a = static_cast<const uint8_t*>(g.a) + g.m * p.k;
      g.c = static_cast<std::byte*>(g.c) + g.m * p.n * width;
    }
  }

  Layout layout(const Product& p, const Shape& a, bool a_signed, size_t threads) const {
    Layout at;
    const auto take = [&](size_t bytes) {
      const size_t start = at.bytes;
      at.bytes += round_up(bytes, 64);
      return start;
    };
    at.b = round_up(int_gemm_scratch(p.m, p.k, a_signed), 64);
    at.work = at.b + (packed_ ? 0 : round_up(int_gemm_packed_size(p.k, p.n), 64));
    // A few large products: each uses all threads. Otherwise each thread takes whole products.
    const bool uneven = p.batch % threads != 0 && p.batch < 4 * threads;
    if (p.batch > 1 && at.work <= kMostWork && !(uneven && product_ns(p) > 30'000.0)) at.workers = threads;
    take(at.workers * at.work);
    at.zeros = take(p.n * sizeof(int32_t) + 64);
    at.scales = take(p.n * sizeof(float) + 64);
    if (p.bias_spread) at.bias = take(p.n * sizeof(int32_t));
    if (dynamic()) at.ranges = take(threads * sizeof(FloatRange));
    if (dynamic() || trans_a_) at.a = take(static_cast<size_t>(a.count()));
    return at;
  }

  IntMatrix matrix_b(const Tensor& b, size_t item) const {
    const size_t rank = b.shape.rank();
    const size_t rows = static_cast<size_t>(rank == 1 ? b.shape[0] : b.shape[rank - 2]);
    const size_t columns = static_cast<size_t>(rank == 1 ? 1 : b.shape[rank - 1]);
    IntMatrix matrix{
        static_cast<const uint8_t*>(b.data) + item * rows * columns, rows, columns, columns, 1, b.dtype == DType::i8};
    if (trans_b_) std::swap(matrix.k, matrix.n), std::swap(matrix.k_stride, matrix.n_stride);
    return matrix;
  }

  // The numbers of the matrices of A and B that item i of the output's batch multiplies.
  static std::pair<size_t, size_t> batch_item(const Shape& a, const Shape& b, size_t i) {
    const size_t axes = std::max(a.rank(), b.rank()) - 2;
    size_t a_at = 0, b_at = 0, a_step = 1, b_step = 1;
    for (size_t back = 0; back < axes; ++back) {
      const size_t size_a = back + 2 < a.rank() ? static_cast<size_t>(a[a.rank() - 3 - back]) : 1;
      const size_t size_b = back + 2 < b.rank() ? static_cast<size_t>(b[b.rank() - 3 - back]) : 1;
      const size_t size = std::max(size_a, size_b), index = i % size;
      i /= size;
      if (size_a > 1) a_at += index * a_step;
      if (size_b > 1) b_at += index * b_step;
      a_step *= size_a;
      b_step *= size_b;
    }
    return {a_at, b_at};
  }

  const Slots* slots_ = kSlots;
  float alpha_ = 1.0f;
  bool trans_a_ = false, trans_b_ = false;
  const std::byte* packed_ = nullptr;
};

constexpr OpDef kDefs[] = {
    {"", "MatMulInteger", 10, 2, 4, 1, 1, create<IntegerMatMul>},
    {"", "QLinearMatMul", 10, 8, 8, 1, 1, create<IntegerMatMul>},
    {"com.microsoft", "MatMulIntegerToFloat", 1, 4, 7, 1, 1, create<IntegerMatMul>},
    {"com.microsoft", "DynamicQuantizeMatMul", 1, 3, 5, 1, 1, create<IntegerMatMul>},
    {"com.microsoft", "QGemm", 1, 6, 9, 1, 1, create<IntegerMatMul>},
};

}  // namespace

extern const std::span<const OpDef> kIntegerMatMulOps = kDefs;

}  // namespace linnet
