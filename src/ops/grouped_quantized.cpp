// linnet.GroupedDynamicQuantizeMatMul and linnet.GroupedMatMulNBits: products of one input by several constant matrices
// of 8 bits, or of few bits in blocks. What they round the input to is made once, and threads meet once. Inputs: x,
// then for each product its matrix, scales, zero points or none, and bias or none, as
// com.microsoft.DynamicQuantizeMatMul and MatMulNBits have them; an output for each. Attributes are those of
// MatMulNBits, but N is a list.
//
// A product alone may have an activation. With `gated` two products give one output, activation(x b0 + bias0)
// (x b1 + bias1), as in SwiGLU (https://arxiv.org/abs/2002.05202).
#include <algorithm>
#include <array>
#include <vector>

#include "kernels/quant/int_gemm.h"
#include "kernels/quant/quantize.h"
#include "ops/element_types.h"
#include "ops/nbits_weights.h"
#include "ops/packed_integers.h"

namespace linnet {
namespace {

constexpr size_t kMostProducts = 8, kInputsEach = 4;

// Where the inputs of a product begin.
constexpr size_t matrix_of(size_t product) { return 1 + kInputsEach * product; }
constexpr size_t scales_of(size_t product) { return matrix_of(product) + 1; }
constexpr size_t zeros_of(size_t product) { return matrix_of(product) + 2; }
constexpr size_t bias_of(size_t product) { return matrix_of(product) + 3; }

class GroupedProducts : public Op {
 public:
  Status infer(InferContext& context) const override {
    LINNET_TRY(expect_type(context, 0, TypeSet{DType::f32}));
    for (size_t i = 0; i < products_; ++i) {
      LINNET_REQUIRE(!context.has(bias_of(i)) || context.dtype(bias_of(i)) == DType::f32,
                     invalid_argument("bias ", i, " is not of floats"));
      LINNET_ASSIGN(const Matrix b, matrix(context, i));
      if (!context.ranked(0)) {
        context.set_unranked(i, DType::f32);
        continue;
      }
      SymShape shape = context.shape(0);
      LINNET_REQUIRE(!shape.empty() && (!shape.back().known() || !b.k.known() || shape.back() == b.k),
                     invalid_argument("x does not fit matrix ", i));
      shape.back() = b.n;
      context.set(i, DType::f32, std::move(shape));
    }
    return {};
  }

 protected:
  struct Matrix {
    Dim k, n;
  };
  // The sizes of a matrix, all that belongs to it checked.
  virtual Result<Matrix> matrix(InferContext& context, size_t product) const = 0;

  Status parse_products(NodeReader& reader) {
    products_ = reader.outputs();
    LINNET_REQUIRE(products_ <= kMostProducts && (reader.inputs() + 1) / kInputsEach == products_,
                   invalid_model(reader.op_type(), " of ", reader.inputs(), " inputs and ", products_, " outputs"));
    for (size_t i = 0; i < products_; ++i)
      LINNET_REQUIRE(reader.has_input(matrix_of(i)) && reader.has_input(scales_of(i)) && reader.has_output(i),
                     invalid_model("matrix ", i, ", its scales or its product is missing"));
    return {};
  }

  static size_t rows(const BindContext& context) {
    return static_cast<size_t>(context.shape(0).count(0, context.shape(0).rank() - 1));
  }
  const float* bias(RunContext& context, size_t product) const {
    const Tensor* row = context.maybe(bias_of(product));
    return row ? row->ptr<float>() : nullptr;
  }

  size_t products_ = 0;
};

class GroupedDynamicQuantizeMatMul final : public GroupedProducts {
 public:
  Status parse(NodeReader& reader) { return parse_products(reader); }

