// Arithmetic of two or more tensors with broadcasting:
// https://onnx.ai/onnx/operators/onnx__Add.html, ...Sub, Mul, Div, Pow, Mod, PRelu, BitShift, Bitwise*, Max, Min, Sum,
// Mean
#include "kernels/elementwise/binary.h"

#include "kernels/elementwise/unary.h"
#include "ops/broadcast_plan.h"
#include "ops/element_types.h"
#include "ops/float_scratch.h"
#include "ops/infer_shapes.h"
#include "ops/legacy_broadcast.h"
#include "ops/op.h"
#include "ops/type_switch.h"

namespace linnet {
namespace {

using TypeTest = bool (*)(DType) noexcept;

struct Function {
  std::string_view name;
  BinaryFn fn;
  TypeTest accepts;
};

constexpr Function kFunctions[] = {
    {"Add", BinaryFn::add, is_number},           {"Sub", BinaryFn::sub, is_number},
    {"Mul", BinaryFn::mul, is_number},           {"Div", BinaryFn::div, is_number},
    {"PRelu", BinaryFn::prelu, is_number},       {"BitwiseAnd", BinaryFn::bit_and, is_integer},
    {"BitwiseOr", BinaryFn::bit_or, is_integer}, {"BitwiseXor", BinaryFn::bit_xor, is_integer},
};

// The result's elements where all are small integers, for the shape arithmetic of a graph.
void track(InferContext& context, BinaryFn fn, size_t inputs) {
  DimVector total;
  for (size_t i = 0; i < inputs; ++i) {
    DimVector next;
    if (!context.ints(i, next)) return;
    if (i == 0) {
      total = next;
      continue;
    }
    if (total.size() != next.size() && total.size() != 1 && next.size() != 1) return;
    SymbolTable& symbols = context.symbols();
    DimVector combined(std::max(total.size(), next.size()));
    if (total.empty() || next.empty()) combined.clear();
    for (size_t k = 0; k < combined.size(); ++k) {
      const Dim a = total[total.size() == 1 ? 0 : k];
      const Dim b = next[next.size() == 1 ? 0 : k];
      Dim& out = combined[k];
      switch (fn) {
        case BinaryFn::add: out = symbols.add(a, b); break;
        case BinaryFn::sub: out = symbols.sub(a, b); break;
        case BinaryFn::mul: out = symbols.mul(a, b); break;
        case BinaryFn::min: out = symbols.min(a, b); break;
        case BinaryFn::max: out = symbols.max(a, b); break;
        case BinaryFn::div:
          // Sizes are not negative, so that truncation and rounding down agree; of known numbers, only where they do.
          if (!a.known() || !b.known()) {
            out = symbols.div(a, b);
          } else if (b.value() == 0) {
            out = Dim(0);
          } else if (b.value() != -1) {
            out = Dim(a.value() / b.value());
          } else {
            out = symbols.sub(Dim(0), a);
          }
          break;
        case BinaryFn::mod:
          if (a.known() && b.known() && a.value() >= 0 && b.value() > 0) out = Dim(a.value() % b.value());
          break;
        default: return;
      }
    }
    total = combined;
  }
  context.set_ints(0, total);
}

Status infer_arithmetic(InferContext& context, TypeTest accepts) {
  const DType type = context.dtype(0);
  LINNET_REQUIRE(accepts(type), unsupported("cannot take elements of type ", dtype_name(type)));
  for (size_t i = 1; i < context.inputs(); ++i) {
    LINNET_REQUIRE(context.has(i), invalid_model("leaves out input ", i));
    LINNET_REQUIRE(context.dtype(i) == type,
                   invalid_model("mixes elements of types ", dtype_name(type), " and ", dtype_name(context.dtype(i))));
  }
  LINNET_ASSIGN(const std::optional<SymShape> shape, broadcast_inputs(context, 0, context.inputs()));
  if (shape) {
    context.set(0, type, *shape);
  } else {
    context.set_unranked(0, type);
  }
  return {};
}

void run_binary(BinaryFn fn, const BroadcastPlan& plan, const Tensor& a, const Tensor& b, Tensor& dst,
                const Parallel& parallel) {
  switch_number(dst.dtype, [&]<class T>(std::type_identity<T>) {
    binary(fn, plan, a.ptr<T>(), b.ptr<T>(), dst.ptr<T>(), parallel);
  });
}

class Binary : public Op {
 public:
  Status parse(NodeReader& reader) {
    for (const Function& function : kFunctions) {
      if (function.name != reader.op_type()) continue;
      fn_ = function.fn;
      accepts_ = function.accepts;
      legacy_ = read_legacy_broadcast(reader);
      return {};
    }
    return unsupported(reader.op_type(), " is not a function of two numbers");
  }

