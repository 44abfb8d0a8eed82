// Operators that prepare features.
// https://onnx.ai/onnx/operators/onnx_aionnxml_ArrayFeatureExtractor.html, ...Binarizer, ...FeatureVectorizer,
// ...Imputer,
// ...Normalizer, ...Scaler
#include <algorithm>
#include <cmath>

#include "ops/element_types.h"
#include "ops/infer_shapes.h"
#include "ops/ml/features.h"

namespace linnet {
namespace {

class ArrayFeatureExtractor final : public Op {
 public:
  Status parse(NodeReader&) { return {}; }
  Status infer(InferContext& context) const override {
    LINNET_REQUIRE(!is_packed(context.dtype(0)), unsupported("cannot extract from ", dtype_name(context.dtype(0))));
    LINNET_REQUIRE(context.dtype(1) == DType::i64, invalid_model("the indices are not int64"));
    if (!context.ranked(0)) {
      context.set_unranked(0, context.dtype(0));
      return {};
    }
    SymShape shape = context.shape(0);
    LINNET_REQUIRE(!shape.empty(), invalid_argument("cannot extract from a scalar"));
    shape.back() = context.ranked(1) ? context.symbols().product(context.shape(1), 0, context.shape(1).size()) : Dim();
    if (shape.size() == 1) shape.insert(0, 1);
    context.set(0, context.dtype(0), std::move(shape));
    return {};
  }
  Status run(RunContext& context) const override {
    const Tensor& in = context.in(0);
    const std::span<const int64_t> indices = context.in(1).as<int64_t>();
    const int64_t features = in.shape.back();
    for (const int64_t i : indices)
      LINNET_REQUIRE(i >= 0 && i < features, invalid_argument("index ", i, " is outside of ", features, " features"));
    const size_t rows = features == 0 ? 0 : static_cast<size_t>(in.count() / features);
    visit_width(in.dtype, [&]<class T>(TypeTag<T>) {
      const T* src = in.ptr<T>();
      T* dst = context.out(0).ptr<T>();
      for (size_t row = 0; row < rows; ++row, src += features)
        for (const int64_t i : indices) *dst++ = src[i];
    });
    return {};
  }
};

// Calls f with a value of the element's C++ type.
template <class F>
void with_feature_type(DType dtype, const F& f) {
  switch (dtype) {
    case DType::f64: return f(double{});
    case DType::i64: return f(int64_t{});
    case DType::i32: return f(int32_t{});
    default: return f(float{});
  }
}

class Binarizer final : public Op {
 public:
  Status parse(NodeReader& reader) {
    threshold_ = reader.number("threshold", 0);
    return {};
  }
  Status infer(InferContext& context) const override {
    LINNET_TRY(check_feature_type(context, 0));
    return infer_same_as_input(context);
  }
  Status run(RunContext& context) const override {
    with_feature_type(context.in(0).dtype, [&]<class T>(T) {
      const T* in = context.in(0).ptr<T>();
      T* out = context.out(0).ptr<T>();
      context.parallel.for_range(
          static_cast<size_t>(context.in(0).count()), 8192, [&](size_t begin, size_t end, size_t) {
            for (size_t i = begin; i < end; ++i)
              out[i] = static_cast<double>(in[i]) > static_cast<double>(threshold_) ? T{1} : T{0};
          });
    });
    return {};
  }
  bool can_overwrite(size_t, size_t) const override { return true; }

