// Attention of a decoder with a cache of keys and values, rotary embedding included.
// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.GroupQueryAttention
#include <cmath>

#include "kernels/attention/rotary.h"
#include "ops/attention_cache.h"
#include "ops/infer_shapes.h"
#include "ops/quantized_cache.h"

namespace linnet {
namespace {

enum Input : size_t {
  kQuery,
  kKey,
  kValue,
  kPastKey,
  kPastValue,
  kSeqlens,
  kTotal,
  kCos,
  kSin,
  kPositions,
  kBias,
  kSink,
  kKeyScale,
  kValueScale,
  kQueryNorm,
  kKeyNorm,
  kQuerySeqlens
};

class GroupQueryAttention final : public Op {
 public:
  Status parse(NodeReader& reader) {
    heads_ = reader.integer("num_heads", 0);
    kv_heads_ = reader.integer("kv_num_heads", 0);
    scale_ = reader.number("scale", 0.0f);
    softcap_ = reader.number("softcap", 0.0f);
    window_ = reader.integer("local_window_size", -1);
    rotary_ = reader.flag("do_rotary", false);
    interleaved_ = reader.flag("rotary_interleaved", false);
    smooth_ = reader.integer("smooth_softmax", -1) == 1;
    causal_ = reader.flag("causal", true);
    LINNET_REQUIRE(heads_ > 0 && kv_heads_ > 0 && heads_ % kv_heads_ == 0 && heads_ < (1 << 20),
                   invalid_model(heads_, " heads of queries cannot share ", kv_heads_, " heads of keys"));
    LINNET_REQUIRE(reader.has_input(kSeqlens) && reader.has_input(kTotal),
                   invalid_model("seqlens_k or total_sequence_length is missing"));
    LINNET_REQUIRE(reader.has_input(kKey) == reader.has_input(kValue), invalid_model("keys and values come together"));
    LINNET_REQUIRE(reader.has_input(kPastKey) == reader.has_input(kPastValue),
                   invalid_model("past_key and past_value come together"));
    LINNET_REQUIRE(!rotary_ || (reader.has_input(kCos) && reader.has_input(kSin)),
                   invalid_model("do_rotary needs cos_cache and sin_cache"));
    const int64_t bits = reader.integer("kv_cache_bit_width", 8);
    LINNET_ASSIGN(forms_[0], parse_cache_form(reader, "k_quant_type", bits));
    LINNET_ASSIGN(forms_[1], parse_cache_form(reader, "v_quant_type", bits));
    LINNET_REQUIRE(forms_[0].bits == forms_[1].bits, unsupported("only one of keys and values is quantised"));
    for (const size_t part : {size_t{0}, size_t{1}})
      LINNET_REQUIRE(forms_[part].bits == 0 || reader.has_input(kKeyScale + part),
                     invalid_model("the quantised cache lacks its scale"));
    qk_output_ = reader.integer("qk_output", 0);
    LINNET_REQUIRE(qk_output_ >= 0 && qk_output_ <= 2, invalid_model("qk_output is ", qk_output_));
    evicts_ = reader.flag("sliding_window_cache", false);
    LINNET_REQUIRE(!evicts_ || (window_ > 0 && causal_ && reader.has_input(kPastKey)),
                   invalid_model("sliding_window_cache needs local_window_size, causal attention and a past"));
    LINNET_REQUIRE(!evicts_ || qk_output_ == 0, unsupported("output_qk with sliding_window_cache is not supported"));
    const float epsilon = reader.number("qk_norm_epsilon", 1e-6f);
    norm_epsilon_[0] = reader.number("q_norm_epsilon", epsilon);
    norm_epsilon_[1] = reader.number("k_norm_epsilon", epsilon);
    LINNET_REQUIRE(reader.has_input(kQueryNorm) == reader.has_input(kKeyNorm),
                   invalid_model("q_norm_weight and k_norm_weight come together"));
    LINNET_REQUIRE(!reader.has_input(kQuerySeqlens) || (causal_ && reader.has_input(kPastKey)),
                   invalid_model("query_seqlens need causal attention and a past"));
    return {};
  }