  Status infer(InferContext& context) const override {
    if (legacy_.applies) {
      LINNET_REQUIRE(accepts_(context.dtype(0)),
                     unsupported("cannot take elements of type ", dtype_name(context.dtype(0))));
      LINNET_TRY(expect_same_type(context, 1, 0));
      LINNET_TRY(check_legacy_broadcast(context, legacy_));
      return infer_same_as_input(context);
    }
    LINNET_TRY(infer_arithmetic(context, accepts_));
    if (fn_ == BinaryFn::prelu && context.ranked(0)) {  // only the slope broadcasts
      if (context.shape(0).known() && context.ranked(1) && context.shape(1).known()) {
        LINNET_ASSIGN(const SymShape shape, broadcast_shapes(context.shape(0), context.shape(1), context.symbols()));
        LINNET_REQUIRE(shape == context.shape(0), invalid_argument("the slope does not broadcast to the input"));
      }
      return infer_same_as_input(context);
    }
    track(context, fn_, 2);
    return {};
  }

  Status bind(BindContext& context) const override {
    LINNET_ASSIGN(context.state<BroadcastPlan>(),
                  broadcast_plan(context.out_shape(0), context.shape(0),
                                 legacy_shape(legacy_, context.shape(1), context.shape(0).rank())));
    return {};
  }
  Status run(RunContext& context) const override {
    run_binary(fn_, context.state<BroadcastPlan>(), context.in(0), context.in(1), context.out(0), context.parallel);
    return {};
  }
  bool can_overwrite(size_t, size_t) const override { return true; }

 protected:
  BinaryFn fn_ = BinaryFn::add;
  TypeTest accepts_ = is_number;
  LegacyBroadcast legacy_;
};

class Mod final : public Binary {
 public:
  Status parse(NodeReader& reader) {
    fn_ = reader.flag("fmod", false) ? BinaryFn::fmod : BinaryFn::mod;
    return {};
  }
};

class BitShift final : public Binary {
 public:
  Status parse(NodeReader& reader) {
    const std::string direction = reader.text("direction", "");
    LINNET_REQUIRE(direction == "LEFT" || direction == "RIGHT",
                   invalid_model("direction is '", direction, "' instead of LEFT or RIGHT"));
    fn_ = direction == "LEFT" ? BinaryFn::shift_left : BinaryFn::shift_right;
    accepts_ = is_integer;
    return {};
  }
};

// The exponent may be of another type than the base, which decides the result's.
class Pow final : public Binary {
 public:
  Status parse(NodeReader& reader) {
    fn_ = BinaryFn::pow;
    legacy_ = read_legacy_broadcast(reader);
    return {};
  }
  Status infer(InferContext& context) const override {
    LINNET_REQUIRE(
        is_number(context.dtype(0)) && is_number(context.dtype(1)),
        unsupported("cannot raise ", dtype_name(context.dtype(0)), " to the power of ", dtype_name(context.dtype(1))));
    if (legacy_.applies) LINNET_TRY(check_legacy_broadcast(context, legacy_));
    if (legacy_.applies || !context.ranked(0)) return infer_same_as_input(context);
    LINNET_ASSIGN(const std::optional<SymShape> shape, broadcast_inputs(context, 0, 2));
    if (shape) {
      context.set(0, context.dtype(0), *shape);
    } else {
      context.set_unranked(0, context.dtype(0));
    }
    return {};
  }
  Status bind(BindContext& context) const override {
    if (context.dtype(0) != context.dtype(1))
      context.request_scratch(scratch_size(context.shape(1).count(), sizeof(double)));
    return Binary::bind(context);
  }
  Status run(RunContext& context) const override {
    const Tensor& a = context.in(0);
    const Tensor& b = context.in(1);
    Tensor& dst = context.out(0);
    const BroadcastPlan& plan = context.state<BroadcastPlan>();
    if (is_float_or_half(a.dtype) && b.count() == 1 && is_number(b.dtype)) {
      const double exponent = number_at(b, 0);
      if (exponent == 2.0) {
        const int64_t count = dst.count();
        const std::span<const int64_t> all(&count, 1), operands[] = {all, all};
        run_binary(BinaryFn::mul, *plan_broadcast(all, operands), a, a, dst, context.parallel);
        return {};
      }
      if (exponent == 3.0 && a.dtype == DType::f32) {
        const float* src = a.ptr<float>();
        // By pieces, for the output may be the input.
        context.parallel.for_range(static_cast<size_t>(dst.count()), 16384, [&](size_t begin, size_t end, size_t) {
          float squares[512];
          for (size_t i = begin; i < end; i += 512) {
            BroadcastBlock block;
            block.rows = 1;
            block.columns = std::min<size_t>(512, end - i);
            block.stride[0] = block.stride[1] = 1;
            binary_block(BinaryFn::mul, block, src + i, src + i, squares);
            binary_block(BinaryFn::mul, block, squares, src + i, dst.ptr<float>() + i);
          }
        });
        return {};
      }
      // The square root of -infinity is NaN, not infinity as the C library has its power: PyTorch does the same.
      const std::optional<UnaryFn> root = exponent == 0.5    ? std::optional(UnaryFn::sqrt)
                                          : exponent == -0.5 ? std::optional(UnaryFn::rsqrt)
                                          : exponent == -1.0 ? std::optional(UnaryFn::reciprocal)
                                                             : std::nullopt;
      if (root) {
        switch_float(a.dtype, [&]<class T>(std::type_identity<T>) {
          unary(*root, {}, a.ptr<T>(), dst.ptr<T>(), static_cast<size_t>(dst.count()), context.parallel);
        });
        return {};
      }
    }
    if (a.dtype == b.dtype) return Binary::run(context);
    double* exponents = reinterpret_cast<double*>(context.scratch());
    cast(number_type(b.dtype), b.data, NumberType::f64, exponents, static_cast<size_t>(b.count()), {},
         context.parallel);
    switch_number(a.dtype, [&]<class T>(std::type_identity<T>) {
      pow_mixed(plan, a.ptr<T>(), exponents, dst.ptr<T>(), context.parallel);
    });
    return {};
  }
  bool can_overwrite(size_t input, size_t) const override { return input == 0; }
};

// Max, Min, Sum, Mean of any number of tensors, from the left.
class Variadic final : public Op {
 public:
  Status parse(NodeReader& reader) {
    reader.ignore("consumed_inputs");
    mean_ = reader.op_type() == "Mean";
    fn_ = reader.op_type() == "Max" ? BinaryFn::max : reader.op_type() == "Min" ? BinaryFn::min : BinaryFn::add;
    inputs_ = reader.inputs();
    return {};
  }
  Status infer(InferContext& context) const override {
    LINNET_TRY(infer_arithmetic(context, is_number));
    if (!mean_) track(context, fn_, context.inputs());
    return {};
  }
  Status bind(BindContext& context) const override {
    const size_t n = std::max<size_t>(context.inputs(), 2);
    auto* plans = static_cast<BroadcastPlan*>(context.allocate_state(n * sizeof(BroadcastPlan)));
    const Shape& result = context.out_shape(0);
    for (size_t i = 1; i < context.inputs(); ++i) {
      LINNET_ASSIGN(const BroadcastPlan plan,
                    broadcast_plan(result, i == 1 ? context.shape(0) : result, context.shape(i)));
      new (&plans[i]) BroadcastPlan(plan);
    }
    new (&plans[0]) BroadcastPlan(scalar_plan(result));
    return {};
  }
  Status run(RunContext& context) const override {
    const auto* plans = &context.state<BroadcastPlan>();
    Tensor& dst = context.out(0);
    if (inputs_ == 1) copy_elements(context.in(0), dst);
    for (size_t i = 1; i < inputs_; ++i)
      run_binary(fn_, plans[i], i == 1 ? context.in(0) : dst, context.in(i), dst, context.parallel);
    if (mean_ && inputs_ > 1) {
      switch_number(dst.dtype, [&]<class T>(std::type_identity<T>) {
        const T divisor = static_cast<T>(static_cast<float>(inputs_));
        binary(BinaryFn::div, plans[0], dst.ptr<T>(), &divisor, dst.ptr<T>(), context.parallel);
      });
    }
    return {};
  }
  // The third input and those behind it are read after the output was written.
  bool can_overwrite(size_t input, size_t) const override { return input < 2; }

