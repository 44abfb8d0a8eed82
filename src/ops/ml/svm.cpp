// https://onnx.ai/onnx/operators/onnx_aionnxml_SVMClassifier.html, ...SVMRegressor
// The probabilities of several classes: Wu, Lin and Weng, https://www.csie.ntu.edu.tw/~cjlin/papers/svmprob/svmprob.pdf
#include <algorithm>
#include <cmath>

#include "ops/ml/class_labels.h"
#include "ops/ml/features.h"
#include "ops/ml/post_transform.h"

namespace linnet {
namespace {

enum class SvmKernel : uint8_t { linear, poly, rbf, sigmoid };

class SvmOp : public Op {
 protected:
  Status parse_model(NodeReader& reader) {
    LINNET_ASSIGN(transform_, parse_post_transform(reader));
    const std::string kernel = reader.text("kernel_type", "LINEAR");
    constexpr std::string_view kKernels[] = {"LINEAR", "POLY", "RBF", "SIGMOID"};
    const auto* known = std::find(std::begin(kKernels), std::end(kKernels), kernel);
    LINNET_REQUIRE(known != std::end(kKernels), invalid_model("kernel_type '", kernel, "' is not known"));
    kernel_ = static_cast<SvmKernel>(known - std::begin(kKernels));
    const std::vector<float> parameters = reader.numbers("kernel_params");
    LINNET_REQUIRE(parameters.empty() || parameters.size() == 3,
                   invalid_model("has ", parameters.size(), " kernel_params; 3 are needed"));
    if (!parameters.empty()) {
      gamma_ = parameters[0];
      coef0_ = parameters[1];
      degree_ = parameters[2];
    }
    rho_ = reader.numbers("rho");
    coefficients_ = reader.numbers("coefficients");
    support_ = reader.numbers("support_vectors");
    LINNET_REQUIRE(!coefficients_.empty() && !rho_.empty(), invalid_model("lacks 'coefficients' or 'rho'"));
    return {};
  }

  // With the count of support vectors, or 0 for a linear model of `outputs` dot products.
  Status parse_sizes(int64_t vectors, size_t outputs) {
    LINNET_REQUIRE(vectors >= 0 && static_cast<uint64_t>(vectors) <= support_.size() + coefficients_.size(),
                   invalid_model("claims ", vectors, " support vectors"));
    vectors_ = static_cast<size_t>(vectors);
    if (vectors_ == 0) kernel_ = SvmKernel::linear;
    const size_t numbers = vectors_ ? support_.size() : coefficients_.size(), count = vectors_ ? vectors_ : outputs;
    LINNET_REQUIRE(numbers % count == 0 && numbers > 0,
                   invalid_model("cannot divide ", numbers, " numbers among ", count, " vectors"));
    features_ = numbers / count;
    return {};
  }

  Result<Dim> infer_rows(const InferContext& context) const {
    LINNET_TRY(check_feature_type(context, 0));
    LINNET_ASSIGN(const FeatureShape shape, feature_shape(context, 0));
    LINNET_REQUIRE(
        !shape.features.known() || shape.features.value() == static_cast<int64_t>(features_),
        invalid_argument("has vectors of ", features_, " features, but the input has ", shape.features.value()));
    return shape.rows;
  }

  float kernel(const float* a, const float* b) const noexcept {
    float sum = 0;
    if (kernel_ == SvmKernel::rbf) {
      for (size_t f = 0; f < features_; ++f) sum += (a[f] - b[f]) * (a[f] - b[f]);
      return std::exp(-gamma_ * sum);
    }
    for (size_t f = 0; f < features_; ++f) sum += a[f] * b[f];
    if (kernel_ == SvmKernel::poly) return std::pow(gamma_ * sum + coef0_, degree_);
    if (kernel_ == SvmKernel::sigmoid) return std::tanh(gamma_ * sum + coef0_);
    return sum;
  }

  double row_ns() const noexcept { return static_cast<double>((vectors_ + 1) * (features_ + 8)); }

  SvmKernel kernel_ = SvmKernel::linear;
  float gamma_ = 0, coef0_ = 0, degree_ = 0;
  std::vector<float> rho_, coefficients_, support_;
  size_t vectors_ = 0, features_ = 0;
  PostTransform transform_ = PostTransform::none;
};

class SvmRegressor final : public SvmOp {
 public:
  Status parse(NodeReader& reader) {
    LINNET_TRY(parse_model(reader));
    one_class_ = reader.flag("one_class", false);
    LINNET_TRY(parse_sizes(reader.integer("n_supports", 0), 1));
    LINNET_REQUIRE(vectors_ == 0 || coefficients_.size() >= vectors_,
                   invalid_model("has ", coefficients_.size(), " coefficients for ", vectors_, " support vectors"));
    return {};
  }
  Status infer(InferContext& context) const override {
    LINNET_ASSIGN(const Dim rows, infer_rows(context));
    context.set(0, DType::f32, {rows, 1});
    return {};
  }
  Status bind(BindContext& context) const override {
    context.request_scratch(float_features_scratch(context, 0));
    return {};
  }
  Status run(RunContext& context) const override {
    const float* rows = float_features(context, 0, context.scratch());
    float* out = context.out(0).ptr<float>();
    context.parallel.for_range(row_count(context.in(0).shape), grain_for(row_ns()),
                               [&](size_t begin, size_t end, size_t) {
                                 for (size_t row = begin; row < end; ++row) {
                                   const float* x = rows + row * features_;
                                   float sum = vectors_ ? 0 : kernel(x, coefficients_.data());
                                   for (size_t v = 0; v < vectors_; ++v)
                                     sum += coefficients_[v] * kernel(x, support_.data() + v * features_);
                                   sum += rho_[0];
                                   if (one_class_) {
                                     sum = sum > 0 ? 1.0f : -1.0f;
                                   } else {
                                     post_transform(transform_, std::span(&sum, 1));
                                   }
                                   out[row] = sum;
                                 }
                               });
    return {};
  }