  Status infer(InferContext& context) const override {
    const DType type = context.dtype(kQuery);
    LINNET_REQUIRE(is_float_or_half(type), unsupported("attention of type ", dtype_name(type)));
    const DType cache = cache_type(type);
    for (const size_t i : {kKey, kValue, kCos, kSin, kBias, kSink, kQueryNorm, kKeyNorm})
      LINNET_REQUIRE(!context.has(i) || context.dtype(i) == type,
                     invalid_model("input ", i, " is not of the queries' type"));
    for (const size_t i : {kPastKey, kPastValue})
      LINNET_REQUIRE(!context.has(i) || context.dtype(i) == cache,
                     invalid_model("the past is of type ", dtype_name(context.dtype(i)), ", not ", dtype_name(cache)));
    for (const size_t i : {kKeyScale, kValueScale})
      LINNET_REQUIRE(!context.has(i) || context.dtype(i) == DType::f32, invalid_model("input ", i, " is not float"));
    for (const size_t i : {kSeqlens, kTotal, kQuerySeqlens})
      LINNET_REQUIRE(!context.has(i) || context.dtype(i) == DType::i32, invalid_model("input ", i, " is not int32"));
    if (context.has(kPositions))
      LINNET_REQUIRE(context.dtype(kPositions) == DType::i64, invalid_model("position_ids are not int64"));
    if (!context.ranked(kQuery)) {
      for (size_t o = 0; o < context.outputs(); ++o) context.set_unranked(o, o == 1 || o == 2 ? cache : type);
      return {};
    }
    const SymShape& q = context.shape(kQuery);
    LINNET_REQUIRE(q.size() == 3, invalid_argument("queries have ", q.size(), " axes; they must have 3"));
    SymbolTable& symbols = context.symbols();
    const Dim size = symbols.div(q[2], context.has(kKey) ? heads_ : heads_ + 2 * kv_heads_);
    Dim length, scored;
    if (const std::optional<int64_t> total = context.known_int(kTotal)) {
      LINNET_REQUIRE(*total >= 0, invalid_argument("total_sequence_length is ", *total));
      length = scored = *total;
      if (context.has(kPastKey)) {
        length = Dim();
        if (context.ranked(kPastKey) && context.shape(kPastKey).size() == 4)
          length = symbols.max(context.shape(kPastKey)[2], *total);
      }
    }
    if (evicts_)
      length = context.ranked(kPastKey) && context.shape(kPastKey).size() == 4 ? context.shape(kPastKey)[2] : Dim();
    context.set(0, type, {q[0], q[1], symbols.mul(size, heads_)});
    const Dim stored = forms_[0].bits == 4 ? symbols.div(symbols.add(size, 1), 2) : size;
    for (const size_t o : {size_t{1}, size_t{2}}) context.set(o, cache, {q[0], Dim(kv_heads_), length, stored});
    context.set(3, type, {q[0], Dim(heads_), q[1], scored});
    return {};
  }

