// Operators that translate labels.
// https://onnx.ai/onnx/operators/onnx_aionnxml_LabelEncoder.html, ...CategoryMapper, ...OneHotEncoder
#include <algorithm>

#include "ops/element_types.h"
#include "ops/infer_shapes.h"
#include "ops/ml/features.h"
#include "ops/ml/label_table.h"

namespace linnet {
namespace {

// One direction of a translation: keys, the values beside them, and what stands for all other keys.
struct Translation {
  KeyIndex keys;
  Tensor values, fallback;

  Status build(Result<Tensor> of_keys, Result<Tensor> of_values, Result<Tensor> of_fallback) {
    LINNET_ASSIGN(Tensor key_tensor, std::move(of_keys));
    LINNET_ASSIGN(values, std::move(of_values));
    LINNET_ASSIGN(fallback, std::move(of_fallback));
    LINNET_REQUIRE(key_tensor.count() == values.count(),
                   invalid_model("has ", key_tensor.count(), " keys, but ", values.count(), " values"));
    LINNET_REQUIRE(fallback.count() == 1 && fallback.dtype == values.dtype,
                   invalid_model("the default is not one value of the values' type"));
    LINNET_REQUIRE(!is_packed(values.dtype),
                   unsupported("values of type ", dtype_name(values.dtype), " are not supported"));
    return keys.build(std::move(key_tensor));
  }

  void run(const Tensor& in, Tensor& out, const Parallel& parallel) const {
    visit_width(out.dtype, [&]<class T>(TypeTag<T>) {
      parallel.for_range(static_cast<size_t>(in.count()), grain_for(30), [&](size_t begin, size_t end, size_t) {
        for (size_t i = begin; i < end; ++i) {
          const size_t found = keys.find(in, static_cast<int64_t>(i));
          out.ptr<T>()[i] = found == KeyIndex::kAbsent ? *fallback.ptr<T>() : values.ptr<T>()[found];
        }
      });
    });
  }
};

// The names of the attributes that hold strings, integers, floats, or a tensor of any type.
struct ListNames {
  std::string_view strings, integers, floats, tensor;
};

// Whichever of the attributes there is.
Result<Tensor> read_list(NodeReader& reader, const ListNames& names) {
  const int given = int{reader.has(names.strings)} + int{reader.has(names.integers)} + int{reader.has(names.floats)} +
                    int{reader.has(names.tensor)};
  LINNET_REQUIRE(given == 1, invalid_model("needs exactly one of '", names.strings, "' and its forms for other types"));
  if (reader.has(names.strings)) return label_tensor(reader.texts(names.strings));
  if (reader.has(names.integers)) return label_tensor(reader.integers(names.integers));
  if (reader.has(names.floats)) return label_tensor(reader.numbers(names.floats));
  const Tensor* tensor = reader.tensor(names.tensor);
  LINNET_REQUIRE(tensor, invalid_model("attribute '", names.tensor, "' is no tensor"));
  return clone(*tensor);
}

class LabelEncoder final : public Op {
 public:
  Status parse(NodeReader& reader) {
    LINNET_ASSIGN(Tensor keys, read_list(reader, {"keys_strings", "keys_int64s", "keys_floats", "keys_tensor"}));
    LINNET_ASSIGN(Tensor values,
                  read_list(reader, {"values_strings", "values_int64s", "values_floats", "values_tensor"}));
    const std::string text = reader.text("default_string", "_Unused");
    const int64_t integer = reader.integer("default_int64", -1);
    const float number = reader.number("default_float", -0.0f);
    Result<Tensor> fallback = Tensor();
    if (const Tensor* tensor = reader.tensor("default_tensor")) {
      fallback = clone(*tensor);
    } else if (values.dtype == DType::string) {
      fallback = label_tensor(std::vector{text});
    } else if (values.dtype == DType::f32) {
      fallback = label_tensor(std::vector{number});
    } else if (values.dtype == DType::i64) {
      fallback = label_tensor(std::vector{integer});
    } else if (is_integer(values.dtype) || is_float(values.dtype)) {
      fallback = make_tensor(values.dtype, {1});
      if (fallback.ok() && is_integer(values.dtype)) std::memset(fallback->data, 0xff, element_size(values.dtype));
    }
    return table_.build(std::move(keys), std::move(values), std::move(fallback));
  }
  Status infer(InferContext& context) const override {
    LINNET_REQUIRE(table_.keys.accepts(context.dtype(0)),
                   invalid_model("has keys of type ", dtype_name(table_.keys.dtype()), " for an input of ",
                                 dtype_name(context.dtype(0))));
    if (context.ranked(0)) {
      context.set(0, table_.values.dtype, context.shape(0));
    } else {
      context.set_unranked(0, table_.values.dtype);
    }
    return {};
  }
  Status run(RunContext& context) const override {
    table_.run(context.in(0), context.out(0), context.parallel);
    return {};
  }