 private:
  bool one_class_ = false;
};

class SvmClassifier final : public SvmOp {
 public:
  Status parse(NodeReader& reader) {
    LINNET_TRY(parse_model(reader));
    LINNET_TRY(labels_.parse(reader, "classlabels_ints", "classlabels_strings"));
    prob_a_ = reader.numbers("prob_a");
    prob_b_ = reader.numbers("prob_b");
    const std::vector<int64_t> per_class = reader.integers("vectors_per_class");
    const size_t classes = labels_.size();
    LINNET_REQUIRE(classes < 65536, unsupported("has ", classes, " classes"));
    int64_t vectors = 0;
    for (const int64_t count : per_class) {
      LINNET_REQUIRE(count >= 0, invalid_model("claims ", count, " support vectors of a class"));
      starts_.push_back(static_cast<size_t>(vectors));
      const std::optional<int64_t> sum = checked_add(vectors, count);
      LINNET_REQUIRE(sum, invalid_model("claims too many support vectors"));
      vectors = *sum;
    }
    LINNET_TRY(parse_sizes(vectors, classes));
    starts_.push_back(vectors_);
    pairs_ = classes * (classes - 1) / 2;
    if (vectors_ != 0) {
      LINNET_REQUIRE(per_class.size() == classes && classes > 1,
                     invalid_model("has ", classes, " labels, but support vectors of ", per_class.size(), " classes"));
      LINNET_REQUIRE(coefficients_.size() / vectors_ >= classes - 1, invalid_model("has too few coefficients"));
      LINNET_REQUIRE(rho_.size() >= pairs_,
                     invalid_model("has ", rho_.size(), " values of 'rho'; ", pairs_, " are needed"));
      LINNET_REQUIRE(prob_a_.size() == prob_b_.size() && (prob_a_.empty() || prob_a_.size() >= pairs_),
                     invalid_model("'prob_a' and 'prob_b' must both have ", pairs_, " elements"));
    }
    probabilities_ = vectors_ != 0 && !prob_a_.empty();
    no_negative_ = std::all_of(coefficients_.begin(), coefficients_.end(), [](float c) { return c >= 0; });
    columns_ = vectors_ == 0 || probabilities_ ? classes : std::max<size_t>(pairs_, 2);
    return {};
  }

  Status infer(InferContext& context) const override {
    LINNET_ASSIGN(const Dim rows, infer_rows(context));
    context.set(0, labels_.dtype(), {rows});
    context.set(1, DType::f32, {rows, Dim(static_cast<int64_t>(columns_))});
    return {};
  }

  Status bind(BindContext& context) const override {
    const size_t converted = round_up(float_features_scratch(context, 0), 64);
    context.state<size_t>() = converted;
    context.request_scratch(converted + context.threads() * worker_floats() * sizeof(float));
    return {};
  }

  Status run(RunContext& context) const override {
    const float* rows = float_features(context, 0, context.scratch());
    float* scratch = reinterpret_cast<float*>(context.scratch() + context.state<size_t>());
    context.parallel.for_range(row_count(context.in(0).shape), grain_for(row_ns()),
                               [&](size_t begin, size_t end, size_t worker) {
                                 for (size_t row = begin; row < end; ++row)
                                   evaluate(context, row, rows + row * features_, scratch + worker * worker_floats());
                               });
    return {};
  }

 private:
  // Kernel values, votes, scores of pairs or classes, and what probabilities needs.
  size_t worker_floats() const noexcept {
    const size_t classes = labels_.size();
    return round_up(
        vectors_ + classes + std::max(pairs_, columns_) + (probabilities_ ? 2 * classes * classes + classes : 0), 16);
  }