  Status bind(BindContext& context) const override {
    State& s = context.state<State>();
    AttentionArgs& a = s.args;
    const Shape& q = context.shape(kQuery);
    const bool packed = !context.has(kKey);
    const int64_t width = packed ? heads_ + 2 * kv_heads_ : heads_;
    LINNET_REQUIRE(q[2] % width == 0,
                   invalid_argument("the queries' ", q[2], " features do not split into ", width, " heads"));
    const int64_t size = q[2] / width;
    if (!packed)
      LINNET_REQUIRE(
          context.shape(kKey) == Shape({q[0], q[1], size * kv_heads_}) && context.shape(kValue) == context.shape(kKey),
          invalid_argument("keys ", context.shape(kKey), " and values ", context.shape(kValue), " do not fit queries ",
                           q));
    const auto n = [](int64_t x) { return static_cast<size_t>(x); };
    a.batch = n(q[0]), a.rows = n(q[1]), a.heads = n(heads_), a.kv_heads = n(kv_heads_),
    a.head_size = a.v_head_size = n(size);
    const size_t row = n(q[2]);
    s.q_fresh = rows_first(a.rows, row, a.head_size);
    s.kv_fresh = packed ? s.q_fresh : rows_first(a.rows, a.kv_heads * a.head_size, a.head_size);
    if (context.has(kPastKey)) {
      const Shape& pk = context.shape(kPastKey);
      LINNET_REQUIRE(pk.rank() == 4 && pk[0] == q[0] && pk[1] == kv_heads_ &&
                         pk[3] == (forms_[0].bits == 4 ? (size + 1) / 2 : size) && context.shape(kPastValue) == pk,
                     invalid_argument("past_key ", pk, " and past_value ", context.shape(kPastValue), " do not fit ",
                                      kv_heads_, " heads of ", size));
      s.past_capacity = n(pk[2]);
    }
    // Where nobody wants the cache, what it would hold is not known before the run, but no more than this.
    a.columns = s.past_capacity + (evicts_ ? 0 : a.rows);
    for (const size_t o : {size_t{1}, size_t{2}}) {
      if (!context.wants(o)) continue;
      LINNET_REQUIRE(context.has_shape(o) && context.out_shape(o).rank() == 4,
                     unsupported("the cache needs total_sequence_length to be known"));
      a.columns = n(context.out_shape(o)[2]);
    }
    if (evicts_) {
      LINNET_REQUIRE(static_cast<int64_t>(a.columns) >= window_,
                     invalid_argument("a cache of ", a.columns, " rows does not hold a window of ", window_));
      a.columns += a.rows;  // attention sees the new rows behind all those that the cache has
    }
    LINNET_REQUIRE(context.shape(kSeqlens).count() == q[0],
                   invalid_argument("seqlens_k does not have an element for each batch item"));
    LINNET_REQUIRE(context.shape(kTotal).count() == 1, invalid_argument("total_sequence_length must be one number"));
    a.k_strides = a.v_strides = heads_first(a.kv_heads, a.columns, a.head_size);
    a.out_strides = rows_first(a.rows, a.heads * a.head_size, a.head_size);
    a.q_strides = turns_heads(context) ? a.out_strides : s.q_fresh;
    a.scale = scale_ != 0.0f ? scale_ : 1.0f / std::sqrt(static_cast<float>(size));
    a.softcap = softcap_;
    a.causal = causal_;
    a.window = causal_ && window_ > 0 ? window_ : 0;
    a.zero_sink = smooth_;
    if (rotary_) {
      const Shape& cos = context.shape(kCos);
      LINNET_REQUIRE(
          cos.rank() == 2 && context.shape(kSin) == cos && 2 * cos[1] <= size,
          invalid_argument("caches of shapes ", cos, " and ", context.shape(kSin), " do not fit heads of ", size));
      s.half = n(cos[1]);
      s.positions = n(cos[0]);
    }
    if (context.has(kPositions))
      LINNET_REQUIRE(context.shape(kPositions).count() == q[0] * q[1],
                     invalid_argument("position_ids of shape ", context.shape(kPositions), " do not fit queries ", q));
    if (context.has(kBias)) {
      const Shape& bias = context.shape(kBias);
      LINNET_REQUIRE(bias.rank() == 4 && (bias[0] == 1 || bias[0] == q[0]) && (bias[1] == 1 || bias[1] == heads_) &&
                         bias[2] == q[1],
                     invalid_argument("attention_bias of shape ", bias, " does not fit ", heads_, " heads and ", q[1],
                                      " queries"));
      a.bias_columns = evicts_ ? a.columns : n(bias[3]);
      s.bias_read = n(bias[3]);
      a.bias_strides = {bias[0] == 1 ? 0 : n(bias[1]) * a.rows * a.bias_columns,
                        bias[1] == 1 ? 0 : a.rows * a.bias_columns, a.bias_columns};
    }
    for (const size_t part : {size_t{0}, size_t{1}}) {
      if (forms_[part].bits != 0)
        LINNET_REQUIRE(context.shape(kKeyScale + part).count() == (forms_[part].by_channel ? kv_heads_ * size : 1),
                       invalid_argument("a scale of shape ", context.shape(kKeyScale + part), " does not fit ",
                                        kv_heads_, " heads of ", size));
      if (context.has(kQueryNorm + part))
        LINNET_REQUIRE(context.shape(kQueryNorm + part).count() == size,
                       invalid_argument("input ", kQueryNorm + part, " does not have ", size, " elements"));
    }
    if (context.has(kQuerySeqlens))
      LINNET_REQUIRE(context.shape(kQuerySeqlens).count() == q[0],
                     invalid_argument("query_seqlens does not have an element for each batch item"));
    if (context.has(kSink))
      LINNET_REQUIRE(context.shape(kSink).count() == heads_,
                     invalid_argument("head_sink does not have an element for each head"));

    const DType type = context.dtype(kQuery);
    size_t bytes = 0;
    const auto take = [&](size_t count) {
      const size_t at = bytes;
      bytes += round_up(count, 64);
      return at;
    };
    const bool turns = turns_heads(context), wants_scores = context.wants(3) && qk_output_ != 0;
    const size_t q_rows = a.batch * a.rows * a.heads, k_rows = a.batch * a.rows * a.kv_heads,
                 whole = a.batch * a.kv_heads * a.columns;
    if (wants_scores) {
      LINNET_REQUIRE(context.has_shape(3), unsupported("output_qk needs total_sequence_length to be known"));
      s.scored = n(context.out_shape(3)[3]);
      LINNET_REQUIRE(s.scored <= a.columns, invalid_argument("total_sequence_length is beyond the cache"));
      a.scores_kind = qk_output_ == 1 ? AttentionScores::biased : AttentionScores::softmax;
    }
    s.kernel = take(attention_scratch_size(a, context.threads()));
    s.numbers = take(5 * a.batch * sizeof(int64_t));
    s.bias = take(
        evicts_ && context.has(kBias) ? n(context.shape(kBias)[1]) * a.batch * a.rows * a.columns * sizeof(float) : 0);
    s.q_turned = take(turns ? q_rows * a.head_size * sizeof(float) : 0);
    s.k_turned = take(turns ? k_rows * a.head_size * sizeof(float) : 0);
    s.k_rounded = take(turns && type != DType::f32 ? k_rows * a.head_size * element_size(type) : 0);
    s.scores = take(wants_scores ? q_rows * a.columns * sizeof(float) : 0);
    s.codes = take(forms_[0].bits != 0 ? k_rows * a.head_size : 0);
    for (const size_t part : {size_t{0}, size_t{1}}) {
      if (evicts_ || !context.wants(part + 1))
        s.present[part] = take(whole * stored_size(a.head_size) * element_size(cache_type(type)));
      if (forms_[0].bits != 0) s.dequantized[part] = take(whole * a.head_size * sizeof(float));
    }
    s.views = bytes;
    for (const size_t i : {kQuery, kKey, kValue, kCos, kSin, kBias, kSink, kQueryNorm, kKeyNorm})
      if (context.has(i)) bytes += FloatScratch::bytes(type, context.shape(i).count());
    if (forms_[0].bits == 0) bytes += 2 * FloatScratch::bytes(type, static_cast<int64_t>(whole * a.head_size));
    bytes += FloatScratch::bytes(type, context.out_shape(0).count());
    if (wants_scores) bytes += FloatScratch::bytes(type, context.out_shape(3).count());
    context.request_scratch(bytes);
    return {};
  }