 private:
  Translation table_;
};

// Strings to integers or back, by the type of the input. The first form of LabelEncoder is rewritten to this.
class CategoryMapper final : public Op {
 public:
  Status parse(NodeReader& reader) {
    const std::vector<std::string> strings = reader.texts("cats_strings");
    const std::vector<int64_t> integers = reader.integers("cats_int64s");
    const int64_t integer = reader.integer("default_int64", -1);
    const std::string text = reader.text("default_string", "_Unused");
    LINNET_TRY(to_integers_.build(label_tensor(strings), label_tensor(integers), label_tensor(std::vector{integer})));
    return to_strings_.build(label_tensor(integers), label_tensor(strings), label_tensor(std::vector{text}));
  }
  Status infer(InferContext& context) const override {
    const DType type = context.dtype(0);
    LINNET_REQUIRE(type == DType::string || type == DType::i64,
                   invalid_model("takes strings or int64, not ", dtype_name(type)));
    const DType result = type == DType::string ? DType::i64 : DType::string;
    if (context.ranked(0)) {
      context.set(0, result, context.shape(0));
    } else {
      context.set_unranked(0, result);
    }
    return {};
  }
  Status run(RunContext& context) const override {
    const Tensor& in = context.in(0);
    (in.dtype == DType::string ? to_integers_ : to_strings_).run(in, context.out(0), context.parallel);
    return {};
  }

 private:
  Translation to_integers_, to_strings_;
};

class OneHotEncoder final : public Op {
 public:
  Status parse(NodeReader& reader) {
    zeros_ = reader.flag("zeros", true);
    const std::vector<std::string> strings = reader.texts("cats_strings");
    const std::vector<int64_t> integers = reader.integers("cats_int64s");
    LINNET_REQUIRE(strings.empty() != integers.empty(), invalid_model("needs either cats_strings or cats_int64s"));
    LINNET_ASSIGN(Tensor keys, strings.empty() ? label_tensor(integers) : label_tensor(strings));
    return keys_.build(std::move(keys));
  }
  Status infer(InferContext& context) const override {
    const bool strings = context.dtype(0) == DType::string;
    if (!strings) LINNET_TRY(check_feature_type(context, 0));
    LINNET_REQUIRE(strings == (keys_.dtype() == DType::string),
                   invalid_model("the categories are of another type than the input"));
    if (!context.ranked(0)) {
      context.set_unranked(0, DType::f32);
      return {};
    }
    SymShape shape = context.shape(0);
    shape.push_back(static_cast<int64_t>(keys_.size()));
    context.set(0, DType::f32, std::move(shape));
    return {};
  }
  Status run(RunContext& context) const override {
    const Tensor& in = context.in(0);
    float* out = context.out(0).ptr<float>();
    std::fill_n(out, context.out(0).count(), 0.0f);
    for (int64_t i = 0; i < in.count(); ++i) {
      size_t found;
      if (is_float(in.dtype)) {  // fractions are cut off
        const double x = number_at(in, i);
        int64_t whole = x > -9e18 && x < 9e18 ? static_cast<int64_t>(x) : INT64_MIN;
        found = keys_.find(Tensor{DType::i64, {1}, &whole, nullptr}, 0);
      } else {
        found = keys_.find(in, i);
      }
      if (found != KeyIndex::kAbsent) {
        out[static_cast<size_t>(i) * keys_.size() + found] = 1;
      } else if (!zeros_) {
        return invalid_argument("element ", i, " of the input is none of the categories");
      }
    }
    return {};
  }

 private:
  KeyIndex keys_;
  bool zeros_ = true;
};

constexpr OpDef kDefs[] = {
    {"ai.onnx.ml", "LabelEncoder", 2, 1, 1, 1, 1, create<LabelEncoder>},
    {"ai.onnx.ml", "CategoryMapper", 1, 1, 1, 1, 1, create<CategoryMapper>},
    {"ai.onnx.ml", "OneHotEncoder", 1, 1, 1, 1, 1, create<OneHotEncoder>},
};

}  // namespace

extern const std::span<const OpDef> kCategoryOps = kDefs;

}  // namespace linnet
