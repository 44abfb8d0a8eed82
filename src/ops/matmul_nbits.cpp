// Matrix products with constant weights of 2, 4 and 8 bits.
// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#commicrosoftmatmulnbits, ...matmulbnb4
#include <vector>

#include "kernels/gemm/gemm.h"
#include "ops/float_scratch.h"
#include "ops/infer_shapes.h"
#include "ops/nbits_weights.h"
#include "ops/packing.h"

namespace linnet {
namespace {

constexpr NBitsSlots kSlots{1, 2, 3, 5};
constexpr size_t kScales[] = {2};

// A times constant weights, [.., inner] to [.., outer]; A and the output of any float type, computed in float.
class WeightProduct : public Op {
 public:
  Status infer(InferContext& context) const override {
    const DType type = context.dtype(0);
    LINNET_REQUIRE(is_float_or_half(type), unsupported("A is of type ", dtype_name(type)));
    LINNET_TRY(check_inputs(context));
    if (!context.ranked(0)) {
      context.set_unranked(0, type);
      return {};
    }
    SymShape shape = context.shape(0);
    LINNET_REQUIRE(!shape.empty() && (!shape.back().known() || shape.back().is(inner())),
                   invalid_argument("A has rows of ", shape.empty() || !shape.back().known() ? 0 : shape.back().value(),
                                    " elements, not ", inner()));
    shape.back() = outer();
    context.set(0, type, std::move(shape));
    return {};
  }

  Status bind(BindContext& context) const override {
    Sizes& s = context.state<Sizes>();
    s.rows = static_cast<size_t>(context.shape(0).count(0, context.shape(0).rank() - 1));
    s.product = round_up(product_scratch(s.rows, context.threads()), 64);
    context.request_scratch(s.product + FloatScratch::bytes(context.dtype(0), context.shape(0)) +
                            FloatScratch::bytes(context.dtype(0), context.out_shape(0)));
    return {};
  }

  Status run(RunContext& context) const override {
    const Sizes& s = context.state<Sizes>();
    FloatScratch floats(context, s.product);
    const float* a = floats.in(context.in(0));
    float* c = floats.out(context.out(0));
    LINNET_TRY(product(context, s.rows, a, c));
    floats.finish(context.out(0), c);
    return {};
  }

 protected:
  virtual int64_t inner() const = 0;
  virtual int64_t outer() const = 0;
  virtual Status check_inputs(InferContext& context) const = 0;
  virtual size_t product_scratch(size_t rows, size_t threads) const = 0;
  virtual Status product(RunContext& context, size_t rows, const float* a, float* c) const = 0;

 private:
  struct Sizes {
    size_t rows, product;
  };
};

class MatMulNBits final : public WeightProduct {
 public:
  Status parse(NodeReader& reader) {
    LINNET_ASSIGN(format_, parse_nbits_format(reader, reader.integer("N", 0)));
    format_.has_zeros = reader.has_input(3);
    LINNET_REQUIRE(reader.integer("weight_prepacked", 0) == 0,
                   unsupported("weights packed for a GPU's kernels are not supported: export with weight_prepacked 0"));
    a_int8_ = reader.integer("accuracy_level", 0) == 4;
    return {};
  }

  Status prepare(PrepareContext& context) override {
    const Tensor* codes = packing(context).stored(1);
    const Tensor* scales = constant_to_pack(context, 2);
    const Tensor* zeros = constant_to_pack(context, 3);
    const Tensor* groups = constant_to_pack(context, 4);
    const Tensor* bias = context.has(5) ? context.constant(5) : nullptr;
    omitted_ = codes && codes->count() == 0;
    if (!codes || !scales || (!zeros && context.has(3)) || (!groups && context.has(4)) || (!bias && context.has(5))) {
      LINNET_REQUIRE(!omitted_, unsupported("weights are left out, but not all that belongs to them is a constant"));
      form_ = Form::expanded_by_run;
      return {};
    }
    if (bias) bias_ = as_floats(*bias);
    if (omitted_) return {};
    if (groups) return expand_once(context, {codes, scales, zeros, groups});
    LINNET_ASSIGN(packed_, packed_nbits(context, format_, kSlots));
    return {};
  }

