// com.microsoft's attention with the projections inside (Attention, QAttention) and without (MultiHeadAttention,
// DecoderMaskedMultiHeadAttention).
// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#commicrosoftattention
#include <cmath>

#include "kernels/gemm/gemm.h"
#include "kernels/quant/int_gemm.h"
#include "ops/attention_cache.h"
#include "ops/infer_shapes.h"

namespace linnet {
namespace {

constexpr size_t kNone = SIZE_MAX;

size_t size_of(int64_t n) noexcept { return static_cast<size_t>(n); }

// Where an operator has its inputs and outputs; kNone for what it does not have.
struct Slots {
  size_t bias, mask, attention_bias, past_key, past_value, present_key, present_value;
};

// Everything after the projections.
class FusedAttention : public Op {
 public:
 protected:
  struct State {
    AttentionArgs args;  // sizes and strides
    HeadStrides k_fresh, v_fresh;
    size_t past, fresh;
    size_t kernel;  // bytes of the kernel's scratch
    bool cached;    // keys and values come from present, or from scratch in its place
  };

  Status parse_common(NodeReader& reader, const Slots& slots) {
    slots_ = slots;
    heads_ = reader.integer("num_heads", 0);
    scale_ = reader.number("scale", 0.0f);
    filter_ = reader.number("mask_filter_value", -10000.0f);
    causal_ = reader.flag("unidirectional", false);
    LINNET_REQUIRE(heads_ > 0 && heads_ < (1 << 20),
                   invalid_model("num_heads is ", heads_, "; it must be positive and below a million"));
    LINNET_REQUIRE(!reader.flag("past_present_share_buffer", false),
                   unsupported("a past that shares its buffer with present is not supported"));
    LINNET_REQUIRE(!reader.flag("do_rotary", false),
                   unsupported("rotary embedding inside of attention is not supported"));
    reader.ignore("rotary_embedding_dim");
    return {};
  }

  template <class Context>
  static bool has(const Context& context, size_t slot) {
    return slot != kNone && context.has(slot);
  }
  template <class Context>
  static bool wants(const Context& context, size_t slot) {
    return slot != kNone && context.wants(slot);
  }

  // Fills what follows from the sizes; checks the mask's and the bias's shapes. Returns bytes of scratch behind the
  // kernel's.
  Result<size_t> bind_common(BindContext& context, State& s, DType type) const {
    AttentionArgs& a = s.args;
    a.heads = a.kv_heads = size_of(heads_);
    a.columns = s.past + s.fresh;
    a.out_strides = rows_first(a.rows, a.heads * a.v_head_size, a.v_head_size);
    a.k_strides = s.cached ? heads_first(a.heads, a.columns, a.head_size) : s.k_fresh;
    a.v_strides = s.cached ? heads_first(a.heads, a.columns, a.v_head_size) : s.v_fresh;
    a.scale = scale_ != 0.0f ? scale_ : 1.0f / std::sqrt(static_cast<float>(a.head_size));
    a.causal = causal_;
    a.offset = static_cast<int64_t>(s.past);
    size_t bytes = 0;
    if (s.cached) {  // float copies of present
      bytes += round_up(a.batch * a.heads * a.columns * a.head_size * sizeof(float), 64);
      bytes += round_up(a.batch * a.heads * a.columns * a.v_head_size * sizeof(float), 64);
    }
    const bool mask = has(context, slots_.mask), bias = has(context, slots_.attention_bias);
    if (mask) {
      const Shape& shape = context.shape(slots_.mask);
      const auto batch = static_cast<int64_t>(a.batch), rows = static_cast<int64_t>(a.rows),
                 columns = static_cast<int64_t>(a.columns);
      const bool fits = (shape.rank() == 1 && (shape[0] == batch || shape[0] == 2 * batch)) ||
                        (shape.rank() == 2 && shape[0] == batch && shape[1] == columns) ||
                        (shape.rank() == 3 && shape[0] == batch && shape[1] == rows && shape[2] == columns);
      LINNET_REQUIRE(
          fits, unsupported("a mask of shape ", shape, " for ", batch, " x ", rows, " queries and ", columns, " keys"));
      LINNET_REQUIRE(context.dtype(slots_.mask) == DType::i32,
                     unsupported("the mask is of type ", dtype_name(context.dtype(slots_.mask))));
    }
    if (bias) {
      const Shape& shape = context.shape(slots_.attention_bias);
      LINNET_REQUIRE(shape.rank() == 4 && (shape[0] == 1 || size_of(shape[0]) == a.batch) &&
                         (shape[1] == 1 || size_of(shape[1]) == a.heads) && size_of(shape[2]) == a.rows &&
                         size_of(shape[3]) == a.columns,
                     invalid_argument("attention_bias of shape ", shape, " does not fit ", a.rows, " queries and ",
                                      a.columns, " keys"));
      bytes += FloatScratch::bytes(type, shape.count());
    }
    if (mask) bytes += round_up(a.batch * (bias ? a.heads * a.rows : a.rows) * a.columns * sizeof(float), 64);
    s.kernel = round_up(attention_scratch_size(a, context.threads()), 64);
    return bytes;
  }

