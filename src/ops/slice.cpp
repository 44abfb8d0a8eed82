// Part of a tensor: from start to end with a step, on some axes. And CenterCropPad, which is a slice and a padding.
// https://onnx.ai/onnx/operators/onnx__Slice.html, ...CenterCropPad
#include "ops/box_of.h"
#include "ops/element_types.h"
#include "ops/infer_shapes.h"

namespace linnet {
namespace {

struct AxisSlice {
  int64_t start = 0;
  int64_t step = 1;
  int64_t count = 0;
};

// The step is not 0. Any start and end are allowed; they are clamped as the standard says.
AxisSlice slice_axis(int64_t size, int64_t start, int64_t end, int64_t step) {
  if (size == 0) return {0, 1, 0};
  const auto clamped = [size](int64_t at, int64_t low, int64_t high) {
    return std::clamp(at < 0 ? at + size : at, low, high);
  };
  const bool forward = step > 0;
  // Backwards as well, exporters write INT_MAX for "to the end".
  if (!forward && (end == INT64_MAX || end == INT32_MAX)) end = INT64_MIN;
  start = forward ? clamped(start, 0, size) : clamped(start, 0, size - 1);
  end = forward ? clamped(end, 0, size) : clamped(end, -1, size - 1);
  const int64_t distance = forward ? end - start : start - end;
  if (distance <= 0) return {start, 1, 0};
  const uint64_t stride = forward ? static_cast<uint64_t>(step) : uint64_t{0} - static_cast<uint64_t>(step);
  return {start, step, static_cast<int64_t>((static_cast<uint64_t>(distance) - 1) / stride) + 1};
}

struct Sliced {
  bool planned = false;
  Box box;
};

class Slice final : public Op {
 public:
  Status parse(NodeReader&) { return {}; }

  Status infer(InferContext& context) const override {
    LINNET_TRY(expect_type(context, 0, kWholeTypes));
    for (size_t i = 1; i < 5; ++i) {
      LINNET_TRY(expect_type(context, i, kIndexTypes));
      LINNET_REQUIRE(!context.ranked(i) || context.shape(i).size() <= 1,
                     invalid_argument("input ", i, " must be a list"));
    }
    if (!context.ranked(0)) {
      context.set_unranked(0, context.dtype(0));
      return {};
    }
    SymShape shape = context.shape(0);
    const size_t rank = shape.size();
    DimVector starts, ends, axes, steps;
    const bool has_starts = context.list(1, starts), has_ends = context.list(2, ends);
    if ((context.has(3) && !context.list(3, axes)) || (context.has(3) && !axes.known())) {
      context.set(0, context.dtype(0), SymShape(rank));  // any axis may be cut
      return {};
    }
    const bool has_steps = !context.has(4) || context.list(4, steps);
    if (!context.has(3)) {
      const size_t count = has_starts                    ? starts.size()
                           : has_ends                    ? ends.size()
                           : context.has(4) && has_steps ? steps.size()
                                                         : rank;
      for (size_t a = 0; a < count; ++a) axes.push_back(static_cast<int64_t>(a));
    }
    LINNET_ASSIGN(const auto checked, checked_axes(axes.values().sizes(), rank));
    if (!context.has(4)) steps.resize(axes.size(), 1);
    LINNET_REQUIRE((!has_starts || starts.size() == axes.size()) && (!has_ends || ends.size() == axes.size()) &&
                       (!has_steps || steps.size() == axes.size()),
                   invalid_argument("starts, ends, axes and steps differ in length"));
    const bool listed = has_starts && has_ends && has_steps;
    for (size_t i = 0; i < checked.size(); ++i) {
      Dim& size = shape[checked[i]];
      size = listed ? sliced_size(context.symbols(), size, starts[i], ends[i], steps[i]) : Dim();
      LINNET_REQUIRE(!listed || !steps[i].is(0), invalid_argument("the step of axis ", checked[i], " is 0"));
    }
    DimVector elements;
    if (listed && rank == 1 && checked.size() == 1 && context.ints(0, elements) && starts[0].known() &&
        ends[0].known() && steps[0].known()) {
      const AxisSlice s =
          slice_axis(static_cast<int64_t>(elements.size()), starts[0].value(), ends[0].value(), steps[0].value());
      DimVector part;
      for (int64_t k = 0; k < s.count; ++k) part.push_back(elements[static_cast<size_t>(s.start + k * s.step)]);
      context.set_ints(0, part);
    }
    context.set(0, context.dtype(0), std::move(shape));
    return {};
  }

  Status bind(BindContext& context) const override {
    Sliced& state = context.state<Sliced>();
    const Tensor* lists[5] = {};
    for (size_t i = 1; i < 5; ++i) {
      if (!context.has(i)) continue;
      lists[i] = context.known(i);
      if (!lists[i]) return {};
    }
    LINNET_ASSIGN(state.box, plan(context.shape(0), lists));
    state.planned = true;
    if (state.box.contiguous() && state.box.run && context.dtype(0) != DType::string)
      context.alias(0, 0, static_cast<size_t>(state.box.src_offset) * element_size(context.dtype(0)));
    return {};
  }

  Status run(RunContext& context) const override {
    const Sliced& state = context.state<Sliced>();
    if (state.planned) {
      copy_box(state.box, context.in(0), context.out(0), context.parallel);
      return {};
    }
    const Tensor* lists[5] = {};
    for (size_t i = 1; i < 5; ++i) lists[i] = context.maybe(i);
    LINNET_ASSIGN(const Box box, plan(context.in(0).shape, lists));
    copy_box(box, context.in(0), context.out(0), context.parallel);
    return {};
  }

