// Tensors made from a few numbers.
// https://onnx.ai/onnx/operators/onnx__Constant.html, ...ConstantOfShape, ...Range, ...EyeLike, ...OneHot, ...Trilu
#include <cmath>

#include "kernels/movement/fill.h"
#include "ops/element_types.h"
#include "ops/infer_shapes.h"

namespace linnet {
namespace {

constexpr int64_t kMostTracked = 64;  // elements whose values are worth following

// Sets elements to the one value at `value`, whose type is the tensor's.
void fill(Tensor& out, const void* value, const Parallel& parallel) {
  visit_width(out.dtype, [&]<class T>(TypeTag<T>) {
    const T element = *static_cast<const T*>(value);
    T* dst = out.ptr<T>();
    parallel.for_range(static_cast<size_t>(out.count()), size_t{1} << 17,
                       [&](size_t begin, size_t end, size_t) { fill_elements(dst + begin, element, end - begin); });
  });
}

// The element 1 of a numeric or boolean type, as bytes.
void write_one(DType dtype, void* element) {
  if (dtype == DType::boolean) {
    *static_cast<bool*>(element) = true;
    return;
  }
  visit_number(dtype, [&]<class T>(TypeTag<T>) { *static_cast<T*>(element) = static_cast<T>(1.0f); });
}

class Constant final : public Op {
 public:
  Status parse(NodeReader& reader) {
    if (const Tensor* value = reader.tensor("value")) return keep(*value);
    if (reader.has("value_float")) return keep<float>({reader.number("value_float", 0)}, {});
    if (reader.has("value_int")) return keep<int64_t>({reader.integer("value_int", 0)}, {});
    if (reader.has("value_string")) return keep<std::string>({reader.text("value_string", "")}, {});
    if (reader.has("value_floats")) return keep(reader.numbers("value_floats"));
    if (reader.has("value_ints")) return keep(reader.integers("value_ints"));
    if (reader.has("value_strings")) return keep(reader.texts("value_strings"));
    return unsupported("this form of constant is not supported");
  }
  Status infer(InferContext& context) const override {
    context.set(0, value_.dtype, value_.shape);
    if (kIntegerTypes.has(value_.dtype) && value_.shape.rank() <= 1 && value_.count() <= kMostTracked) {
      const Shape elements = integers_of(value_);
      context.set_ints(0, DimVector(elements));
    }
    return {};
  }
  Status run(RunContext& context) const override {
    copy_elements(value_, context.out(0));
    return {};
  }

 private:
  Status keep(const Tensor& value) {
    LINNET_ASSIGN(value_, clone(value));
    return {};
  }
  template <class T>
  Status keep(const std::vector<T>& values) {
    return keep<T>(values, {static_cast<int64_t>(values.size())});
  }
  template <class T>
  Status keep(const std::vector<T>& values, const Shape& shape) {
    LINNET_ASSIGN(value_, make_tensor(dtype_of<T>, shape));
    std::copy(values.begin(), values.end(), value_.ptr<T>());
    return {};
  }
  Tensor value_;
};

class ConstantOfShape final : public Op {
 public:
  Status parse(NodeReader& reader) {
    const Tensor* value = reader.tensor("value");
    if (value) {
      LINNET_REQUIRE(value->count() == 1,
                     invalid_model("attribute 'value' has ", value->count(), " elements in place of one"));
      LINNET_ASSIGN(value_, clone(*value));
    } else {
      LINNET_ASSIGN(value_, make_tensor(DType::f32, {1}));
    }
    return {};
  }

  Status infer(InferContext& context) const override {
    LINNET_TRY(expect_type(context, 0, TypeSet{DType::i64}));
    DimVector shape;
    if (!context.list(0, shape)) {
      const bool sized = context.ranked(0) && context.shape(0).size() == 1 && context.shape(0)[0].known();
      if (sized && context.shape(0)[0].value() < 1024) {
        context.set(0, value_.dtype, SymShape(static_cast<size_t>(context.shape(0)[0].value())));
      } else {
        context.set_unranked(0, value_.dtype);
      }
      return {};
    }
    for (const Dim& size : shape)
      LINNET_REQUIRE(!size.known() || size.value() >= 0, invalid_argument("the shape has size ", size.value()));
    if (kIntegerTypes.has(value_.dtype) && shape.size() <= 1 &&
        (shape.empty() || (shape[0].known() && shape[0].value() <= kMostTracked)))
      context.set_ints(0, DimVector(shape.empty() ? 1 : static_cast<size_t>(shape[0].value()), integer_at(value_, 0)));
    context.set(0, value_.dtype, std::move(shape));
    return {};
  }

