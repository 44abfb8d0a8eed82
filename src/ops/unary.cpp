// Functions of one number: https://onnx.ai/onnx/operators/ (Abs ... ThresholdedRelu), and the Gelu forms of
// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
#include "kernels/elementwise/unary.h"
#include <limits>

#include "kernels/elementwise/binary.h"
#include "ops/broadcast_plan.h"
#include "ops/elementwise.h"
#include "ops/infer_shapes.h"
#include "ops/op.h"
#include "ops/type_switch.h"

namespace linnet {
namespace {

constexpr UnaryFunction kFunctions[] = {
    {"Abs", UnaryFn::abs, true},
    {"Acos", UnaryFn::acos},
    {"Acosh", UnaryFn::acosh},
    {"Asin", UnaryFn::asin},
    {"Asinh", UnaryFn::asinh},
    {"Atan", UnaryFn::atan},
    {"Atanh", UnaryFn::atanh},
    {"Ceil", UnaryFn::ceil},
    {"Celu", UnaryFn::celu, false, "alpha", 1.0f},
    {"Clip", UnaryFn::clip},
    {"Cos", UnaryFn::cos},
    {"Cosh", UnaryFn::cosh},
    {"Elu", UnaryFn::elu, false, "alpha", 1.0f},
    {"Erf", UnaryFn::erf, true},
    {"Exp", UnaryFn::exp},
    {"FastGelu", UnaryFn::gelu_tanh},
    {"Floor", UnaryFn::floor},
    {"Gelu", UnaryFn::gelu_erf},
    {"HardSigmoid", UnaryFn::hard_sigmoid, false, "alpha", 0.2f, "beta", 0.5f},
    {"HardSwish", UnaryFn::hard_swish},
    {"LeakyRelu", UnaryFn::leaky_relu, false, "alpha", 0.01f},
    {"Log", UnaryFn::log},
    {"Mish", UnaryFn::mish},
    {"Neg", UnaryFn::neg, true},
    {"QuickGelu", UnaryFn::swish, false, "alpha", 1.702f},
    {"Reciprocal", UnaryFn::reciprocal},
    {"Relu", UnaryFn::relu, true},
    {"Round", UnaryFn::round},
    {"Rsqrt", UnaryFn::rsqrt},
    {"Selu", UnaryFn::selu, false, "alpha", 1.67326319217681884765625f, "gamma", 1.05070102214813232421875f},
    {"Shrink", UnaryFn::shrink, true, "lambd", 0.5f, "bias", 0.0f},
    {"Sigmoid", UnaryFn::sigmoid},
    {"Sign", UnaryFn::sign, true},
    {"Sin", UnaryFn::sin},
    {"Sinh", UnaryFn::sinh},
    {"Softplus", UnaryFn::softplus},
    {"Softsign", UnaryFn::softsign},
    {"Sqrt", UnaryFn::sqrt},
    {"Swish", UnaryFn::swish, false, "alpha", 1.0f},
    {"Tan", UnaryFn::tan},
    {"Tanh", UnaryFn::tanh},
    {"ThresholdedRelu", UnaryFn::thresholded_relu, false, "alpha", 1.0f},
};

class Unary : public Op {
 public:
  Status parse(NodeReader& reader) {
    const UnaryFunction* function = unary_function(reader.op_type());
    LINNET_REQUIRE(function, unsupported(reader.op_type(), " is not a function of one number"));
    reader.ignore("consumed_inputs");
    fn_ = function->fn;
    integers_ = function->integers;
    if (!function->alpha.empty()) params_.alpha = reader.number(function->alpha, function->alpha_default);
    if (!function->beta.empty()) params_.beta = reader.number(function->beta, function->beta_default);
    return {};
  }

  Status infer(InferContext& context) const override {
    const DType type = context.dtype(0);
    LINNET_REQUIRE(is_float(type) || (integers_ && is_integer(type)),
                   unsupported("cannot take elements of type ", dtype_name(type)));
    DimVector elements;
    if (fn_ == UnaryFn::neg && context.ints(0, elements)) {
      for (Dim& element : elements) element = context.symbols().sub(Dim(0), element);
      context.set_ints(0, elements);
    }
    return infer_same_as_input(context);
  }

  Status run(RunContext& context) const override {
    apply(context, context.in(0).data, context.out(0));
    return {};
  }
  bool can_overwrite(size_t input, size_t) const override { return input == 0; }

