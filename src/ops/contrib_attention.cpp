// com.microsoft's attention with the projections inside.
// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#commicrosoftattention, ...qattention,
// ...decodermaskedselfattention
#include "kernels/gemm/gemm.h"
#include "ops/element_types.h"
#include "ops/fused_attention.h"
#include "ops/packed_integers.h"

namespace linnet {
namespace {

// Attention and QAttention: inputs of one width, weights for queries, keys and values side by side.
class ProjectedAttention final : public FusedAttention {
 public:
  Status parse(NodeReader& reader) {
    quantized_ = reader.op_type() == "QAttention";
    LINNET_TRY(parse_common(reader, quantized_ ? Slots{2, 5, kNone, 8, 8, 1, 1} : Slots{2, 3, 5, 4, 4, 1, 1, 6, 7, 8}));
    sizes_ = reader.integers("qkv_hidden_sizes");
    LINNET_REQUIRE(sizes_.empty() || (sizes_.size() == 3 && sizes_[0] == sizes_[1]),
                   invalid_model("qkv_hidden_sizes must be three numbers, the first two the same"));
    for (const int64_t size : sizes_)
      LINNET_REQUIRE(size > 0 && size % heads_ == 0 && size < (int64_t{1} << 31),
                     invalid_model("qkv_hidden_sizes has ", size, ", which ", heads_, " heads cannot share"));
    return {};
  }

  Status infer(InferContext& context) const override {
    const DType type = context.dtype(quantized_ ? 2 : 0);
    LINNET_REQUIRE(is_float_or_half(type), unsupported("attention of type ", dtype_name(type)));
    LINNET_TRY(expect_type(context, 1, quantized_ ? TypeSet{DType::i8, DType::u8} : TypeSet{type}));
    LINNET_TRY(check_types(context, type));
    for (const size_t scale : {size_t{3}, size_t{4}})
      if (quantized_) LINNET_TRY(expect_type(context, scale, {type}));
    for (const size_t zero : {size_t{6}, size_t{7}})
      if (quantized_) LINNET_TRY(expect_same_type(context, zero, zero - 6));
    if (!context.ranked(0) || !context.ranked(1)) {
      for (size_t o = 0; o < context.outputs(); ++o) context.set_unranked(o, type);
      return {};
    }
    const SymShape& x = context.shape(0);
    const SymShape& w = context.shape(1);
    LINNET_REQUIRE(x.size() == 3 && w.size() == 2,
                   invalid_argument("the input must have three axes and the weights two"));
    SymbolTable& symbols = context.symbols();
    const Dim v_width = sizes_.empty() ? symbols.div(w[1], 3) : Dim(sizes_[2]);
    const Dim head = symbols.div(sizes_.empty() ? v_width : Dim(sizes_[0]), heads_);
    context.set(0, type, {x[0], x[1], v_width});
    Dim total = x[1];
    if (has(context, slots_.past_key)) {
      const bool known = context.ranked(slots_.past_key) && context.shape(slots_.past_key).size() == 5;
      total = !known    ? Dim()
              : shared_ ? context.shape(slots_.past_key)[3]
                        : symbols.add(context.shape(slots_.past_key)[3], total);
    }
    context.set(1, type, {Dim(2), x[0], Dim(heads_), total, head});
    return {};
  }

  Status prepare(PrepareContext& context) override {
    const Tensor* w = packing(context).stored(1);
    if (!w || w->shape.rank() != 2 || (!quantized_ && w->dtype != DType::f32)) return {};
    const auto k = size_of(w->shape[0]), n = size_of(w->shape[1]);
    if (quantized_) {
      const IntMatrix matrix{w->data, k, n, n, 1, w->dtype == DType::i8};
      LINNET_ASSIGN(packed_, packed_integers(context, 1, "int8 quads", matrix));
    } else {
      LINNET_ASSIGN(packed_, context.packed(1, "float panels", packed_b_size(k, n), [&](std::byte* to) {
        pack_b(w->ptr<float>(), k, n, n, false, reinterpret_cast<float*>(to), context.parallel());
      }));
    }
    context.release(1);
    return {};
  }

