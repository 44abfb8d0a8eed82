// https://onnx.ai/onnx/operators/onnx__CausalConvWithState.html
// com.microsoft's is the same with attributes that came since:
// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
#include <algorithm>
#include <utility>

#include "kernels/activation.h"
#include "ops/float_scratch.h"
#include "ops/op.h"

namespace linnet {
namespace {

// Depthwise over one axis, channels first; the state holds the inputs before the first one.
class CausalConvWithState final : public Op {
 public:
  Status parse(NodeReader& reader) {
    const std::string activation = reader.text("activation", "none");
    LINNET_REQUIRE(activation == "none" || activation == "silu" || activation == "swish",
                   invalid_model("activation is '", activation, "'"));
    if (activation != "none") activation_ = {Activation::silu, 1.0f, 0.0f};
    if (reader.domain().empty()) return {};
    constexpr std::pair<std::string_view, int64_t> kFixed[] = {{"ndim", 1},
                                                               {"dilation", 1},
                                                               {"channels_last", 0},
                                                               {"state_channels_last", -1},
                                                               {"state_window", 0},
                                                               {"state_length", 0},
                                                               {"state_update_capacity", 0},
                                                               {"input_channels", 0},
                                                               {"input_channel_offset", 0}};
    for (const auto& [name, value] : kFixed) {
      const int64_t given = reader.integer(name, value);
      LINNET_REQUIRE(given == value, unsupported(name, " ", given, " is not supported"));
    }
    return {};
  }

  Status infer(InferContext& context) const override {
    const DType type = context.dtype(0);
    LINNET_REQUIRE(is_float(type), unsupported("no convolution of ", dtype_name(type)));
    SymShape state(3);
    if (!context.ranked(0)) {
      context.set(0, type, SymShape(3));
      context.set(1, type, state);
      return {};
    }
    const SymShape& x = context.shape(0);
    LINNET_REQUIRE(x.size() == 3, invalid_argument("the input has rank ", x.size(), " instead of 3"));
    state[0] = x[0];
    state[1] = x[1];
    if (context.ranked(1)) {
      const SymShape& w = context.shape(1);
      LINNET_REQUIRE(w.size() == 3, invalid_argument("the weights have rank ", w.size(), " instead of 3"));
      LINNET_REQUIRE((!w[0].known() || !x[1].known() || w[0] == x[1]) && (!w[1].known() || w[1].is(1)) &&
                         (!w[2].known() || w[2].value() >= 1),
                     invalid_argument("the weights are not one kernel for each channel"));
      state[2] = context.symbols().sub(w[2], 1);
    }
    if (context.ranked(2) && x[1].known())
      LINNET_REQUIRE(context.shape(2).size() == 1 && (!context.shape(2)[0].known() || context.shape(2)[0] == x[1]),
                     invalid_argument("the bias does not have one entry for each channel"));
    if (context.ranked(3) && state.known() && context.shape(3).known())
      LINNET_REQUIRE(context.shape(3) == state, invalid_argument("past_state is not of the shape ", state.values()));
    context.set(0, type, x);
    context.set(1, type, state);
    return {};
  }

  Status bind(BindContext& context) const override {
    State& s = context.state<State>();
    s.row = round_up(static_cast<size_t>(context.shape(0)[2] + context.shape(1)[2]) * sizeof(float), 64);
    s.floats = s.row * context.threads();
    size_t total = s.floats;
    for (size_t i = 0; i < context.inputs(); ++i)
      if (context.has(i)) total += FloatScratch::bytes(context.dtype(i), context.shape(i));
    for (size_t o = 0; o < context.outputs(); ++o)
      if (context.wants(o)) total += FloatScratch::bytes(context.out_dtype(o), context.out_shape(o));
    context.request_scratch(total);
    return {};
  }

  Status run(RunContext& context) const override {
    const State& s = context.state<State>();
    const Tensor& x = context.in(0);
    FloatScratch scratch(context, s.floats);
    const float* src = scratch.in(x);
    const float* weights = scratch.in(context.in(1));
    const float* bias = scratch.in(context.maybe(2));
    const float* past = scratch.in(context.maybe(3));
    float* dst = scratch.out(context.out(0));
    float* present = context.wants(1) ? scratch.out(context.out(1)) : nullptr;
    const size_t channels = static_cast<size_t>(x.shape[1]), length = static_cast<size_t>(x.shape[2]);
    const size_t kernel = static_cast<size_t>(context.in(1).shape[2]), before = kernel - 1;
    const size_t rows = static_cast<size_t>(x.shape[0]) * channels;
    context.parallel.for_range(rows, grain_for(static_cast<double>(kernel * length) / 4.0 + 20.0),
                               [&](size_t begin, size_t end, size_t worker) {
                                 float* row = reinterpret_cast<float*>(context.scratch() + worker * s.row);
                                 for (size_t i = begin; i < end; ++i) {
                                   const float* w = weights + i % channels * kernel;
                                   if (past) {
                                     std::copy_n(past + i * before, before, row);
                                   } else {
                                     std::fill_n(row, before, 0.0f);
                                   }
                                   std::copy_n(src + i * length, length, row + before);
                                   float* to = dst + i * length;
                                   std::fill_n(to, length, 0.0f);
                                   for (size_t k = 0; k < kernel; ++k)
                                     for (size_t t = 0; t < length; ++t) to[t] += w[k] * row[t + k];
                                   for (size_t t = 0; t < length && bias; ++t) to[t] += bias[i % channels];
                                   for (size_t t = 0; t < length && activation_.kind != Activation::none; ++t)
                                     to[t] = activate_reference(activation_, to[t]);
                                   if (present) std::copy_n(row + length, before, present + i * before);
                                 }
                               });
    scratch.finish(context.out(0), dst);
    if (present) scratch.finish(context.out(1), present);
    return {};
  }

 private:
  struct State {
    size_t row = 0;     // bytes of a worker's padded row
    size_t floats = 0;  // where FloatScratch begins
  };

  ActivationSpec activation_;
};

constexpr OpDef kDefs[] = {{"", "CausalConvWithState", 27, 2, 4, 1, 2, create<CausalConvWithState>},
                           {"com.microsoft", "CausalConvWithState", 1, 2, 4, 1, 2, create<CausalConvWithState>}};

}  // namespace

extern const std::span<const OpDef> kCausalConvOps = kDefs;

}  // namespace linnet
