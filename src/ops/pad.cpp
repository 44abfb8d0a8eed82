// https://onnx.ai/onnx/operators/onnx__Pad.html
#include "kernels/movement/pad.h"

#include "ops/element_types.h"
#include "ops/infer_shapes.h"
#include "ops/packed_scratch.h"

namespace linnet {
namespace {

// `before` and `after` the axes; negative ones cut.
struct Pads {
  Shape before, after;
};

Result<Pads> pads_of(std::span<const int64_t> pads, std::span<const int64_t> axes, size_t rank) {
  LINNET_REQUIRE(pads.size() == 2 * axes.size(),
                 invalid_argument("'pads' lists ", pads.size(), " numbers for ", axes.size(), " axes"));
  LINNET_ASSIGN(const auto checked, checked_axes(axes, rank));
  Pads out{Shape(rank, 0), Shape(rank, 0)};
  for (size_t i = 0; i < checked.size(); ++i) {
    out.before[checked[i]] = pads[i];
    out.after[checked[i]] = pads[axes.size() + i];
  }
  return out;
}

Shape all_axes(size_t rank) {
  Shape axes(rank);
  for (size_t a = 0; a < rank; ++a) axes[a] = static_cast<int64_t>(a);
  return axes;
}

struct Padded {
  bool planned = false;
  PadPlan plan;
};

class Pad final : public Op {
 public:
  Status parse(NodeReader& reader) {
    const std::string mode = reader.text("mode", "constant");
    constexpr std::string_view kModes[] = {"constant", "reflect", "edge", "wrap"};
    for (size_t i = 0; i < std::size(kModes); ++i)
      if (mode == kModes[i]) {
        mode_ = static_cast<PadMode>(i);
        return {};
      }
    return invalid_model("mode '", mode, "' is not known");
  }

  Status infer(InferContext& context) const override {
    LINNET_TRY(expect_type(context, 0, kWholeTypes | kPackedTypes));
    LINNET_TRY(expect_type(context, 1, TypeSet{DType::i64}));
    const bool converted = context.has(2) && context.dtype(2) == DType::f32 && kFloatTypes.has(context.dtype(0));
    if (!converted) LINNET_TRY(expect_same_type(context, 2, 0));  // else an attribute of an old operator set
    LINNET_TRY(expect_one_element(context, 2));
    LINNET_TRY(expect_type(context, 3, kIndexTypes));
    if (!context.ranked(0)) {
      context.set_unranked(0, context.dtype(0));
      return {};
    }
    SymShape shape = context.shape(0);
    DimVector pads, axes;
    if (!context.has(3)) axes = all_axes(shape.size());
    if (!context.list(1, pads) || (context.has(3) && !context.list(3, axes)) || !axes.known()) {
      context.set(0, context.dtype(0), SymShape(shape.size()));
      return {};
    }
    LINNET_REQUIRE(pads.size() == 2 * axes.size(),
                   invalid_argument("'pads' lists ", pads.size(), " numbers for ", axes.size(), " axes"));
    LINNET_ASSIGN(const auto checked, checked_axes(axes.values().sizes(), shape.size()));
    SymbolTable& symbols = context.symbols();
    for (size_t i = 0; i < checked.size(); ++i) {
      Dim& size = shape[checked[i]];
      const Dim before = pads[i], after = pads[axes.size() + i];
      if (size.known() && before.known() && after.known())
        LINNET_TRY(pad_axis(size.value(), before.value(), after.value()).status());
      size = symbols.add(symbols.add(size, before), after);
    }
    context.set(0, context.dtype(0), std::move(shape));
    return {};
  }

  Status bind(BindContext& context) const override {
    Padded& state = context.state<Padded>();
    request_packed_scratch(context);
    const Tensor* pads = context.known(1);
    const Tensor* axes = context.has(3) ? context.known(3) : nullptr;
    if (!pads || (context.has(3) && !axes)) return {};
    LINNET_ASSIGN(state.plan, plan(context.shape(0), *pads, axes));
    state.planned = true;
    if (state.plan.axes == 0) context.alias(0, 0, 0);
    return {};
  }

  Status run(RunContext& context) const override {
    const Padded& state = context.state<Padded>();
    if (state.planned) return pad(context, state.plan);
    LINNET_ASSIGN(const PadPlan made, plan(context.in(0).shape, context.in(1), context.maybe(3)));
    return pad(context, made);
  }

