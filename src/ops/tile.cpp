// Repeating a tensor along axes.
// https://onnx.ai/onnx/operators/onnx__Tile.html, ...Expand
#include "ops/box_of.h"
#include "ops/element_types.h"
#include "ops/infer_shapes.h"

namespace linnet {
namespace {

// `once` writes each block of the output that stands more than once the first time, `again` repeats it from there: the
// block is the longer run.
struct Repeated {
  bool planned = false;
  Box once, again;
};

// Output axes are whole multiples of the input's, aligned at the last axis.
class Repeat : public Op {
 public:
  Status bind(BindContext& context) const override {
    Repeated& state = context.state<Repeated>();
    if (!context.has_shape(0)) return {};
    LINNET_TRY(plan(context.shape(0), context.out_shape(0), state));
    state.planned = true;
    if (context.shape(0).count() == context.out_shape(0).count()) context.alias(0, 0, 0);
    return {};
  }

  Status run(RunContext& context) const override {
    const Repeated& state = context.state<Repeated>();
    if (state.planned) return repeat(context, state);
    Repeated made;
    LINNET_TRY(plan(context.in(0).shape, context.out(0).shape, made));
    return repeat(context, made);
  }

 private:
  static Status repeat(RunContext& context, const Repeated& state) {
    Tensor& out = context.out(0);
    copy_box(state.once, context.in(0), out, context.parallel);
    copy_box(state.again, out, out, context.parallel);
    return {};
  }

  static Status plan(const Shape& in, const Shape& out, Repeated& state) {
    const size_t shift = out.rank() - in.rank();
    const Shape src = strides_of(in), dst = strides_of(out);
    Shape times(out.rank());  // that each axis repeats
    size_t first = out.rank(), repeating = 0;
    for (size_t a = out.rank(); a-- > 0;) {
      const int64_t size = a < shift ? 1 : in[a - shift];
      times[a] = out[a] == 0 ? 0 : out[a] / size;
      if (times[a] == 1) continue;
      first = a;
      ++repeating;
    }
    // The outermost repetition copies the output of those within.
    const bool twice = repeating > 1 && out.count() > 0;
    Shape sizes, src_steps, dst_steps;
    for (size_t a = 0; a < out.rank(); ++a) {
      const int64_t size = times[a] ? out[a] / times[a] : 0;
      sizes.push_back(twice && a == first ? 1 : times[a]);
      src_steps.push_back(0);
      dst_steps.push_back(size * dst[a]);
      sizes.push_back(size);
      src_steps.push_back(a < shift ? 0 : src[a - shift]);
      dst_steps.push_back(dst[a]);
    }
    LINNET_ASSIGN(state.once, box_of(sizes, src_steps, dst_steps));
    state.again.run = 0;
    if (!twice) return {};
    const int64_t block = out.count(first, out.rank()) / times[first];
    LINNET_ASSIGN(state.again, box_of({out.count(0, first), times[first] - 1, block}, {block * times[first], 0, 1},
                                      {block * times[first], block, 1}));
    state.again.dst_offset = block;
    return {};
  }
};

class Expand final : public Repeat {
 public:
  Status parse(NodeReader&) { return {}; }

  Status infer(InferContext& context) const override {
    LINNET_TRY(expect_type(context, 0, kWholeTypes));
    LINNET_TRY(expect_type(context, 1, TypeSet{DType::i64}));
    DimVector target;
    if (!context.ranked(0) || !context.list(1, target)) {
      if (context.ranked(0) && context.ranked(1) && context.shape(1).size() == 1 && context.shape(1)[0].known()) {
        const size_t rank = std::max(context.shape(0).size(), static_cast<size_t>(context.shape(1)[0].value()));
        LINNET_REQUIRE(rank < 1024, invalid_argument("the target shape has ", rank, " sizes"));
        context.set(0, context.dtype(0), SymShape(rank));
      } else {
        context.set_unranked(0, context.dtype(0));
      }
      return {};
    }
    for (const Dim& size : target)
      LINNET_REQUIRE(!size.known() || size.value() >= 0, invalid_argument("the target shape has size ", size.value()));
    LINNET_ASSIGN(SymShape shape, broadcast_shapes(context.shape(0), target, context.symbols()));
    DimVector elements;
    if (shape.size() == 1 && shape[0].known() && shape[0].value() <= 64 && context.ints(0, elements) &&
        elements.size() == 1)
      context.set_ints(0, DimVector(static_cast<size_t>(shape[0].value()), elements[0]));
    context.set(0, context.dtype(0), std::move(shape));
    return {};
  }
};

class Tile final : public Repeat {
 public:
  Status parse(NodeReader&) { return {}; }

  Status infer(InferContext& context) const override {
    LINNET_TRY(expect_type(context, 0, kWholeTypes));
    if (!context.ranked(0)) {
      context.set_unranked(0, context.dtype(0));
      return {};
    }
    SymShape shape = context.shape(0);
    DimVector repeats;
    if (context.inputs() == 3) {  // operator set 1: a number of tiles, and an axis
      const std::optional<int64_t> tiles = number_of(context, 1), axis = number_of(context, 2);
      if (tiles && axis) {
        LINNET_ASSIGN(const size_t a, checked_axis(*axis, shape.size()));
        repeats.resize(shape.size(), 1);
        repeats[a] = *tiles;
      }
    } else {
      LINNET_TRY(expect_type(context, 1, TypeSet{DType::i64}));
      if (context.list(1, repeats))
        LINNET_REQUIRE(repeats.size() == shape.size(),
                       invalid_argument("'repeats' lists ", repeats.size(), " numbers for rank ", shape.size()));
    }
    if (repeats.size() != shape.size()) {
      context.set(0, context.dtype(0), SymShape(shape.size()));
      return {};
    }
    for (size_t a = 0; a < shape.size(); ++a) {
      LINNET_REQUIRE(!repeats[a].known() || repeats[a].value() >= 0,
                     invalid_argument("'repeats' lists ", repeats[a].value()));
      const bool fits = !shape[a].known() || !repeats[a].known() || checked_mul(shape[a].value(), repeats[a].value());
      LINNET_REQUIRE(fits, invalid_argument("'repeats' lists ", repeats[a].value(), ", which is too large"));
      shape[a] = context.symbols().mul(shape[a], repeats[a]);
    }
    DimVector elements;
    if (shape.size() == 1 && shape[0].known() && shape[0].value() <= 64 && context.ints(0, elements) &&
        !elements.empty()) {
      DimVector tiled(static_cast<size_t>(shape[0].value()));
      for (size_t i = 0; i < tiled.size(); ++i) tiled[i] = elements[i % elements.size()];
      context.set_ints(0, tiled);
    }
    context.set(0, context.dtype(0), std::move(shape));
    return {};
  }

 private:
  static std::optional<int64_t> number_of(const InferContext& context, size_t i) {
    if (const auto n = context.known_int(i)) return n;
    const Tensor* known = context.known(i);
    if (!known || known->count() != 1 || !kFloatTypes.has(known->dtype)) return std::nullopt;
    const double value = number_at(*known, 0);
    if (!(value >= -1e9 && value <= 1e9)) return std::nullopt;
    return static_cast<int64_t>(value);
  }
};

constexpr OpDef kDefs[] = {
    {"", "Tile", 1, 2, 3, 1, 1, create<Tile>},
    {"", "Expand", 8, 2, 2, 1, 1, create<Expand>},
};

}  // namespace

extern const std::span<const OpDef> kTileOps = kDefs;

}  // namespace linnet
