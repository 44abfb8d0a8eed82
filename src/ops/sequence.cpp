// Sequences of tensors.
// https://onnx.ai/onnx/operators/onnx__SequenceConstruct.html, ...SequenceEmpty, ...SequenceInsert, ...SequenceErase,
// ...SequenceAt, ...SequenceLength, ...SplitToSequence, ...ConcatFromSequence
#include "ops/infer_shapes.h"
#include "ops/op.h"
#include "ops/sequence_values.h"

namespace linnet {
namespace {

// Copies `count` steps of the axis between two tensors that agree in all other sizes.
void copy_steps(const Tensor& from, size_t from_axis, int64_t from_step, Tensor& to, size_t to_axis, int64_t to_step,
                int64_t count) {
  const int64_t outer = from.shape.count(0, from_axis);
  const int64_t inner = from.shape.count(from_axis + 1, from.shape.rank());
  const int64_t from_stride = from.shape[from_axis] * inner;
  const int64_t to_stride = to.shape[to_axis] * inner;
  for (int64_t i = 0; i < outer; ++i) {
    const int64_t source = i * from_stride + from_step * inner;
    const int64_t target = i * to_stride + to_step * inner;
    if (from.dtype == DType::string) {
      std::copy_n(from.ptr<std::string>() + source, count * inner, to.ptr<std::string>() + target);
    } else if (count * inner != 0) {
      const size_t size = element_size(from.dtype);
      std::memcpy(to.ptr<std::byte>() + static_cast<size_t>(target) * size,
                  from.ptr<std::byte>() + static_cast<size_t>(source) * size,
                  static_cast<size_t>(count * inner) * size);
    }
  }
}

// The tensor with an axis of size 1 put in or taken out: another view of the same elements.
Tensor with_axis(const Tensor& tensor, size_t axis, bool insert) {
  Tensor view = tensor;
  if (insert) {
    view.shape.insert(axis, 1);
  } else {
    view.shape.erase(axis);
  }
  return view;
}

class SequenceConstruct final : public Op {
 public:
  Status parse(NodeReader&) { return {}; }
  Status infer(InferContext& context) const override {
    for (size_t i = 0; i < context.inputs(); ++i)
      LINNET_REQUIRE(context.has(i) && context.dtype(i) == context.dtype(0),
                     invalid_model("its inputs differ in type"));
    context.set_info(0, sequence_info(context.info(0)));
    return {};
  }
  Status run(RunContext& context) const override {
    auto sequence = std::make_shared<Sequence>();
    sequence->dtype = context.in(0).dtype;
    for (size_t i = 0; i < context.inputs(); ++i) {
      LINNET_ASSIGN(Value value, keep(context, context.in_value(i)));
      sequence->values.push_back(std::move(value));
    }
    context.out_value(0).sequence = std::move(sequence);
    return {};
  }
};

class SequenceEmpty final : public Op {
 public:
  Status parse(NodeReader& reader) {
    dtype_ = reader.dtype("dtype", DType::f32);
    return {};
  }
  Status infer(InferContext& context) const override {
    context.set_info(0, sequence_info(dtype_));
    return {};
  }
  Status run(RunContext& context) const override {
    auto sequence = std::make_shared<Sequence>();
    sequence->dtype = dtype_;
    context.out_value(0).sequence = std::move(sequence);
    return {};
  }