 private:
  Result<PadPlan::Axis> pad_axis(int64_t size, int64_t before, int64_t after) const {
    PadPlan::Axis axis;
    const std::optional<int64_t> part = checked_add(size, std::min<int64_t>(before, 0));
    const std::optional<int64_t> block = part ? checked_add(*part, std::min<int64_t>(after, 0)) : std::nullopt;
    LINNET_REQUIRE(block && *block >= 0,
                   invalid_argument("pads of ", before, " and ", after, " cut away more than the axis of size ", size));
    axis.start = before < 0 ? -before : 0;
    axis.block = *block;
    axis.before = std::max<int64_t>(before, 0);
    const std::optional<int64_t> front = checked_add(axis.block, axis.before);
    const std::optional<int64_t> out = front ? checked_add(*front, std::max<int64_t>(after, 0)) : std::nullopt;
    LINNET_REQUIRE(out, invalid_argument("pads of ", before, " and ", after, " are too large"));
    axis.out = *out;
    LINNET_REQUIRE(axis.block > 0 || axis.out == 0 || mode_ == PadMode::constant,
                   invalid_argument("an empty axis can only be padded with a constant"));
    return axis;
  }

  Result<PadPlan> plan(const Shape& in, const Tensor& pads_input, const Tensor* axes_input) const {
    const size_t rank = in.rank();
    LINNET_ASSIGN(const Pads pads, pads_of(integers_of(pads_input).sizes(),
                                           (axes_input ? integers_of(*axes_input) : all_axes(rank)).sizes(), rank));
    PadPlan plan;
    plan.mode = mode_;
    // From the innermost axis outwards; neighbours that are not padded merge.
    int64_t step = 1;
    bool untouched = true;
    for (size_t a = rank; a-- > 0;) {
      if (pads.before[a] == 0 && pads.after[a] == 0) {
        if (untouched && plan.axes == 0) {
          plan.run *= in[a];
          continue;
        }
        if (untouched) {
          PadPlan::Axis& merged = plan.axis[plan.axes - 1];
          merged.out *= in[a];
          merged.block = merged.out;
          step *= in[a];
          continue;
        }
      }
      untouched = pads.before[a] == 0 && pads.after[a] == 0;
      LINNET_REQUIRE(plan.axes < PadPlan::kMaxAxes,
                     unsupported("padding of more than ", PadPlan::kMaxAxes, " axes that cannot be merged"));
      PadPlan::Axis& axis = plan.axis[plan.axes];
      LINNET_ASSIGN(axis, pad_axis(in[a], pads.before[a], pads.after[a]));
      axis.step = step;
      step *= in[a];
      ++plan.axes;
    }
    std::reverse(plan.axis, plan.axis + plan.axes);
    for (size_t a = 0; a + 1 < plan.axes; ++a) plan.rows *= plan.axis[a].out;
    return plan;
  }

  static Status pad(RunContext& context, const PadPlan& plan) {
    if (plan.axes == 0) {  // nothing to add
      copy_elements(context.in(0), context.out(0));
      return {};
    }
    if (context.out(0).count() == 0) return {};
    PackedScratch packed(context.scratch(), context.parallel);
    const Tensor data = packed.in(context.in(0));
    Tensor out = packed.out(context.out(0));
    const std::optional<Tensor> constant = context.has(2) ? std::optional(packed.in(context.in(2))) : std::nullopt;
    const bool convert = constant && constant->dtype != data.dtype;
    visit_width(data.dtype, [&]<class T>(TypeTag<T>) {
      T value{};
      if (constant && !convert) value = *constant->ptr<T>();
      if (convert)
        visit_float(data.dtype, [&]<class F>(TypeTag<F>) {
          const F number = static_cast<F>(*constant->ptr<float>());
          if constexpr (std::is_trivially_copyable_v<T>)
            std::memcpy(static_cast<void*>(&value), &number, std::min(sizeof(T), sizeof(F)));
        });
      const size_t row_bytes = static_cast<size_t>(plan.axis[plan.axes - 1].out * plan.run) * sizeof(T);
      const size_t grain = std::max<size_t>((size_t{1} << 16) / std::max<size_t>(row_bytes, 64), 1);
      context.parallel.for_range(static_cast<size_t>(plan.rows), grain, [&](size_t begin, size_t end, size_t) {
        pad_rows(plan, data.ptr<T>(), out.ptr<T>(), value, static_cast<int64_t>(begin), static_cast<int64_t>(end));
      });
    });
    packed.finish(context.out(0), out);
    return {};
  }

  PadMode mode_ = PadMode::constant;
};

constexpr OpDef kDefs[] = {
    {"", "Pad", 11, 2, 4, 1, 1, create<Pad>},
};

}  // namespace

extern const std::span<const OpDef> kPadOps = kDefs;

}  // namespace linnet
