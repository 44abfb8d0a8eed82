// Normalisations of [N, C, ...]: https://onnx.ai/onnx/operators/onnx__BatchNormalization.html,
// ...InstanceNormalization,
// ...GroupNormalization, ...LpNormalization, ...MeanVarianceNormalization, ...LRN
#include <cmath>

#include "kernels/elementwise/binary.h"
#include "kernels/elementwise/unary.h"
#include "kernels/norm/norm.h"
#include "kernels/reduce/reduce.h"
#include "ops/broadcast_plan.h"
#include "ops/float_scratch.h"
#include "ops/infer_shapes.h"
#include "ops/op.h"

namespace linnet {
namespace {

Status check_channels(const InferContext& context, size_t input, Dim channels) {
  if (!context.ranked(input) || !context.shape(input).known() || !channels.known()) return {};
  const int64_t count = context.shape(input).values().count();
  LINNET_REQUIRE(count == channels.value(),
                 invalid_argument("input ", input, " has ", count, " elements instead of ", channels.value()));
  return {};
}

Status check_float(const InferContext& context) {
  for (size_t i = 0; i < context.inputs(); ++i)
    LINNET_REQUIRE(!context.has(i) || is_float(context.dtype(i)),
                   unsupported("cannot normalise elements of type ", dtype_name(context.dtype(i))));
  return {};
}

// Inputs: x, scale, bias, mean, variance.
class BatchNormalization final : public Op {
 public:
  Status parse(NodeReader& reader) {
    epsilon_ = reader.number("epsilon", 1e-5f);
    momentum_ = reader.number("momentum", 0.9f);
    // Operator sets before 9 could hold statistics for each position of a channel (spatial = 0).
    spatial_ = reader.version() >= 9 || reader.flag("spatial", true);
    reader.ignore("consumed_inputs");
    training_ = reader.version() >= 14 && reader.flag("training_mode", false);
    if (reader.version() < 14) {
      // is_test exists before 7 only; then the mode shows in the number of outputs.
      const bool test = reader.flag("is_test", true);
      for (size_t o = 1; o < reader.outputs(); ++o)
        LINNET_REQUIRE(test || !reader.has_output(o),
                       unsupported("training with operator sets before 14 is not supported"));
    }
    return {};
  }
  Status infer(InferContext& context) const override {
    LINNET_TRY(check_float(context));
    LINNET_TRY(infer_same_as_input(context));
    for (size_t o = 1; o < context.outputs(); ++o) {
      const size_t like = o % 2 == 1 ? 3 : 4;
      if (context.ranked(like)) {
        context.set(o, context.dtype(like), context.shape(like));
      } else {
        context.set_unranked(o, context.dtype(like));
      }
    }
    if (!context.ranked(0)) return {};
    const SymShape& in = context.shape(0);
    LINNET_REQUIRE(!in.empty(), invalid_argument("the input is a scalar"));
    Dim channels = in.size() > 1 ? in[1] : Dim(1);
    if (!spatial_) channels = context.symbols().product(in, 1, in.size());
    for (size_t i = 1; i < 5; ++i) LINNET_TRY(check_channels(context, i, channels));
    return {};
  }
  Status bind(BindContext& context) const override {
    size_t bytes = 2 * round_up(static_cast<size_t>(context.shape(1).count()) * sizeof(float), 64);
    for (size_t i = 0; i < 5; ++i) bytes += FloatScratch::bytes(context.dtype(i), context.shape(i));
    bytes += FloatScratch::bytes(context.out_dtype(0), context.out_shape(0));
    context.request_scratch(bytes);
    return {};
  }
  Status run(RunContext& context) const override {
    const Tensor& x = context.in(0);
    Tensor& y = context.out(0);
    ChannelAffine affine{};
    affine.outer = static_cast<size_t>(x.shape[0]);
    affine.channels = static_cast<size_t>(context.in(1).count());
    affine.inner = !spatial_ || x.shape.rank() < 2 ? 1 : static_cast<size_t>(x.shape.count(2, x.shape.rank()));
    float* factor = reinterpret_cast<float*>(context.scratch());
    const size_t step = round_up(affine.channels * sizeof(float), 64);
    float* shift = factor + step / sizeof(float);
    FloatScratch scratch(context, 2 * step);
    affine.src = scratch.in(x);
    const float* scale = scratch.in(context.in(1));
    const float* bias = scratch.in(context.in(2));
    const float* mean = scratch.in(context.in(3));
    const float* variance = scratch.in(context.in(4));
    for (size_t c = 0; c < affine.channels; ++c) {
      double m = static_cast<double>(mean[c]);
      double v = static_cast<double>(variance[c]);
      if (training_) std::tie(m, v) = statistics(context, affine, c, m, v);
      factor[c] = static_cast<float>(static_cast<double>(scale[c]) / std::sqrt(v + static_cast<double>(epsilon_)));
      shift[c] = static_cast<float>(static_cast<double>(bias[c]) - m * static_cast<double>(factor[c]));
    }
    affine.scale = factor;
    affine.shift = shift;
    affine.dst = scratch.out(y);
    channel_affine(affine, context.parallel);
    scratch.finish(y, affine.dst);
    return {};
  }
  bool can_overwrite(size_t input, size_t output) const override { return input == 0 && output == 0; }

