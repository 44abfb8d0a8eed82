// Operators that change the shape and leave the bytes alone. They cost nothing where memory can be shared.
// https://onnx.ai/onnx/operators/onnx__Reshape.html, ...Flatten, ...Squeeze, ...Unsqueeze, ...Identity, ...Shape,
// ...Size
#include "ops/infer_shapes.h"
#include "ops/op.h"

namespace linnet {
namespace {

// Output 0 has the bytes of input 0.
class SameBytes : public Op {
 public:
  Status bind(BindContext& context) const override {
    LINNET_REQUIRE(!context.has_shape(0) || context.shape(0).count() == context.out_shape(0).count(),
                   invalid_argument("cannot reshape ", context.shape(0), " to ", context.out_shape(0)));
    context.alias(0, 0, 0);
    return {};
  }
  Status run(RunContext& context) const override {
    copy_elements(context.in(0), context.out(0));
    return {};
  }
  bool can_overwrite(size_t input, size_t) const override { return input == 0; }
};

class Reshape final : public SameBytes {
 public:
  Status parse(NodeReader& reader) {
    allow_zero_ = reader.flag("allowzero", false);
    return {};
  }

  Status infer(InferContext& context) const override {
    DimVector wanted;
    if (!context.list(1, wanted)) {
      if (!context.ranked(1) || context.shape(1).size() != 1 || !context.shape(1)[0].known()) {
        context.set_unranked(0, context.dtype(0));
        return {};
      }
      const int64_t rank = context.shape(1)[0].value();
      LINNET_REQUIRE(rank >= 0 && rank < 1024, invalid_argument("the target shape has ", rank, " sizes"));
      context.set(0, context.dtype(0), SymShape(static_cast<size_t>(rank)));
      return {};
    }
    LINNET_ASSIGN(SymShape shape, resolve(context, wanted));
    if (context.ranked(0) && context.shape(0).size() <= 1) {  // shape arithmetic reshapes scalars to [1] and back
      DimVector elements;
      if (shape.size() <= 1 && context.ints(0, elements)) context.set_ints(0, elements);
    }
    context.set(0, context.dtype(0), std::move(shape));
    return {};
  }

 private:
  Result<SymShape> resolve(InferContext& context, const DimVector& wanted) const {
    SymbolTable& symbols = context.symbols();
    SymShape shape = wanted;
    const bool ranked = context.ranked(0);
    const SymShape empty;
    const SymShape& in = ranked ? context.shape(0) : empty;
    std::optional<size_t> open;
    for (size_t i = 0; i < shape.size(); ++i) {
      if (shape[i].is(0) && !allow_zero_) {
        LINNET_REQUIRE(!ranked || i < in.size(),
                       invalid_argument("the target shape copies size ", i, " of a rank-", in.size(), " input"));
        shape[i] = ranked ? in[i] : symbols.fresh();
      } else if (shape[i].is(-1)) {
        LINNET_REQUIRE(!open, invalid_argument("the target shape has -1 more than once"));
        open = i;
      } else {
        LINNET_REQUIRE(!shape[i].known() || shape[i].value() >= 0,
                       invalid_argument("the target shape has size ", shape[i].value()));
      }
    }
    if (!ranked) {
      if (open) shape[*open] = symbols.fresh();
      return shape;
    }
    // Sizes that stand on both sides cancel, so that -1 stays exact for symbolic shapes.
    SymShape left = in, right;
    for (size_t i = 0; i < shape.size(); ++i) {
      if (open && i == *open) continue;
      size_t match = left.size();
      for (size_t j = 0; j < left.size() && match == left.size(); ++j)
        if (left[j] == shape[i] && !shape[i].is(0)) match = j;
      if (match < left.size()) {
        left.erase(match);
      } else {
        right.push_back(shape[i]);
      }
    }
    const Dim count = symbols.product(left, 0, left.size());
    const Dim rest = symbols.product(right, 0, right.size());
    const auto mismatch = [&] {
      return invalid_argument("cannot reshape ", symbols.to_string(in), " to ", symbols.to_string(wanted));
    };
    if (!open) {
      if (count.known() && rest.known() && count.value() != rest.value()) return mismatch();
      return shape;
    }
    if (rest.is(0)) {  // 0 elements on both sides: -1 cannot be told and counts as 0
      LINNET_REQUIRE(!count.known() || count.is(0), mismatch());
      shape[*open] = 0;
      return shape;
    }
    if (count.known() && rest.known() && count.value() % rest.value() != 0) return mismatch();
    shape[*open] = symbols.div(count, rest);
    if (shape[*open].unknown() && context.symbolic()) shape[*open] = symbols.fresh();
    return shape;
  }

  bool allow_zero_ = false;
};

class Flatten final : public SameBytes {
 public:
  Status parse(NodeReader& reader) {
    axis_ = reader.integer("axis", 1);
    return {};
  }
  Status infer(InferContext& context) const override {
    SymShape shape(2);
    if (context.ranked(0)) {
      const SymShape& in = context.shape(0);
      const int64_t rank = static_cast<int64_t>(in.size());
      LINNET_REQUIRE(axis_ >= -rank && axis_ <= rank,
                     invalid_argument("axis ", axis_, " is out of range for rank ", rank));
      const size_t axis = static_cast<size_t>(axis_ < 0 ? axis_ + rank : axis_);
      shape[0] = context.symbols().product(in, 0, axis);
      shape[1] = context.symbols().product(in, axis, in.size());
    }
    context.set(0, context.dtype(0), std::move(shape));
    return {};
  }