 protected:
  int64_t inner() const override { return static_cast<int64_t>(format_.k); }
  int64_t outer() const override { return static_cast<int64_t>(format_.n); }

  Status check_inputs(InferContext& context) const override {
    LINNET_TRY(check_nbits_inputs(context, format_, kSlots));
    if (!context.has(4)) return {};
    LINNET_REQUIRE(context.dtype(4) == DType::i32, invalid_model("g_idx is of type ", dtype_name(context.dtype(4))));
    LINNET_REQUIRE(
        !context.ranked(4) || !context.shape(4).known() ||
            context.shape(4).values().checked_count() == std::optional(static_cast<int64_t>(format_.k)),
        invalid_model("g_idx of shape ", context.shape(4).values(), " does not have K elements, ", format_.k));
    return {};
  }

  size_t product_scratch(size_t rows, size_t threads) const override {
    if (form_ == Form::blocks) return omitted_ ? 0 : nbits_scratch_size(gemm(rows), threads);
    const size_t weights = form_ == Form::expanded ? 0 : round_up(format_.n * format_.k * sizeof(float), 64);
    return weights + round_up(format_.n * sizeof(float), 64) + gemm_scratch_size(float_gemm(rows), threads);
  }

  Status product(RunContext& context, size_t rows, const float* a, float* c) const override {
    if (omitted_) {
      for (size_t i = 0; i < rows * format_.n; ++i) c[i] = bias_.empty() ? 0.0f : bias_[i % format_.n];
      return {};
    }
    if (form_ != Form::blocks) return float_product(context, rows, a, c);
    NBitsGemm g = gemm(rows);
    g.a = a;
    g.c = c;
    nbits_gemm(g, context.scratch(), context.parallel);
    return {};
  }

 private:
  // Columns of B may belong to groups of any order (g_idx), and all of B may come as an input: such weights are
  // expanded to floats, once or by each run.
  enum class Form : uint8_t { blocks, expanded, expanded_by_run };
  struct Parts {
    const Tensor *codes, *scales, *zeros, *groups;
  };

  // [N][K] floats.
  void expand(const Parts& parts, float* to) const {
    const size_t blocks = format_.blocks(), bits = static_cast<size_t>(format_.bits), per_byte = 8 / bits;
    const size_t row_bytes = blocks * (format_.block * bits / 8), zero_bytes = ceil_div<size_t>(blocks * bits, 8);
    const auto code = [&](const uint8_t* row, size_t i) {
      return static_cast<float>((row[i / per_byte] >> (i % per_byte * bits)) & ((1u << bits) - 1u));
    };
    for (size_t n = 0; n < format_.n; ++n)
      for (size_t k = 0; k < format_.k; ++k) {
        const size_t block = parts.groups ? static_cast<size_t>(parts.groups->ptr<int32_t>()[k]) : k / format_.block;
        const auto at = static_cast<int64_t>(n * blocks + block);
        float zero = static_cast<float>(1u << (bits - 1));
        if (parts.zeros)
          zero = parts.zeros->dtype == DType::u8 ? code(parts.zeros->ptr<uint8_t>() + n * zero_bytes, block)
                                                 : static_cast<float>(number_at(*parts.zeros, at));
        to[n * format_.k + k] = (code(parts.codes->ptr<uint8_t>() + n * row_bytes, k) - zero) *
                                static_cast<float>(number_at(*parts.scales, at));
      }
  }

  Status check_groups(const Tensor* groups) const {
    for (size_t k = 0; groups && k < format_.k; ++k) {
      const int32_t group = groups->ptr<int32_t>()[k];
      LINNET_REQUIRE(group >= 0 && static_cast<size_t>(group) < format_.blocks(),
                     invalid_argument("g_idx has ", group, " for ", format_.blocks(), " groups"));
    }
    return {};
  }