 private:
  // Mean and variance of the batch; the running ones go to the outputs.
  std::pair<double, double> statistics(RunContext& context, const ChannelAffine& affine, size_t c, double old_mean,
                                       double old_variance) const {
    double sum = 0.0, squares = 0.0;
    const auto each = [&](auto visit) {
      for (size_t o = 0; o < affine.outer; ++o)
        for (size_t i = 0; i < affine.inner; ++i)
          visit(static_cast<double>(affine.src[(o * affine.channels + c) * affine.inner + i]));
    };
    const double count = static_cast<double>(affine.outer * affine.inner);
    each([&](double v) { sum += v; });
    const double mean = sum / count;
    each([&](double v) { squares += (v - mean) * (v - mean); });
    const double variance = squares / count;
    const double momentum = static_cast<double>(momentum_);
    const double running[] = {old_mean * momentum + mean * (1 - momentum),
                              old_variance * momentum + variance * (1 - momentum)};
    for (size_t o = 1; o <= 2; ++o) {
      if (!context.wants(o)) continue;
      Tensor& out = context.out(o);
      cast(NumberType::f64, &running[o - 1], number_type(out.dtype),
           static_cast<std::byte*>(out.data) + c * element_size(out.dtype), 1, {}, Parallel());
    }
    return {mean, variance};
  }

  float epsilon_ = 1e-5f, momentum_ = 0.9f;
  bool spatial_ = true, training_ = false;
};

// InstanceNormalization is GroupNormalization with as many groups as channels. Before operator set 21,
// GroupNormalization has one scale and bias for each group.
class GroupNormalization final : public Op {
 public:
  Status parse(NodeReader& reader) {
    epsilon_ = reader.number("epsilon", 1e-5f);
    reader.ignore("consumed_inputs");
    reader.ignore("stash_type");
    if (reader.op_type() == "InstanceNormalization") return {};
    groups_ = reader.integer("num_groups", 0);
    per_group_ = reader.version() < 21;
    LINNET_REQUIRE(groups_ > 0, invalid_model("num_groups is ", groups_, "; it must be positive"));
    return {};
  }
  Status infer(InferContext& context) const override {
    LINNET_TRY(check_float(context));
    LINNET_TRY(infer_same_as_input(context));
    if (!context.ranked(0)) return {};
    const SymShape& in = context.shape(0);
    LINNET_REQUIRE(in.size() >= 2, invalid_argument("the input has no channels: its rank is ", in.size()));
    if (groups_ > 0 && in[1].known())
      LINNET_REQUIRE(in[1].value() % groups_ == 0,
                     invalid_argument(in[1].value(), " channels do not divide into ", groups_, " groups"));
    for (size_t i = 1; i < 3; ++i) LINNET_TRY(check_channels(context, i, per_group_ ? Dim(groups_) : in[1]));
    return {};
  }
  Status bind(BindContext& context) const override {
    const size_t channels = static_cast<size_t>(context.shape(0)[1]);
    size_t bytes = per_group_ ? 2 * round_up(channels * sizeof(float), 64) : 0;
    for (size_t i = 0; i < 3; ++i) bytes += FloatScratch::bytes(context.dtype(i), context.shape(i));
    bytes += FloatScratch::bytes(context.out_dtype(0), context.out_shape(0));
    if (bytes != 0) context.request_scratch(bytes);
    return {};
  }
  Status run(RunContext& context) const override {
    const Tensor& x = context.in(0);
    Tensor& y = context.out(0);
    if (x.count() == 0) return {};
    const size_t channels = static_cast<size_t>(x.shape[1]);
    const size_t groups = groups_ > 0 ? static_cast<size_t>(groups_) : channels;
    const size_t per_group = channels / groups;
    const size_t room = per_group_ ? round_up(channels * sizeof(float), 64) : 0;
    FloatScratch scratch(context, 2 * room);
    const auto operand = [&](size_t i) {
      const float* elements = scratch.in(context.in(i));
      if (!per_group_) return elements;
      float* spread = reinterpret_cast<float*>(context.scratch() + (i - 1) * room);
      for (size_t c = 0; c < channels; ++c) spread[c] = elements[c / per_group];
      return static_cast<const float*>(spread);
    };
    ChannelNorm norm{};
    norm.rows = static_cast<size_t>(x.shape[0]) * groups;
    norm.groups = per_group;
    norm.n = static_cast<size_t>(x.shape.count(2, x.shape.rank()));
    norm.channels = channels;
    norm.epsilon = epsilon_;
    norm.src = scratch.in(x);
    norm.scale = operand(1);
    norm.shift = operand(2);
    norm.dst = scratch.out(y);
    channel_norm(norm, context.parallel);
    scratch.finish(y, norm.dst);
    return {};
  }
  bool can_overwrite(size_t input, size_t) const override { return input == 0; }