  // Makes a bias of the mask and the attention bias.
  void apply_mask(RunContext& context, AttentionArgs& a, FloatScratch& floats) const {
    const Tensor* mask = slots_.mask == kNone ? nullptr : context.maybe(slots_.mask);
    const Tensor* extra = slots_.attention_bias == kNone ? nullptr : context.maybe(slots_.attention_bias);
    HeadStrides strides;
    if (extra) {
      a.bias = floats.in(*extra);
      strides.row = a.columns;
      strides.head = extra->shape[1] == 1 ? 0 : a.rows * a.columns;
      strides.batch = extra->shape[0] == 1 ? 0 : size_of(extra->shape[1]) * a.rows * a.columns;
    }
    if (mask) {
      const size_t heads = extra ? a.heads : 1, rows = extra || mask->shape.rank() == 3 ? a.rows : 1;
      auto* bias = reinterpret_cast<float*>(floats.raw(a.batch * heads * rows * a.columns * sizeof(float)));
      const int32_t* m = mask->ptr<int32_t>();
      for (size_t b = 0; b < a.batch; ++b)
        for (size_t h = 0; h < heads; ++h)
          for (size_t r = 0; r < rows; ++r) {
            float* to = bias + ((b * heads + h) * rows + r) * a.columns;
            const float* from = extra ? a.bias + b * strides.batch + h * strides.head + r * strides.row : nullptr;
            for (size_t t = 0; t < a.columns; ++t)
              to[t] = (from ? from[t] : 0.0f) + (is_masked(*mask, m, a, b, r, t) ? filter_ : 0.0f);
          }
      a.bias = bias;
      strides = {heads * rows * a.columns, heads == 1 ? 0 : rows * a.columns, rows == 1 && a.rows != 1 ? 0 : a.columns};
    }
    a.bias_strides = strides;
    a.bias_columns = a.columns;
  }

  // Puts new keys or values (as floats) behind the past ones. Returns the floats of all of them.
  const float* extend(RunContext& context, const State& s, const Tensor* past, size_t part, void* present, DType type,
                      const float* fresh, const HeadStrides& strides, size_t size, FloatScratch& floats) const {
    const AttentionArgs& a = s.args;
    const size_t count = a.batch * a.heads * a.columns * size, past_count = a.batch * a.heads * s.past * size;
    auto* whole = reinterpret_cast<float*>(floats.raw(count * sizeof(float)));
    CacheAppend append;
    append.batch = a.batch, append.heads = a.heads, append.size = size, append.width = sizeof(float);
    append.past_capacity = append.past_rows = s.past, append.capacity = a.columns;
    append.fresh = fresh, append.fresh_strides = strides, append.fresh_rows = s.fresh;
    const std::byte* past_data =
        past ? static_cast<const std::byte*>(past->data) + part * past_count * element_size(type) : nullptr;
    if (type == DType::f32) {
      append.past = past_data;
      append.present = present ? present : whole;
      append_to_cache(append, context.parallel);
      return static_cast<const float*>(append.present);
    }
    // Halves: the past is widened row by row into its place, then everything is rounded into present.
    append.present = whole;
    append_to_cache(append, context.parallel);
    const NumberType number = number_type(type);
    for (size_t i = 0; past && i < a.batch * a.heads && s.past; ++i)
      cast(number, past_data + i * s.past * size * element_size(type), NumberType::f32, whole + i * a.columns * size,
           s.past * size, {}, Parallel());
    if (present) cast(NumberType::f32, whole, number, present, count, {}, context.parallel);
    return whole;
  }

