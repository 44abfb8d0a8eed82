// Scaled dot-product attention of the standard.
// https://onnx.ai/onnx/operators/onnx__Attention.html
#include <cmath>
#include <limits>

#include "ops/attention_cache.h"
#include "ops/element_types.h"
#include "ops/infer_shapes.h"

namespace linnet {
namespace {

enum Input : size_t { kQ, kK, kV, kMask, kPastKey, kPastValue, kLengths };
enum Output : size_t { kY, kPresentKey, kPresentValue, kScores };

class Attention final : public Op {
 public:
  Status parse(NodeReader& reader) {
    causal_ = reader.flag("is_causal", false);
    q_heads_ = reader.integer("q_num_heads", 0);
    kv_heads_ = reader.integer("kv_num_heads", 0);
    softcap_ = reader.number("softcap", 0.0f);
    scale_ = reader.number("scale", 0.0f);
    const int64_t kind = reader.integer("qk_matmul_output_mode", 0);
    // Softmax happens in float.
    reader.ignore("softmax_precision");
    LINNET_REQUIRE(kind >= 0 && kind <= 3, invalid_model("qk_matmul_output_mode is ", kind, "; it must be 0 to 3"));
    LINNET_REQUIRE(q_heads_ >= 0 && kv_heads_ >= 0 && q_heads_ < (1 << 20),
                   invalid_model("the numbers of heads must be neither negative nor above a million"));
    LINNET_REQUIRE(reader.has_input(kPastKey) == reader.has_input(kPastValue),
                   invalid_model("past_key and past_value come together"));
    scores_kind_ = static_cast<AttentionScores>(kind);
    return {};
  }

  Status infer(InferContext& context) const override {
    const DType type = context.dtype(kQ), v_type = context.dtype(kV);
    for (const size_t i : {kQ, kV}) LINNET_TRY(expect_type(context, i, kFloatTypes));
    for (const size_t i : {kK, kPastKey}) LINNET_TRY(expect_same_type(context, i, kQ));
    LINNET_TRY(expect_same_type(context, kPastValue, kV));
    LINNET_TRY(expect_type(context, kMask, kNumberTypes | TypeSet{DType::boolean}));
    if (context.has(kLengths))
      LINNET_REQUIRE(context.dtype(kLengths) == DType::i64, invalid_model("nonpad_kv_seqlen is not int64"));
    if (!context.ranked(kQ) || !context.ranked(kK) || !context.ranked(kV)) {
      for (size_t o = 0; o < context.outputs(); ++o) context.set_unranked(o, o == kPresentValue ? v_type : type);
      return {};
    }
    SymbolTable& symbols = context.symbols();
    const SymShape& q = context.shape(kQ);
    const SymShape& k = context.shape(kK);
    const SymShape& v = context.shape(kV);
    LINNET_REQUIRE((q.size() == 3 || q.size() == 4) && k.size() == q.size() && v.size() == q.size(),
                   invalid_argument("queries, keys and values must all have three axes, or all four"));
    const bool flat = q.size() == 3;
    LINNET_REQUIRE(!flat || (q_heads_ > 0 && kv_heads_ > 0),
                   invalid_argument("q_num_heads and kv_num_heads are needed with three axes"));
    const Dim heads = flat ? Dim(q_heads_) : q[1], kv_heads = flat ? Dim(kv_heads_) : k[1];
    const Dim rows = flat ? q[1] : q[2], size = flat ? symbols.div(k[2], kv_heads) : k[3],
              v_size = flat ? symbols.div(v[2], kv_heads) : v[3];
    Dim total = flat ? k[1] : k[2];
    if (context.has(kPastKey))
      total = context.ranked(kPastKey) && context.shape(kPastKey).size() == 4
                  ? symbols.add(context.shape(kPastKey)[2], total)
                  : Dim();
    context.set(kY, type,
                flat ? SymShape{q[0], rows, symbols.mul(heads, v_size)} : SymShape{q[0], heads, rows, v_size});
    context.set(kPresentKey, type, {q[0], kv_heads, total, size});
    context.set(kPresentValue, v_type, {q[0], kv_heads, total, v_size});
    context.set(kScores, type, {q[0], heads, rows, total});
    return {};
  }