 private:
  float epsilon_ = 1e-5f;
  int64_t groups_ = 0;  // 0: one for each channel
  bool per_group_ = false;
};

class LpNormalization final : public Op {
 public:
  Status parse(NodeReader& reader) {
    axis_ = reader.integer("axis", -1);
    p_ = reader.integer("p", 2);
    LINNET_REQUIRE(p_ == 1 || p_ == 2, invalid_model("p is ", p_, " instead of 1 or 2"));
    return {};
  }
  Status infer(InferContext& context) const override {
    LINNET_TRY(check_float(context));
    if (context.ranked(0)) LINNET_TRY(checked_axis(axis_, context.shape(0).size()).status());
    return infer_same_as_input(context);
  }
  Status bind(BindContext& context) const override {
    if (context.dtype(0) != DType::f64) request_float_scratch(context);
    return {};
  }
  Status run(RunContext& context) const override {
    const Tensor& x = context.in(0);
    Tensor& y = context.out(0);
    LINNET_ASSIGN(const size_t axis, checked_axis(axis_, x.shape.rank()));
    if (x.count() == 0) return {};  // of however many empty rows
    const size_t outer = static_cast<size_t>(x.shape.count(0, axis));
    const size_t n = static_cast<size_t>(x.shape[axis]);
    const size_t inner = static_cast<size_t>(x.shape.count(axis + 1, x.shape.rank()));
    if (x.dtype == DType::f64) {
      lp_normalize(static_cast<int>(p_), outer, n, inner, x.ptr<double>(), y.ptr<double>(), context.parallel);
      return {};
    }
    FloatScratch scratch(context);
    const float* from = scratch.in(x);
    float* to = scratch.out(y);
    lp_normalize(static_cast<int>(p_), outer, n, inner, from, to, context.parallel);
    scratch.finish(y, to);
    return {};
  }
  bool can_overwrite(size_t, size_t) const override { return true; }

