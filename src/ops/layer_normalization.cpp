// Normalisation of the last axes: https://onnx.ai/onnx/operators/onnx__LayerNormalization.html, ...RMSNormalization,
// and https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md (SimplifiedLayerNormalization,
// Skip...).
#include <cmath>
#include <cstring>

#include "kernels/norm/norm.h"
#include "ops/float_scratch.h"
#include "ops/infer_shapes.h"
#include "ops/op.h"

namespace linnet {
namespace {

struct Rows {
  size_t rows, n;
};

// An operand of the normalised axes' shape, or one that broadcasts to it, as n floats.
class RowOperand {
 public:
  static Status check(const Shape& x, size_t axis, const Shape& operand) {
    const size_t n = static_cast<size_t>(x.count(axis, x.rank()));
    if (static_cast<size_t>(operand.count()) == n) return {};
    bool fits = operand.rank() <= x.rank() - axis;
    for (size_t back = 1; fits && back <= operand.rank(); ++back) {
      const int64_t size = operand[operand.rank() - back];
      fits = size == 1 || size == x[x.rank() - back];
    }
    LINNET_REQUIRE(fits, invalid_argument("a scale or bias of shape ", operand, " does not broadcast to axis ", axis,
                                          " and on of ", x));
    return {};
  }
  // The elements, repeated into `room` when the operand is smaller.
  static const float* spread(const float* elements, const Tensor& operand, const Shape& x, size_t axis, float* room) {
    const size_t n = static_cast<size_t>(x.count(axis, x.rank()));
    if (!elements || static_cast<size_t>(operand.count()) == n) return elements;
    for (size_t i = 0; i < n; ++i) {
      size_t rest = i, from = 0, step = 1;
      for (size_t back = 1; back <= operand.shape.rank(); ++back) {
        const size_t size = static_cast<size_t>(x[x.rank() - back]);
        const size_t own = static_cast<size_t>(operand.shape[operand.shape.rank() - back]);
        if (own != 1) from += rest % size * step;
        rest /= size;
        step *= own;
      }
      room[i] = elements[from];
    }
    return room;
  }
};

Status check_float(const InferContext& context) {
  for (size_t i = 0; i < context.inputs(); ++i)
    LINNET_REQUIRE(!context.has(i) || is_float(context.dtype(i)),
                   unsupported("cannot normalise elements of type ", dtype_name(context.dtype(i))));
  return {};
}

// LayerNormalization (outputs: y, mean, inverse deviation) and its forms without mean (y, inverse).
class LayerNormalization final : public Op {
 public:
  Status parse(NodeReader& reader) {
    rms_ = reader.op_type() != "LayerNormalization";
    axis_ = reader.integer("axis", -1);
    epsilon_ = reader.number("epsilon", 1e-5f);
    stash_ = reader.dtype("stash_type", DType::f32);
    LINNET_REQUIRE(stash_ == DType::f32 || stash_ == DType::bf16,
                   unsupported("statistics of type ", dtype_name(stash_), " are not supported"));
    typed_by_scale_ = reader.op_type() == "RMSNormalization";
    return {};
  }
  Status infer(InferContext& context) const override {
    LINNET_TRY(check_float(context));
    const DType type = context.dtype(typed_by_scale_ ? 1 : 0);
    const size_t statistics = rms_ ? 1 : 2;
    if (!context.ranked(0)) {
      context.set_unranked(0, type);
      for (size_t o = 1; o <= statistics; ++o) context.set_unranked(o, stash_);
      return {};
    }
    const SymShape& in = context.shape(0);
    context.set(0, type, in);
    LINNET_ASSIGN(const size_t axis, checked_axis(axis_, in.size()));
    SymShape reduced = in;
    for (size_t i = axis; i < in.size(); ++i) reduced[i] = Dim(1);
    for (size_t o = 1; o <= statistics; ++o) context.set(o, stash_, reduced);
    for (size_t i = 1; i < context.inputs(); ++i)
      if (context.has(i) && in.known() && context.ranked(i) && context.shape(i).known())
        LINNET_TRY(RowOperand::check(in.values(), axis, context.shape(i).values()));
    return {};
  }
  Status bind(BindContext& context) const override {
    const Shape& in = context.shape(0);
    LINNET_ASSIGN(const size_t axis, checked_axis(axis_, in.rank()));
    Bound& bound = context.state<Bound>();
    bound.axis = axis;
    bound.rows = static_cast<size_t>(in.count(0, axis));
    bound.n = static_cast<size_t>(in.count(axis, in.rank()));
    // Copies as float of other types, then room for a repeated scale and bias.
    size_t bytes = FloatScratch::bytes(context.dtype(0), in) + FloatScratch::bytes(context.out_dtype(0), in);
    for (size_t i = 1; i < context.inputs(); ++i)
      if (context.has(i)) bytes += FloatScratch::bytes(context.dtype(i), context.shape(i));
    for (size_t o = 1; o < context.outputs(); ++o)
      if (context.wants(o)) bytes += FloatScratch::bytes(context.out_dtype(o), context.out_shape(o));
    bound.room = bytes;
    for (size_t i = 1; i < context.inputs(); ++i)
      if (context.has(i) && static_cast<size_t>(context.shape(i).count()) != bound.n)
        bytes += round_up(bound.n * sizeof(float), 64);
    if (bytes != 0) context.request_scratch(bytes);
    return {};
  }
  Status run(RunContext& context) const override {
    const Bound& bound = context.state<Bound>();
    if (bound.n == 0) return {};
    const Tensor& x = context.in(0);
    Tensor& y = context.out(0);
    FloatScratch scratch(context);
    float* room = reinterpret_cast<float*>(context.scratch() + bound.room);
    const auto operand = [&](size_t i) -> const float* {
      const Tensor* tensor = context.maybe(i);
      if (!tensor) return nullptr;
      const float* elements = RowOperand::spread(scratch.in(*tensor), *tensor, x.shape, bound.axis, room);
      if (elements == room) room += round_up(bound.n * sizeof(float), 64) / sizeof(float);
      return elements;
    };
    LayerNorm norm{.rows = bound.rows,
                   .n = bound.n,
                   .rms = rms_,
                   .epsilon = epsilon_,
                   .src = scratch.in(x),
                   .dst = scratch.out(y)};
    norm.scale = operand(1);
    norm.shift = operand(2);
    const size_t inverse = rms_ ? 1 : 2;
    if (!rms_ && context.wants(1)) norm.mean = scratch.out(context.out(1));
    if (context.wants(inverse)) norm.inverse = scratch.out(context.out(inverse));
    layer_norm(norm, context.parallel);
    scratch.finish(y, norm.dst);
    if (norm.mean) scratch.finish(context.out(1), norm.mean);
    if (norm.inverse) scratch.finish(context.out(inverse), norm.inverse);
    return {};
  }
  bool can_overwrite(size_t input, size_t output) const override { return input == 0 && output == 0; }