 protected:
  void apply(RunContext& context, const void* src, Tensor& dst) const {
    switch_number(dst.dtype, [&]<class T>(std::type_identity<T>) {
      unary(fn_, params_, static_cast<const T*>(src), dst.ptr<T>(), static_cast<size_t>(dst.count()), context.parallel);
    });
  }

  UnaryFn fn_ = UnaryFn::abs;
  UnaryParams params_;
  bool integers_ = false;
};

// Gelu, and its forms with a bias of the last axis' size that is added first.
class Gelu final : public Unary {
 public:
  Status parse(NodeReader& reader) {
    const std::string approximate = reader.op_type() == "FastGelu" ? "tanh" : reader.text("approximate", "none");
    LINNET_REQUIRE(approximate == "none" || approximate == "tanh", invalid_model("approximate is '", approximate, "'"));
    fn_ = approximate == "tanh" ? UnaryFn::gelu_tanh : UnaryFn::gelu_erf;
    return {};
  }
  Status infer(InferContext& context) const override {
    LINNET_TRY(Unary::infer(context));
    if (!context.has(1)) return {};
    LINNET_REQUIRE(context.dtype(1) == context.dtype(0), invalid_model("the bias' type is not that of the input"));
    if (!context.ranked(0) || !context.ranked(1) || !context.shape(0).known() || !context.shape(1).known()) return {};
    LINNET_ASSIGN(const SymShape shape, broadcast_shapes(context.shape(0), context.shape(1), context.symbols()));
    LINNET_REQUIRE(shape == context.shape(0), invalid_argument("the bias does not broadcast to the input"));
    return {};
  }
  Status bind(BindContext& context) const override {
    if (!context.has(1)) return {};
    LINNET_ASSIGN(context.state<BroadcastPlan>(),
                  broadcast_plan(context.out_shape(0), context.shape(0), context.shape(1)));
    return {};
  }
  Status run(RunContext& context) const override {
    const Tensor* bias = context.maybe(1);
    if (!bias) return Unary::run(context);
    Tensor& dst = context.out(0);
    switch_float(dst.dtype, [&]<class T>(std::type_identity<T>) {
      binary(BinaryFn::add, context.state<BroadcastPlan>(), context.in(0).ptr<T>(), bias->ptr<T>(), dst.ptr<T>(),
             context.parallel);
    });
    apply(context, dst.data, dst);
    return {};
  }
};

// A limit that is left out is the least or greatest finite number. Limits come in any numeric type: operator sets
// before 11 had them as float attributes.
class Clip final : public Op {
 public:
  Status parse(NodeReader& reader) {
    reader.ignore("consumed_inputs");
    return {};
  }
  Status infer(InferContext& context) const override {
    LINNET_REQUIRE(is_number(context.dtype(0)),
                   unsupported("cannot take elements of type ", dtype_name(context.dtype(0))));
    for (const size_t i : {size_t{1}, size_t{2}}) {
      if (!context.has(i)) continue;
      LINNET_REQUIRE(is_number(context.dtype(i)), invalid_model("a limit is of type ", dtype_name(context.dtype(i))));
      if (!context.ranked(i)) continue;
      const Dim count = context.symbols().product(context.shape(i), 0, context.shape(i).size());
      LINNET_REQUIRE(!count.known() || count.is(1),
                     invalid_argument("a limit has ", count.value(), " elements instead of one"));
    }
    return infer_same_as_input(context);
  }
  Status bind(BindContext& context) const override {
    context.state<BroadcastPlan>() = scalar_plan(context.shape(0));
    return {};
  }
  Status run(RunContext& context) const override {
    const Tensor& src = context.in(0);
    Tensor& dst = context.out(0);
    const auto clip = [&]<class T>(std::type_identity<T>, float greatest) {
      const UnaryParams limits{limit<float>(context, 1, -greatest), limit<float>(context, 2, greatest)};
      unary(UnaryFn::clip, limits, src.ptr<T>(), dst.ptr<T>(), static_cast<size_t>(src.count()), context.parallel);
      return Status();
    };
    if (src.dtype == DType::f32) return clip(std::type_identity<float>(), std::numeric_limits<float>::max());
    if (src.dtype == DType::f16) return clip(std::type_identity<f16>(), 65504.0f);
    if (src.dtype == DType::bf16) return clip(std::type_identity<bf16>(), 0x1.fep127f);
    switch_type<double, int64_t, int32_t, uint8_t, int8_t, int16_t, uint16_t, uint32_t, uint64_t>(
        src.dtype, [&]<class T>(std::type_identity<T>) {
          const T low = limit<T>(context, 1, std::numeric_limits<T>::lowest());
          const T high = limit<T>(context, 2, std::numeric_limits<T>::max());
          const BroadcastPlan& plan = context.state<BroadcastPlan>();
          binary(BinaryFn::max, plan, src.ptr<T>(), &low, dst.ptr<T>(), context.parallel);
          binary(BinaryFn::min, plan, dst.ptr<T>(), &high, dst.ptr<T>(), context.parallel);
        });
    return {};
  }
  bool can_overwrite(size_t input, size_t) const override { return input == 0; }