  Status run(RunContext& context) const override {
    Tensor& out = context.out(0);
    if (is_packed(out.dtype)) {
      const int bits = dtype_bits(out.dtype);
      unsigned byte = *value_.ptr<uint8_t>() & ((1u << bits) - 1u);
      for (int filled = bits; filled < 8; filled *= 2) byte |= byte << filled;
      std::memset(out.data, static_cast<int>(byte), out.bytes());
    } else {
      fill(out, value_.data, context.parallel);
    }
    return {};
  }

 private:
  Tensor value_;
};

class Range final : public Op {
 public:
  Status parse(NodeReader& reader) {
    reader.ignore("stash_type");  // half-precision types are computed in float
    return {};
  }

  Status infer(InferContext& context) const override {
    LINNET_TRY(expect_type(context, 0, kFloatTypes | TypeSet{DType::i16, DType::i32, DType::i64}));
    for (size_t i = 0; i < 3; ++i) {
      LINNET_TRY(expect_same_type(context, i, 0));
      LINNET_TRY(expect_one_element(context, i));
    }
    LINNET_ASSIGN(const Dim count, count_of(context));
    context.set(0, context.dtype(0), {count});
    const auto start = context.known_int(0), delta = context.known_int(2);
    if (count.known() && count.value() <= kMostTracked && start && delta) {
      DimVector elements;
      for (int64_t i = 0; i < count.value(); ++i) elements.push_back(*start + i * *delta);
      context.set_ints(0, elements);
    }
    return {};
  }

  Status run(RunContext& context) const override {
    Tensor& out = context.out(0);
    const Tensor &start = context.in(0), &delta = context.in(2);
    const size_t count = static_cast<size_t>(out.count());
    visit_number(out.dtype, [&]<class T>(TypeTag<T>) {
      using Step = std::conditional_t<std::is_integral_v<T>, uint64_t,
                                      std::conditional_t<std::is_same_v<T, double>, double, float>>;
      const Step first = static_cast<Step>(*start.ptr<T>()), step = static_cast<Step>(*delta.ptr<T>());
      T* dst = out.ptr<T>();
      context.parallel.for_range(count, 8192, [&](size_t begin, size_t end, size_t) {
        if constexpr (std::is_integral_v<T>) {  // sums need no products of 64 bits
          Step value = first + begin * step;
          for (size_t i = begin; i < end; ++i, value += step) dst[i] = static_cast<T>(value);
        } else {
          for (size_t i = begin; i < end; ++i) dst[i] = static_cast<T>(first + static_cast<Step>(i) * step);
        }
      });
    });
    return {};
  }