 private:
  struct Bound {
    size_t axis, rows, n;
    size_t room;  // offset in the scratch memory
  };
  bool rms_ = false, typed_by_scale_ = false;
  int64_t axis_ = -1;
  float epsilon_ = 1e-5f;
  DType stash_ = DType::f32;  // of the statistics as outputs; they are computed in float
};

// Inputs: x, skip, scale, then without mean (bias), else (shift, bias). Outputs: y, mean, inverse deviation, x + skip +
// bias.
class SkipLayerNormalization final : public Op {
 public:
  Status parse(NodeReader& reader) {
    rms_ = reader.op_type() == "SkipSimplifiedLayerNormalization";
    epsilon_ = reader.number("epsilon", 1e-12f);
    return {};
  }
  Status infer(InferContext& context) const override {
    LINNET_TRY(check_float(context));
    LINNET_TRY(infer_same_as_input(context));
    if (!context.ranked(0)) {
      for (size_t o = 1; o < 3; ++o) context.set_unranked(o, DType::f32);
      context.set_unranked(3, context.dtype(0));
      return {};
    }
    const SymShape& in = context.shape(0);
    LINNET_REQUIRE(in.size() >= 1, invalid_argument("the input is a scalar"));
    SymShape reduced = in;
    reduced.back() = Dim(1);
    context.set(1, DType::f32, reduced);
    context.set(2, DType::f32, reduced);
    context.set(3, context.dtype(0), in);
    if (!in.known()) return {};
    const Shape x = in.values();
    for (size_t i = 1; i < context.inputs(); ++i) {
      if (!context.has(i) || !context.ranked(i) || !context.shape(i).known()) continue;
      const Shape operand = context.shape(i).values();
      if (i > 1) {
        LINNET_REQUIRE(operand.count() == x.back(),
                       invalid_argument("input ", i, " of shape ", operand, " does not fit rows of ", x.back()));
      } else {
        LINNET_REQUIRE(skip_fits(x, operand),
                       invalid_argument("the skip input of shape ", operand, " does not repeat to ", x));
      }
    }
    return {};
  }
  Status bind(BindContext& context) const override {
    request_float_scratch(context);
    return {};
  }
  Status run(RunContext& context) const override {
    const Tensor& x = context.in(0);
    Tensor& y = context.out(0);
    const size_t n = static_cast<size_t>(x.shape.back());
    if (x.count() == 0) return {};
    FloatScratch scratch(context);
    LayerNorm norm{.rows = static_cast<size_t>(x.count()) / n,
                   .n = n,
                   .rms = rms_,
                   .epsilon = epsilon_,
                   .src = scratch.in(x),
                   .dst = scratch.out(y)};
    norm.skip = scratch.in(context.in(1));
    norm.skip_rows = static_cast<size_t>(context.in(1).count()) / n;
    norm.scale = scratch.in(context.in(2));
    norm.shift = rms_ ? nullptr : scratch.in(context.maybe(3));
    norm.bias = scratch.in(context.maybe(rms_ ? 3 : 4));
    if (context.wants(3)) norm.sum = scratch.out(context.out(3));
    if (context.wants(1)) norm.mean = context.out(1).ptr<float>();
    if (context.wants(2)) norm.inverse = context.out(2).ptr<float>();
    layer_norm(norm, context.parallel);
    scratch.finish(y, norm.dst);
    if (context.wants(3)) scratch.finish(context.out(3), norm.sum);
    return {};
  }

