// https://onnx.ai/onnx/operators/onnx__LinearAttention.html
#include "kernels/attention/linear_attention.h"

#include <algorithm>
#include <cmath>

#include "ops/element_types.h"
#include "ops/float_scratch.h"

namespace linnet {
namespace {

enum Input : size_t { kQ, kK, kV, kPast, kDecay, kBeta };

class LinearAttention final : public Op {
 public:
  Status parse(NodeReader& reader) {
    q_heads_ = reader.integer("q_num_heads", 0);
    kv_heads_ = reader.integer("kv_num_heads", 0);
    scale_ = reader.number("scale", 0.0f);
    reader.ignore("chunk_size");
    if (!reader.domain().empty())
      LINNET_REQUIRE(reader.integer("state_window", 0) == 0, unsupported("a state_window is not supported"));
    const std::string rule = reader.text("update_rule", "gated_delta");
    gated_ = rule == "gated" || rule == "gated_delta";
    delta_ = rule == "delta" || rule == "gated_delta";
    LINNET_REQUIRE(gated_ || delta_ || rule == "linear", invalid_model("update_rule is '", rule, "'"));
    LINNET_REQUIRE(q_heads_ > 0 && kv_heads_ > 0 && (q_heads_ % kv_heads_ == 0 || kv_heads_ % q_heads_ == 0),
                   invalid_model(q_heads_, " heads of queries cannot share ", kv_heads_, " heads of keys"));
    LINNET_REQUIRE(!gated_ || reader.has_input(kDecay), invalid_model("update_rule ", rule, " needs a decay"));
    LINNET_REQUIRE(!delta_ || reader.has_input(kBeta), invalid_model("update_rule ", rule, " needs a beta"));
    return {};
  }

  Status infer(InferContext& context) const override {
    for (const size_t i : {kQ, kPast}) LINNET_TRY(expect_type(context, i, kTypes));
    for (const size_t i : {kK, kV, kDecay, kBeta}) LINNET_TRY(expect_same_type(context, i, kQ));
    const DType type = context.dtype(kQ), state_type = context.has(kPast) ? context.dtype(kPast) : type;
    SymShape out(3), state(4);
    state[1] = kv_heads_;
    SymbolTable& symbols = context.symbols();
    for (const size_t i : {kQ, kK, kV, kDecay, kBeta})
      LINNET_REQUIRE(!context.ranked(i) || context.shape(i).size() == 3,
                     invalid_argument("input ", i, " does not have the axes batch, token and feature"));
    if (context.ranked(kQ)) {
      out[0] = state[0] = context.shape(kQ)[0], out[1] = context.shape(kQ)[1];
      state[2] = symbols.div(context.shape(kQ)[2], q_heads_);
    }
    if (context.ranked(kV)) {
      state[3] = symbols.div(context.shape(kV)[2], kv_heads_);
      out[2] = symbols.mul(state[3], std::max(q_heads_, kv_heads_));
    }
    bool known = true;
    for (size_t i = 0; i < context.inputs(); ++i)
      known = known && (!context.has(i) || (context.ranked(i) && context.shape(i).known()));
    if (known) {
      const Shape q = context.shape(kQ).values(), k = context.shape(kK).values(), v = context.shape(kV).values();
      const int64_t k_size = q[2] / q_heads_;
      LINNET_REQUIRE(q[0] == k[0] && q[0] == v[0] && q[1] == k[1] && q[1] == v[1] && q[2] % q_heads_ == 0 &&
                         v[2] % kv_heads_ == 0 && divides(k_size, k[2], kv_heads_),
                     invalid_argument("queries ", q, ", keys ", k, " and values ", v, " do not fit ", q_heads_, " and ",
                                      kv_heads_, " heads"));
      const auto per_token = [&](size_t i, int64_t a, int64_t b) {
        if (!context.has(i)) return true;
        const SymShape& shape = context.shape(i);
        return shape[0].is(q[0]) && shape[1].is(q[1]) && (shape[2].is(a) || shape[2].is(b));
      };
      LINNET_REQUIRE(per_token(kDecay, kv_heads_, kv_heads_ * k_size),
                     invalid_argument("the decay does not fit the keys"));
      LINNET_REQUIRE(per_token(kBeta, kv_heads_, 1), invalid_argument("beta does not fit the keys"));
      LINNET_REQUIRE(!context.has(kPast) || context.shape(kPast) == state,
                     invalid_argument("past_state is not of the shape ", state.values()));
    }
    context.set(0, type, std::move(out));
    context.set(1, state_type, std::move(state));
    return {};
  }