  Result<Matrix> matrix(InferContext& context, size_t i) const override {
    const DType type = context.dtype(matrix_of(i));
    LINNET_REQUIRE((type == DType::u8 || type == DType::i8) && context.dtype(scales_of(i)) == DType::f32 &&
                       (!context.has(zeros_of(i)) || context.dtype(zeros_of(i)) == type),
                   invalid_argument("matrix ", i, " is not of 8-bit codes with scales and zero points"));
    if (!context.ranked(matrix_of(i))) return Matrix{};
    const SymShape& b = context.shape(matrix_of(i));
    LINNET_REQUIRE(b.size() == 2, invalid_argument("matrix ", i, " has ", b.size(), " axes"));
    for (const size_t slot : {scales_of(i), zeros_of(i), bias_of(i)}) {
      if (!context.ranked(slot) || !context.shape(slot).known() || !b[1].known()) continue;
      const int64_t count = context.shape(slot).values().count();
      LINNET_REQUIRE(count == b[1].value() || (count == 1 && slot != bias_of(i)),
                     invalid_argument("input ", slot, " of shape ", context.shape(slot).values(), " does not fit ",
                                      b[1].value(), " columns"));
    }
    return Matrix{b[0], b[1]};
  }

  Status prepare(PrepareContext& context) override {
    for (size_t i = 0; i < products_; ++i) {
      const Tensor* b = packing(context).stored(matrix_of(i));
      const Tensor* zeros = context.has(zeros_of(i)) ? context.constant(zeros_of(i)) : nullptr;
      LINNET_REQUIRE(b && (zeros || !context.has(zeros_of(i))),
                     unsupported("matrix ", i, " must be a constant, and so must its zero points"));
      Weights& w = weights_[i];
      w.k = static_cast<size_t>(b->shape[0]);
      w.n = static_cast<size_t>(b->shape[1]);
      w.is_signed = b->dtype == DType::i8;
      LINNET_REQUIRE(w.k == weights_[0].k,
                     invalid_model("matrix ", i, " of shape ", b->shape, " does not fit the one before it"));
      const IntMatrix matrix{b->data, w.k, w.n, w.n, 1, w.is_signed};
      LINNET_ASSIGN(w.packed, packed_integers(context, matrix_of(i), "int8 quads", matrix));
      context.release(matrix_of(i));
      for (int64_t j = 0; zeros && j < zeros->count(); ++j)
        w.zeros.push_back(static_cast<int32_t>(integer_at(*zeros, j)));
      if (!zeros) w.zeros.push_back(0);
    }
    return {};
  }

  Status bind(BindContext& context) const override {
    LINNET_REQUIRE(
        context.shape(0).rank() > 0 && context.shape(0).back() == static_cast<int64_t>(weights_[0].k),
        invalid_argument("x of shape ", context.shape(0), " does not fit matrices of ", weights_[0].k, " rows"));
    Bound& bound = context.state<Bound>();
    bound.rows = rows(context);
    context.request_scratch(layout(bound.rows, context.threads()).bytes);
    return {};
  }

  Status run(RunContext& context) const override {
    const size_t m = context.state<Bound>().rows;
    const Layout at = layout(m, context.parallel.threads());
    std::byte* scratch = context.scratch();
    auto* codes = reinterpret_cast<uint8_t*>(scratch + at.codes);
    auto* scales = reinterpret_cast<float*>(scratch + at.scales);
    const QuantizationU8 q = dynamic_quantize(context.in(0).ptr<float>(), codes, m * weights_[0].k,
                                              reinterpret_cast<FloatRange*>(scratch + at.ranges), context.parallel);
    std::array<IntGemm, kMostProducts> all;
    for (size_t i = 0; i < products_; ++i) {
      const Weights& w = weights_[i];
      const Tensor& scale = context.in(scales_of(i));
      IntGemm& g = all[i];
      g.m = m;
      g.n = g.ldc = w.n;
      g.k = g.lda = w.k;
      g.a = codes;
      g.a_zero = q.zero_point;
      g.b = w.packed;
      g.b_signed = w.is_signed;
      g.b_zero = w.zeros.data();
      g.b_zero_by_column = w.zeros.size() > 1;
      g.output = IntOutput::f32;
      g.scale = scales;
      g.scale_by_column = scale.count() > 1;
      for (int64_t j = 0; j < scale.count(); ++j) *scales++ = q.scale * scale.ptr<float>()[j];
      g.float_bias = bias(context, i);
      g.c = context.out(i).data;
    }
    int_gemm_group(std::span(all).first(products_), scratch, context.parallel);
    return {};
  }