  Status bind(BindContext& context) const override {
    Bound& s = context.state<Bound>();
    AttentionArgs& a = s.args;
    const Shape& x = context.shape(0);
    const Shape& w = context.shape(1);
    const DType type = context.dtype(quantized_ ? 2 : 0);
    LINNET_REQUIRE(!sizes_.empty() || w[1] % 3 == 0,
                   invalid_argument("the weights' ", w[1], " columns are not three of the same size"));
    const int64_t q_width = sizes_.empty() ? w[1] / 3 : sizes_[0], v_width = sizes_.empty() ? w[1] / 3 : sizes_[2];
    LINNET_REQUIRE(w[0] == x[2] && 2 * q_width + v_width == w[1],
                   invalid_argument("weights of shape ", w, " do not fit the input ", x));
    LINNET_REQUIRE(q_width % heads_ == 0 && v_width % heads_ == 0 && q_width > 0,
                   invalid_argument(heads_, " heads cannot share ", q_width, " features"));
    if (has(context, slots_.bias))
      LINNET_REQUIRE(context.shape(slots_.bias).count() == w[1],
                     invalid_argument("the bias does not have ", w[1], " elements"));
    a.batch = size_of(x[0]), a.rows = size_of(x[1]);
    a.head_size = size_of(q_width / heads_), a.v_head_size = size_of(v_width / heads_);
    s.width = size_of(w[1]), s.inner = size_of(w[0]);
    s.fresh = a.rows;
    a.q_strides = s.k_fresh = rows_first(a.rows, s.width, a.head_size);
    s.v_fresh = rows_first(a.rows, s.width, a.v_head_size);
    if (has(context, slots_.past_key)) {
      const Shape& past = context.shape(slots_.past_key);
      LINNET_REQUIRE(past.rank() == 5 && past[0] == 2 && past[1] == x[0] && past[2] == heads_ &&
                         size_of(past[4]) == a.head_size && a.head_size == a.v_head_size,
                     invalid_argument("past of shape ", past, " does not fit ", heads_, " heads of ", a.head_size));
      s.past = size_of(past[3]);
    }
    LINNET_REQUIRE(!context.wants(1) || a.head_size == a.v_head_size,
                   unsupported("present needs keys and values of one size"));
    s.cached = shared_ || s.past > 0 || context.wants(1);
    LINNET_ASSIGN(size_t bytes, bind_common(context, s, type));

    s.projection = round_up(a.batch * a.rows * s.width * sizeof(float), 64);
    bytes += s.projection + FloatScratch::bytes(type, context.out_shape(0).count());
    if (quantized_) {
      for (const size_t scalar : {size_t{3}, size_t{6}})
        LINNET_REQUIRE(!has(context, scalar) || context.shape(scalar).count() == 1,
                       invalid_argument("input ", scalar, " must be one number"));
      for (const size_t i : {size_t{4}, size_t{7}})
        LINNET_REQUIRE(!has(context, i) || context.shape(i).count() == 1 || context.shape(i).count() == w[1],
                       invalid_argument("input ", i, " does not fit ", w[1], " columns"));
      s.product = round_up(int_gemm_scratch(a.batch * a.rows, s.inner, context.dtype(0) == DType::i8), 64) +
                  3 * round_up(s.width * sizeof(float) + 64, 64);
      if (!packed_) s.product += round_up(int_gemm_packed_size(s.inner, s.width), 64);
    } else {
      bytes +=
          FloatScratch::bytes(type, x.count()) + FloatScratch::bytes(type, w.count()) + FloatScratch::bytes(type, w[1]);
      s.product = round_up(gemm_scratch_size(projection(s), context.threads()), 64);
    }
    s.kernel = std::max(s.kernel, s.product);
    context.request_scratch(s.kernel + bytes);
    return {};
  }