 private:
  float threshold_ = 0;
};

class FeatureVectorizer final : public Op {
 public:
  Status parse(NodeReader& reader) {
    widths_ = reader.integers("inputdimensions");
    LINNET_REQUIRE(widths_.empty() || widths_.size() == reader.inputs(),
                   invalid_model("has ", reader.inputs(), " inputs, but ", widths_.size(), " inputdimensions"));
    for (const int64_t width : widths_) LINNET_REQUIRE(width >= 0, invalid_model("an input dimension is ", width));
    return {};
  }
  Status infer(InferContext& context) const override {
    Dim rows, width = 0;
    for (size_t i = 0; i < context.inputs(); ++i) {
      LINNET_REQUIRE(context.has(i), invalid_model("leaves out input ", i));
      LINNET_TRY(check_feature_type(context, i));
      LINNET_ASSIGN(const FeatureShape shape, feature_shape(context, i));
      LINNET_REQUIRE(!rows.known() || !shape.rows.known() || rows == shape.rows,
                     invalid_argument("input ", i, " has ", shape.rows.value(), " rows; others have ", rows.value()));
      if (!rows.known()) rows = shape.rows;
      width = context.symbols().add(width, widths_.empty() ? shape.features : Dim(widths_[i]));
    }
    context.set(0, DType::f32, {rows, width});
    return {};
  }
  Status run(RunContext& context) const override {
    Tensor& out = context.out(0);
    const size_t rows = static_cast<size_t>(out.shape[0]), width = static_cast<size_t>(out.shape[1]);
    size_t first = 0;
    for (size_t i = 0; i < context.inputs(); ++i) {
      const Tensor& in = context.in(i);
      const size_t features = feature_count(in.shape);
      const size_t wanted = widths_.empty() ? features : static_cast<size_t>(widths_[i]);
      with_feature_type(in.dtype, [&]<class T>(T) {
        for (size_t row = 0; row < rows; ++row) {
          float* to = out.ptr<float>() + row * width + first;
          const T* from = in.ptr<T>() + row * features;
          for (size_t f = 0; f < wanted; ++f) to[f] = f < features ? static_cast<float>(from[f]) : 0.0f;
        }
      });
      first += wanted;
    }
    return {};
  }

 private:
  std::vector<int64_t> widths_;
};

class Imputer final : public Op {
 public:
  Status parse(NodeReader& reader) {
    floats_ = reader.numbers("imputed_value_floats");
    integers_ = reader.integers("imputed_value_int64s");
    replaced_float_ = reader.number("replaced_value_float", 0);
    replaced_integer_ = reader.integer("replaced_value_int64", 0);
    LINNET_REQUIRE(floats_.empty() != integers_.empty(),
                   invalid_model("needs either imputed_value_floats or imputed_value_int64s"));
    return {};
  }
  Status infer(InferContext& context) const override {
    LINNET_TRY(check_feature_type(context, 0));
    LINNET_REQUIRE(is_integer(context.dtype(0)) == floats_.empty(),
                   invalid_model("the imputed values are of another kind than the features"));
    const size_t values = floats_.empty() ? integers_.size() : floats_.size();
    if (context.ranked(0) && values != 1) {
      const SymShape& shape = context.shape(0);
      LINNET_REQUIRE(!shape.empty() && (!shape.back().known() || shape.back().is(static_cast<int64_t>(values))),
                     invalid_argument("has ", values, " values to impute for another number of features"));
    }
    return infer_same_as_input(context);
  }
  Status run(RunContext& context) const override {
    with_feature_type(context.in(0).dtype, [&]<class T>(T) {
      if constexpr (std::is_integral_v<T>) {
        fill<T>(context, integers_, [r = static_cast<T>(replaced_integer_)](T x) { return x == r; });
      } else if (std::isnan(replaced_float_)) {
        fill<T>(context, floats_, [](T x) { return x != x; });
      } else {
        fill<T>(context, floats_, [r = static_cast<T>(replaced_float_)](T x) { return x == r; });
      }
    });
    return {};
  }
  bool can_overwrite(size_t, size_t) const override { return true; }

 private:
  template <class T, class V, class Missing>
  static void fill(RunContext& context, const std::vector<V>& values, const Missing& missing) {
    const T* in = context.in(0).ptr<T>();
    T* out = context.out(0).ptr<T>();
    const size_t count = static_cast<size_t>(context.in(0).count());
    for (size_t first = 0; first < count; first += values.size())
      for (size_t c = 0; c < std::min(values.size(), count - first); ++c) {
        const T x = in[first + c], value = static_cast<T>(values[c]);
        out[first + c] = missing(x) ? value : x;
      }
  }