  Status expand_once(PrepareContext& context, const Parts& parts) {
    constexpr size_t kAlso[] = {2, 3, 4};
    if (parts.groups->data) LINNET_TRY(check_groups(parts.groups));
    const std::string form = concat("groups of codes as floats, ", format_.block, " by ", format_.bits);
    const size_t bytes = packed_b_size(format_.k, format_.n);
    LINNET_ASSIGN(packed_, packing(context).packed_with(kAlso, 1, form, bytes, [&](std::byte* to) {
      std::vector<float> weights(format_.n * format_.k);
      expand(parts, weights.data());
      pack_b(weights.data(), format_.k, format_.n, format_.k, true, reinterpret_cast<float*>(to), context.parallel());
    }));
    form_ = Form::expanded;
    for (const size_t i : {size_t{1}, size_t{2}, size_t{3}, size_t{4}})
      if (context.has(i)) context.release(i);
    return {};
  }

  GemmArgs float_gemm(size_t rows) const {
    GemmArgs g;
    g.m = rows;
    g.k = g.lda = g.ldb = format_.k;
    g.n = g.ldc = format_.n;
    g.b_form = form_ == Form::expanded ? BForm::packed : BForm::columns;
    return g;
  }

  Status float_product(RunContext& context, size_t rows, const float* a, float* c) const {
    std::byte* next = context.scratch();
    const auto take = [&](size_t bytes) {
      auto* floats = reinterpret_cast<float*>(next);
      next += round_up(bytes, 64);
      return floats;
    };
    GemmArgs g = float_gemm(rows);
    g.a = a;
    g.c = c;
    g.b = packed_;
    g.bias = bias_.empty() ? nullptr : bias_.data();
    float* bias = take(format_.n * sizeof(float));
    if (form_ == Form::expanded_by_run) {
      LINNET_REQUIRE(context.in(1).count() != 0, unsupported("weights are left out, but are no constant"));
      float* weights = take(format_.n * format_.k * sizeof(float));
      LINNET_TRY(check_groups(context.maybe(4)));
      expand({&context.in(1), &context.in(2), context.maybe(3), context.maybe(4)}, weights);
      g.b = weights;
      if (const Tensor* given = context.maybe(5)) {
        for (size_t n = 0; n < format_.n; ++n) bias[n] = static_cast<float>(number_at(*given, static_cast<int64_t>(n)));
        g.bias = bias;
      }
    }
    g.scratch = reinterpret_cast<float*>(next);
    linnet::gemm(g, context.parallel);
    return {};
  }

  NBitsGemm gemm(size_t rows) const {
    NBitsGemm g;
    g.format = format_;
    g.b = packed_;
    g.m = rows;
    g.bias = bias_.empty() ? nullptr : bias_.data();
    g.a_int8 = a_int8_;
    return g;
  }

  NBitsFormat format_;
  bool a_int8_ = false;
  bool omitted_ = false;
  Form form_ = Form::blocks;
  const std::byte* packed_ = nullptr;
  std::vector<float> bias_;
};

// https://arxiv.org/abs/2305.14314; the values are bitsandbytes'.
constexpr float kFp4[16] = {0.0f,  5.208333333e-03f,  0.66666667f,  1.0f,  0.33333333f,  0.5f,  0.16666667f,  0.25f,
                            -0.0f, -5.208333333e-03f, -0.66666667f, -1.0f, -0.33333333f, -0.5f, -0.16666667f, -0.25f};
constexpr float kNf4[16] = {-1.0f,
                            -0.6961928009986877f,
                            -0.5250730514526367f,
                            -0.39491748809814453f,
                            -0.28444138169288635f,
                            -0.18477343022823334f,
                            -0.09105003625154495f,
                            0.0f,
                            0.07958029955625534f,
                            0.16093020141124725f,
                            0.24611230194568634f,
                            0.33791524171829224f,
                            0.44070982933044434f,
                            0.5626170039176941f,
                            0.7229568362236023f,
                            1.0f};

// The weights are expanded to floats when the model loads.
class MatMulBnb4 final : public WeightProduct {
 public:
  Status parse(NodeReader& reader) {
    n_ = reader.integer("N", 0);
    k_ = reader.integer("K", 0);
    block_ = reader.integer("block_size", 0);
    trans_b_ = reader.flag("transB", true);
    const int64_t type = reader.integer("quant_type", 0);
    LINNET_TRY(check_block_size(block_));
    LINNET_TRY(check_sizes(n_, k_));
    LINNET_REQUIRE(type == 0 || type == 1, invalid_model("quant_type is ", type, "; 0 is FP4 and 1 is NF4"));
    values_ = type == 0 ? kFp4 : kNf4;
    reader.ignore("training_mode");
    return {};
  }