 private:
  int64_t axis_ = -1, p_ = 2;
};

class MeanVarianceNormalization final : public Op {
 public:
  Status parse(NodeReader& reader) {
    axes_ = reader.integers("axes", {0, 2, 3});
    return {};
  }
  Status infer(InferContext& context) const override {
    LINNET_TRY(check_float(context));
    if (context.ranked(0)) LINNET_TRY(checked_axes(axes_, context.shape(0).size()).status());
    return infer_same_as_input(context);
  }
  Status bind(BindContext& context) const override {
    const Shape& in = context.shape(0);
    LINNET_ASSIGN(const auto axes, checked_axes(axes_, in.rank()));
    InlineVector<bool, 8> reduce(in.rank(), false);
    Shape reduced = in;
    for (const size_t axis : axes) {
      reduce[axis] = true;
      reduced[axis] = 1;
    }
    const std::optional<ReducePlan> plan = plan_reduce(in.sizes(), {reduce.data(), reduce.size()});
    LINNET_REQUIRE(plan, unsupported("the axes of ", in, " alternate too often between reduced and kept"));
    Bound& bound = context.state<Bound>();
    bound.reduce = *plan;
    LINNET_ASSIGN(bound.spread, broadcast_plan(in, in, reduced));
    context.request_scratch(round_up(plan->outputs * sizeof(float), 64) + FloatScratch::bytes(context.dtype(0), in) +
                            FloatScratch::bytes(context.out_dtype(0), in));
    return {};
  }
  Status run(RunContext& context) const override {
    const Bound& bound = context.state<Bound>();
    const Parallel& parallel = context.parallel;
    const size_t outputs = bound.reduce.outputs;
    float* statistic = reinterpret_cast<float*>(context.scratch());
    FloatScratch scratch(context, round_up(outputs * sizeof(float), 64));
    const float* x = scratch.in(context.in(0));
    float* y = scratch.out(context.out(0));
    if (context.in(0).count() == 0) return {};
    reduce(ReduceFn::mean, bound.reduce, x, statistic, parallel);
    binary(BinaryFn::sub, bound.spread, x, statistic, y, parallel);
    reduce(ReduceFn::l2, bound.reduce, y, statistic, parallel);
    const float scale = 1.0f / std::sqrt(static_cast<float>(bound.reduce.per_output));
    for (size_t i = 0; i < outputs; ++i) statistic[i] = statistic[i] * scale + 1e-9f;
    binary(BinaryFn::div, bound.spread, y, statistic, y, parallel);
    scratch.finish(context.out(0), y);
    return {};
  }

 private:
  struct Bound {
    ReducePlan reduce;
    BroadcastPlan spread;
  };
  std::vector<int64_t> axes_;
};

class LocalResponseNormalization final : public Op {
 public:
  Status parse(NodeReader& reader) {
    alpha_ = reader.number("alpha", 0.0001f);
    beta_ = reader.number("beta", 0.75f);
    bias_ = reader.number("bias", 1.0f);
    size_ = reader.integer("size", 0);
    LINNET_REQUIRE(size_ > 0, invalid_model("size is ", size_, "; it must be positive"));
    return {};
  }
  Status infer(InferContext& context) const override {
    LINNET_TRY(check_float(context));
    if (context.ranked(0))
      LINNET_REQUIRE(context.shape(0).size() >= 2,
                     invalid_argument("the input has no channels: its rank is ", context.shape(0).size()));
    return infer_same_as_input(context);
  }
  Status bind(BindContext& context) const override {
    request_float_scratch(context);
    return {};
  }
  Status run(RunContext& context) const override {
    const Tensor& x = context.in(0);
    if (x.count() == 0) return {};
    FloatScratch scratch(context);
    const float* from = scratch.in(x);
    float* to = scratch.out(context.out(0));
    local_response(
        {static_cast<size_t>(x.shape[0]), static_cast<size_t>(x.shape[1]),
         static_cast<size_t>(x.shape.count(2, x.shape.rank())), static_cast<size_t>(size_), alpha_, beta_, bias_},
        from, to, context.parallel);
    scratch.finish(context.out(0), to);
    return {};
  }

 private:
  float alpha_ = 0.0001f, beta_ = 0.75f, bias_ = 1.0f;
  int64_t size_ = 1;
};

constexpr OpDef kDefs[] = {
    {"", "BatchNormalization", 1, 5, 5, 1, 5, create<BatchNormalization>},
    {"", "InstanceNormalization", 1, 3, 3, 1, 1, create<GroupNormalization>},
    {"", "GroupNormalization", 18, 3, 3, 1, 1, create<GroupNormalization>},
    {"", "LpNormalization", 1, 1, 1, 1, 1, create<LpNormalization>},
    {"", "MeanVarianceNormalization", 9, 1, 1, 1, 1, create<MeanVarianceNormalization>},
    {"", "LRN", 1, 1, 1, 1, 1, create<LocalResponseNormalization>},
};

}  // namespace

extern const std::span<const OpDef> kChannelNormalizationOps = kDefs;

}  // namespace linnet
