// Repeating a tensor along axes.
// https://onnx.ai/onnx/operators/onnx__Tile.html, ...Expand
#include "ops/box_of.h"
#include "ops/element_types.h"
#include "ops/infer_shapes.h"

namespace linnet {
namespace {

struct Repeated {
  bool planned = false;
  Box box;
};

// Output axes are whole multiples of the input's, aligned at the last axis.
class Repeat : public Op {
 public:
  Status bind(BindContext& context) const override {
    Repeated& state = context.state<Repeated>();
    if (!context.has_shape(0)) return {};
    LINNET_ASSIGN(state.box, plan(context.shape(0), context.out_shape(0)));
    state.planned = true;
    if (context.shape(0).count() == context.out_shape(0).count()) context.alias(0, 0, 0);
    return {};
  }

  Status run(RunContext& context) const override {
    const Repeated& state = context.state<Repeated>();
    if (state.planned) {
      copy_box(state.box, context.in(0), context.out(0), context.parallel);
      return {};
    }
    LINNET_ASSIGN(const Box box, plan(context.in(0).shape, context.out(0).shape));
    copy_box(box, context.in(0), context.out(0), context.parallel);
    return {};
  }

 private:
  static Result<Box> plan(const Shape& in, const Shape& out) {
    const size_t shift = out.rank() - in.rank();
    const Shape src = strides_of(in), dst = strides_of(out);
    Shape sizes, src_steps, dst_steps;
    const auto add = [&](int64_t size, int64_t src_step, int64_t dst_step) {
      sizes.push_back(size);
      src_steps.push_back(src_step);
      dst_steps.push_back(dst_step);
    };
    for (size_t a = 0; a < out.rank(); ++a) {
      const int64_t size = a < shift ? 1 : in[a - shift];
      if (out[a] == 0) {
        add(0, 0, 0);
        continue;
      }
      add(out[a] / size, 0, size * dst[a]);
      if (a >= shift) add(size, src[a - shift], dst[a]);
    }
    return box_of(sizes, src_steps, dst_steps);
  }
};

class Expand final : public Repeat {
 public:
  Status parse(NodeReader&) { return {}; }

  Status infer(InferContext& context) const override {
    LINNET_TRY(expect_type(context, 0, kWholeTypes));
    LINNET_TRY(expect_type(context, 1, TypeSet{DType::i64}));
    DimVector target;
    if (!context.ranked(0) || !context.ints(1, target)) {
      if (context.ranked(0) && context.ranked(1) && context.shape(1).size() == 1 && context.shape(1)[0].known()) {
        const size_t rank = std::max(context.shape(0).size(), static_cast<size_t>(context.shape(1)[0].value()));
        LINNET_REQUIRE(rank < 1024, invalid_argument("the target shape has ", rank, " sizes"));
        context.set(0, context.dtype(0), SymShape(rank));
      } else {
        context.set_unranked(0, context.dtype(0));
      }
      return {};
    }
    for (const Dim& size : target) LINNET_REQUIRE(!size.known() || size.value() >= 0, invalid_argument("the target shape has size ", size.value()));
    LINNET_ASSIGN(SymShape shape, broadcast_shapes(context.shape(0), target, context.symbols()));
    DimVector elements;
    if (shape.size() == 1 && shape[0].known() && shape[0].value() <= 64 && context.ints(0, elements) && elements.size() == 1)
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
      if (context.ints(1, repeats))
        LINNET_REQUIRE(repeats.size() == shape.size(), invalid_argument("'repeats' lists ", repeats.size(), " numbers for rank ", shape.size()));
    }
    if (repeats.size() != shape.size()) {
      context.set(0, context.dtype(0), SymShape(shape.size()));
      return {};
    }
    for (size_t a = 0; a < shape.size(); ++a) {
      LINNET_REQUIRE(!repeats[a].known() || repeats[a].value() >= 0, invalid_argument("'repeats' lists ", repeats[a].value()));
      const bool fits = !shape[a].known() || !repeats[a].known() || checked_mul(shape[a].value(), repeats[a].value());
      LINNET_REQUIRE(fits, invalid_argument("'repeats' lists ", repeats[a].value(), ", which is too large"));
      shape[a] = context.symbols().mul(shape[a], repeats[a]);
    }
    DimVector elements;
    if (shape.size() == 1 && shape[0].known() && shape[0].value() <= 64 && context.ints(0, elements) && !elements.empty()) {
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