 private:
  DType dtype_ = DType::f32;
};

class SequenceInsert final : public Op {
 public:
  Status parse(NodeReader&) { return {}; }
  Status infer(InferContext& context) const override {
    ValueInfo info = context.info(0);
    if (info.dtype == DType::undefined) info = sequence_info(context.info(1));
    LINNET_REQUIRE(info.dtype == context.dtype(1), invalid_model("cannot insert ", dtype_name(context.dtype(1)),
                                                                 " into a sequence of ", dtype_name(info.dtype)));
    context.set_info(0, std::move(info));
    return {};
  }
  Status run(RunContext& context) const override {
    LINNET_ASSIGN(const Sequence* in, sequence_input(context, 0));
    size_t position = in->values.size();
    if (context.has(2)) {  // the end is a position too
      const Tensor& given = context.in(2);
      LINNET_REQUIRE(given.count() == 1 && is_integer(given.dtype),
                     invalid_argument("the position must be one integer"));
      const int64_t count = static_cast<int64_t>(position), wanted = integer_at(given, 0);
      LINNET_REQUIRE(wanted >= -count && wanted <= count,
                     invalid_argument("position ", wanted, " is outside of a sequence of ", count));
      position = static_cast<size_t>(wanted < 0 ? wanted + count : wanted);
    }
    LINNET_ASSIGN(Value value, keep(context, context.in_value(1)));
    auto sequence = std::make_shared<Sequence>();
    sequence->dtype = context.in(1).dtype;
    sequence->values.reserve(in->values.size() + 1);
    sequence->values = in->values;
    sequence->values.insert(sequence->values.begin() + static_cast<ptrdiff_t>(position), std::move(value));
    context.out_value(0).sequence = std::move(sequence);
    return {};
  }
};

class SequenceErase final : public Op {
 public:
  Status parse(NodeReader&) { return {}; }
  Status infer(InferContext& context) const override {
    context.set_info(0, context.info(0));
    return {};
  }
  Status run(RunContext& context) const override {
    LINNET_ASSIGN(const Sequence* in, sequence_input(context, 0));
    size_t position = in->values.size() - 1;
    if (context.has(1) || in->values.empty()) {
      LINNET_REQUIRE(!in->values.empty(), invalid_argument("the sequence is empty"));
      LINNET_ASSIGN(position, position_input(context, 1, in->values.size()));
    }
    auto sequence = std::make_shared<Sequence>(*in);
    sequence->values.erase(sequence->values.begin() + static_cast<ptrdiff_t>(position));
    context.out_value(0).sequence = std::move(sequence);
    return {};
  }
};

class SequenceAt final : public Op {
 public:
  Status parse(NodeReader&) { return {}; }
  Status infer(InferContext& context) const override {
    context.set_info(0, element_info(context.info(0)));
    return {};
  }
  Status run(RunContext& context) const override {
    LINNET_ASSIGN(const Sequence* in, sequence_input(context, 0));
    LINNET_ASSIGN(const size_t position, position_input(context, 1, in->values.size()));
    return write_value(context, 0, in->values[position]);
  }
};

class SequenceLength final : public Op {
 public:
  Status parse(NodeReader&) { return {}; }
  Status infer(InferContext& context) const override {
    context.set(0, DType::i64, {});
    return {};
  }
  Status run(RunContext& context) const override {
    LINNET_ASSIGN(const Sequence* in, sequence_input(context, 0));
    *context.out(0).ptr<int64_t>() = static_cast<int64_t>(in->values.size());
    return {};
  }
};

class SplitToSequence final : public Op {
 public:
  Status parse(NodeReader& reader) {
    axis_ = reader.integer("axis", 0);
    keep_axis_ = reader.flag("keepdims", true);
    return {};
  }
  Status infer(InferContext& context) const override {
    LINNET_REQUIRE(!is_packed(context.dtype(0)), unsupported("cannot split tensors of ", dtype_name(context.dtype(0))));
    LINNET_REQUIRE(!context.has(1) || is_integer(context.dtype(1)),
                   invalid_model("the split lengths are not integers"));
    if (context.ranked(0)) LINNET_TRY(checked_axis(axis_, context.shape(0).size()).status());
    context.set_info(0, sequence_info(context.dtype(0)));
    return {};
  }
  Status run(RunContext& context) const override {
    const Tensor& in = context.in(0);
    LINNET_ASSIGN(const size_t axis, checked_axis(axis_, in.shape.rank()));
    LINNET_ASSIGN(const std::vector<int64_t> lengths, part_lengths(context.maybe(1), in.shape[axis]));
    auto sequence = std::make_shared<Sequence>();
    sequence->dtype = in.dtype;
    int64_t first = 0;
    for (const int64_t length : lengths) {
      Shape shape = in.shape;
      shape[axis] = length;
      LINNET_ASSIGN(Tensor part, context.make(in.dtype, shape));
      copy_steps(in, axis, first, part, axis, 0, length);
      first += length;
      sequence->values.emplace_back(keep_axis_ || context.has(1) ? std::move(part) : with_axis(part, axis, false));
    }
    context.out_value(0).sequence = std::move(sequence);
    return {};
  }

