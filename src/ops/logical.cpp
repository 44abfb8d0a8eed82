// Comparisons and truth values: https://onnx.ai/onnx/operators/onnx__Equal.html, ...Less, LessOrEqual, Greater,
// GreaterOrEqual, And, Or, Xor, Not, IsNaN, IsInf; and BitwiseNot
#include <cmath>
#include <limits>

#include "kernels/elementwise/binary.h"
#include "ops/broadcast_plan.h"
#include "ops/infer_shapes.h"
#include "ops/legacy_broadcast.h"
#include "ops/op.h"
#include "ops/type_switch.h"

namespace linnet {
namespace {

// Two operands of one type, a bool result.
class Predicate : public Op {
 public:
  Status infer(InferContext& context) const override {
    LINNET_REQUIRE(
        context.dtype(0) == context.dtype(1),
        invalid_model("mixes elements of types ", dtype_name(context.dtype(0)), " and ", dtype_name(context.dtype(1))));
    if (legacy_.applies) {
      LINNET_TRY(check_legacy_broadcast(context, legacy_));
      if (context.ranked(0)) {
        context.set(0, DType::boolean, context.shape(0));
      } else {
        context.set_unranked(0, DType::boolean);
      }
      return {};
    }
    LINNET_ASSIGN(const std::optional<SymShape> shape, broadcast_inputs(context, 0, 2));
    if (shape) {
      context.set(0, DType::boolean, *shape);
    } else {
      context.set_unranked(0, DType::boolean);
    }
    return {};
  }
  Status bind(BindContext& context) const override {
    LINNET_ASSIGN(context.state<BroadcastPlan>(),
                  broadcast_plan(context.out_shape(0), context.shape(0),
                                 legacy_shape(legacy_, context.shape(1), context.shape(0).rank())));
    return {};
  }

 protected:
  LegacyBroadcast legacy_;
};

class Comparison final : public Predicate {
 public:
  Status parse(NodeReader& reader) {
    const std::string_view name = reader.op_type();
    fn_ = name == "Equal"         ? CompareFn::equal
          : name == "Less"        ? CompareFn::less
          : name == "LessOrEqual" ? CompareFn::less_or_equal
          : name == "Greater"     ? CompareFn::greater
                                  : CompareFn::greater_or_equal;
    legacy_ = read_legacy_broadcast(reader);
    return {};
  }
  Status infer(InferContext& context) const override {
    const DType type = context.dtype(0);
    LINNET_REQUIRE(is_number(type) || (fn_ == CompareFn::equal && (type == DType::boolean || type == DType::string)),
                   unsupported("cannot compare elements of type ", dtype_name(type)));
    LINNET_TRY(Predicate::infer(context));
    DimVector a, b;
    if (!context.ints(0, a) || !context.ints(1, b) || a.empty() || b.empty()) return {};
    if (a.size() != b.size() && a.size() != 1 && b.size() != 1) return {};
    DimVector out(std::max(a.size(), b.size()));
    for (size_t i = 0; i < out.size(); ++i)
      out[i] = compare_dims(a[a.size() == 1 ? 0 : i], b[b.size() == 1 ? 0 : i], context.symbols());
    context.set_ints(0, out);
    return {};
  }
  Status run(RunContext& context) const override {
    const Tensor& a = context.in(0);
    const Tensor& b = context.in(1);
    bool* dst = context.out(0).ptr<bool>();
    const BroadcastPlan& plan = context.state<BroadcastPlan>();
    if (a.dtype == DType::string) {
      for_each_block(plan, 50.0, context.parallel, [&](const BroadcastBlock& block) {
        for (size_t r = 0; r < block.rows; ++r)
          for (size_t i = 0; i < block.columns; ++i)
            dst[block.dst + r * block.columns + i] =
                a.ptr<std::string>()[block.src[0] + r * block.row_stride[0] + i * block.stride[0]] ==
                b.ptr<std::string>()[block.src[1] + r * block.row_stride[1] + i * block.stride[1]];
      });
      return {};
    }
    switch_number(a.dtype == DType::boolean ? DType::u8 : a.dtype, [&]<class T>(std::type_identity<T>) {
      compare(fn_, plan, static_cast<const T*>(a.data), static_cast<const T*>(b.data), dst, context.parallel);
    });
    return {};
  }

 private:
  // 0 or 1 where that is certain.
  Dim compare_dims(Dim a, Dim b, SymbolTable& symbols) const {
    if (a == b) return Dim(fn_ != CompareFn::less && fn_ != CompareFn::greater ? 1 : 0);
    // What a size is not below differs from what is negative.
    if (a.known() && a.value() < 0 && !b.known() && symbols.max(b, 0) == b) b = 0;
    if (b.known() && b.value() < 0 && !a.known() && symbols.max(a, 0) == a) a = 0;
    if (!a.known() || !b.known()) return {};
    switch (fn_) {
      case CompareFn::equal: return Dim(0);
      case CompareFn::less:
      case CompareFn::less_or_equal: return Dim(a.value() < b.value() ? 1 : 0);
      default: return Dim(a.value() > b.value() ? 1 : 0);
    }
  }

  CompareFn fn_ = CompareFn::equal;
};

class Connective final : public Predicate {
 public:
  Status parse(NodeReader& reader) {
    const std::string_view name = reader.op_type();
    fn_ = name == "And" ? BinaryFn::logical_and : name == "Or" ? BinaryFn::logical_or : BinaryFn::logical_xor;
    legacy_ = read_legacy_broadcast(reader);
    return {};
  }
  Status infer(InferContext& context) const override {
    LINNET_REQUIRE(context.dtype(0) == DType::boolean, invalid_model("takes bool, not ", dtype_name(context.dtype(0))));
    return Predicate::infer(context);
  }
  Status run(RunContext& context) const override {
    binary(fn_, context.state<BroadcastPlan>(), static_cast<const uint8_t*>(context.in(0).data),
           static_cast<const uint8_t*>(context.in(1).data), static_cast<uint8_t*>(context.out(0).data),
           context.parallel);
    return {};
  }
  bool can_overwrite(size_t, size_t) const override { return true; }