  Slots slots_{};
  int64_t heads_ = 0;
  float scale_ = 0.0f, filter_ = -10000.0f;
  bool causal_ = false;

 private:
  static bool is_masked(const Tensor& mask, const int32_t* m, const AttentionArgs& a, size_t b, size_t r,
                        size_t t) noexcept {
    if (mask.shape.rank() == 2) return m[b * a.columns + t] <= 0;
    if (mask.shape.rank() == 3) return m[(b * a.rows + r) * a.columns + t] <= 0;
    const auto column = static_cast<int64_t>(t);
    return column >= m[b] || (size_of(mask.shape[0]) == 2 * a.batch && a.batch > 0 && column < m[a.batch + b]);
  }
};

// Attention and QAttention: inputs of one width, weights for queries, keys and values side by side.
class ProjectedAttention final : public FusedAttention {
 public:
  Status parse(NodeReader& reader) {
    quantized_ = reader.op_type() == "QAttention";
    LINNET_TRY(parse_common(reader, quantized_ ? Slots{2, 5, kNone, 8, 8, 1, 1} : Slots{2, 3, 5, 4, 4, 1, 1}));
    sizes_ = reader.integers("qkv_hidden_sizes");
    LINNET_REQUIRE(sizes_.empty() || (sizes_.size() == 3 && sizes_[0] == sizes_[1]),
                   invalid_model("qkv_hidden_sizes must be three numbers, the first two the same"));
    for (const int64_t size : sizes_)
      LINNET_REQUIRE(size > 0 && size % heads_ == 0 && size < (int64_t{1} << 31),
                     invalid_model("qkv_hidden_sizes has ", size, ", which ", heads_, " heads cannot share"));
    LINNET_REQUIRE(quantized_ || !reader.has_input(6),
                   unsupported("a past that shares its buffer with present is not supported"));
    return {};
  }

  Status infer(InferContext& context) const override {
    const DType type = context.dtype(quantized_ ? 2 : 0);
    LINNET_REQUIRE(is_float_or_half(type), unsupported("attention of type ", dtype_name(type)));
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
      total = known ? symbols.add(context.shape(slots_.past_key)[3], total) : Dim();
    }
    context.set(1, type, {Dim(2), x[0], Dim(heads_), total, head});
    return {};
  }