  Status bind(BindContext& context) const override {
    State& s = context.state<State>();
    AttentionArgs& a = s.args;
    const Shape& q = context.shape(kQ);
    const Shape& k = context.shape(kK);
    const Shape& v = context.shape(kV);
    const bool flat = q.rank() == 3;
    const int64_t heads = flat ? q_heads_ : q[1], kv_heads = flat ? kv_heads_ : k[1];
    LINNET_REQUIRE(heads > 0 && kv_heads > 0 && heads % kv_heads == 0,
                   invalid_argument(heads, " heads of queries cannot share ", kv_heads, " heads of keys"));
    LINNET_REQUIRE(!flat || (q[2] % heads == 0 && k[2] % kv_heads == 0 && v[2] % kv_heads == 0),
                   invalid_argument("the features of ", q, ", ", k, " and ", v, " do not split into ", heads, " and ",
                                    kv_heads, " heads"));
    const int64_t rows = flat ? q[1] : q[2], fresh = flat ? k[1] : k[2];
    const int64_t size = flat ? q[2] / heads : q[3], v_size = flat ? v[2] / kv_heads : v[3];
    LINNET_REQUIRE(k[0] == q[0] && v[0] == q[0] && (flat ? k[2] / kv_heads : k[3]) == size &&
                       (flat ? v[1] : v[2]) == fresh && (flat || v[1] == kv_heads),
                   invalid_argument("queries ", q, ", keys ", k, " and values ", v, " do not fit together"));
    int64_t past = 0;
    if (context.has(kPastKey)) {
      const Shape& pk = context.shape(kPastKey);
      const Shape& pv = context.shape(kPastValue);
      LINNET_REQUIRE(pk.rank() == 4 && pv.rank() == 4 && pk[0] == q[0] && pv[0] == q[0] && pk[1] == kv_heads &&
                         pv[1] == kv_heads && pk[3] == size && pv[3] == v_size && pk[2] == pv[2],
                     invalid_argument("past_key ", pk, " and past_value ", pv, " do not fit the keys ", k));
      past = pk[2];
    }
    if (context.has(kLengths))
      LINNET_REQUIRE(context.shape(kLengths).rank() == 1 && context.shape(kLengths)[0] == q[0],
                     invalid_argument("nonpad_kv_seqlen must have an element for each batch item"));
    const auto n = [](int64_t x) { return static_cast<size_t>(x); };
    a.batch = n(q[0]), a.heads = n(heads), a.kv_heads = n(kv_heads), a.rows = n(rows), a.columns = n(past + fresh);
    a.head_size = n(size), a.v_head_size = n(v_size);
    a.q_strides =
        flat ? rows_first(a.rows, a.heads * a.head_size, a.head_size) : heads_first(a.heads, a.rows, a.head_size);
    a.out_strides =
        flat ? rows_first(a.rows, a.heads * a.v_head_size, a.v_head_size) : heads_first(a.heads, a.rows, a.v_head_size);
    s.k_fresh = flat ? rows_first(n(fresh), a.kv_heads * a.head_size, a.head_size)
                     : heads_first(a.kv_heads, n(fresh), a.head_size);
    s.v_fresh = flat ? rows_first(n(fresh), a.kv_heads * a.v_head_size, a.v_head_size)
                     : heads_first(a.kv_heads, n(fresh), a.v_head_size);
    s.past = n(past), s.fresh = n(fresh);
    s.cached = context.has(kPastKey);
    a.k_strides = s.cached ? heads_first(a.kv_heads, a.columns, a.head_size) : s.k_fresh;
    a.v_strides = s.cached ? heads_first(a.kv_heads, a.columns, a.v_head_size) : s.v_fresh;
    a.scale = scale_ != 0.0f ? scale_ : 1.0f / std::sqrt(static_cast<float>(size));
    a.softcap = softcap_;
    a.causal = causal_;
    a.offset = past;
    a.scores_kind = scores_kind_;

    const DType type = context.dtype(kQ), v_type = context.dtype(kV);
    const auto bytes = [&](size_t rows_of, size_t heads_of, size_t size_of) {
      return static_cast<int64_t>(a.batch * heads_of * rows_of * size_of);
    };
    size_t scratch = FloatScratch::bytes(type, context.shape(kQ).count()) +
                     FloatScratch::bytes(type, context.out_shape(kY).count()) +
                     FloatScratch::bytes(type, bytes(a.columns, a.kv_heads, a.head_size)) +
                     FloatScratch::bytes(v_type, bytes(a.columns, a.kv_heads, a.v_head_size));
    if (s.cached && !context.wants(kPresentKey))
      scratch += round_up(a.batch * a.kv_heads * a.columns * a.head_size * element_size(type), 64);
    if (s.cached && !context.wants(kPresentValue))
      scratch += round_up(a.batch * a.kv_heads * a.columns * a.v_head_size * element_size(v_type), 64);
    if (context.wants(kScores)) scratch += FloatScratch::bytes(type, context.out_shape(kScores).count());
    if (context.has(kMask)) {
      LINNET_TRY(bind_mask(context.shape(kMask), a));
      scratch += round_up(static_cast<size_t>(context.shape(kMask).count()) * sizeof(float), 64);
    }
    s.kernel = round_up(attention_scratch_size(a, context.threads()), 64);
    context.request_scratch(s.kernel + scratch);
    return {};
  }