 private:
  static Result<std::vector<int64_t>> part_lengths(const Tensor* split, int64_t size) {
    std::vector<int64_t> lengths;
    if (split && split->shape.rank() == 1) {
      int64_t rest = size;
      for (int64_t i = 0; i < split->count(); ++i) {
        const int64_t length = integer_at(*split, i);
        if (length < 0 || length > rest)
          return invalid_argument("the split lengths do not add up to the axis of size ", size);
        rest -= length;
        lengths.push_back(length);
      }
      if (rest != 0) return invalid_argument("the split lengths do not add up to the axis of size ", size);
      return lengths;
    }
    if (split && split->count() != 1) return invalid_argument("the split lengths are neither a scalar nor a vector");
    const int64_t chunk = split ? integer_at(*split, 0) : 1;
    if (chunk <= 0) return invalid_argument("cannot split into parts of ", chunk);
    for (int64_t first = 0; first < size; first += std::min(chunk, size - first))
      lengths.push_back(std::min(chunk, size - first));
    return lengths;
  }

  int64_t axis_ = 0;
  bool keep_axis_ = true;
};

class ConcatFromSequence final : public Op {
 public:
  Status parse(NodeReader& reader) {
    LINNET_REQUIRE(reader.has("axis"), invalid_model("lacks the attribute 'axis'"));
    axis_ = reader.integer("axis", 0);
    new_axis_ = reader.flag("new_axis", false);
    return {};
  }
  Status infer(InferContext& context) const override {
    LINNET_REQUIRE(!is_packed(context.dtype(0)), unsupported("cannot join tensors of ", dtype_name(context.dtype(0))));
    context.set_unranked(0, context.dtype(0));
    return {};
  }
  Status run(RunContext& context) const override {
    LINNET_ASSIGN(const Sequence* in, sequence_input(context, 0));
    LINNET_REQUIRE(!in->values.empty(), invalid_argument("cannot join the tensors of an empty sequence"));
    for (const Value& value : in->values)
      LINNET_REQUIRE(value.is_tensor() && value.tensor.dtype == in->values[0].tensor.dtype,
                     invalid_argument("the elements differ in type"));
    const Tensor& first = in->values[0].tensor;
    LINNET_ASSIGN(const size_t axis, checked_axis(axis_, first.shape.rank() + (new_axis_ ? 1 : 0)));
    Shape shape = part(first, axis).shape;
    int64_t total = 0;
    for (const Value& value : in->values) {
      Shape other = new_axis_ || axis < value.tensor.shape.rank() ? part(value.tensor, axis).shape : value.tensor.shape;
      const bool ranked = other.rank() == shape.rank();
      if (ranked) {
        total += other[axis];
        other[axis] = shape[axis];
      }
      LINNET_REQUIRE(ranked && other == shape,
                     invalid_argument("cannot join tensors of shapes ", first.shape, " and ", value.tensor.shape));
    }
    shape[axis] = total;
    LINNET_TRY(context.allocate(0, first.dtype, shape));
    int64_t step = 0;
    for (const Value& value : in->values) {
      const Tensor from = part(value.tensor, axis);
      copy_steps(from, axis, 0, context.out(0), axis, step, from.shape[axis]);
      step += from.shape[axis];
    }
    return {};
  }

 private:
  Tensor part(const Tensor& tensor, size_t axis) const {
    return new_axis_ && axis <= tensor.shape.rank() ? with_axis(tensor, axis, true) : tensor;
  }

  int64_t axis_ = 0;
  bool new_axis_ = false;
};

constexpr OpDef kDefs[] = {
    {"", "SequenceConstruct", 11, 1, kAnyNumber, 1, 1, create<SequenceConstruct>},
    {"", "SequenceEmpty", 11, 0, 0, 1, 1, create<SequenceEmpty>},
    {"", "SequenceInsert", 11, 2, 3, 1, 1, create<SequenceInsert>, OpDef::kTakesValues},
    {"", "SequenceErase", 11, 1, 2, 1, 1, create<SequenceErase>, OpDef::kTakesValues},
    {"", "SequenceAt", 11, 2, 2, 1, 1, create<SequenceAt>, OpDef::kTakesValues | OpDef::kAllocates},
    {"", "SequenceLength", 11, 1, 1, 1, 1, create<SequenceLength>, OpDef::kTakesValues},
    {"", "SplitToSequence", 11, 1, 2, 1, 1, create<SplitToSequence>},
    {"", "ConcatFromSequence", 11, 1, 1, 1, 1, create<ConcatFromSequence>, OpDef::kTakesValues | OpDef::kAllocates},
};

}  // namespace

extern const std::span<const OpDef> kSequenceOps = kDefs;

}  // namespace linnet