  Status bind(BindContext& context) const override {
    size_t bytes = 0;
    for (size_t i = 0; i < context.inputs(); ++i)
      if (context.has(i)) bytes += FloatScratch::bytes(context.dtype(i), context.shape(i));
    for (size_t o = 0; o < context.outputs(); ++o)
      if (context.wants(o)) bytes += FloatScratch::bytes(context.out_dtype(o), context.out_shape(o));
    if (!context.wants(1))
      bytes += round_up(scratch_size(state_count(context.shape(kQ), context.shape(kV)), sizeof(float)), 64);
    context.request_scratch(bytes);
    return {};
  }

  Status run(RunContext& context) const override {
    FloatScratch floats(context);
    const Shape &q = context.in(kQ).shape, &k = context.in(kK).shape, &v = context.in(kV).shape;
    const auto n = [](int64_t x) { return static_cast<size_t>(x); };
    LinearAttentionArgs a;
    a.batch = n(q[0]), a.steps = n(q[1]);
    a.q_heads = n(q_heads_), a.kv_heads = n(kv_heads_);
    a.k_size = n(q[2] / q_heads_), a.v_size = n(v[2] / kv_heads_);
    a.k_heads = a.k_size ? n(k[2]) / a.k_size : a.kv_heads;
    a.q = floats.in(context.in(kQ)), a.k = floats.in(context.in(kK)), a.v = floats.in(context.in(kV));
    a.past = floats.in(context.maybe(kPast));
    if (gated_) {
      a.decay = floats.in(context.in(kDecay));
      a.decay_size = context.in(kDecay).shape[2] == kv_heads_ ? 1 : a.k_size;
    }
    if (delta_) {
      a.beta = floats.in(context.in(kBeta));
      a.beta_heads = n(context.in(kBeta).shape[2]);
    }
    a.scale = scale_ != 0.0f ? scale_ : 1.0f / std::sqrt(static_cast<float>(a.k_size));
    a.out = floats.out(context.out(0));
    a.state = context.wants(1) ? floats.out(context.out(1))
                               : reinterpret_cast<float*>(floats.raw(n(state_count(q, v)) * sizeof(float)));
    linear_attention(a, context.parallel);
    floats.finish(context.out(0), a.out);
    if (context.wants(1)) floats.finish(context.out(1), a.state);
    return {};
  }

 private:
  static constexpr TypeSet kTypes{DType::f32, DType::f16, DType::bf16};

  // Whether keys of that width are of heads that several of `heads` may share.
  static bool divides(int64_t k_size, int64_t width, int64_t heads) {
    if (k_size == 0) return width == 0;
    return width % k_size == 0 && width != 0 && heads % (width / k_size) == 0;
  }

  int64_t state_count(const Shape& q, const Shape& v) const {
    return Shape{q[0], kv_heads_, q[2] / q_heads_, v[2] / kv_heads_}.checked_count().value_or(-1);
  }

  int64_t q_heads_ = 0, kv_heads_ = 0;
  bool gated_ = false, delta_ = false;
  float scale_ = 0.0f;
};

constexpr OpDef kDefs[] = {{"", "LinearAttention", 27, 3, 6, 1, 2, create<LinearAttention>},
                           {"com.microsoft", "LinearAttention", 1, 3, 6, 1, 2, create<LinearAttention>}};

}  // namespace

extern const std::span<const OpDef> kLinearAttentionOps = kDefs;

}  // namespace linnet