  Status run(RunContext& context) const override {
    const State& s = context.state<State>();
    AttentionArgs a = s.args;
    if (a.batch == 0 || a.rows == 0) return {};
    std::byte* const scratch = context.scratch();
    FloatScratch floats(context, s.views);
    const Parallel& parallel = context.parallel;

    LINNET_TRY(read_lengths(context, s, a));
    const Tensor& query = context.in(kQuery);
    const bool packed = !context.has(kKey), quantized = forms_[0].bits != 0;
    const size_t k_at = a.heads * a.head_size, v_at = k_at + a.kv_heads * a.head_size;  // in a packed row
    const size_t width = element_size(query.dtype);
    const auto fresh_data = [&](size_t input, size_t at) -> const void* {
      return packed ? static_cast<const std::byte*>(query.data) + at * width : context.in(input).data;
    };
    a.q = floats.in(query);
    const auto fresh_floats = [&](size_t input, size_t at) { return packed ? a.q + at : floats.in(context.in(input)); };
    const void* k_fresh = fresh_data(kKey, k_at);
    HeadStrides k_strides = s.kv_fresh;
    const float* k_floats = turns_heads(context) || quantized ? fresh_floats(kKey, k_at) : nullptr;
    const float* v_floats = quantized ? fresh_floats(kValue, v_at) : nullptr;
    if (turns_heads(context)) {
      if (rotary_) LINNET_TRY(check_positions(context, s, a));
      const float* cos = rotary_ ? floats.in(context.in(kCos)) : nullptr;
      const float* sin = rotary_ ? floats.in(context.in(kSin)) : nullptr;
      auto* q_turned = reinterpret_cast<float*>(scratch + s.q_turned);
      auto* k_turned = reinterpret_cast<float*>(scratch + s.k_turned);
      turn(context, s, a, {a.q, s.q_fresh, a.heads, floats.in(context.maybe(kQueryNorm)), norm_epsilon_[0]}, cos, sin,
           q_turned);
      turn(context, s, a, {k_floats, s.kv_fresh, a.kv_heads, floats.in(context.maybe(kKeyNorm)), norm_epsilon_[1]}, cos,
           sin, k_turned);
      a.q = q_turned;
      k_fresh = k_floats = k_turned;
      k_strides = rows_first(a.rows, a.kv_heads * a.head_size, a.head_size);
      if (query.dtype != DType::f32 && !quantized) {
        Tensor rounded{query.dtype, Shape{static_cast<int64_t>(a.batch * a.rows * a.kv_heads * a.head_size)},
                       scratch + s.k_rounded, nullptr};
        floats.finish(rounded, k_turned);
        k_fresh = rounded.data;
      }
    }
    if (quantized) {
      a.k = extend_codes(context, s, a, 0, k_floats, k_strides);
      a.v = extend_codes(context, s, a, 1, v_floats, s.kv_fresh);
    } else {
      a.k = floats.in(extend(context, s, a, 0, query.dtype, a.head_size, k_fresh, k_strides));
      a.v = floats.in(extend(context, s, a, 1, query.dtype, a.head_size, fresh_data(kValue, v_at), s.kv_fresh));
    }
    if (const Tensor* bias = context.maybe(kBias)) a.bias = floats.in(*bias);
    if (a.bias && evicts_)
      move_bias(s, a, static_cast<size_t>(context.in(kBias).shape[1]), reinterpret_cast<float*>(scratch + s.bias));
    if (const Tensor* sink = context.maybe(kSink)) a.sinks = floats.in(*sink);
    if (context.wants(3) && qk_output_ != 0) a.scores = reinterpret_cast<float*>(scratch + s.scores);
    a.out = floats.out(context.out(0));
    attention(a, scratch + s.kernel, parallel);
    floats.finish(context.out(0), a.out);
    if (a.scores) {
      float* to = floats.out(context.out(3));
      for (size_t i = 0; i < a.batch * a.heads * a.rows; ++i)
        copy_scores(a, i, a.scores + i * a.columns, s.scored, to + i * s.scored);
      floats.finish(context.out(3), to);
    }
    return {};
  }

