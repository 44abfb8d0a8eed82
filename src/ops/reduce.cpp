// https://onnx.ai/onnx/operators/onnx__ReduceSum.html and its relatives, ...ArgMax, ...ArgMin, ...CumSum, ...CumProd
#include "kernels/reduce/reduce.h"

#include "ops/float_scratch.h"
#include "ops/infer_shapes.h"
#include "ops/op.h"
#include "ops/type_switch.h"

namespace linnet {
namespace {

struct Function {
  std::string_view name;
  ReduceFn fn;
};

constexpr Function kFunctions[] = {
    {"ReduceSum", ReduceFn::sum},        {"ReduceMean", ReduceFn::mean},
    {"ReduceMax", ReduceFn::max},        {"ReduceMin", ReduceFn::min},
    {"ReduceProd", ReduceFn::prod},      {"ReduceSumSquare", ReduceFn::sum_square},
    {"ReduceL1", ReduceFn::l1},          {"ReduceL2", ReduceFn::l2},
    {"ReduceLogSum", ReduceFn::log_sum}, {"ReduceLogSumExp", ReduceFn::log_sum_exp},
};

using AxisSet = InlineVector<bool, 8>;

class Reduce final : public Op {
 public:
  Status parse(NodeReader& reader) {
    for (const Function& function : kFunctions)
      if (function.name == reader.op_type()) fn_ = function.fn;
    keep_ = reader.flag("keepdims", true);
    noop_ = reader.flag("noop_with_empty_axes", false);
    return {};
  }

  Status infer(InferContext& context) const override {
    const DType type = context.dtype(0);
    const bool ordered = fn_ == ReduceFn::max || fn_ == ReduceFn::min;
    LINNET_REQUIRE(is_number(type) || (ordered && type == DType::boolean),
                   unsupported("cannot reduce elements of type ", dtype_name(type)));
    if (context.has(1)) {
      LINNET_REQUIRE(is_integer(context.dtype(1)),
                     invalid_model("the axes are of type ", dtype_name(context.dtype(1))));
      LINNET_REQUIRE(!context.ranked(1) || context.shape(1).size() <= 1,
                     invalid_argument("the axes are of rank ", context.shape(1).size()));
    }
    DimVector axes;
    const bool known = !context.has(1) || (context.list(1, axes) && axes.known());
    if (!context.ranked(0) || !known) {
      if (context.ranked(0) && keep_) {
        context.set(0, type, SymShape(context.shape(0).size()));
      } else {
        context.set_unranked(0, type);
      }
      return {};
    }
    const SymShape& in = context.shape(0);
    LINNET_ASSIGN(const AxisSet reduced, axes_of(axes.values().sizes(), in.size()));
    SymShape out;
    for (size_t i = 0; i < in.size(); ++i) {
      if (!reduced[i]) {
        out.push_back(in[i]);
      } else if (keep_) {
        out.push_back(Dim(1));
      }
    }
    context.set(0, type, std::move(out));
    track(context);
    return {};
  }

  Status bind(BindContext& context) const override {
    const Shape& in = context.shape(0);
    Shape axes;
    if (context.has(1)) {
      const Tensor* list = context.known(1);
      LINNET_REQUIRE(list, error(Code::internal, "the axes are not known when the shapes are"));
      for (int64_t i = 0; i < list->count(); ++i) axes.push_back(integer_at(*list, i));
    }
    LINNET_ASSIGN(const AxisSet reduced, axes_of(axes.sizes(), in.rank()));
    const std::optional<ReducePlan> plan = plan_reduce(in.sizes(), {reduced.data(), reduced.size()});
    LINNET_REQUIRE(plan, unsupported("the axes of ", in, " alternate too often between reduced and kept"));
    context.state<ReducePlan>() = *plan;
    if (through_floats(context.dtype(0))) request_float_scratch(context);
    return {};
  }

  Status run(RunContext& context) const override {
    const Tensor& src = context.in(0);
    if (through_floats(src.dtype)) {
      FloatScratch floats(context);
      const float* from = floats.in(src);
      float* to = floats.out(context.out(0));
      reduce(fn_, context.state<ReducePlan>(), from, to, context.parallel);
      floats.finish(context.out(0), to);
      return {};
    }
    switch_number(src.dtype == DType::boolean ? DType::u8 : src.dtype, [&]<class T>(std::type_identity<T>) {
      reduce(fn_, context.state<ReducePlan>(), static_cast<const T*>(src.data), static_cast<T*>(context.out(0).data),
             context.parallel);
    });
    return {};
  }

 private:
  // Squares and products of halves may leave the range of float where their root or a later factor is within it.
  bool through_floats(DType type) const noexcept {
    const bool linear = fn_ == ReduceFn::sum || fn_ == ReduceFn::mean || fn_ == ReduceFn::max || fn_ == ReduceFn::min ||
                        fn_ == ReduceFn::l1;
    return linear && type != DType::f32 && is_float_or_half(type);
  }
  Result<AxisSet> axes_of(std::span<const int64_t> axes, size_t rank) const {
    AxisSet reduced(rank, axes.empty() && !noop_);
    LINNET_ASSIGN(const auto checked, checked_axes(axes, rank));
    for (const size_t axis : checked) reduced[axis] = true;
    return reduced;
  }
  // Products and sums of shapes.
  void track(InferContext& context) const {
    DimVector elements;
    if (!context.ints(0, elements) || context.shape(0).size() != 1 || elements.empty()) return;
    Dim total = elements[0];
    for (size_t i = 1; i < elements.size(); ++i) {
      SymbolTable& symbols = context.symbols();
      switch (fn_) {
        case ReduceFn::sum: total = symbols.add(total, elements[i]); break;
        case ReduceFn::prod: total = symbols.mul(total, elements[i]); break;
        case ReduceFn::max: total = symbols.max(total, elements[i]); break;
        case ReduceFn::min: total = symbols.min(total, elements[i]); break;
        default: return;
      }
    }
    DimVector axes;
    if (noop_ && (!context.list(1, axes) || axes.empty())) return;
    if (fn_ == ReduceFn::sum || fn_ == ReduceFn::prod || fn_ == ReduceFn::max || fn_ == ReduceFn::min)
      context.set_ints(0, {total});
  }