  void evaluate(RunContext& context, size_t row, const float* x, float* work) const {
    const size_t classes = labels_.size();
    float* kernels = work;
    float* votes = kernels + vectors_;
    float* scores = votes + classes;
    size_t winner = 0;
    if (vectors_ == 0) {
      for (size_t c = 0; c < classes; ++c) scores[c] = kernel(x, coefficients_.data() + c * features_) + rho_[0];
      winner = static_cast<size_t>(std::max_element(scores, scores + classes) - scores);
      if (context.wants(0)) labels_.write(context.out(0), row, linear_label(scores[winner], winner));
    } else {
      for (size_t v = 0; v < vectors_; ++v) kernels[v] = kernel(x, support_.data() + v * features_);
      score_pairs(kernels, votes, scores);
      winner = static_cast<size_t>(std::max_element(votes, votes + classes) - votes);
      if (context.wants(0)) labels_.write(context.out(0), row, winner);
      if (probabilities_) probabilities(scores, scores + std::max(pairs_, columns_));
    }
    if (!context.wants(1)) return;
    if (vectors_ != 0 && !probabilities_ && pairs_ == 1) {
      add_second_class(transform_, transform_ == PostTransform::none ? SecondClass::opposite : SecondClass::complement,
                       scores);
    } else {
      post_transform(transform_, std::span(scores, columns_));
    }
    std::copy_n(scores, columns_, context.out(1).ptr<float>() + row * columns_);
  }

  // Of two classes, the second wins by a positive score; by 0.5 where no coefficient is negative.
  size_t linear_label(float score, size_t winner) const {
    if (labels_.size() != 2 || probabilities_) return winner;
    return (no_negative_ ? score >= 0.5f : score > 0) ? 1 : winner;
  }

  // Row r of the coefficients weighs class i against class r (against r + 1 from i on): i < j use rows j - 1 and i.
  void score_pairs(const float* kernels, float* votes, float* scores) const {
    const size_t classes = labels_.size();
    std::fill_n(votes, classes, 0.0f);
    size_t pair = 0;
    for (size_t i = 0; i < classes; ++i) {
      for (size_t j = i + 1; j < classes; ++j, ++pair) {
        const float* of_i = coefficients_.data() + vectors_ * (j - 1);
        const float* of_j = coefficients_.data() + vectors_ * i;
        double sum = 0;
        for (size_t v = starts_[i]; v < starts_[i + 1]; ++v) sum += static_cast<double>(of_i[v] * kernels[v]);
        for (size_t v = starts_[j]; v < starts_[j + 1]; ++v) sum += static_cast<double>(of_j[v] * kernels[v]);
        sum += static_cast<double>(rho_[pair]);
        scores[pair] = static_cast<float>(sum);
        votes[sum > 0 ? i : j] += 1;
      }
    }
  }

  // The scores of pairs become probabilities of classes, by fixed-point iteration.
  void probabilities(float* scores, float* work) const {
    const size_t n = labels_.size();
    float* r = work;          // [n, n]
    float* q = work + n * n;  // [n, n]
    float* qp = q + n * n;    // [n]
    size_t pair = 0;
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = i + 1; j < n; ++j, ++pair) {
        const float p = std::clamp(1 - logistic(scores[pair] * prob_a_[pair] + prob_b_[pair]), 1e-7f, 1 - 1e-7f);
        r[i * n + j] = p;
        r[j * n + i] = 1 - p;
      }
    }
    float* p = scores;
    for (size_t i = 0; i < n; ++i) {
      p[i] = 1 / static_cast<float>(n);
      q[i * n + i] = 0;
      for (size_t j = 0; j < n; ++j) {
        if (j == i) continue;
        q[i * n + i] += r[j * n + i] * r[j * n + i];
        q[i * n + j] = -r[j * n + i] * r[i * n + j];
      }
    }
    for (int iteration = 0; iteration < 100; ++iteration) {
      float pqp = 0, worst = 0;
      for (size_t i = 0; i < n; ++i) {
        qp[i] = 0;
        for (size_t j = 0; j < n; ++j) qp[i] += q[i * n + j] * p[j];
        pqp += p[i] * qp[i];
      }
      for (size_t i = 0; i < n; ++i) worst = std::max(worst, std::abs(qp[i] - pqp));
      if (worst < 0.005f / static_cast<float>(n)) break;
      for (size_t i = 0; i < n; ++i) {
        const float diff = (pqp - qp[i]) / q[i * n + i];
        p[i] += diff;
        pqp = (pqp + diff * (diff * q[i * n + i] + 2 * qp[i])) / (1 + diff) / (1 + diff);
        for (size_t j = 0; j < n; ++j) {
          qp[j] = (qp[j] + diff * q[i * n + j]) / (1 + diff);
          p[j] /= 1 + diff;
        }
      }
    }
  }

  ClassLabels labels_;
  std::vector<float> prob_a_, prob_b_;
  std::vector<size_t> starts_;  // of each class's support vectors, and the end
  size_t pairs_ = 0, columns_ = 0;
  bool probabilities_ = false, no_negative_ = false;
};

constexpr OpDef kDefs[] = {
    {"ai.onnx.ml", "SVMClassifier", 1, 1, 1, 1, 2, create<SvmClassifier>},
    {"ai.onnx.ml", "SVMRegressor", 1, 1, 1, 1, 1, create<SvmRegressor>},
};

}  // namespace

extern const std::span<const OpDef> kSvmOps = kDefs;

}  // namespace linnet