 private:
  template <class T>
  static T limit(RunContext& context, size_t input, T fallback) {
    const Tensor* tensor = context.maybe(input);
    if (!tensor) return fallback;
    if (tensor->dtype == dtype_of<T>) return *tensor->ptr<T>();
    const double value = number_at(*tensor, 0);
    if (value >= static_cast<double>(std::numeric_limits<T>::max())) return std::numeric_limits<T>::max();
    if (value <= static_cast<double>(std::numeric_limits<T>::lowest())) return std::numeric_limits<T>::lowest();
    return static_cast<T>(value);
  }
};

#define LINNET_UNARY(name, since) \
  { "", name, since, 1, 1, 1, 1, create<Unary> }
constexpr OpDef kDefs[] = {
    LINNET_UNARY("Abs", 1),
    LINNET_UNARY("Acos", 7),
    LINNET_UNARY("Acosh", 9),
    LINNET_UNARY("Asin", 7),
    LINNET_UNARY("Asinh", 9),
    LINNET_UNARY("Atan", 7),
    LINNET_UNARY("Atanh", 9),
    LINNET_UNARY("Ceil", 1),
    LINNET_UNARY("Celu", 12),
    LINNET_UNARY("Cos", 7),
    LINNET_UNARY("Cosh", 9),
    LINNET_UNARY("Elu", 1),
    LINNET_UNARY("Erf", 9),
    LINNET_UNARY("Exp", 1),
    LINNET_UNARY("Floor", 1),
    LINNET_UNARY("HardSigmoid", 1),
    LINNET_UNARY("HardSwish", 14),
    LINNET_UNARY("LeakyRelu", 1),
    LINNET_UNARY("Log", 1),
    LINNET_UNARY("Mish", 18),
    LINNET_UNARY("Neg", 1),
    LINNET_UNARY("Reciprocal", 1),
    LINNET_UNARY("Relu", 1),
    LINNET_UNARY("Round", 11),
    LINNET_UNARY("Selu", 1),
    LINNET_UNARY("Shrink", 9),
    LINNET_UNARY("Sigmoid", 1),
    LINNET_UNARY("Sign", 9),
    LINNET_UNARY("Sin", 7),
    LINNET_UNARY("Sinh", 9),
    LINNET_UNARY("Softplus", 1),
    LINNET_UNARY("Softsign", 1),
    LINNET_UNARY("Sqrt", 1),
    LINNET_UNARY("Swish", 24),
    LINNET_UNARY("Tan", 7),
    LINNET_UNARY("Tanh", 1),
    LINNET_UNARY("ThresholdedRelu", 1),
    {"", "Clip", 11, 1, 3, 1, 1, create<Clip>},
    {"", "Gelu", 20, 1, 1, 1, 1, create<Gelu>},
    {"com.microsoft", "Gelu", 1, 1, 1, 1, 1, create<Gelu>},
    {"com.microsoft", "BiasGelu", 1, 2, 2, 1, 1, create<Gelu>},
    {"com.microsoft", "FastGelu", 1, 1, 2, 1, 1, create<Gelu>},
    {"com.microsoft", "QuickGelu", 1, 1, 1, 1, 1, create<Unary>},
};
#undef LINNET_UNARY

}  // namespace

const UnaryFunction* unary_function(std::string_view name) noexcept {
  for (const UnaryFunction& function : kFunctions)
    if (function.name == name) return &function;
  return nullptr;
}

extern const std::span<const OpDef> kUnaryOps = kDefs;

}  // namespace linnet