  Status prepare(PrepareContext& context) override {
    const Tensor* codes = packing(context).stored(1);
    const Tensor* scales = constant_to_pack(context, 2);
    LINNET_REQUIRE(codes && scales, unsupported("the weights and their scales must be constants"));
    const auto rows = static_cast<size_t>(n_), columns = static_cast<size_t>(k_);
    LINNET_ASSIGN(
        const std::byte* packed,
        packing(context).packed_with(
            kScales, 1,
            concat(trans_b_ ? "bnb4 panels, transposed, " : "bnb4 panels, ", block_, values_ == kFp4 ? " fp4" : " nf4"),
            packed_b_size(static_cast<size_t>(inner()), static_cast<size_t>(outer())), [&](std::byte* to) {
              std::vector<float> weights(rows * columns);
              const std::vector<float> scale_values = as_floats(*scales);
              for (size_t i = 0; i < weights.size(); ++i) {
                const int code = codes->ptr<uint8_t>()[i / 2] >> (i % 2 ? 0 : 4) & 15;  // high half first
                weights[i] = values_[code] * scale_values[i / static_cast<size_t>(block_)];
              }
              pack_b(weights.data(), static_cast<size_t>(inner()), static_cast<size_t>(outer()), columns, trans_b_,
                     reinterpret_cast<float*>(to), context.parallel());
            }));
    packed_ = reinterpret_cast<const float*>(packed);
    context.release(1);
    context.release(2);
    return {};
  }

 protected:
  int64_t inner() const override { return trans_b_ ? k_ : n_; }
  int64_t outer() const override { return trans_b_ ? n_ : k_; }

  Status check_inputs(InferContext& context) const override {
    const int64_t expected[] = {0, (n_ * k_ + 1) / 2, (n_ * k_ + block_ - 1) / block_};
    for (const size_t i : {size_t{1}, size_t{2}})
      if (context.ranked(i) && context.shape(i).known())
        LINNET_REQUIRE(context.shape(i).values().count() == expected[i],
                       invalid_model("input ", i, " does not have the ", expected[i],
                                     " elements that N, K and block_size ask for"));
    LINNET_REQUIRE(context.dtype(1) == DType::u8, invalid_model("B is of type ", dtype_name(context.dtype(1))));
    return {};
  }

  size_t product_scratch(size_t rows, size_t threads) const override {
    return gemm_scratch_size(gemm_of(rows), threads);
  }

  Status product(RunContext& context, size_t rows, const float* a, float* c) const override {
    GemmArgs g = gemm_of(rows);
    g.a = a;
    g.c = c;
    g.scratch = reinterpret_cast<float*>(context.scratch());
    gemm(g, context.parallel);
    return {};
  }

 private:
  GemmArgs gemm_of(size_t rows) const {
    GemmArgs g;
    g.m = rows;
    g.k = g.lda = static_cast<size_t>(inner());
    g.n = g.ldc = static_cast<size_t>(outer());
    g.b = packed_;
    return g;
  }

  int64_t n_ = 0, k_ = 0, block_ = 0;
  bool trans_b_ = true;
  const float* values_ = kFp4;
  const float* packed_ = nullptr;
};

constexpr OpDef kDefs[] = {
    {"com.microsoft", "MatMulNBits", 1, 3, 6, 1, 1, create<MatMulNBits>},
    {"com.microsoft", "MatMulBnb4", 1, 3, 3, 1, 1, create<MatMulBnb4>},
};

}  // namespace

extern const std::span<const OpDef> kMatMulNBitsOps = kDefs;

}  // namespace linnet