 private:
  static Result<Dim> count_of(InferContext& context) {
    const auto zero_step = [] { return invalid_argument("delta is 0"); };
    if (kFloatTypes.has(context.dtype(0))) {
      const Tensor *start = context.known(0), *limit = context.known(1), *delta = context.known(2);
      if (!start || !limit || !delta) return Dim();
      const double step = number_at(*delta, 0);
      if (step == 0) return zero_step();
      double distance = number_at(*limit, 0) - number_at(*start, 0);
      if (context.dtype(0) != DType::f64) distance = static_cast<float>(distance);
      const double count = std::ceil(distance / step);
      LINNET_REQUIRE(count < 0x1p53, invalid_argument("the range is not finite"));  // NaN fails too
      return Dim(std::max(static_cast<int64_t>(std::max(count, 0.0)), int64_t{0}));
    }
    DimVector start, limit, delta;
    if (!context.ints(0, start) || !context.ints(1, limit) || !context.ints(2, delta)) return Dim();
    if (start.size() != 1 || limit.size() != 1 || delta.size() != 1)
      return invalid_argument("start, limit and delta must be scalars");
    if (delta[0].is(0)) return zero_step();
    if (!start[0].known() || !limit[0].known() || !delta[0].known())
      return delta[0].is(1) ? context.symbols().sub(limit[0], start[0]) : Dim();
    const bool up = delta[0].value() > 0;
    const int64_t low = up ? start[0].value() : limit[0].value(), high = up ? limit[0].value() : start[0].value();
    if (high <= low) return Dim(0);
    const uint64_t distance = static_cast<uint64_t>(high) - static_cast<uint64_t>(low);
    const uint64_t step =
        up ? static_cast<uint64_t>(delta[0].value()) : uint64_t{0} - static_cast<uint64_t>(delta[0].value());
    const std::optional<int64_t> count = narrow<int64_t>((distance - 1) / step + 1);
    LINNET_REQUIRE(count, invalid_argument("the range is too long"));
    return Dim(*count);
  }
};

class EyeLike final : public Op {
 public:
  Status parse(NodeReader& reader) {
    dtype_ = reader.dtype("dtype", DType::undefined);
    k_ = reader.integer("k", 0);
    LINNET_REQUIRE(dtype_ == DType::undefined || kTypes.has(dtype_),
                   unsupported("dtype ", dtype_name(dtype_), " is not supported"));
    return {};
  }
  Status infer(InferContext& context) const override {
    const DType dtype = dtype_ == DType::undefined ? context.dtype(0) : dtype_;
    if (dtype_ == DType::undefined) LINNET_TRY(expect_type(context, 0, kTypes));
    LINNET_REQUIRE(!context.ranked(0) || context.shape(0).size() == 2, invalid_argument("the input must be a matrix"));
    LINNET_REQUIRE(context.ranked(0) || context.symbolic(), invalid_argument("the input is not a tensor"));
    context.set(0, dtype, context.ranked(0) ? context.shape(0) : SymShape(2));
    return {};
  }
  Status run(RunContext& context) const override {
    Tensor& out = context.out(0);
    const int64_t rows = out.shape[0], columns = out.shape[1];
    std::memset(out.data, 0, out.bytes());
    const size_t width = element_size(out.dtype);
    const int64_t k = std::clamp(k_, -rows, columns);
    for (int64_t r = std::max<int64_t>(0, -k); r < rows && r + k < columns; ++r)
      write_one(out.dtype, out.ptr<std::byte>() + static_cast<size_t>(r * columns + r + k) * width);
    return {};
  }

 private:
  static constexpr TypeSet kTypes = kNumberTypes | TypeSet{DType::boolean};
  DType dtype_ = DType::undefined;
  int64_t k_ = 0;
};

class OneHot final : public Op {
 public:
  Status parse(NodeReader& reader) {
    axis_ = reader.integer("axis", -1);
    return {};
  }

  Status infer(InferContext& context) const override {
    LINNET_TRY(expect_type(context, 0, kNumberTypes));
    LINNET_TRY(expect_type(context, 1, kNumberTypes));
    LINNET_TRY(expect_type(context, 2, kWholeTypes));
    LINNET_TRY(expect_one_element(context, 1));
    if (context.ranked(2)) {
      const SymShape& values = context.shape(2);
      LINNET_REQUIRE(values.size() == 1 && (!values[0].known() || values[0].is(2)),
                     invalid_argument("'values' must have two elements"));
    }
    if (!context.ranked(0)) {
      context.set_unranked(0, context.dtype(2));
      return {};
    }
    SymShape shape = context.shape(0);
    LINNET_ASSIGN(const size_t axis, checked_axis(axis_, shape.size() + 1));
    Dim depth;
    DimVector tracked;
    if (context.ints(1, tracked) && tracked.size() == 1) {
      depth = tracked[0];
    } else if (const Tensor* known = context.known(1); known && known->count() == 1) {
      const double number = number_at(*known, 0);
      LINNET_REQUIRE(number >= 0 && number < 0x1p53, invalid_argument("'depth' is ", number));
      depth = static_cast<int64_t>(number);
    }
    LINNET_REQUIRE(!depth.known() || depth.value() >= 0, invalid_argument("'depth' is ", depth.value()));
    shape.insert(axis, depth);
    context.set(0, context.dtype(2), std::move(shape));
    return {};
  }