  // A cache that is as long as its present is extended in place.
  bool can_overwrite(size_t input, size_t output) const override {
    return (input == kPastKey && output == 1) || (input == kPastValue && output == 2);
  }

 private:
  struct State {
    AttentionArgs args;
    HeadStrides q_fresh, kv_fresh;
    size_t past_capacity, half, positions, scored, bias_read;
    // in scratch
    size_t kernel, numbers, bias, q_turned, k_turned, k_rounded, scores, codes, present[2], dequantized[2], views;
  };

  DType cache_type(DType type) const noexcept {
    return forms_[0].bits == 8 ? DType::i8 : forms_[0].bits == 4 ? DType::u8 : type;
  }
  template <class Context>
  bool turns_heads(const Context& context) const {
    return rotary_ || context.has(kQueryNorm);
  }

  size_t stored_size(size_t head_size) const noexcept { return forms_[0].bits == 4 ? (head_size + 1) / 2 : head_size; }

  // Rows that a cache of the last positions has after `total` of them: so many are dropped at once that what remains
  // does not depend on the steps.
  int64_t rows_kept(int64_t total, int64_t capacity) const noexcept {
    const int64_t step = capacity - window_ + 1;
    return total <= capacity ? total : total - (total - capacity + step - 1) / step * step;
  }