 private:
  struct Bound {
    size_t rows;
  };
  struct Weights {
    const std::byte* packed = nullptr;
    size_t k = 0, n = 0;
    bool is_signed = false;
    std::vector<int32_t> zeros;
  };
  struct Layout {
    size_t codes, scales, ranges, bytes;
  };
  // In scratch memory, behind that of the products.
  Layout layout(size_t m, size_t threads) const {
    Layout at;
    size_t columns = products_;  // of which a scale for all is not one
    for (const Weights& w : weights_) columns += w.n;
    at.codes = round_up(int_gemm_scratch(m, weights_[0].k, false), 64);
    at.scales = at.codes + round_up(m * weights_[0].k, 64);
    at.ranges = at.scales + round_up(columns * sizeof(float), 64);
    at.bytes = at.ranges + threads * sizeof(FloatRange);
    return at;
  }

  std::array<Weights, kMostProducts> weights_;
};

class GroupedMatMulNBits final : public GroupedProducts {
 public:
  Status parse(NodeReader& reader) {
    LINNET_TRY(parse_products(reader));
    const std::vector<int64_t> columns = reader.integers("N");
    LINNET_REQUIRE(columns.size() == products_,
                   invalid_model("'N' has ", columns.size(), " numbers for ", products_, " products"));
    for (size_t i = 0; i < products_; ++i) {
      LINNET_ASSIGN(all_[i].format, parse_nbits_format(reader, columns[i]));
      all_[i].format.has_zeros = reader.has_input(zeros_of(i));
      all_[i].a_int8 = reader.integer("accuracy_level", 0) == 4;
    }
    return {};
  }

  Result<Matrix> matrix(InferContext& context, size_t i) const override {
    const NBitsFormat& format = all_[i].format;
    LINNET_TRY(check_nbits_inputs(context, format, slots(i)));
    return Matrix{Dim(static_cast<int64_t>(format.k)), Dim(static_cast<int64_t>(format.n))};
  }

  Status prepare(PrepareContext& context) override {
    for (size_t i = 0; i < products_; ++i) {
      const Tensor* codes = packing(context).stored(matrix_of(i));
      LINNET_REQUIRE(
          codes && codes->count() > 0 && constant_to_pack(context, scales_of(i)) &&
              (!context.has(zeros_of(i)) || constant_to_pack(context, zeros_of(i))),
          unsupported("matrix ", i, " must be a constant, with elements, and so must its scales and zero points"));
      LINNET_ASSIGN(all_[i].b, packed_nbits(context, all_[i].format, slots(i)));
    }
    return {};
  }

  Status bind(BindContext& context) const override {
    LINNET_REQUIRE(context.shape(0).rank() > 0 && context.shape(0).back() == static_cast<int64_t>(all_[0].format.k),
                   invalid_argument("x of shape ", context.shape(0), " does not have rows of ", all_[0].format.k));
    Bound& bound = context.state<Bound>();
    bound.rows = rows(context);
    NBitsGemm g = all_[0];
    g.m = bound.rows;
    context.request_scratch(nbits_scratch_size(g, context.threads()));
    return {};
  }

  Status run(RunContext& context) const override {
    std::array<NBitsGemm, kMostProducts> all = all_;
    for (size_t i = 0; i < products_; ++i) {
      all[i].m = context.state<Bound>().rows;
      all[i].a = context.in(0).ptr<float>();
      all[i].bias = bias(context, i);
      all[i].c = context.out(i).ptr<float>();
    }
    nbits_gemm_group(std::span(all).first(products_), context.scratch(), context.parallel);
    return {};
  }

 private:
  struct Bound {
    size_t rows;
  };
  static NBitsSlots slots(size_t i) { return {matrix_of(i), scales_of(i), zeros_of(i), bias_of(i)}; }

  std::array<NBitsGemm, kMostProducts> all_;  // formats and weights
};

constexpr size_t kMostInputs = 1 + kInputsEach * kMostProducts;
constexpr OpDef kDefs[] = {
    {"linnet", "GroupedDynamicQuantizeMatMul", 1, 3, kMostInputs, 1, kMostProducts,
     create<GroupedDynamicQuantizeMatMul>},
    {"linnet", "GroupedMatMulNBits", 1, 3, kMostInputs, 1, kMostProducts, create<GroupedMatMulNBits>},
};

}  // namespace

extern const std::span<const OpDef> kGroupedQuantizedOps = kDefs;

}  // namespace linnet
