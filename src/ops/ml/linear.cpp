// https://onnx.ai/onnx/operators/onnx_aionnxml_LinearClassifier.html, ...LinearRegressor
#include <algorithm>

#include "ops/ml/class_labels.h"
#include "ops/ml/features.h"
#include "ops/ml/post_transform.h"

namespace linnet {
namespace {

class LinearOp : public Op {
 public:
  Status bind(BindContext& context) const override {
    context.request_scratch(float_features_scratch(context, 0));
    return {};
  }

 protected:
  Status parse_model(NodeReader& reader, size_t targets) {
    LINNET_ASSIGN(transform_, parse_post_transform(reader));
    coefficients_ = reader.numbers("coefficients");
    LINNET_REQUIRE(targets > 0 && !coefficients_.empty() && coefficients_.size() % targets == 0,
                   invalid_model("has ", coefficients_.size(), " coefficients for ", targets, " targets or classes"));
    targets_ = targets;
    features_ = coefficients_.size() / targets;
    if (intercepts_.empty()) intercepts_.assign(targets, 0.0f);
    LINNET_REQUIRE(intercepts_.size() == targets,
                   invalid_model("has ", intercepts_.size(), " intercepts for ", targets, " targets or classes"));
    return {};
  }

  Result<Dim> infer_rows(const InferContext& context) const {
    LINNET_TRY(check_feature_type(context, 0));
    LINNET_ASSIGN(const FeatureShape shape, feature_shape(context, 0));
    LINNET_REQUIRE(
        !shape.features.known() || shape.features.value() == static_cast<int64_t>(features_),
        invalid_argument("has coefficients for ", features_, " features, but the input has ", shape.features.value()));
    return shape.rows;
  }

  // `finish(row, scores)` for each row, in parallel; the scores of row i start at out + i * stride.
  template <class Finish>
  void evaluate(RunContext& context, float* out, size_t stride, const Finish& finish) const {
    const float* rows = float_features(context, 0, context.scratch());
    const double row_ns = 0.5 * static_cast<double>(features_ * targets_) + 20;
    context.parallel.for_range(
        row_count(context.in(0).shape), grain_for(row_ns), [&](size_t begin, size_t end, size_t) {
          for (size_t row = begin; row < end; ++row) {
            float* scores = out + row * stride;
            for (size_t t = 0; t < targets_; ++t)
              scores[t] = intercepts_[t] + dot(rows + row * features_, coefficients_.data() + t * features_, features_);
            finish(row, scores);
          }
        });
  }

  // In eight sums, so that they are not one chain of additions.
  static float dot(const float* a, const float* b, size_t count) noexcept {
    float sums[8] = {};
    size_t i = 0;
    for (; i + 8 <= count; i += 8)
      for (size_t lane = 0; lane < 8; ++lane) sums[lane] += a[i + lane] * b[i + lane];
    for (size_t lane = 0; i < count; ++i, ++lane) sums[lane] += a[i] * b[i];
    return ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]));
  }

  size_t targets_ = 1, features_ = 0;
  std::vector<float> coefficients_, intercepts_;  // those of a target stand together
  PostTransform transform_ = PostTransform::none;
};

class LinearRegressor final : public LinearOp {
 public:
  Status parse(NodeReader& reader) {
    intercepts_ = reader.numbers("intercepts");
    const int64_t targets = reader.integer("targets", 1);
    LINNET_REQUIRE(targets > 0 && targets < INT32_MAX, invalid_model("has ", targets, " targets"));
    return parse_model(reader, static_cast<size_t>(targets));
  }
  Status infer(InferContext& context) const override {
    LINNET_ASSIGN(const Dim rows, infer_rows(context));
    context.set(0, DType::f32, {rows, Dim(static_cast<int64_t>(targets_))});
    return {};
  }
  Status run(RunContext& context) const override {
    evaluate(context, context.out(0).ptr<float>(), targets_,
             [&](size_t, float* scores) { post_transform(transform_, std::span(scores, targets_)); });
    return {};
  }
};

class LinearClassifier final : public LinearOp {
 public:
  Status parse(NodeReader& reader) {
    reader.ignore("multi_class");
    LINNET_TRY(labels_.parse(reader, "classlabels_ints", "classlabels_strings"));
    intercepts_ = reader.numbers("intercepts");
    LINNET_TRY(parse_model(reader, intercepts_.empty() ? labels_.size() : intercepts_.size()));
    LINNET_REQUIRE(targets_ == 1 || targets_ <= labels_.size(),
                   invalid_model("has ", labels_.size(), " labels for ", targets_, " classes"));
    columns_ = targets_ == 1 && labels_.size() == 2 ? 2 : targets_;
    return {};
  }
  Status infer(InferContext& context) const override {
    LINNET_ASSIGN(const Dim rows, infer_rows(context));
    context.set(0, labels_.dtype(), {rows});
    context.set(1, DType::f32, {rows, Dim(static_cast<int64_t>(columns_))});
    return {};
  }
  Status bind(BindContext& context) const override {
    // Scores that nobody wants are computed for the labels all the same.
    const size_t converted = round_up(float_features_scratch(context, 0), 64);
    context.state<size_t>() = converted;
    const size_t cells = row_count(context.shape(0)) * columns_;
    context.request_scratch(converted + (context.wants(1) ? 0 : cells * sizeof(float)));
    return {};
  }
  Status run(RunContext& context) const override {
    float* out = context.wants(1) ? context.out(1).ptr<float>()
                                  : reinterpret_cast<float*>(context.scratch() + context.state<size_t>());
    evaluate(context, out, columns_, [&](size_t row, float* scores) {
      if (context.wants(0)) write_label(context.out(0), row, scores);
      if (columns_ > targets_) {
        add_second_class(transform_, SecondClass::complement, scores);
      } else {
        post_transform(transform_, std::span(scores, targets_));
      }
    });
    return {};
  }

 private:
  void write_label(Tensor& labels, size_t row, const float* scores) const {
    if (targets_ > 1) {
      labels_.write(labels, row, static_cast<size_t>(std::max_element(scores, scores + targets_) - scores));
    } else if (columns_ == 2) {
      labels_.write(labels, row, scores[0] > 0 ? 1 : 0);
    } else {
      labels_.write_sign(labels, row, scores[0] > 0);
    }
  }

  ClassLabels labels_;
  size_t columns_ = 1;
};

constexpr OpDef kDefs[] = {
    {"ai.onnx.ml", "LinearClassifier", 1, 1, 1, 1, 2, create<LinearClassifier>},
    {"ai.onnx.ml", "LinearRegressor", 1, 1, 1, 1, 1, create<LinearRegressor>},
};

}  // namespace

extern const std::span<const OpDef> kLinearModelOps = kDefs;

}  // namespace linnet