  // The new rows of each item, the rows that the cache has (offsets) and those that it will have (lengths); then the
  // position of the first of these, and how many of the last are kept.
  Status read_lengths(RunContext& context, const State& s, AttentionArgs& a) const {
    auto* lengths = reinterpret_cast<int64_t*>(context.scratch() + s.numbers);
    int64_t *offsets = lengths + a.batch, *fresh = offsets + a.batch, *first = fresh + a.batch, *kept = first + a.batch;
    const auto rows = static_cast<int64_t>(a.rows),
               capacity = static_cast<int64_t>(evicts_ ? a.columns - a.rows : a.columns);
    const Tensor* given = context.maybe(kQuerySeqlens);
    for (size_t b = 0; b < a.batch; ++b) {
      const int64_t last = context.in(kSeqlens).ptr<int32_t>()[b];
      LINNET_REQUIRE(last >= 0 && (last < capacity || evicts_),
                     invalid_argument("seqlens_k has ", last, " for a cache of ", capacity));
      lengths[b] = last + 1;
      first[b] = 0;
      fresh[b] = given ? given->ptr<int32_t>()[b] : std::min(rows, last + 1);
      LINNET_REQUIRE(
          fresh[b] >= 0 && fresh[b] <= std::min(rows, last + 1),
          invalid_argument("query_seqlens has ", fresh[b], " for ", rows, " queries and seqlens_k of ", last));
      offsets[b] = lengths[b] - fresh[b];
      if (evicts_) {
        LINNET_REQUIRE(a.bias_columns == 0 || s.bias_read > static_cast<size_t>(last),
                       invalid_argument("attention_bias has ", s.bias_read, " columns for seqlens_k of ", last));
        kept[b] = rows_kept(last + 1, capacity);
        first[b] = offsets[b] - rows_kept(offsets[b], capacity);
        offsets[b] -= first[b];
        lengths[b] -= first[b];
      }
      LINNET_REQUIRE(offsets[b] <= static_cast<int64_t>(s.past_capacity),
                     invalid_argument("seqlens_k has ", last, ", which the past of ", s.past_capacity, " and ",
                                      fresh[b], " new rows do not reach"));
    }
    a.lengths = lengths;
    a.offsets = offsets;
    return {};
  }
  static const int64_t* fresh_of(const AttentionArgs& a) noexcept { return a.offsets + a.batch; }
  static const int64_t* first_of(const AttentionArgs& a) noexcept { return a.offsets + 2 * a.batch; }
  static const int64_t* kept_of(const AttentionArgs& a) noexcept { return a.offsets + 3 * a.batch; }

  // Padding has no position that anyone sees.
  int64_t position(const RunContext& context, const AttentionArgs& a, size_t b, size_t row) const {
    if (static_cast<int64_t>(row) >= fresh_of(a)[b]) return 0;
    const Tensor* ids = context.maybe(kPositions);
    return ids ? ids->ptr<int64_t>()[b * a.rows + row] : first_of(a)[b] + a.offsets[b] + static_cast<int64_t>(row);
  }

