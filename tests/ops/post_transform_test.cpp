// Against the numbers of ONNX Runtime 1.32 for LinearRegressor and LinearClassifier.
#include "ops/ml/post_transform.h"

#include <vector>

#include "gtest/gtest.h"

namespace linnet {
namespace {

void expect_scores(PostTransform transform, std::vector<float> scores, const std::vector<float>& wanted) {
  post_transform(transform, std::span(scores));
  for (size_t i = 0; i < wanted.size(); ++i) EXPECT_NEAR(scores[i], wanted[i], 2e-6f) << "score " << i;
}

TEST(PostTransform, ChangesScoresOfSeveralTargets) {
  expect_scores(PostTransform::none, {0.0f, 1.0f, -0.5f}, {0.0f, 1.0f, -0.5f});
  expect_scores(PostTransform::logistic, {0.0f, 1.0f, -0.5f}, {0.5f, 0.7310586f, 0.3775407f});
  expect_scores(PostTransform::softmax, {0.0f, 1.0f, -0.5f}, {0.2312239f, 0.6285317f, 0.1402444f});
  expect_scores(PostTransform::softmax_zero, {0.0f, 1.0f, -0.5f}, {0.0f, 0.8175744f, 0.1824255f});
  expect_scores(PostTransform::probit, {0.2f, 0.7f, 0.5f}, {-0.8417561f, 0.5244459f, 0.0f});
}

TEST(PostTransform, OnlyProbitChangesOneScoreAlone) {
  for (const auto transform :
       {PostTransform::none, PostTransform::logistic, PostTransform::softmax, PostTransform::softmax_zero})
    expect_scores(transform, {0.7f}, {0.7f});
  expect_scores(PostTransform::probit, {0.7f}, {0.5244459f});
}

TEST(PostTransform, AddsASecondClass) {
  const auto both = [](PostTransform transform, SecondClass kind) {
    std::vector<float> scores{-1.5f, 0.0f};
    add_second_class(transform, kind, scores.data());
    return scores;
  };
  EXPECT_EQ(both(PostTransform::none, SecondClass::complement), (std::vector<float>{2.5f, -1.5f}));
  EXPECT_EQ(both(PostTransform::softmax, SecondClass::complement), (std::vector<float>{2.5f, -1.5f}));
  EXPECT_EQ(both(PostTransform::none, SecondClass::opposite), (std::vector<float>{1.5f, -1.5f}));
  for (const auto kind : {SecondClass::complement, SecondClass::opposite}) {
    EXPECT_NEAR(both(PostTransform::logistic, kind)[0], 0.8175744f, 1e-6f);
    EXPECT_NEAR(both(PostTransform::logistic, kind)[1], 0.1824256f, 1e-6f);
  }
}

}  // namespace
}  // namespace linnet