 private:
  int64_t axis_ = 1;
};

class Squeeze final : public SameBytes {
 public:
  Status parse(NodeReader&) { return {}; }
  Status infer(InferContext& context) const override {
    DimVector axes;
    const bool listed = context.has(1);
    if (!context.ranked(0) || (listed && !context.list(1, axes)) || (listed && !axes.known()) ||
        (!listed && !context.shape(0).known())) {
      context.set_unranked(0, context.dtype(0));
      return {};
    }
    const SymShape& in = context.shape(0);
    InlineVector<bool, 8> drop(in.size(), false);
    if (listed) {
      LINNET_ASSIGN(const auto checked, checked_axes(axes.values().sizes(), in.size()));
      for (const size_t a : checked) {
        LINNET_REQUIRE(!in[a].known() || in[a].is(1),
                       invalid_argument("cannot squeeze axis ", a, " of size ", in[a].value()));
        drop[a] = true;
      }
    } else {
      for (size_t i = 0; i < in.size(); ++i) drop[i] = in[i].is(1);
    }
    SymShape shape;
    for (size_t i = 0; i < in.size(); ++i)
      if (!drop[i]) shape.push_back(in[i]);
    DimVector elements;
    if (context.ints(0, elements)) context.set_ints(0, elements);
    context.set(0, context.dtype(0), std::move(shape));
    return {};
  }
};

class Unsqueeze final : public SameBytes {
 public:
  Status parse(NodeReader&) { return {}; }
  Status infer(InferContext& context) const override {
    DimVector axes;
    if (!context.ranked(0) || !context.list(1, axes) || !axes.known()) {
      context.set_unranked(0, context.dtype(0));
      return {};
    }
    const SymShape& in = context.shape(0);
    const size_t rank = in.size() + axes.size();
    LINNET_ASSIGN(const auto checked, checked_axes(axes.values().sizes(), rank));
    InlineVector<bool, 8> added(rank, false);
    for (const size_t a : checked) added[a] = true;
    SymShape shape(rank);
    for (size_t i = 0, j = 0; i < rank; ++i) shape[i] = added[i] ? Dim(1) : in[j++];
    DimVector elements;
    if (rank <= 1 && context.ints(0, elements)) context.set_ints(0, elements);
    context.set(0, context.dtype(0), std::move(shape));
    return {};
  }
};

class Identity final : public SameBytes {
 public:
  Status parse(NodeReader& reader) {
    reader.ignore("consumed_inputs");
    return {};
  }
  Status infer(InferContext& context) const override {
    context.set_info(0, context.info(0));
    DimVector elements;
    if (context.ints(0, elements)) context.set_ints(0, elements);
    return {};
  }
  Status run(RunContext& context) const override {
    if (!context.in_value(0).is_tensor()) {
      context.out_value(0) = context.in_value(0);
      return {};
    }
    return SameBytes::run(context);
  }
};

// The shape of the input, or a part of it, as a tensor.
class ShapeOf final : public Op {
 public:
  Status parse(NodeReader& reader) {
    start_ = reader.integer("start", 0);
    end_ = reader.integer("end", INT64_MAX);
    return {};
  }
  Status infer(InferContext& context) const override {
    if (!context.ranked(0)) {
      context.set(0, DType::i64, {Dim()});
      return {};
    }
    const SymShape& in = context.shape(0);
    const auto [first, last] = range(in.size());
    const DimVector part(in.begin() + first, in.begin() + last);
    context.set(0, DType::i64, {Dim(static_cast<int64_t>(part.size()))});
    context.set_ints(0, part);
    return {};
  }
  Status run(RunContext& context) const override {
    const Shape& in = context.in(0).shape;
    const auto [first, last] = range(in.rank());
    std::copy(in.begin() + first, in.begin() + last, context.out(0).ptr<int64_t>());
    return {};
  }

 private:
  std::pair<size_t, size_t> range(size_t rank) const {
    const int64_t n = static_cast<int64_t>(rank);
    const auto clamp = [n](int64_t i) { return std::clamp<int64_t>(i < 0 ? i + n : i, 0, n); };
    const int64_t first = clamp(start_), last = clamp(end_);
    return {static_cast<size_t>(first), static_cast<size_t>(std::max(first, last))};
  }
  int64_t start_ = 0, end_ = INT64_MAX;
};

class SizeOf final : public Op {
 public:
  Status parse(NodeReader&) { return {}; }
  Status infer(InferContext& context) const override {
    context.set(0, DType::i64, {});
    if (context.ranked(0)) {
      const SymShape& in = context.shape(0);
      context.set_ints(0, {context.symbols().product(in, 0, in.size())});
    }
    return {};
  }
  Status run(RunContext& context) const override {
    *context.out(0).ptr<int64_t>() = context.in(0).count();
    return {};
  }
};

constexpr OpDef kDefs[] = {
    {"", "Reshape", 5, 2, 2, 1, 1, create<Reshape>},
    {"", "Flatten", 1, 1, 1, 1, 1, create<Flatten>},
    {"", "Squeeze", 13, 1, 2, 1, 1, create<Squeeze>},
    {"", "Unsqueeze", 13, 2, 2, 1, 1, create<Unsqueeze>},
    {"", "Identity", 1, 1, 1, 1, 1, create<Identity>, OpDef::kTakesValues | OpDef::kAllocates},
    {"", "Shape", 1, 1, 1, 1, 1, create<ShapeOf>},
    {"", "Size", 1, 1, 1, 1, 1, create<SizeOf>},
};

}  // namespace

extern const std::span<const OpDef> kReshapeOps = kDefs;

}  // namespace linnet