  Status run(RunContext& context) const override {
    const Tensor &indices = context.in(0), &values = context.in(2);
    Tensor& out = context.out(0);
    LINNET_ASSIGN(const size_t axis, checked_axis(axis_, out.shape.rank()));
    const int64_t depth = out.shape[axis], inner = out.shape.count(axis + 1, out.shape.rank()), count = indices.count();
    const bool whole = kIntegerTypes.has(indices.dtype);
    fill(out, values.data, context.parallel);
    visit_width(out.dtype, [&]<class T>(TypeTag<T>) {
      const T on = values.ptr<T>()[1];
      T* dst = out.ptr<T>();
      for (int64_t i = 0; i < count; ++i) {
        int64_t index = -1;
        if (whole) {
          index = integer_at(indices, i);
        } else {
          const double number = number_at(indices, i);
          if (!(number >= -0x1p53 && number <= 0x1p53)) continue;
          index = static_cast<int64_t>(number);
        }
        if (index < -depth || index >= depth) continue;
        if (index < 0) index += depth;
        dst[(i / inner * depth + index) * inner + i % inner] = on;
      }
    });
    return {};
  }

 private:
  int64_t axis_ = -1;
};

class Trilu final : public Op {
 public:
  Status parse(NodeReader& reader) {
    upper_ = reader.flag("upper", true);
    return {};
  }
  Status infer(InferContext& context) const override {
    LINNET_TRY(expect_type(context, 0, kWholeTypes));
    LINNET_TRY(expect_type(context, 1, TypeSet{DType::i64}));
    LINNET_TRY(expect_one_element(context, 1));
    LINNET_REQUIRE(!context.ranked(0) || context.shape(0).size() >= 2,
                   invalid_argument("the input must be a matrix or a stack of them"));
    return infer_same_as_input(context);
  }
  bool can_overwrite(size_t input, size_t) const override { return input == 0; }

  Status run(RunContext& context) const override {
    const Tensor& in = context.in(0);
    Tensor& out = context.out(0);
    const int64_t rows = in.shape[in.shape.rank() - 2], columns = in.shape[in.shape.rank() - 1];
    if (out.count() == 0) return {};
    const int64_t k = context.has(1) ? std::clamp(*context.in(1).ptr<int64_t>(), -rows, columns) : 0;
    // The diagonal k starts the upper part, and ends the lower one.
    const auto cut_of = [&](int64_t row) { return std::clamp<int64_t>(row % rows + k + (upper_ ? 0 : 1), 0, columns); };
    if (in.dtype == DType::string) {
      for (int64_t i = 0; i < in.count(); ++i) {
        const bool kept = (i % columns >= cut_of(i / columns)) == upper_;
        out.ptr<std::string>()[i] = kept ? in.ptr<std::string>()[i] : std::string();
      }
      return {};
    }
    const int64_t width = static_cast<int64_t>(element_size(in.dtype));
    const auto* src = in.ptr<std::byte>();
    auto* dst = out.ptr<std::byte>();
    const size_t grain = std::max<size_t>((size_t{1} << 16) / static_cast<size_t>(columns * width), 1);
    context.parallel.for_range(static_cast<size_t>(in.count() / columns), grain, [&](size_t begin, size_t end, size_t) {
      for (int64_t row = static_cast<int64_t>(begin); row < static_cast<int64_t>(end); ++row) {
        const int64_t cut = cut_of(row) * width;
        const int64_t first = row * columns * width, bytes = columns * width;
        const int64_t keep_from = upper_ ? cut : 0, keep_to = upper_ ? bytes : cut;
        if (src != dst)
          std::memcpy(dst + first + keep_from, src + first + keep_from, static_cast<size_t>(keep_to - keep_from));
        std::memset(dst + first + (upper_ ? 0 : cut), 0, static_cast<size_t>(bytes - (keep_to - keep_from)));
      }
    });
    return {};
  }

 private:
  bool upper_ = true;
};

constexpr OpDef kDefs[] = {
    {"", "Constant", 1, 0, 0, 1, 1, create<Constant>}, {"", "ConstantOfShape", 9, 1, 1, 1, 1, create<ConstantOfShape>},
    {"", "Range", 11, 3, 3, 1, 1, create<Range>},      {"", "EyeLike", 9, 1, 1, 1, 1, create<EyeLike>},
    {"", "OneHot", 9, 3, 3, 1, 1, create<OneHot>},     {"", "Trilu", 14, 1, 2, 1, 1, create<Trilu>},
};

}  // namespace

extern const std::span<const OpDef> kConstantOps = kDefs;

}  // namespace linnet
