// Joining tensors along an axis, and taking them apart again.
// https://onnx.ai/onnx/operators/onnx__Concat.html, ...Split
#include "ops/box_of.h"
#include "ops/element_types.h"
#include "ops/infer_shapes.h"

namespace linnet {
namespace {

// The blocks of a tensor that is cut along an axis: `outer` rows, in each of which block i holds run[i] elements.
struct Blocks {
  int64_t outer = 1;
  int64_t row = 0;             // elements of the whole
  int64_t first = 0, run = 0;  // of the block at hand

  Box box(bool joining) const {
    const int64_t sizes[] = {outer, run};
    const int64_t block[] = {run, 1}, whole[] = {row, 1};
    Box b = *make_box(sizes, joining ? block : whole, joining ? whole : block);
    (joining ? b.dst_offset : b.src_offset) = first;
    return b;
  }
};

class Concat final : public Op {
 public:
  Status parse(NodeReader& reader) {
    LINNET_REQUIRE(reader.has("axis"), invalid_model("attribute 'axis' is missing"));
    axis_ = reader.integer("axis", 0);
    return {};
  }

  Status infer(InferContext& context) const override {
    SymbolTable& symbols = context.symbols();
    bool ranked = true;
    for (size_t i = 0; i < context.inputs(); ++i) {
      LINNET_REQUIRE(context.has(i), invalid_model("input ", i, " is left out"));
      LINNET_TRY(expect_type(context, i, kWholeTypes));
      LINNET_TRY(expect_same_type(context, i, 0));
      ranked = ranked && context.ranked(i);
    }
    if (!ranked) {
      context.set_unranked(0, context.dtype(0));
      return {};
    }
    SymShape shape = context.shape(0);
    LINNET_ASSIGN(const size_t axis, checked_axis(axis_, shape.size()));
    for (size_t i = 1; i < context.inputs(); ++i) {
      const SymShape& in = context.shape(i);
      LINNET_REQUIRE(in.size() == shape.size(),
                     invalid_argument("inputs of rank ", shape.size(), " and ", in.size(), " cannot be joined"));
      for (size_t a = 0; a < shape.size(); ++a) {
        if (a == axis) {
          shape[a] = symbols.add(shape[a], in[a]);
        } else if (!shape[a].known() && in[a].known()) {
          shape[a] = in[a];
        } else {
          LINNET_REQUIRE(!shape[a].known() || !in[a].known() || shape[a] == in[a],
                         invalid_argument("inputs 0 and ", i, " differ in the size of axis ", a, ": ", shape[a].value(),
                                          " and ", in[a].value()));
        }
      }
    }
    if (shape.size() == 1) infer_elements(context);
    context.set(0, context.dtype(0), std::move(shape));
    return {};
  }

  Status bind(BindContext& context) const override {
    const Shape& out = context.out_shape(0);
    LINNET_ASSIGN(const size_t axis, checked_axis(axis_, out.rank()));
    auto* boxes = static_cast<Box*>(context.allocate_state(context.inputs() * sizeof(Box)));
    Blocks blocks{out.count(0, axis), out.count(axis, out.rank())};
    for (size_t i = 0; i < context.inputs(); ++i, blocks.first += blocks.run) {
      blocks.run = context.shape(i).count(axis, out.rank());
      new (&boxes[i]) Box(blocks.box(true));
    }
    return {};
  }

  Status run(RunContext& context) const override {
    const Box* boxes = &context.state<Box>();
    for (size_t i = 0; i < context.inputs(); ++i) copy_box(boxes[i], context.in(i), context.out(0), context.parallel);
    return {};
  }

 private:
  static void infer_elements(InferContext& context) {
    DimVector joined, part;
    for (size_t i = 0; i < context.inputs(); ++i) {
      if (!context.ints(i, part)) return;
      for (const Dim& d : part) joined.push_back(d);
    }
    context.set_ints(0, joined);
  }

  int64_t axis_ = 0;
};

class Split final : public Op {
 public:
  Status parse(NodeReader& reader) {
    axis_ = reader.integer("axis", 0);
    parts_ = reader.integer("num_outputs", static_cast<int64_t>(reader.outputs()));
    uneven_ = reader.version() >= 18;
    LINNET_REQUIRE(parts_ > 0 && static_cast<uint64_t>(parts_) >= reader.outputs(),
                   invalid_model("num_outputs is ", parts_, " and the node has ", reader.outputs(), " outputs"));
    return {};
  }

