// Scaled dot-product attention of the standard.
// https://onnx.ai/onnx/operators/onnx__Attention.html
//
// linnet.Attention is what passes make where the standard's form does not fit: each of the queries, keys and values may
// have three axes or four, y has three when `merge_heads` is set and four otherwise, and the mask is added as Add does
// it: it may repeat the queries along their leading axes, and a last axis of 1 is repeated.
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
    any_form_ = reader.domain() == "linnet";
    if (any_form_) merge_heads_ = reader.flag("merge_heads", false);
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
    if (!context.ranked(kQ) || !context.ranked(kK) || !context.ranked(kV) ||
        (any_form_ && context.has(kMask) && !context.ranked(kMask))) {
      for (size_t o = 0; o < context.outputs(); ++o) context.set_unranked(o, o == kPresentValue ? v_type : type);
      return {};
    }
    SymbolTable& symbols = context.symbols();
    const SymShape& q = context.shape(kQ);
    const SymShape& k = context.shape(kK);
    const SymShape& v = context.shape(kV);
    const auto flat = [](const SymShape& shape) { return shape.size() == 3; };
    for (const SymShape* x : {&q, &k, &v})
      LINNET_REQUIRE((flat(*x) || x->size() == 4) && (any_form_ || x->size() == q.size()),
                     invalid_argument("queries, keys and values must all have three axes, or all four"));
    LINNET_REQUIRE((!flat(q) || q_heads_ > 0) && (!(flat(k) || flat(v)) || kv_heads_ > 0),
                   invalid_argument("q_num_heads and kv_num_heads are needed with three axes"));
    const auto heads_of = [&](const SymShape& x, int64_t given) { return flat(x) ? Dim(given) : x[1]; };
    const auto size_of = [&](const SymShape& x, Dim heads) { return flat(x) ? symbols.div(x[2], heads) : x[3]; };
    const Dim kv_heads = heads_of(k, kv_heads_), size = size_of(k, kv_heads),
              v_size = size_of(v, heads_of(v, kv_heads_));
    Dim total = flat(k) ? k[1] : k[2];
    if (context.has(kPastKey))
      total = context.ranked(kPastKey) && context.shape(kPastKey).size() == 4
                  ? symbols.add(context.shape(kPastKey)[2], total)
                  : Dim();
    SymShape rows = {q[0], heads_of(q, q_heads_), flat(q) ? q[1] : q[2]};
    if (any_form_ && context.has(kMask)) {
      const SymShape& mask = context.shape(kMask);
      LINNET_REQUIRE(!mask.empty() && mask.size() <= 4, invalid_argument("the mask has ", mask.size(), " axes"));
      LINNET_ASSIGN(rows, broadcast_shapes(rows, SymShape(mask.begin(), mask.end() - 1), symbols));
    }
    if (any_form_ ? merge_heads_ : flat(q)) {
      context.set(kY, type, {rows[0], rows[2], symbols.mul(rows[1], v_size)});
    } else {
      context.set(kY, type, {rows[0], rows[1], rows[2], v_size});
    }
    context.set(kPresentKey, type, {q[0], kv_heads, total, size});
    context.set(kPresentValue, v_type, {q[0], kv_heads, total, v_size});
    context.set(kScores, type, {rows[0], rows[1], rows[2], total});
    return {};
  }

  Status bind(BindContext& context) const override {
    State& s = context.state<State>();
    AttentionArgs& a = s.args;
    const auto n = [](int64_t x) { return static_cast<size_t>(x); };
    LINNET_ASSIGN(const Heads q, heads_of(context.shape(kQ), q_heads_));
    LINNET_ASSIGN(const Heads k, heads_of(context.shape(kK), kv_heads_));
    LINNET_ASSIGN(const Heads v, heads_of(context.shape(kV), kv_heads_));
    LINNET_REQUIRE(q.heads > 0 && k.heads > 0 && q.heads % k.heads == 0,
                   invalid_argument(q.heads, " heads of queries cannot share ", k.heads, " heads of keys"));
    LINNET_REQUIRE(
        k.batch == q.batch && v.batch == q.batch && k.size == q.size && v.rows == k.rows && v.heads == k.heads,
        invalid_argument("queries ", context.shape(kQ), ", keys ", context.shape(kK), " and values ", context.shape(kV),
                         " do not fit together"));
    int64_t past = 0;
    if (context.has(kPastKey)) {
      const Shape& pk = context.shape(kPastKey);
      const Shape& pv = context.shape(kPastValue);
      LINNET_REQUIRE(
          pk.rank() == 4 && pv.rank() == 4 && pk[0] == q.batch && pv[0] == q.batch && pk[1] == k.heads &&
              pv[1] == k.heads && pk[3] == k.size && pv[3] == v.size && pk[2] == pv[2],
          invalid_argument("past_key ", pk, " and past_value ", pv, " do not fit the keys ", context.shape(kK)));
      past = pk[2];
    }
    if (context.has(kLengths))
      LINNET_REQUIRE(context.shape(kLengths).rank() == 1 && context.shape(kLengths)[0] == q.batch,
                     invalid_argument("nonpad_kv_seqlen must have an element for each batch item"));
    a.batch = s.batch = n(q.batch), a.heads = n(q.heads), a.kv_heads = n(k.heads), a.rows = n(q.rows);
    a.columns = n(past + k.rows), a.head_size = n(q.size), a.v_head_size = n(v.size);
    a.q_strides = q.strides;
    s.k_fresh = k.strides;
    s.v_fresh = v.strides;
    s.past = n(past), s.fresh = n(k.rows);
    s.cached = context.has(kPastKey);
    a.k_strides = s.cached ? heads_first(a.kv_heads, a.columns, a.head_size) : s.k_fresh;
    a.v_strides = s.cached ? heads_first(a.kv_heads, a.columns, a.v_head_size) : s.v_fresh;
    a.scale = scale_ != 0.0f ? scale_ : 1.0f / std::sqrt(static_cast<float>(q.size));
    a.softcap = softcap_;
    a.causal = causal_;
    a.offset = past;
    a.scores_kind = scores_kind_;

    const DType type = context.dtype(kQ), v_type = context.dtype(kV);
    const auto bytes = [&](size_t rows_of, size_t heads_of, size_t size_of) {
      return static_cast<int64_t>(s.batch * heads_of * rows_of * size_of);
    };
    size_t scratch = FloatScratch::bytes(type, context.shape(kQ).count()) +
                     FloatScratch::bytes(type, context.out_shape(kY).count()) +
                     FloatScratch::bytes(type, bytes(a.columns, a.kv_heads, a.head_size)) +
                     FloatScratch::bytes(v_type, bytes(a.columns, a.kv_heads, a.v_head_size));
    if (s.cached && !context.wants(kPresentKey))
      scratch += round_up(s.batch * a.kv_heads * a.columns * a.head_size * element_size(type), 64);
    if (s.cached && !context.wants(kPresentValue))
      scratch += round_up(s.batch * a.kv_heads * a.columns * a.v_head_size * element_size(v_type), 64);
    if (context.wants(kScores)) scratch += FloatScratch::bytes(type, context.out_shape(kScores).count());
    if (context.has(kMask)) {
      const Shape& mask = context.shape(kMask);
      LINNET_TRY(any_form_ ? bind_any_mask(mask, s) : bind_mask(mask, a));
      scratch += round_up(scratch_size(mask.count(), sizeof(float)), 64);
      if (s.repeated) scratch += round_up(scratch_size(mask.count(), a.columns * sizeof(float)), 64);
    }
    const bool merged = any_form_ ? merge_heads_ : context.shape(kQ).rank() == 3;
    a.out_strides = merged ? rows_first(a.rows, a.heads * a.v_head_size, a.v_head_size)
                           : heads_first(a.heads, a.rows, a.v_head_size);
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
      if (s.repeated) {
        const auto rows = static_cast<size_t>(mask->count());
        auto* bias = reinterpret_cast<float*>(floats.raw(rows * a.columns * sizeof(float)));
        for (size_t i = 0; i < rows; ++i) std::fill_n(bias + i * a.columns, a.columns, a.bias[i]);
        a.bias = bias;
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
    size_t batch;  // of queries, keys and values
    size_t past, fresh, kernel;
    bool cached;
    bool repeated;  // the mask's last axis is 1 and stands for all columns
  };

  // An operand as [batch][heads][rows][size], whichever axes it has.
  struct Heads {
    int64_t batch, heads, rows, size;
    HeadStrides strides;
  };
  static Result<Heads> heads_of(const Shape& x, int64_t heads) {
    const auto n = [](int64_t size) { return static_cast<size_t>(size); };
    if (x.rank() == 4) return Heads{x[0], x[1], x[2], x[3], heads_first(n(x[1]), n(x[2]), n(x[3]))};
    LINNET_REQUIRE(heads > 0 && x[2] % heads == 0,
                   invalid_argument("the features of ", x, " do not split into ", heads, " heads"));
    return Heads{x[0], heads, x[1], x[2] / heads, rows_first(n(x[1]), n(x[2]), n(x[2] / heads))};
  }

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

  // The same for a mask that Add would broadcast: queries that it repeats are read again, by strides of 0.
  static Status bind_any_mask(const Shape& mask, State& s) {
    AttentionArgs& a = s.args;
    const size_t columns = static_cast<size_t>(mask.back());
    LINNET_REQUIRE(columns == 1 || columns == a.columns,
                   invalid_argument("the mask has ", columns, " columns for ", a.columns, " keys"));
    s.repeated = columns != a.columns;
    size_t* const sizes[3] = {&a.batch, &a.heads, &a.rows};
    size_t* const strides[3] = {&a.bias_strides.batch, &a.bias_strides.head, &a.bias_strides.row};
    size_t* const queries[3] = {&a.q_strides.batch, &a.q_strides.head, &a.q_strides.row};
    size_t step = a.columns;
    for (size_t back = 0; back + 1 < mask.rank(); ++back) {
      const size_t size = static_cast<size_t>(mask[mask.rank() - 2 - back]), axis = 2 - back;
      LINNET_REQUIRE(size == 1 || *sizes[axis] == 1 || size == *sizes[axis],
                     invalid_argument("the mask's shape ", mask, " does not fit ", a.batch, " x ", a.heads, " x ",
                                      a.rows, " rows"));
      if (size != 1 && *sizes[axis] == 1) {
        *sizes[axis] = size;
        *queries[axis] = 0;
        if (axis == 0) a.k_strides.batch = a.v_strides.batch = 0;
      }
      *strides[axis] = size == 1 ? 0 : step;
      step *= size;
    }
    a.bias_columns = a.columns;
    return {};
  }

  // The floats of all keys or values, after appending to the cache where there is one.
  static const float* keys_or_values(RunContext& context, const State& s, size_t fresh, size_t past, size_t present,
                                     const HeadStrides& strides, size_t size, FloatScratch& floats) {
    const Tensor& x = context.in(fresh);
    const AttentionArgs& a = s.args;
    if (!s.cached && !context.wants(present)) return floats.in(x);
    CacheAppend append;
    append.batch = s.batch;
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
                 Shape{static_cast<int64_t>(s.batch), static_cast<int64_t>(a.kv_heads), static_cast<int64_t>(a.columns),
                       static_cast<int64_t>(size)},
                 nullptr, nullptr};
    whole.data = context.wants(present) ? context.out(present).data : floats.raw(whole.bytes());
    append.present = whole.data;
    append_to_cache(append, context.parallel);
    return floats.in(s.cached ? whole : x);
  }

  bool causal_ = false, any_form_ = false, merge_heads_ = false;
  int64_t q_heads_ = 0, kv_heads_ = 0;
  float softcap_ = 0.0f, scale_ = 0.0f;
  AttentionScores scores_kind_ = AttentionScores::scaled;
};

constexpr OpDef kDefs[] = {
    {"", "Attention", 23, 3, 7, 1, 4, create<Attention>},
    {"linnet", "Attention", 1, 3, 7, 1, 4, create<Attention>},
};

}  // namespace

extern const std::span<const OpDef> kAttentionOps = kDefs;

}  // namespace linnet