 private:
  // The whole shape, or its last axes with leading ones; at least rows.
  static bool skip_fits(const Shape& x, const Shape& skip) {
    if (skip.rank() == 0) return false;
    size_t first = 0;
    while (first < skip.rank() && skip[first] == 1 && skip.rank() - first > 1 &&
           (skip.rank() > x.rank() || x[x.rank() - (skip.rank() - first)] != 1))
      ++first;
    if (skip.rank() - first > x.rank()) return false;
    for (size_t back = 1; back <= skip.rank() - first; ++back)
      if (skip[skip.rank() - back] != x[x.rank() - back]) return false;
    return true;
  }
  bool rms_ = false;
  float epsilon_ = 1e-12f;
};

constexpr OpDef kDefs[] = {
    {"", "LayerNormalization", 1, 2, 3, 1, 3, create<LayerNormalization>},
    {"", "RMSNormalization", 23, 2, 2, 1, 1, create<LayerNormalization>},
    // Not in the standard, yet exporters write it into the default domain.
    {"", "SimplifiedLayerNormalization", 1, 2, 2, 1, 2, create<LayerNormalization>},
    {"com.microsoft", "SimplifiedLayerNormalization", 1, 2, 2, 1, 2, create<LayerNormalization>},
    {"com.microsoft", "SkipLayerNormalization", 1, 3, 5, 1, 4, create<SkipLayerNormalization>},
    {"com.microsoft", "SkipSimplifiedLayerNormalization", 1, 3, 4, 1, 4, create<SkipLayerNormalization>},
};

}  // namespace

extern const std::span<const OpDef> kLayerNormalizationOps = kDefs;

}  // namespace linnet
