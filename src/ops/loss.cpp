// https://onnx.ai/onnx/operators/onnx__NegativeLogLikelihoodLoss.html, ...SoftmaxCrossEntropyLoss
#include <algorithm>
#include <cmath>

#include "kernels/softmax/softmax.h"
#include "ops/element_types.h"
#include "ops/float_scratch.h"
#include "ops/infer_shapes.h"

namespace linnet {
namespace {

// The loss of samples whose classes are scored along axis 1. With `softmax`, the scores become log-probabilities first.
template <bool softmax>
class Loss final : public Op {
 public:
  Status parse(NodeReader& reader) {
    const std::string reduction = reader.text("reduction", "mean");
    LINNET_REQUIRE(reduction == "mean" || reduction == "sum" || reduction == "none",
                   invalid_model("reduction '", reduction, "' is not known"));
    mean_ = reduction == "mean";
    reduced_ = reduction != "none";
    if (reader.has("ignore_index")) ignored_ = reader.integer("ignore_index", 0);
    return {};
  }

  Status infer(InferContext& context) const override {
    LINNET_TRY(expect_type(context, 0, kFloatTypes));
    LINNET_TRY(expect_type(context, 1, kIndexTypes));
    LINNET_TRY(expect_same_type(context, 2, 0));
    if (context.ranked(0) && context.ranked(1)) {
      const SymShape& scores = context.shape(0);
      LINNET_REQUIRE(scores.size() >= 2, invalid_argument("the scores must be of shape [samples, classes, ...]"));
      SymShape samples = scores;
      samples.erase(1);
      const SymShape& labels = context.shape(1);
      LINNET_REQUIRE(labels.size() == samples.size() && (!labels.known() || !samples.known() || labels == samples),
                     invalid_argument("the labels must have the shape of the scores without the classes"));
      if (context.ranked(2)) {
        const SymShape& weights = context.shape(2);
        LINNET_REQUIRE(weights.size() == 1 && (!weights[0].known() || !scores[1].known() || weights[0] == scores[1]),
                       invalid_argument("there must be one weight for each class"));
      }
    }
    if (reduced_)
      context.set(0, context.dtype(0), {});
    else if (context.ranked(1))
      context.set(0, context.dtype(0), context.shape(1));
    else
      context.set_unranked(0, context.dtype(0));
    if (context.ranked(0))
      context.set(1, context.dtype(0), context.shape(0));
    else
      context.set_unranked(1, context.dtype(0));
    return {};
  }

  Status bind(BindContext& context) const override {
    if (softmax) context.request_scratch(scratch_size(context.shape(0)[1], sizeof(float)));
    return {};
  }
  Status run(RunContext& context) const override {
    return visit_float(context.in(0).dtype, [&]<class T>(TypeTag<T>) { return compute<T>(context); });
  }

 private:
  template <class T>
  Status compute(RunContext& context) const {
    const Tensor &scores = context.in(0), &labels = context.in(1);
    const int64_t classes = scores.shape[1], inner = scores.shape.count(2, scores.shape.rank()),
                  samples = labels.count();
    const T* weights = context.has(2) ? context.in(2).ptr<T>() : nullptr;
    T* losses = !reduced_ && context.wants(0) ? context.out(0).ptr<T>() : nullptr;
    T* log_prob = softmax && context.wants(1) ? context.out(1).ptr<T>() : nullptr;
    double sum = 0, weight_sum = 0;
    for (int64_t s = 0; s < samples; ++s) {
      const int64_t first = s / inner * classes * inner + s % inner;
      const T* row = scores.ptr<T>() + first;
      double log_sum = 0.0;
      if (softmax && std::is_same_v<T, float> && inner == 1) {
        auto* logs = reinterpret_cast<float*>(log_prob ? static_cast<void*>(log_prob + first) : context.scratch());
        softmax_row(true, reinterpret_cast<const float*>(row), logs, static_cast<size_t>(classes));
        row = reinterpret_cast<const T*>(logs);
      } else if (softmax) {
        log_sum = log_sum_exp(row, classes, inner);
        for (int64_t c = 0; log_prob && c < classes; ++c)
          log_prob[first + c * inner] = rounded<T>(static_cast<double>(row[c * inner]) - log_sum);
      }
      const int64_t label = integer_at(labels, s);
      const bool counts = !ignored_ || label != *ignored_;
      LINNET_REQUIRE(!counts || (label >= 0 && label < classes),
                     invalid_argument("label ", label, " is none of the ", classes, " classes"));
      const double weight = !counts ? 0.0 : weights ? static_cast<double>(weights[label]) : 1.0;
      const double loss = counts ? (log_sum - static_cast<double>(row[label * inner])) * weight : 0.0;
      sum += loss;
      weight_sum += weight;
      if (losses) losses[s] = rounded<T>(loss);
    }
    if (reduced_ && context.wants(0)) *context.out(0).ptr<T>() = rounded<T>(mean_ ? sum / weight_sum : sum);
    return {};
  }

  template <class T>
  static double log_sum_exp(const T* row, int64_t classes, int64_t step) noexcept {
    double greatest = -HUGE_VAL, sum = 0;
    for (int64_t c = 0; c < classes; ++c) greatest = std::max(greatest, static_cast<double>(row[c * step]));
    for (int64_t c = 0; c < classes; ++c) sum += std::exp(static_cast<double>(row[c * step]) - greatest);
    return greatest + std::log(sum);
  }

  bool mean_ = true, reduced_ = true;
  std::optional<int64_t> ignored_;
};

constexpr OpDef kDefs[] = {
    {"", "NegativeLogLikelihoodLoss", 12, 2, 3, 1, 1, create<Loss<false>>},
    {"", "SoftmaxCrossEntropyLoss", 12, 2, 3, 1, 2, create<Loss<true>>},
};

}  // namespace

extern const std::span<const OpDef> kLossOps = kDefs;

}  // namespace linnet