 private:
  BinaryFn fn_ = BinaryFn::logical_and;
};

// Everything by value: what the compiler must read again after each byte that is written cannot be vectorised.
template <class T, class R, class F>
void map_range(const T* src, R* dst, size_t count, F f) {
  for (size_t i = 0; i < count; ++i) dst[i] = f(src[i]);
}
// dst[i] = f(src[i]) over threads.
template <class T, class R, class F>
void map(const T* src, R* dst, int64_t count, const Parallel& parallel, F f) {
  parallel.for_range(static_cast<size_t>(count), grain_for(0.5),
                     [&](size_t begin, size_t end, size_t) { map_range(src + begin, dst + begin, end - begin, f); });
}

class Not final : public Op {
 public:
  Status parse(NodeReader& reader) {
    bitwise_ = reader.op_type() == "BitwiseNot";
    return {};
  }
  Status infer(InferContext& context) const override {
    const DType type = context.dtype(0);
    LINNET_REQUIRE(bitwise_ ? is_integer(type) : type == DType::boolean,
                   invalid_model("cannot take elements of type ", dtype_name(type)));
    DimVector elements;
    if (!bitwise_ && context.ints(0, elements)) {
      for (Dim& element : elements) element = element.known() ? Dim(element.value() == 0 ? 1 : 0) : Dim();
      context.set_ints(0, elements);
    }
    return infer_same_as_input(context);
  }
  Status run(RunContext& context) const override {
    const Tensor& src = context.in(0);
    Tensor& dst = context.out(0);
    if (!bitwise_) {
      map(static_cast<const uint8_t*>(src.data), static_cast<uint8_t*>(dst.data), src.count(), context.parallel,
          [](uint8_t x) { return static_cast<uint8_t>(x == 0); });
    } else {
      switch_integer(src.dtype, [&]<class T>(std::type_identity<T>) {
        map(src.ptr<T>(), dst.ptr<T>(), src.count(), context.parallel, [](T x) { return static_cast<T>(~x); });
      });
    }
    return {};
  }
  bool can_overwrite(size_t, size_t) const override { return true; }

 private:
  bool bitwise_ = false;
};

class Classification final : public Op {
 public:
  Status parse(NodeReader& reader) {
    nan_ = reader.op_type() == "IsNaN";
    if (nan_) return {};
    negative_ = reader.flag("detect_negative", true);
    positive_ = reader.flag("detect_positive", true);
    return {};
  }
  Status infer(InferContext& context) const override {
    LINNET_REQUIRE(is_float(context.dtype(0)) || is_float8(context.dtype(0)),
                   invalid_model("cannot take elements of type ", dtype_name(context.dtype(0))));
    if (context.ranked(0)) {
      context.set(0, DType::boolean, context.shape(0));
    } else {
      context.set_unranked(0, DType::boolean);
    }
    return {};
  }
  Status run(RunContext& context) const override {
    const Tensor& src = context.in(0);
    switch_type<float, f16, bf16, double, f8e4m3fn, f8e4m3fnuz, f8e5m2, f8e5m2fnuz, f8e8m0>(
        src.dtype, [&]<class T>(std::type_identity<T>) {
          using Number = std::conditional_t<std::is_same_v<T, double>, double, float>;
          constexpr Number kInfinity = std::numeric_limits<Number>::infinity();
          const auto tell = [&](auto is) {
            map(src.ptr<T>(), context.out(0).ptr<bool>(), src.count(), context.parallel,
                [is](T element) { return is(static_cast<Number>(element)); });
          };
          if (nan_) {
            tell([](Number x) { return x != x; });
          } else if (negative_ && positive_) {
            tell([](Number x) { return std::fabs(x) == kInfinity; });
          } else {
            const Number wanted = negative_ ? -kInfinity : kInfinity;
            const bool any = negative_ || positive_;
            tell([wanted, any](Number x) { return any & (x == wanted); });
          }
        });
    return {};
  }

 private:
  bool nan_ = false, negative_ = true, positive_ = true;
};

constexpr OpDef kDefs[] = {
    {"", "Equal", 1, 2, 2, 1, 1, create<Comparison>},
    {"", "Less", 1, 2, 2, 1, 1, create<Comparison>},
    {"", "LessOrEqual", 12, 2, 2, 1, 1, create<Comparison>},
    {"", "Greater", 1, 2, 2, 1, 1, create<Comparison>},
    {"", "GreaterOrEqual", 12, 2, 2, 1, 1, create<Comparison>},
    {"", "And", 1, 2, 2, 1, 1, create<Connective>},
    {"", "Or", 1, 2, 2, 1, 1, create<Connective>},
    {"", "Xor", 1, 2, 2, 1, 1, create<Connective>},
    {"", "Not", 1, 1, 1, 1, 1, create<Not>},
    {"", "BitwiseNot", 18, 1, 1, 1, 1, create<Not>},
    {"", "IsNaN", 9, 1, 1, 1, 1, create<Classification>},
    {"", "IsInf", 10, 1, 1, 1, 1, create<Classification>},
};

}  // namespace

extern const std::span<const OpDef> kLogicalOps = kDefs;

}  // namespace linnet