 private:
  static Dim sliced_size(SymbolTable& symbols, Dim size, Dim start, Dim end, Dim step) {
    if (step.is(0)) return {};
    if (size.known() && start.known() && end.known() && step.known())
      return slice_axis(size.value(), start.value(), end.value(), step.value()).count;
    if (!step.is(1)) return symbols.fresh();
    if (start == end) return 0;
    if (!start.known() || start.value() < 0) {
      // The last elements, x[-n:].
      if (start.known() && end.is(INT64_MAX))
        return start.value() == INT64_MIN ? size : symbols.min(size, -start.value());
      return symbols.fresh();
    }
    // `end` in the places of this axis.
    Dim stop;
    if (end == size) {
      stop = size;
    } else if (end.known()) {
      if (end.value() < 0) {
        stop = symbols.add(size, end);
      } else {
        stop = end.value() >= INT32_MAX ? size : symbols.min(size, end);  // exporters write INT_MAX for "to the end"
      }
    } else if (symbols.max(end, 0) == end) {
      stop = symbols.min(size, end);
    } else {
      return symbols.fresh();
    }
    if (start.is(0) && stop == size) return size;
    return symbols.max(symbols.sub(stop, start), 0);
  }

  // `lists`: starts, ends, axes and steps at 1 to 4.
  static Result<Box> plan(const Shape& in, const Tensor* const* lists) {
    const size_t rank = in.rank();
    const Shape starts = integers_of(*lists[1]), ends = integers_of(*lists[2]);
    Shape axes;
    if (lists[3]) {
      axes = integers_of(*lists[3]);
    } else {
      for (size_t a = 0; a < starts.size(); ++a) axes.push_back(static_cast<int64_t>(a));
    }
    const Shape steps = lists[4] ? integers_of(*lists[4]) : Shape(axes.size(), 1);
    LINNET_REQUIRE(starts.size() == axes.size() && ends.size() == axes.size() && steps.size() == axes.size(),
                   invalid_argument("starts, ends, axes and steps differ in length"));
    LINNET_ASSIGN(const auto checked, checked_axes(axes.sizes(), rank));
    Shape sizes = in, walk = strides_of(in);
    int64_t offset = 0;
    for (size_t i = 0; i < checked.size(); ++i) {
      const size_t a = checked[i];
      LINNET_REQUIRE(steps[i] != 0, invalid_argument("the step of axis ", a, " is 0"));
      const AxisSlice s = slice_axis(in[a], starts[i], ends[i], steps[i]);
      offset += s.start * walk[a];
      walk[a] = s.count > 1 ? walk[a] * s.step : 0;
      sizes[a] = s.count;
    }
    LINNET_ASSIGN(Box box, box_of(sizes, walk, strides_of(sizes)));
    box.src_offset = offset;
    return box;
  }
};

class CenterCropPad final : public Op {
 public:
  Status parse(NodeReader& reader) {
    has_axes_ = reader.has("axes");
    axes_ = reader.integers("axes");
    return {};
  }

  Status infer(InferContext& context) const override {
    LINNET_TRY(expect_type(context, 0, kWholeTypes));
    LINNET_TRY(expect_type(context, 1, kIndexTypes));
    if (!context.ranked(0)) {
      context.set_unranked(0, context.dtype(0));
      return {};
    }
    SymShape shape = context.shape(0);
    LINNET_ASSIGN(const auto axes, axes_of(shape.size()));
    DimVector target;
    const bool known = context.list(1, target);
    LINNET_REQUIRE(!known || target.size() == axes.size(),
                   invalid_argument("'shape' lists ", target.size(), " sizes for ", axes.size(), " axes"));
    for (size_t i = 0; i < axes.size(); ++i) {
      LINNET_REQUIRE(!known || !target[i].known() || target[i].value() >= 0,
                     invalid_argument("'shape' lists size ", target[i].value()));
      shape[axes[i]] = known ? target[i] : Dim();
    }
    context.set(0, context.dtype(0), std::move(shape));
    return {};
  }

  Status run(RunContext& context) const override {
    Tensor& out = context.out(0);
    LINNET_ASSIGN(const Box box, plan(context.in(0).shape, out.shape));
    if (static_cast<int64_t>(box.items * box.run) < out.count()) {
      if (out.dtype == DType::string) {
        for (std::string& s : out.as<std::string>()) s.clear();
      } else {
        std::memset(out.data, 0, out.bytes());
      }
    }
    copy_box(box, context.in(0), out, context.parallel);
    return {};
  }

 private:
  Result<InlineVector<size_t, 8>> axes_of(size_t rank) const {
    if (has_axes_) return checked_axes(axes_, rank);
    InlineVector<size_t, 8> all;
    for (size_t a = 0; a < rank; ++a) all.push_back(a);
    return all;
  }

  // The middle that both have. An odd remainder falls behind it.
  static Result<Box> plan(const Shape& in, const Shape& out) {
    Shape sizes = in;
    const Shape src = strides_of(in), dst = strides_of(out);
    int64_t from = 0, to = 0;
    for (size_t a = 0; a < in.rank(); ++a) {
      sizes[a] = std::min(in[a], out[a]);
      from += (in[a] - sizes[a]) / 2 * src[a];
      to += (out[a] - sizes[a]) / 2 * dst[a];
    }
    LINNET_ASSIGN(Box box, box_of(sizes, src, dst));
    box.src_offset = from;
    box.dst_offset = to;
    return box;
  }

  bool has_axes_ = false;
  std::vector<int64_t> axes_;
};

constexpr OpDef kDefs[] = {
    {"", "Slice", 10, 3, 5, 1, 1, create<Slice>},
    {"", "CenterCropPad", 18, 2, 2, 1, 1, create<CenterCropPad>},
};

}  // namespace

extern const std::span<const OpDef> kSliceOps = kDefs;

}  // namespace linnet