  Status infer(InferContext& context) const override {
    LINNET_TRY(expect_type(context, 0, kWholeTypes));
    LINNET_TRY(expect_type(context, 1, TypeSet{DType::i64}));
    if (!context.ranked(0)) {
      for (size_t o = 0; o < context.outputs(); ++o) context.set_unranked(o, context.dtype(0));
      return {};
    }
    SymShape shape = context.shape(0);
    LINNET_ASSIGN(const size_t axis, checked_axis(axis_, shape.size()));
    DimVector sizes;
    LINNET_TRY(part_sizes(context, shape[axis], sizes));
    DimVector elements;
    const bool tracked = shape.size() == 1 && context.ints(0, elements) && sizes.known();
    size_t first = 0;
    for (size_t o = 0; o < context.outputs(); ++o) {
      shape[axis] = sizes[o];
      context.set(o, context.dtype(0), shape);
      if (!tracked) continue;
      const size_t next = first + static_cast<size_t>(sizes[o].value());
      context.set_ints(o, DimVector(elements.begin() + first, elements.begin() + next));
      first = next;
    }
    return {};
  }

  Status bind(BindContext& context) const override {
    const Shape& in = context.shape(0);
    LINNET_ASSIGN(const size_t axis, checked_axis(axis_, in.rank()));
    auto* boxes = static_cast<Box*>(context.allocate_state(context.outputs() * sizeof(Box)));
    Blocks blocks{in.count(0, axis), in.count(axis, in.rank())};
    const int64_t inner = in.count(axis + 1, in.rank());
    int64_t start = 0;
    const Tensor* listed = context.has(1) ? context.known(1) : nullptr;
    LINNET_REQUIRE(!context.has(1) || listed, unsupported("the sizes of 'split' are not known"));
    for (size_t o = 0; o < context.outputs(); ++o) {
      const int64_t size = listed ? integer_at(*listed, static_cast<int64_t>(o)) : equal_size(in[axis], o);
      blocks.first = start * inner;
      blocks.run = size * inner;
      start += size;
      new (&boxes[o]) Box(blocks.box(false));
      if (context.wants(o) && boxes[o].contiguous() && context.dtype(0) != DType::string)
        context.alias(o, 0, static_cast<size_t>(blocks.first) * element_size(context.dtype(0)));
    }
    return {};
  }

  Status run(RunContext& context) const override {
    const Box* boxes = &context.state<Box>();
    for (size_t o = 0; o < context.outputs(); ++o)
      if (context.wants(o)) copy_box(boxes[o], context.in(0), context.out(o), context.parallel);
    return {};
  }

 private:
  // Of part o when the axis is cut evenly: the last parts are smaller, or empty.
  int64_t equal_size(int64_t size, size_t o) const {
    const int64_t chunk = size / parts_ + (size % parts_ != 0);
    const int64_t first = std::min(size, chunk * static_cast<int64_t>(o));
    return std::min(chunk, size - first);
  }

  Status part_sizes(InferContext& context, Dim whole, DimVector& sizes) const {
    SymbolTable& symbols = context.symbols();
    const size_t outputs = context.outputs();
    if (context.has(1)) {
      if (!context.list(1, sizes)) {
        sizes.resize(outputs);
        return {};
      }
      LINNET_REQUIRE(sizes.size() == outputs,
                     invalid_argument("'split' lists ", sizes.size(), " sizes for ", outputs, " outputs"));
      Dim sum = 0;
      for (const Dim& size : sizes) {
        LINNET_REQUIRE(!size.known() || size.value() >= 0, invalid_argument("'split' lists size ", size.value()));
        sum = symbols.add(sum, size);
      }
      LINNET_REQUIRE(
          !sizes.known() || (sum.known() && (!whole.known() || sum == whole)),
          invalid_argument("the sizes of 'split' do not add up to the axis of size ", symbols.to_string(whole)));
      return {};
    }
    LINNET_REQUIRE(!whole.known() || uneven_ || whole.value() % parts_ == 0,
                   invalid_argument("an axis of size ", whole.value(), " cannot be cut into ", parts_, " equal parts"));
    sizes.resize(outputs);
    for (size_t o = 0; o < outputs; ++o) {
      if (whole.known()) {
        sizes[o] = equal_size(whole.value(), o);
      } else {
        sizes[o] = uneven_ ? symbols.fresh() : symbols.div(whole, parts_);
      }
    }
    return {};
  }

  int64_t axis_ = 0;
  int64_t parts_ = 1;
  bool uneven_ = false;
};

constexpr OpDef kDefs[] = {
    {"", "Concat", 4, 1, kAnyNumber, 1, 1, create<Concat>},
    {"", "Split", 13, 1, 2, 1, kAnyNumber, create<Split>},
};

}  // namespace

extern const std::span<const OpDef> kConcatOps = kDefs;

}  // namespace linnet