  Status check_positions(const RunContext& context, const State& s, const AttentionArgs& a) const {
    for (size_t b = 0; b < a.batch; ++b)
      for (size_t r = 0; r < a.rows; ++r) {
        const int64_t at = position(context, a, b, r);
        LINNET_REQUIRE(at >= 0 && at < static_cast<int64_t>(s.positions),
                       invalid_argument("position ", at, " is outside of the ", s.positions, " that the caches have"));
      }
    return {};
  }

  // Of row i of all heads; what the row does not see is 0, before the softmax as well.
  static void copy_scores(const AttentionArgs& a, size_t i, const float* from, size_t count, float* to) {
    const size_t b = i / (a.heads * a.rows);
    const int64_t behind = a.offsets[b] + static_cast<int64_t>(i % a.rows) + 1;
    const int64_t high = a.causal ? std::min(behind, a.lengths[b]) : a.lengths[b];
    const int64_t low = a.window > 0 ? behind - a.window : 0;
    for (size_t t = 0; t < count; ++t)
      to[t] = static_cast<int64_t>(t) >= low && static_cast<int64_t>(t) < high ? from[t] : 0.0f;
  }

  struct Heads {
    const float* data;
    HeadStrides strides;
    size_t count;
    const float* norm;  // weights, or nullptr
    float epsilon;
  };

  // Normalises and rotates heads into [batch][row][head][size].
  void turn(const RunContext& context, const State& s, const AttentionArgs& a, const Heads& heads, const float* cos,
            const float* sin, float* dst) const {
    context.parallel.for_range(
        a.batch * a.rows, grain_for(static_cast<double>(heads.count * a.head_size)),
        [&](size_t first, size_t last, size_t) {
          for (size_t i = first; i < last; ++i) {
            const size_t b = i / a.rows, r = i % a.rows;
            const size_t at = cos ? static_cast<size_t>(position(context, a, b, r)) * s.half : 0;
            for (size_t h = 0; h < heads.count; ++h) {
              const float* from = heads.data + b * heads.strides.batch + h * heads.strides.head + r * heads.strides.row;
              float* to = dst + (i * heads.count + h) * a.head_size;
              if (heads.norm) {
                float squares = 0.0f;
                for (size_t c = 0; c < a.head_size; ++c) squares += from[c] * from[c];
                const float factor = 1.0f / std::sqrt(squares / static_cast<float>(a.head_size) + heads.epsilon);
                for (size_t c = 0; c < a.head_size; ++c) to[c] = from[c] * factor * heads.norm[c];
                from = to;
              }
              if (cos) {
                rotate_head(from, to, cos + at, sin + at, s.half, a.head_size, interleaved_);
              } else if (from != to) {
                std::copy_n(from, a.head_size, to);
              }
            }
          }
        });
  }

  // Puts new rows of `size` elements behind those of the past keys (part 0) or values (part 1); gives the whole.
  Tensor extend(RunContext& context, const State& s, const AttentionArgs& a, size_t part, DType type, size_t size,
                const void* fresh, const HeadStrides& strides) const {
    const auto n = [](size_t x) { return static_cast<int64_t>(x); };
    Tensor whole{type, Shape{n(a.batch), n(a.kv_heads), n(a.columns), n(size)}, nullptr, nullptr};
    const bool direct = context.wants(part + 1) && !evicts_;
    whole.data = direct ? context.out(part + 1).data : context.scratch() + s.present[part];
    CacheAppend append;
    append.batch = a.batch, append.heads = a.kv_heads, append.size = size, append.width = element_size(type);
    if (const Tensor* past = context.maybe(kPastKey + part)) append.past = past->data;
    append.past_capacity = s.past_capacity;
    append.past_rows_of = a.offsets;
    append.fresh = fresh, append.fresh_strides = strides, append.fresh_rows = a.rows;
    append.fresh_rows_of = fresh_of(a);
    append.present = whole.data;
    append.capacity = a.columns;
    append_to_cache(append, context.parallel);
    if (evicts_ && context.wants(part + 1)) {
      const size_t row = size * append.width, capacity = a.columns - a.rows;
      auto* to = context.out(part + 1).ptr<std::byte>();
      for (size_t i = 0; i < a.batch * a.kv_heads; ++i, to += capacity * row) {
        const auto kept = static_cast<size_t>(kept_of(a)[i / a.kv_heads]);
        const auto end = i * a.columns + static_cast<size_t>(a.lengths[i / a.kv_heads]);
        std::copy_n(whole.ptr<std::byte>() + (end - kept) * row, kept * row, to);
        std::fill_n(to + kept * row, (capacity - kept) * row, std::byte{0});
      }
    }
    return whole;
  }