  Status prepare(PrepareContext& context) override {
    const Tensor* w = context.constant(1);
    if (!w || w->shape.rank() != 2 || (!quantized_ && w->dtype != DType::f32)) return {};
    const auto k = size_of(w->shape[0]), n = size_of(w->shape[1]);
    if (quantized_) {
      const IntMatrix matrix{w->data, k, n, n, 1, w->dtype == DType::i8};
      LINNET_ASSIGN(packed_, context.packed(1, "int8 quads", int_gemm_packed_size(matrix),
                                            [&](std::byte* to) { int_gemm_pack(matrix, to); }));
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
    s.cached = s.past > 0 || context.wants(1);
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
      s.product =
          round_up(int_gemm_scratch(a.batch * a.rows, s.width), 64) + 3 * round_up(s.width * sizeof(float) + 64, 64);
      if (!packed_) s.product += round_up(int_gemm_packed_size_limit(s.inner, s.width), 64);
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
      a.k = extend(context, s, past, 0, present, type, a.k, s.k_fresh, a.head_size, floats);
      a.v =
          extend(context, s, past, 1, present ? present + half : nullptr, type, a.v, s.v_fresh, a.v_head_size, floats);
    }
    apply_mask(context, a, floats);
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
    std::byte* at = context.scratch() + round_up(int_gemm_scratch(g.m, g.n), 64);
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
      int_gemm_pack({w.data, s.inner, s.width, s.width, 1, g.b_signed}, at + 3 * row);
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

class MultiHeadAttention final : public FusedAttention {
 public:
  Status parse(NodeReader& reader) {
    const bool decoder = reader.op_type() == "DecoderMaskedMultiHeadAttention";
    LINNET_TRY(parse_common(reader, decoder ? Slots{10, 3, 4, 5, 6, 1, 2} : Slots{3, 4, 5, 6, 7, 1, 2}));
    reader.ignore("output_qk");
    for (const size_t i : {size_t{9}, decoder ? size_t{7} : size_t{8}})
      LINNET_REQUIRE(!reader.has_input(i),
                     unsupported("a past that shares its buffer with present, or beams in it, are not supported"));
    LINNET_REQUIRE(reader.has_input(slots_.past_key) == reader.has_input(slots_.past_value),
                   invalid_model("past_key and past_value come together"));
    return {};
  }

  Status infer(InferContext& context) const override {
    const DType type = context.dtype(0);
    LINNET_REQUIRE(is_float_or_half(type), unsupported("attention of type ", dtype_name(type)));
    const bool split = context.has(1);
    if (!context.ranked(0) || (split && !context.ranked(1)) || (context.has(2) && !context.ranked(2))) {
      for (size_t o = 0; o < context.outputs(); ++o) context.set_unranked(o, type);
      return {};
    }
    SymbolTable& symbols = context.symbols();
    const SymShape& q = context.shape(0);
    LINNET_REQUIRE(q.size() == 3 || (q.size() == 5 && !split), unsupported("queries have ", q.size(), " axes"));
    LINNET_REQUIRE(split || q.size() == 5, unsupported("keys are left out and the queries are not packed with them"));
    const Dim size = q.size() == 5 ? q[4] : symbols.div(q[2], heads_);
    Dim v_size = size, fresh = q[1];
    if (split) {
      const SymShape& k = context.shape(1);
      LINNET_REQUIRE((k.size() == 5) == !context.has(2) && (k.size() == 3 || k.size() == 4 || k.size() == 5),
                     unsupported("keys have ", k.size(), " axes"));
      fresh = k.size() == 4 ? k[2] : k[1];
      if (context.has(2)) {
        const SymShape& v = context.shape(2);
        LINNET_REQUIRE(v.size() == k.size(), unsupported("keys and values have another number of axes"));
        v_size = v.size() == 3 ? symbols.div(v[2], heads_) : v[3];
      }
    }
    Dim total = fresh;
    if (has(context, slots_.past_key)) {
      const bool known = context.ranked(slots_.past_key) && context.shape(slots_.past_key).size() == 4;
      total = known ? symbols.add(context.shape(slots_.past_key)[2], fresh) : Dim();
    }
    context.set(0, type, {q[0], q[1], symbols.mul(v_size, heads_)});
    context.set(1, type, {q[0], Dim(heads_), total, size});
    context.set(2, type, {q[0], Dim(heads_), total, v_size});
    context.set(3, type, {q[0], Dim(heads_), q[1], total});
    return {};
  }

  Status bind(BindContext& context) const override {
    Bound& s = context.state<Bound>();
    AttentionArgs& a = s.args;
    const Shape& q = context.shape(0);
    const DType type = context.dtype(0);
    const auto head_of = [&](int64_t width) { return size_of(width / heads_); };
    a.batch = size_of(q[0]), a.rows = size_of(q[1]);
    LINNET_REQUIRE(q.rank() == 5 ? q[2] == heads_ && q[3] == 3 : q[2] % heads_ == 0,
                   invalid_argument("queries of shape ", q, " do not split into ", heads_, " heads"));
    const size_t n = size_of(heads_);
    if (q.rank() == 5) {
      a.head_size = a.v_head_size = size_of(q[4]);
      s.fresh = a.rows;
      a.q_strides = s.k_fresh = s.v_fresh = {a.rows * n * 3 * a.head_size, 3 * a.head_size, n * 3 * a.head_size};
    } else {
      const Shape& k = context.shape(1);
      a.head_size = head_of(q[2]);
      a.q_strides = rows_first(a.rows, n * a.head_size, a.head_size);
      s.fresh = size_of(k.rank() == 4 ? k[2] : k[1]);
      bool fits = k[0] == q[0];
      if (k.rank() == 5) {
        fits = fits && k[2] == heads_ && k[3] == 2 && size_of(k[4]) == a.head_size;
        a.v_head_size = a.head_size;
        s.k_fresh = s.v_fresh = {s.fresh * n * 2 * a.head_size, 2 * a.head_size, n * 2 * a.head_size};
      } else if (k.rank() == 4) {
        const Shape& v = context.shape(2);
        fits = fits && k[1] == heads_ && size_of(k[3]) == a.head_size && v[0] == k[0] && v[1] == heads_ && v[2] == k[2];
        a.v_head_size = size_of(v[3]);
        s.k_fresh = heads_first(n, s.fresh, a.head_size);
        s.v_fresh = heads_first(n, s.fresh, a.v_head_size);
      } else {
        const Shape& v = context.shape(2);
        fits = fits && k[2] == q[2] && v[0] == k[0] && v[1] == k[1] && v[2] % heads_ == 0;
        a.v_head_size = head_of(v[2]);
        s.k_fresh = rows_first(s.fresh, n * a.head_size, a.head_size);
        s.v_fresh = rows_first(s.fresh, n * a.v_head_size, a.v_head_size);
      }
      LINNET_REQUIRE(fits, invalid_argument("keys of shape ", k, " do not fit queries of shape ", q));
    }
    if (has(context, slots_.past_key)) {
      const Shape& pk = context.shape(slots_.past_key);
      const Shape& pv = context.shape(slots_.past_value);
      LINNET_REQUIRE(
          pk.rank() == 4 && pv.rank() == 4 && pk[0] == q[0] && pv[0] == q[0] && pk[1] == heads_ && pv[1] == heads_ &&
              size_of(pk[3]) == a.head_size && size_of(pv[3]) == a.v_head_size && pk[2] == pv[2],
          invalid_argument("past_key ", pk, " and past_value ", pv, " do not fit ", heads_, " heads of ", a.head_size));
      s.past = size_of(pk[2]);
    }
    s.cached = s.past > 0 || context.wants(1) || context.wants(2);
    LINNET_ASSIGN(size_t bytes, bind_common(context, s, type));
    a.scores_kind = AttentionScores::softmax;
    for (const size_t i : {size_t{0}, size_t{1}, size_t{2}})
      if (context.has(i)) bytes += FloatScratch::bytes(type, context.shape(i).count());
    if (has(context, slots_.bias)) {
      const size_t width = n * (2 * a.head_size + a.v_head_size);
      LINNET_REQUIRE(size_of(context.shape(slots_.bias).count()) == width,
                     invalid_argument("the bias does not have ", width, " elements"));
      s.q_bytes = round_up(a.batch * a.rows * n * a.head_size * sizeof(float), 64);
      s.k_bytes = round_up(a.batch * s.fresh * n * a.head_size * sizeof(float), 64);
      s.v_bytes = round_up(a.batch * s.fresh * n * a.v_head_size * sizeof(float), 64);
      bytes += s.q_bytes + s.k_bytes + s.v_bytes + FloatScratch::bytes(type, context.shape(slots_.bias).count());
    }
    bytes += FloatScratch::bytes(type, context.out_shape(0).count());
    if (context.wants(3)) bytes += FloatScratch::bytes(type, context.out_shape(3).count());
    context.request_scratch(s.kernel + bytes);
    return {};
  }

  Status run(RunContext& context) const override {
    const Bound& s = context.state<Bound>();
    AttentionArgs a = s.args;
    FloatScratch floats(context, s.kernel);
    const bool split = context.has(1), packed_kv = split && !context.has(2);
    a.q = floats.in(context.in(0));
    a.k = split ? floats.in(context.in(1)) : a.q + a.head_size;
    a.v = !split ? a.q + 2 * a.head_size : packed_kv ? a.k + a.head_size : floats.in(context.in(2));
    HeadStrides k_fresh = s.k_fresh, v_fresh = s.v_fresh;
    if (const Tensor* bias = context.maybe(slots_.bias)) {
      const float* b = floats.in(*bias);
      const size_t width = a.heads * a.head_size;
      a.q = add_bias(a, a.q, a.q_strides, a.rows, a.head_size, b, s.q_bytes, floats);
      // Keys of a past's layout have their bias already.
      if (!split || context.in(1).shape.rank() != 4) {
        a.k = add_bias(a, a.k, k_fresh, s.fresh, a.head_size, b + width, s.k_bytes, floats);
        a.v = add_bias(a, a.v, v_fresh, s.fresh, a.v_head_size, b + 2 * width, s.v_bytes, floats);
      }
    }
    if (s.cached) {
      const DType type = context.out(0).dtype;
      const auto present = [&](size_t o) { return context.wants(o) ? context.out(o).data : nullptr; };
      a.k = extend(context, s, context.maybe(slots_.past_key), 0, present(1), type, a.k, k_fresh, a.head_size, floats);
      a.v = extend(context, s, context.maybe(slots_.past_value), 0, present(2), type, a.v, v_fresh, a.v_head_size,
                   floats);
    } else {
      a.k_strides = k_fresh;
      a.v_strides = v_fresh;
    }
    apply_mask(context, a, floats);
    a.out = floats.out(context.out(0));
    if (context.wants(3)) a.scores = floats.out(context.out(3));
    attention(a, context.scratch(), context.parallel);
    floats.finish(context.out(0), a.out);
    if (a.scores) floats.finish(context.out(3), a.scores);
    return {};
  }

 private:
  struct Bound : State {
    size_t q_bytes, k_bytes, v_bytes;
  };

  // A copy [batch][row][head][size] with the bias added; `strides` become the copy's.
  static const float* add_bias(const AttentionArgs& a, const float* src, HeadStrides& strides, size_t rows, size_t size,
                               const float* bias, size_t bytes, FloatScratch& floats) {
    auto* dst = reinterpret_cast<float*>(floats.raw(bytes));
    for (size_t b = 0; b < a.batch; ++b)
      for (size_t r = 0; r < rows; ++r)
        for (size_t h = 0; h < a.heads; ++h) {
          const float* from = src + b * strides.batch + h * strides.head + r * strides.row;
          float* to = dst + ((b * rows + r) * a.heads + h) * size;
          for (size_t i = 0; i < size; ++i) to[i] = from[i] + bias[h * size + i];
        }
    strides = rows_first(rows, a.heads * size, size);
    return dst;
  }
};

constexpr OpDef kDefs[] = {
    {"com.microsoft", "Attention", 1, 2, 7, 1, 2, create<ProjectedAttention>},
    {"com.microsoft", "QAttention", 1, 5, 9, 1, 2, create<ProjectedAttention>},
    {"com.microsoft", "MultiHeadAttention", 1, 1, 10, 1, 4, create<MultiHeadAttention>},
    {"com.microsoft", "DecoderMaskedMultiHeadAttention", 1, 1, 11, 1, 4, create<MultiHeadAttention>},
};

}  // namespace

extern const std::span<const OpDef> kContribAttentionOps = kDefs;

}  // namespace linnet
