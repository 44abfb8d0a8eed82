// com.microsoft's attention on projected queries, keys and values.
// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#commicrosoftmultiheadattention,
// ...decodermaskedmultiheadattention
#include <limits>

#include "ops/element_types.h"
#include "ops/fused_attention.h"

namespace linnet {
namespace {

class MultiHeadAttention final : public FusedAttention {
 public:
  Status parse(NodeReader& reader) {
    const bool decoder = reader.op_type() == "DecoderMaskedMultiHeadAttention";
    LINNET_TRY(
        parse_common(reader, decoder ? Slots{10, 3, 4, 5, 6, 1, 2, 7, 8, 9} : Slots{3, 4, 5, 6, 7, 1, 2, 8, kNone, 9}));
    reader.ignore("output_qk");
    packed_rows_ = decoder && !reader.has_input(1);
    LINNET_REQUIRE(reader.has_input(slots_.past_key) == reader.has_input(slots_.past_value),
                   invalid_model("past_key and past_value come together"));
    return {};
  }

  Status infer(InferContext& context) const override {
    const DType type = context.dtype(0);
    LINNET_REQUIRE(is_float_or_half(type), unsupported("attention of type ", dtype_name(type)));
    for (const size_t i : {size_t{1}, size_t{2}}) LINNET_TRY(expect_type(context, i, {type}));
    LINNET_TRY(check_types(context, type));
    const bool split = context.has(1);
    if (!context.ranked(0) || (split && !context.ranked(1)) || (context.has(2) && !context.ranked(2))) {
      for (size_t o = 0; o < context.outputs(); ++o) context.set_unranked(o, type);
      return {};
    }
    SymbolTable& symbols = context.symbols();
    const SymShape& q = context.shape(0);
    LINNET_REQUIRE(q.size() == 3 || (q.size() == 5 && !split), unsupported("queries have ", q.size(), " axes"));
    LINNET_REQUIRE(split || q.size() == 5 || packed_rows_,
                   unsupported("keys are left out and the queries are not packed with them"));
    const Dim size = q.size() == 5 ? q[4] : symbols.div(q[2], packed_rows_ ? 3 * heads_ : heads_);
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
    Dim total = fresh, kept = fresh;  // keys, and rows of the cache
    if (has(context, slots_.past_key)) {
      const bool known = context.ranked(slots_.past_key) && context.shape(slots_.past_key).size() == 4;
      total = kept = known ? symbols.add(context.shape(slots_.past_key)[2], fresh) : Dim();
      if (shared_) {
        const std::optional<int64_t> past = context.known_int(slots_.past_length);
        kept = known ? context.shape(slots_.past_key)[2] : Dim();
        total = past && *past >= 0 ? symbols.add(fresh, *past) : Dim();
      }
    }
    context.set(0, type, {q[0], q[1], symbols.mul(v_size, heads_)});
    context.set(1, type, {q[0], Dim(heads_), kept, size});
    context.set(2, type, {q[0], Dim(heads_), kept, v_size});
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
    LINNET_REQUIRE(q.rank() == 5 ? q[2] == heads_ && q[3] == 3 : q[2] % (packed_rows_ ? 3 * heads_ : heads_) == 0,
                   invalid_argument("queries of shape ", q, " do not split into ", heads_, " heads"));
    const size_t n = size_of(heads_);
    if (q.rank() == 5) {
      a.head_size = a.v_head_size = size_of(q[4]);
      s.fresh = a.rows;
      a.q_strides = s.k_fresh = s.v_fresh = {a.rows * n * 3 * a.head_size, 3 * a.head_size, n * 3 * a.head_size};
    } else if (packed_rows_) {
      a.head_size = a.v_head_size = head_of(q[2] / 3);
      s.fresh = a.rows;
      a.q_strides = s.k_fresh = s.v_fresh = rows_first(a.rows, size_of(q[2]), a.head_size);
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
    s.cached = shared_ || s.past > 0 || context.wants(1) || context.wants(2);
    LINNET_ASSIGN(size_t bytes, bind_common(context, s, type));
    a.scores_kind = AttentionScores::biased;
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
    if (context.wants(3)) {
      LINNET_REQUIRE(context.has_shape(3),
                     unsupported("the scores are wanted where past_sequence_length is not known"));
      s.scores = round_up(a.batch * a.heads * a.rows * a.columns * sizeof(float), 64);
      bytes += s.scores + FloatScratch::bytes(type, context.out_shape(3).count());
    }
    context.request_scratch(s.kernel + bytes);
    return {};
  }

  Status run(RunContext& context) const override {
    const Bound& s = context.state<Bound>();
    AttentionArgs a = s.args;
    FloatScratch floats(context, s.kernel);
    LINNET_ASSIGN(const size_t past, read_past(context, s, a, floats));
    const size_t total = past + s.fresh;
    const bool split = context.has(1), packed_kv = split && !context.has(2);
    const size_t apart = packed_rows_ ? a.heads * a.head_size : a.head_size;  // of packed queries, keys and values
    a.q = floats.in(context.in(0));
    a.k = split ? floats.in(context.in(1)) : a.q + apart;
    a.v = !split ? a.q + 2 * apart : packed_kv ? a.k + apart : floats.in(context.in(2));
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
      a.k = extend(context, s, past, context.maybe(slots_.past_key), 0, present(1), type, a.k, k_fresh, a.head_size,
                   floats);
      a.v = extend(context, s, past, context.maybe(slots_.past_value), 0, present(2), type, a.v, v_fresh, a.v_head_size,
                   floats);
    } else {
      a.k_strides = k_fresh;
      a.v_strides = v_fresh;
    }
    apply_mask(context, a, total, floats);
    a.out = floats.out(context.out(0));
    if (context.wants(3)) a.scores = reinterpret_cast<float*>(floats.raw(s.scores));
    attention(a, context.scratch(), context.parallel);
    floats.finish(context.out(0), a.out);
    if (!a.scores) return {};
    LINNET_REQUIRE(size_of(context.out(3).shape[3]) == total,
                   invalid_argument("past_sequence_length is not the one that the scores were made for"));
    // Before the softmax, with masks and bias; what is not seen at all is the lowest number.
    float* scores = floats.out(context.out(3));
    for (size_t i = 0; i < a.batch * a.heads * a.rows; ++i)
      for (size_t t = 0; t < total; ++t)
        scores[i * total + t] = std::max(a.scores[i * a.columns + t], std::numeric_limits<float>::lowest());
    floats.finish(context.out(3), scores);
    return {};
  }

 private:
  struct Bound : State {
    size_t q_bytes, k_bytes, v_bytes, scores;
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

  bool packed_rows_ = false;  // [query | key | value] in each row
};

constexpr OpDef kDefs[] = {
    {"com.microsoft", "MultiHeadAttention", 1, 1, 10, 1, 4, create<MultiHeadAttention>},
    {"com.microsoft", "DecoderMaskedMultiHeadAttention", 1, 1, 11, 1, 4, create<MultiHeadAttention>},
};

}  // namespace

extern const std::span<const OpDef> kMultiHeadAttentionOps = kDefs;

}  // namespace linnet