  std::vector<float> floats_;
  std::vector<int64_t> integers_;
  float replaced_float_ = 0;
  int64_t replaced_integer_ = 0;
};

class Normalizer final : public Op {
 public:
  Status parse(NodeReader& reader) {
    const std::string norm = reader.text("norm", "MAX");
    LINNET_REQUIRE(norm == "MAX" || norm == "L1" || norm == "L2", invalid_model("norm '", norm, "' is not known"));
    norm_ = norm == "MAX" ? Norm::max : norm == "L1" ? Norm::l1 : Norm::l2;
    return {};
  }
  Status infer(InferContext& context) const override {
    LINNET_TRY(check_feature_type(context, 0));
    LINNET_TRY(feature_shape(context, 0).status());
    if (!context.ranked(0)) {
      context.set_unranked(0, DType::f32);
    } else {
      context.set(0, DType::f32, context.shape(0));
    }
    return {};
  }
  Status run(RunContext& context) const override {
    const Shape& shape = context.in(0).shape;
    const size_t features = feature_count(shape);
    float* out = context.out(0).ptr<float>();
    with_feature_type(context.in(0).dtype, [&]<class T>(T) {
      const T* in = context.in(0).ptr<T>();
      const double row_ns = static_cast<double>(features) + 5;
      context.parallel.for_range(row_count(shape), grain_for(row_ns), [&](size_t begin, size_t end, size_t) {
        for (size_t row = begin; row < end; ++row) normalize(in + row * features, out + row * features, features);
      });
    });
    return {};
  }

 private:
  enum class Norm : uint8_t { max, l1, l2 };

  template <class T>
  void normalize(const T* in, float* out, size_t count) const noexcept {
    float divisor = norm_ == Norm::max && count > 0 ? static_cast<float>(in[0]) : 0.0f;
    for (size_t i = 0; i < count; ++i) {
      const float x = static_cast<float>(in[i]);
      divisor = norm_ == Norm::max ? std::max(divisor, x) : divisor + (norm_ == Norm::l1 ? std::abs(x) : x * x);
    }
    if (norm_ == Norm::l2) divisor = std::sqrt(divisor);
    for (size_t i = 0; i < count; ++i)
      out[i] = divisor != 0 ? static_cast<float>(in[i]) / divisor : static_cast<float>(in[i]);
  }

  Norm norm_ = Norm::max;
};

class Scaler final : public Op {
 public:
  Status parse(NodeReader& reader) {
    scale_ = reader.numbers("scale");
    offset_ = reader.numbers("offset");
    LINNET_REQUIRE(!scale_.empty() && !offset_.empty(), invalid_model("lacks 'scale' or 'offset'"));
    LINNET_REQUIRE(scale_.size() == offset_.size(),
                   invalid_model("has ", scale_.size(), " scales, but ", offset_.size(), " offsets"));
    return {};
  }
  Status infer(InferContext& context) const override {
    LINNET_TRY(check_feature_type(context, 0));
    if (!context.ranked(0)) {
      context.set_unranked(0, DType::f32);
      return {};
    }
    const SymShape& shape = context.shape(0);
    LINNET_REQUIRE(scale_.size() == 1 || (!shape.empty() && (!shape.back().known() ||
                                                             shape.back().is(static_cast<int64_t>(scale_.size())))),
                   invalid_argument("has ", scale_.size(), " scales for another number of features"));
    context.set(0, DType::f32, shape);
    return {};
  }
  Status run(RunContext& context) const override {
    float* out = context.out(0).ptr<float>();
    const size_t stride = scale_.size();
    const size_t rows = static_cast<size_t>(context.in(0).count()) / stride;
    with_feature_type(context.in(0).dtype, [&]<class T>(T) {
      const T* in = context.in(0).ptr<T>();
      context.parallel.for_range(rows, grain_for(static_cast<double>(stride)), [&](size_t begin, size_t end, size_t) {
        for (size_t row = begin; row < end; ++row)
          for (size_t f = 0; f < stride; ++f)
            out[row * stride + f] = (static_cast<float>(in[row * stride + f]) - offset_[f]) * scale_[f];
      });
    });
    return {};
  }

 private:
  std::vector<float> scale_, offset_;
};

constexpr OpDef kDefs[] = {
    {"ai.onnx.ml", "ArrayFeatureExtractor", 1, 2, 2, 1, 1, create<ArrayFeatureExtractor>},
    {"ai.onnx.ml", "Binarizer", 1, 1, 1, 1, 1, create<Binarizer>},
    {"ai.onnx.ml", "FeatureVectorizer", 1, 1, kAnyNumber, 1, 1, create<FeatureVectorizer>},
    {"ai.onnx.ml", "Imputer", 1, 1, 1, 1, 1, create<Imputer>},
    {"ai.onnx.ml", "Normalizer", 1, 1, 1, 1, 1, create<Normalizer>},
    {"ai.onnx.ml", "Scaler", 1, 1, 1, 1, 1, create<Scaler>},
};

}  // namespace

extern const std::span<const OpDef> kFeatureOps = kDefs;

}  // namespace linnet