  Status run(RunContext& context) const override {
    const State& s = context.state<State>();
    AttentionArgs a = s.args;
    FloatScratch floats(context, s.kernel);
    if (const Tensor* lengths = context.maybe(kLengths)) {
      a.lengths = lengths->ptr<int64_t>();
      for (size_t b = 0; b < a.batch; ++b)
        LINNET_REQUIRE(a.lengths[b] >= 0 && a.lengths[b] <= static_cast<int64_t>(a.columns),
                       invalid_argument("nonpad_kv_seqlen has ", a.lengths[b], ", but there are ", a.columns, " keys"));
    }
    a.q = floats.in(context.in(kQ));
    a.k = keys_or_values(context, s, kK, kPastKey, kPresentKey, s.k_fresh, a.head_size, floats);
    a.v = keys_or_values(context, s, kV, kPastValue, kPresentValue, s.v_fresh, a.v_head_size, floats);
    if (const Tensor* mask = context.maybe(kMask)) {
      if (mask->dtype == DType::boolean) {
        auto* bias = reinterpret_cast<float*>(floats.raw(static_cast<size_t>(mask->count()) * sizeof(float)));
        for (int64_t i = 0; i < mask->count(); ++i)
          bias[i] = mask->ptr<uint8_t>()[i] ? 0.0f : -std::numeric_limits<float>::infinity();
        a.bias = bias;
      } else {
        a.bias = floats.in(*mask);
      }
    }
    a.out = floats.out(context.out(kY));
    a.scores = context.wants(kScores) ? floats.out(context.out(kScores)) : nullptr;
    attention(a, context.scratch(), context.parallel);
    floats.finish(context.out(kY), a.out);
    if (a.scores) floats.finish(context.out(kScores), a.scores);
    return {};
  }

 private:
  struct State {
    AttentionArgs args;
    HeadStrides k_fresh, v_fresh;
    size_t past, fresh, kernel;
    bool cached;
  };

  // The mask's strides, right-aligned with [batch][heads][rows][columns].
  static Status bind_mask(const Shape& mask, AttentionArgs& a) {
    LINNET_REQUIRE(mask.rank() >= 2 && mask.rank() <= 4,
                   invalid_argument("the mask has ", mask.rank(), " axes; it must have 2 to 4"));
    const size_t columns = static_cast<size_t>(mask.back());
    const size_t sizes[3] = {a.batch, a.heads, a.rows};
    size_t* const strides[3] = {&a.bias_strides.batch, &a.bias_strides.head, &a.bias_strides.row};
    size_t step = columns;
    for (size_t back = 0; back + 1 < mask.rank(); ++back) {
      const size_t size = static_cast<size_t>(mask[mask.rank() - 2 - back]), axis = 2 - back;
      LINNET_REQUIRE(size == 1 || size == sizes[axis],
                     invalid_argument("the mask's shape ", mask, " does not fit ", a.batch, " x ", a.heads, " x ",
                                      a.rows, " rows"));
      *strides[axis] = size == 1 ? 0 : step;
      step *= size;
    }
    LINNET_REQUIRE(columns <= a.columns,
                   invalid_argument("the mask has ", columns, " columns for ", a.columns, " keys"));
    a.bias_columns = columns;
    return {};
  }

  // The floats of all keys or values, after appending to the cache where there is one.
  static const float* keys_or_values(RunContext& context, const State& s, size_t fresh, size_t past, size_t present,
                                     const HeadStrides& strides, size_t size, FloatScratch& floats) {
    const Tensor& x = context.in(fresh);
    const AttentionArgs& a = s.args;
    if (!s.cached && !context.wants(present)) return floats.in(x);
    CacheAppend append;
    append.batch = a.batch;
    append.heads = a.kv_heads;
    append.size = size;
    append.width = element_size(x.dtype);
    if (s.cached) append.past = context.in(past).data;
    append.past_capacity = append.past_rows = s.past;
    append.fresh = x.data;
    append.fresh_strides = strides;
    append.fresh_rows = s.fresh;
    append.capacity = a.columns;
    Tensor whole{x.dtype,
                 Shape{static_cast<int64_t>(a.batch), static_cast<int64_t>(a.kv_heads), static_cast<int64_t>(a.columns),
                       static_cast<int64_t>(size)},
                 nullptr, nullptr};
    whole.data = context.wants(present) ? context.out(present).data : floats.raw(whole.bytes());
    append.present = whole.data;
    append_to_cache(append, context.parallel);
    return floats.in(s.cached ? whole : x);
  }

  bool causal_ = false;
  int64_t q_heads_ = 0, kv_heads_ = 0;
  float softcap_ = 0.0f, scale_ = 0.0f;
  AttentionScores scores_kind_ = AttentionScores::scaled;
};

constexpr OpDef kDefs[] = {
    {"", "Attention", 23, 3, 7, 1, 4, create<Attention>},
};

}  // namespace

extern const std::span<const OpDef> kAttentionOps = kDefs;

}  // namespace linnet