 private:
  BinaryFn fn_ = BinaryFn::add;
  bool mean_ = false;
  size_t inputs_ = 0;
};

constexpr OpDef kDefs[] = {
    {"", "Add", 1, 2, 2, 1, 1, create<Binary>},
    {"", "Sub", 1, 2, 2, 1, 1, create<Binary>},
    {"", "Mul", 1, 2, 2, 1, 1, create<Binary>},
    {"", "Div", 1, 2, 2, 1, 1, create<Binary>},
    {"", "PRelu", 1, 2, 2, 1, 1, create<Binary>},
    {"", "BitwiseAnd", 18, 2, 2, 1, 1, create<Binary>},
    {"", "BitwiseOr", 18, 2, 2, 1, 1, create<Binary>},
    {"", "BitwiseXor", 18, 2, 2, 1, 1, create<Binary>},
    {"", "BitShift", 11, 2, 2, 1, 1, create<BitShift>},
    {"", "Mod", 10, 2, 2, 1, 1, create<Mod>},
    {"", "Pow", 1, 2, 2, 1, 1, create<Pow>},
    {"", "Max", 1, 1, kAnyNumber, 1, 1, create<Variadic>},
    {"", "Min", 1, 1, kAnyNumber, 1, 1, create<Variadic>},
    {"", "Sum", 1, 1, kAnyNumber, 1, 1, create<Variadic>},
    {"", "Mean", 1, 1, kAnyNumber, 1, 1, create<Variadic>},
};

}  // namespace

extern const std::span<const OpDef> kBinaryOps = kDefs;

}  // namespace linnet