  ReduceFn fn_ = ReduceFn::sum;
  bool keep_ = true, noop_ = false;
};

class ArgReduction final : public Op {
 public:
  Status parse(NodeReader& reader) {
    max_ = reader.op_type() == "ArgMax";
    axis_ = reader.integer("axis", 0);
    keep_ = reader.flag("keepdims", true);
    last_ = reader.flag("select_last_index", false);
    return {};
  }
  Status infer(InferContext& context) const override {
    LINNET_REQUIRE(is_number(context.dtype(0)),
                   unsupported("cannot compare elements of type ", dtype_name(context.dtype(0))));
    if (!context.ranked(0)) {
      context.set_unranked(0, DType::i64);
      return {};
    }
    SymShape shape = context.shape(0);
    LINNET_ASSIGN(const size_t axis, checked_axis(axis_, shape.size()));
    const Dim outputs = context.symbols().mul(context.symbols().product(shape, 0, axis),
                                              context.symbols().product(shape, axis + 1, shape.size()));
    LINNET_REQUIRE(!shape[axis].is(0) || outputs.is(0),
                   invalid_argument("axis ", axis_, " is empty: no element is the greatest or least"));
    if (keep_) {
      shape[axis] = Dim(1);
    } else {
      shape.erase(axis);
    }
    context.set(0, DType::i64, std::move(shape));
    return {};
  }
  Status bind(BindContext& context) const override {
    const Shape& in = context.shape(0);
    LINNET_ASSIGN(const size_t axis, checked_axis(axis_, in.rank()));
    context.state<ArgReduce>() = {static_cast<size_t>(in.count(0, axis)), static_cast<size_t>(in[axis]),
                                  static_cast<size_t>(in.count(axis + 1, in.rank())), max_, last_};
    return {};
  }
  Status run(RunContext& context) const override {
    const ArgReduce& what = context.state<ArgReduce>();
    if (what.n == 0) return {};
    switch_number(context.in(0).dtype, [&]<class T>(std::type_identity<T>) {
      arg_reduce(what, context.in(0).ptr<T>(), context.out(0).ptr<int64_t>(), context.parallel);
    });
    return {};
  }

 private:
  bool max_ = true, keep_ = true, last_ = false;
  int64_t axis_ = 0;
};

class Cumulation final : public Op {
 public:
  Status parse(NodeReader& reader) {
    what_.product = reader.op_type() == "CumProd";
    what_.exclusive = reader.flag("exclusive", false);
    what_.reverse = reader.flag("reverse", false);
    return {};
  }
  Status infer(InferContext& context) const override {
    LINNET_REQUIRE(is_number(context.dtype(0)),
                   unsupported("cannot take elements of type ", dtype_name(context.dtype(0))));
    return infer_same_as_input(context);
  }
  Status run(RunContext& context) const override {
    const Tensor& src = context.in(0);
    const Tensor& axis_tensor = context.in(1);
    LINNET_REQUIRE(axis_tensor.count() == 1 && is_integer(axis_tensor.dtype),
                   invalid_argument("the axis is not one integer"));
    LINNET_ASSIGN(const size_t axis, checked_axis(integer_at(axis_tensor, 0), src.shape.rank()));
    Cumulative what = what_;
    what.outer = static_cast<size_t>(src.shape.count(0, axis));
    what.n = static_cast<size_t>(src.shape[axis]);
    what.inner = static_cast<size_t>(src.shape.count(axis + 1, src.shape.rank()));
    switch_number(src.dtype, [&]<class T>(std::type_identity<T>) {
      cumulate(what, src.ptr<T>(), context.out(0).ptr<T>(), context.parallel);
    });
    return {};
  }
  bool can_overwrite(size_t input, size_t) const override { return input == 0; }

 private:
  Cumulative what_{};
};

constexpr OpDef kDefs[] = {
    {"", "ReduceSum", 13, 1, 2, 1, 1, create<Reduce>},    {"", "ReduceMean", 18, 1, 2, 1, 1, create<Reduce>},
    {"", "ReduceMax", 18, 1, 2, 1, 1, create<Reduce>},    {"", "ReduceMin", 18, 1, 2, 1, 1, create<Reduce>},
    {"", "ReduceProd", 18, 1, 2, 1, 1, create<Reduce>},   {"", "ReduceSumSquare", 18, 1, 2, 1, 1, create<Reduce>},
    {"", "ReduceL1", 18, 1, 2, 1, 1, create<Reduce>},     {"", "ReduceL2", 18, 1, 2, 1, 1, create<Reduce>},
    {"", "ReduceLogSum", 18, 1, 2, 1, 1, create<Reduce>}, {"", "ReduceLogSumExp", 18, 1, 2, 1, 1, create<Reduce>},
    {"", "ArgMax", 1, 1, 1, 1, 1, create<ArgReduction>},  {"", "ArgMin", 1, 1, 1, 1, 1, create<ArgReduction>},
    {"", "CumSum", 11, 2, 2, 1, 1, create<Cumulation>},   {"", "CumProd", 26, 2, 2, 1, 1, create<Cumulation>},
};

}  // namespace

extern const std::span<const OpDef> kReduceOps = kDefs;

}  // namespace linnet
