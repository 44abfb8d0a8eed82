// Attention of a decoder with a cache of keys and values, rotary embedding included.
// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.GroupQueryAttention
#include <cmath>

#include "kernels/attention/rotary.h"
#include "ops/attention_cache.h"
#include "ops/infer_shapes.h"

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
  kSink
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
    LINNET_REQUIRE(reader.text("k_quant_type", "NONE") == "NONE" && reader.text("v_quant_type", "NONE") == "NONE",
                   unsupported("a quantised cache is not supported"));
    LINNET_REQUIRE(!reader.flag("sliding_window_cache", false), unsupported("sliding_window_cache is not supported"));
    LINNET_REQUIRE(reader.integer("qk_output", 0) == 0, unsupported("qk_output is not supported"));
    for (size_t i = kSink + 1; i < reader.inputs(); ++i)
      LINNET_REQUIRE(!reader.has_input(i), unsupported("input ", i, " is not supported"));
    for (const std::string_view name : {"kv_cache_bit_width", "q_norm_epsilon", "k_norm_epsilon", "qk_norm_epsilon"})
      reader.ignore(name);
    return {};
  }

  Status infer(InferContext& context) const override {
    const DType type = context.dtype(kQuery);
    LINNET_REQUIRE(is_float_or_half(type), unsupported("attention of type ", dtype_name(type)));
    for (const size_t i : {kKey, kValue, kPastKey, kPastValue, kCos, kSin, kBias, kSink})
      LINNET_REQUIRE(!context.has(i) || context.dtype(i) == type,
                     invalid_model("input ", i, " is not of the queries' type"));
    for (const size_t i : {kSeqlens, kTotal})
      LINNET_REQUIRE(context.dtype(i) == DType::i32, invalid_model("input ", i, " is not int32"));
    if (context.has(kPositions))
      LINNET_REQUIRE(context.dtype(kPositions) == DType::i64, invalid_model("position_ids are not int64"));
    if (!context.ranked(kQuery)) {
      for (size_t o = 0; o < context.outputs(); ++o) context.set_unranked(o, type);
      return {};
    }
    const SymShape& q = context.shape(kQuery);
    LINNET_REQUIRE(q.size() == 3, invalid_argument("queries have ", q.size(), " axes; they must have 3"));
    SymbolTable& symbols = context.symbols();
    const Dim size = symbols.div(q[2], context.has(kKey) ? heads_ : heads_ + 2 * kv_heads_);
    Dim length;
    if (const std::optional<int64_t> total = context.known_int(kTotal)) {
      LINNET_REQUIRE(*total >= 0, invalid_argument("total_sequence_length is ", *total));
      length = *total;
      if (context.has(kPastKey)) {
        length = Dim();
        if (context.ranked(kPastKey) && context.shape(kPastKey).size() == 4)
          length = symbols.max(context.shape(kPastKey)[2], *total);
      }
    }
    context.set(0, type, {q[0], q[1], symbols.mul(size, heads_)});
    for (const size_t o : {size_t{1}, size_t{2}}) context.set(o, type, {q[0], Dim(kv_heads_), length, size});
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
      LINNET_REQUIRE(
          pk.rank() == 4 && pk[0] == q[0] && pk[1] == kv_heads_ && pk[3] == size && context.shape(kPastValue) == pk,
          invalid_argument("past_key ", pk, " and past_value ", context.shape(kPastValue), " do not fit ", kv_heads_,
                           " heads of ", size));
      s.past_capacity = n(pk[2]);
    }
    LINNET_REQUIRE(context.has_shape(1) && context.out_shape(1).rank() == 4,
                   unsupported("the outputs present_key and present_value are needed"));
    a.columns = n(context.out_shape(1)[2]);
    LINNET_REQUIRE(context.shape(kSeqlens).count() == q[0],
                   invalid_argument("seqlens_k does not have an element for each batch item"));
    LINNET_REQUIRE(context.shape(kTotal).count() == 1, invalid_argument("total_sequence_length must be one number"));
    a.k_strides = a.v_strides = heads_first(a.kv_heads, a.columns, a.head_size);
    a.out_strides = rows_first(a.rows, a.heads * a.head_size, a.head_size);
    a.q_strides = rotary_ ? a.out_strides : s.q_fresh;
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
      a.bias_columns = n(bias[3]);
      a.bias_strides = {bias[0] == 1 ? 0 : n(bias[1]) * a.rows * a.bias_columns,
                        bias[1] == 1 ? 0 : a.rows * a.bias_columns, a.bias_columns};
    }
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
    s.kernel = take(attention_scratch_size(a, context.threads()));
    s.numbers = take(2 * a.batch * sizeof(int64_t));
    s.q_turned = take(rotary_ ? a.batch * a.rows * a.heads * a.head_size * sizeof(float) : 0);
    s.k_turned = take(rotary_ ? a.batch * a.rows * a.kv_heads * a.head_size * sizeof(float) : 0);
    s.k_rounded =
        take(rotary_ && type != DType::f32 ? a.batch * a.rows * a.kv_heads * a.head_size * element_size(type) : 0);
    for (const size_t o : {size_t{1}, size_t{2}})
      if (!context.wants(o)) s.present[o - 1] = take(n(context.out_shape(1).count()) * element_size(type));
    s.views = bytes;
    for (const size_t i : {kQuery, kKey, kValue, kCos, kSin, kBias, kSink})
      if (context.has(i)) bytes += FloatScratch::bytes(type, context.shape(i).count());
    bytes += 2 * FloatScratch::bytes(type, context.out_shape(1).count()) +
             FloatScratch::bytes(type, context.out_shape(0).count());
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

    // The rows that the cache has (offsets) and will have (lengths).
    auto* lengths = reinterpret_cast<int64_t*>(scratch + s.numbers);
    int64_t* offsets = lengths + a.batch;
    const auto rows = static_cast<int64_t>(a.rows), capacity = static_cast<int64_t>(a.columns);
    const int64_t total = integer_at(context.in(kTotal), 0);
    const bool prompt = total == rows;
    for (size_t b = 0; b < a.batch; ++b) {
      const int64_t last = context.in(kSeqlens).ptr<int32_t>()[b];
      LINNET_REQUIRE(last >= 0 && last < capacity && (prompt || last + 1 >= rows),
                     invalid_argument("seqlens_k has ", last, " for ", rows, " queries and a cache of ", capacity));
      lengths[b] = last + 1;
      offsets[b] = prompt ? 0 : last + 1 - rows;
      LINNET_REQUIRE(offsets[b] <= static_cast<int64_t>(s.past_capacity) && offsets[b] + rows <= capacity,
                     invalid_argument("seqlens_k has ", last, ", which the past of ", s.past_capacity, " and ", rows,
                                      " new rows do not reach"));
    }
    a.lengths = lengths;
    a.offsets = offsets;

    const Tensor& query = context.in(kQuery);
    const bool packed = !context.has(kKey);
    const void* k_fresh = packed ? nullptr : context.in(kKey).data;
    const void* v_fresh = packed ? nullptr : context.in(kValue).data;
    const size_t width = element_size(query.dtype);
    if (packed) {
      k_fresh = static_cast<const std::byte*>(query.data) + a.heads * a.head_size * width;
      v_fresh = static_cast<const std::byte*>(k_fresh) + a.kv_heads * a.head_size * width;
    }
    HeadStrides k_strides = s.kv_fresh;
    a.q = floats.in(query);
    if (rotary_) {
      LINNET_TRY(check_positions(context, s, offsets));
      const float* k = packed ? a.q + a.heads * a.head_size : floats.in(context.in(kKey));
      const float* cos = floats.in(context.in(kCos));
      const float* sin = floats.in(context.in(kSin));
      auto* q_turned = reinterpret_cast<float*>(scratch + s.q_turned);
      auto* k_turned = reinterpret_cast<float*>(scratch + s.k_turned);
      turn(context, s, a, offsets, a.q, s.q_fresh, a.heads, cos, sin, q_turned);
      turn(context, s, a, offsets, k, s.kv_fresh, a.kv_heads, cos, sin, k_turned);
      a.q = q_turned;
      k_fresh = k_turned;
      k_strides = rows_first(a.rows, a.kv_heads * a.head_size, a.head_size);
      if (query.dtype != DType::f32) {
        Tensor rounded{query.dtype, Shape{static_cast<int64_t>(a.batch * a.rows * a.kv_heads * a.head_size)},
                       scratch + s.k_rounded, nullptr};
        floats.finish(rounded, k_turned);
        k_fresh = rounded.data;
      }
    }
    a.k = extend(context, s, a, 0, k_fresh, k_strides, floats);
    a.v = extend(context, s, a, 1, v_fresh, s.kv_fresh, floats);
    if (const Tensor* bias = context.maybe(kBias)) a.bias = floats.in(*bias);
    if (const Tensor* sink = context.maybe(kSink)) a.sinks = floats.in(*sink);
    a.out = floats.out(context.out(0));
    attention(a, scratch + s.kernel, parallel);
    floats.finish(context.out(0), a.out);
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
    size_t past_capacity, half, positions;
    size_t kernel, numbers, q_turned, k_turned, k_rounded, present[2], views;  // in scratch
  };

  int64_t position(const RunContext& context, const State& s, const int64_t* offsets, size_t b, size_t row) const {
    const Tensor* ids = context.maybe(kPositions);
    return ids ? ids->ptr<int64_t>()[b * s.args.rows + row] : offsets[b] + static_cast<int64_t>(row);
  }

  Status check_positions(const RunContext& context, const State& s, const int64_t* offsets) const {
    for (size_t b = 0; b < s.args.batch; ++b)
      for (size_t r = 0; r < s.args.rows; ++r) {
        const int64_t at = position(context, s, offsets, b, r);
        LINNET_REQUIRE(at >= 0 && at < static_cast<int64_t>(s.positions),
                       invalid_argument("position ", at, " is outside of the ", s.positions, " that the caches have"));
      }
    return {};
  }

  // Rotates heads into [batch][row][head][size].
  void turn(const RunContext& context, const State& s, const AttentionArgs& a, const int64_t* offsets, const float* src,
            const HeadStrides& strides, size_t heads, const float* cos, const float* sin, float* dst) const {
    context.parallel.for_range(
        a.batch * a.rows, grain_for(static_cast<double>(heads * a.head_size)), [&](size_t first, size_t last, size_t) {
          for (size_t i = first; i < last; ++i) {
            const size_t b = i / a.rows, r = i % a.rows;
            const size_t at = static_cast<size_t>(position(context, s, offsets, b, r)) * s.half;
            for (size_t h = 0; h < heads; ++h)
              rotate_head(src + b * strides.batch + h * strides.head + r * strides.row,
                          dst + (i * heads + h) * a.head_size, cos + at, sin + at, s.half, a.head_size, interleaved_);
          }
        });
  }

  // Appends new keys (part 0) or values (part 1) to the cache; gives the floats of the whole.
  static const float* extend(RunContext& context, const State& s, const AttentionArgs& a, size_t part,
                             const void* fresh, const HeadStrides& strides, FloatScratch& floats) {
    const DType type = context.in(kQuery).dtype;
    const auto n = [](size_t x) { return static_cast<int64_t>(x); };
    Tensor whole{type, Shape{n(a.batch), n(a.kv_heads), n(a.columns), n(a.head_size)}, nullptr, nullptr};
    whole.data = context.wants(part + 1) ? context.out(part + 1).data : context.scratch() + s.present[part];
    CacheAppend append;
    append.batch = a.batch, append.heads = a.kv_heads, append.size = a.head_size, append.width = element_size(type);
    if (const Tensor* past = context.maybe(kPastKey + part)) append.past = past->data;
    append.past_capacity = s.past_capacity;
    append.past_rows_of = a.offsets;
    append.fresh = fresh, append.fresh_strides = strides, append.fresh_rows = a.rows;
    append.present = whole.data;
    append.capacity = a.columns;
    append_to_cache(append, context.parallel);
    return floats.in(whole);
  }

  int64_t heads_ = 0, kv_heads_ = 0, window_ = -1;
  float scale_ = 0.0f, softcap_ = 0.0f;
  bool rotary_ = false, interleaved_ = false, smooth_ = false, causal_ = true;
};

constexpr OpDef kDefs[] = {
    {"com.microsoft", "GroupQueryAttention", 1, 1, 17, 1, 4, create<GroupQueryAttention>},
};

}  // namespace

extern const std::span<const OpDef> kGroupQueryAttentionOps = kDefs;

}  // namespace linnet