  Status run(RunContext& context) const override {
    const Bound& s = context.state<Bound>();
    AttentionArgs a = s.args;
    FloatScratch floats(context, s.kernel);
    LINNET_ASSIGN(const size_t past_rows, read_past(context, s, a, floats));
    auto* qkv = reinterpret_cast<float*>(floats.raw(s.projection));
    if (quantized_) {
      project_quantized(context, s, qkv);
    } else {
      GemmArgs g = projection(s);
      g.a = floats.in(context.in(0));
      g.b = packed_ ? reinterpret_cast<const float*>(packed_) : floats.in(context.in(1));
      if (const Tensor* bias = context.maybe(slots_.bias)) g.bias = floats.in(*bias);
      g.c = qkv;
      g.scratch = reinterpret_cast<float*>(context.scratch());
      gemm(g, context.parallel);
    }
    const size_t q_width = a.heads * a.head_size;
    a.q = qkv;
    a.k = qkv + q_width;
    a.v = qkv + 2 * q_width;
    if (s.cached) {
      const Tensor* past = context.maybe(slots_.past_key);
      const DType type = context.out(0).dtype;
      std::byte* present = context.wants(1) ? static_cast<std::byte*>(context.out(1).data) : nullptr;
      const size_t half = a.batch * a.heads * a.columns * a.head_size * element_size(type);
      a.k = extend(context, s, past_rows, past, 0, present, type, a.k, s.k_fresh, a.head_size, floats);
      a.v = extend(context, s, past_rows, past, 1, present ? present + half : nullptr, type, a.v, s.v_fresh,
                   a.v_head_size, floats);
    }
    apply_mask(context, a, past_rows + s.fresh, floats);
    a.out = floats.out(context.out(0));
    attention(a, context.scratch(), context.parallel);
    floats.finish(context.out(0), a.out);
    return {};
  }

 private:
  struct Bound : State {
    size_t width, inner, projection, product;
  };

  GemmArgs projection(const Bound& s) const {
    GemmArgs g;
    g.m = s.args.batch * s.args.rows;
    g.n = g.ldb = g.ldc = s.width;
    g.k = g.lda = s.inner;
    g.b_form = packed_ ? BForm::packed : BForm::rows;
    return g;
  }

  void project_quantized(RunContext& context, const Bound& s, float* qkv) const {
    const Tensor& x = context.in(0);
    const Tensor& w = context.in(1);
    const Tensor& bias = context.in(2);
    IntGemm g;
    g.m = s.args.batch * s.args.rows;
    g.n = g.ldc = s.width;
    g.k = g.lda = s.inner;
    g.a = x.data;
    g.a_signed = x.dtype == DType::i8;
    g.b_signed = w.dtype == DType::i8;
    if (const Tensor* zero = context.maybe(6)) g.a_zero = static_cast<int32_t>(integer_at(*zero, 0));
    std::byte* at = context.scratch() + round_up(int_gemm_scratch(g.m, g.k, g.a_signed), 64);
    const size_t row = round_up(s.width * sizeof(float) + 64, 64);
    auto* zeros = reinterpret_cast<int32_t*>(at);
    auto* scales = reinterpret_cast<float*>(at + row);
    auto* biases = reinterpret_cast<float*>(at + 2 * row);
    const Tensor* w_zero = context.maybe(7);
    const Tensor& w_scale = context.in(4);
    const auto a_scale = static_cast<float>(number_at(context.in(3), 0));
    for (size_t n = 0; n < s.width; ++n) {
      zeros[n] =
          w_zero ? static_cast<int32_t>(integer_at(*w_zero, w_zero->count() > 1 ? static_cast<int64_t>(n) : 0)) : 0;
      scales[n] = a_scale * static_cast<float>(number_at(w_scale, w_scale.count() > 1 ? static_cast<int64_t>(n) : 0));
      biases[n] = static_cast<float>(number_at(bias, static_cast<int64_t>(n)));
    }
    g.b = packed_;
    if (!packed_) {
      int_gemm_pack({w.data, s.inner, s.width, s.width, 1, g.b_signed}, at + 3 * row, context.parallel);
      g.b = at + 3 * row;
    }
    g.b_zero = zeros;
    g.scale = scales;
    g.b_zero_by_column = g.scale_by_column = true;
    g.float_bias = biases;
    g.output = IntOutput::f32;
    g.c = qkv;
    int_gemm(g, context.scratch(), context.parallel);
  }

  bool quantized_ = false;
  std::vector<int64_t> sizes_;
  const std::byte* packed_ = nullptr;
};

constexpr OpDef kDefs[] = {
    {"com.microsoft", "Attention", 1, 2, 7, 1, 2, create<ProjectedAttention>},
    {"com.microsoft", "DecoderMaskedSelfAttention", 1, 3, 9, 1, 2, create<ProjectedAttention>},
    {"com.microsoft", "QAttention", 1, 5, 9, 1, 2, create<ProjectedAttention>},
};

}  // namespace

extern const std::span<const OpDef> kContribAttentionOps = kDefs;

}  // namespace linnet