  // The bias has a column for each position since the beginning: takes those that are in the cache.
  static void move_bias(const State& s, AttentionArgs& a, size_t heads, float* dst) {
    const float* from = a.bias;
    const bool shared = a.bias_strides.batch == 0;
    for (size_t b = 0; b < a.batch; ++b)
      for (size_t i = 0; i < heads * a.rows; ++i)
        std::copy_n(from + ((shared ? 0 : b) * heads * a.rows + i) * s.bias_read + first_of(a)[b], a.lengths[b],
                    dst + (b * heads * a.rows + i) * a.columns);
    a.bias = dst;
    a.bias_strides.batch = heads * a.rows * a.columns;
  }

  // The same with a quantised cache; gives the floats that its codes stand for.
  const float* extend_codes(RunContext& context, const State& s, const AttentionArgs& a, size_t part,
                            const float* fresh, const HeadStrides& strides) const {
    const CacheForm form = forms_[part];
    const size_t stored = stored_size(a.head_size), step = form.by_channel ? 1 : 0;
    const float* scales = context.in(kKeyScale + part).ptr<float>();
    const auto scale_of = [&](size_t h) { return scales + (form.by_channel ? h * a.head_size : 0); };
    auto* codes = reinterpret_cast<uint8_t*>(context.scratch() + s.codes);
    for (size_t i = 0; i < a.batch * a.rows; ++i)
      for (size_t h = 0; h < a.kv_heads; ++h)
        quantize_row(fresh + i / a.rows * strides.batch + h * strides.head + i % a.rows * strides.row, a.head_size,
                     scale_of(h), step, form.bits, codes + (i * a.kv_heads + h) * stored);
    const Tensor whole = extend(context, s, a, part, cache_type(DType::f32), stored, codes,
                                rows_first(a.rows, a.kv_heads * stored, stored));
    auto* floats = reinterpret_cast<float*>(context.scratch() + s.dequantized[part]);
    context.parallel.for_range(a.batch * a.kv_heads * a.columns, grain_for(static_cast<double>(a.head_size)),
                               [&](size_t first, size_t last, size_t) {
                                 for (size_t i = first; i < last; ++i)
                                   dequantize_row(whole.ptr<uint8_t>() + i * stored, a.head_size,
                                                  scale_of(i / a.columns % a.kv_heads), step, form.bits,
                                                  floats + i * a.head_size);
                               });
    return floats;
  }

  int64_t heads_ = 0, kv_heads_ = 0, window_ = -1, qk_output_ = 0;
  float scale_ = 0.0f, softcap_ = 0.0f, norm_epsilon_[2] = {};
  bool rotary_ = false, interleaved_ = false, smooth_ = false, causal_ = true;
  bool evicts_ = false;  // the cache holds the last positions only
  CacheForm forms_[2];
};

constexpr OpDef kDefs[] = {
    {"com.microsoft", "GroupQueryAttention", 1, 1, 17, 1, 4, create<GroupQueryAttention>},
};

}  // namespace

extern const std::span<const OpDef> kGroupQueryAttentionOps = kDefs;

}  // namespace linnet
