#include "quality/quality.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace linnet {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

template <class T>
Value tensor(const Shape& shape, const std::vector<T>& elements) {
  Tensor t = make_tensor(dtype_of<T>, shape).value();
  std::copy(elements.begin(), elements.end(), t.ptr<T>());
  return t;
}

Value floats(const Shape& shape, const std::vector<float>& elements) { return tensor(shape, elements); }

OutputQuality measure(const Value& reference, const Value& other) {
  QualityMeter meter({"y"});
  EXPECT_TRUE(meter.add({&reference, 1}, {&other, 1}).ok());
  return meter.result().outputs[0];
}

// Expected numbers here are numpy's, in double precision.
TEST(Quality, OfFloatsIsWhatNumpySays) {
  QualityMeter meter({"y"});
  const Value reference[] = {floats({2, 3}, {1, 2, 3, 0.5f, -1, 4}), floats({2, 3}, {-2, 0, 1, 3, 3, -5})};
  const Value other[] = {floats({2, 3}, {1.1f, 2.2f, 2.9f, 0.4f, -1.5f, -4}),
                         floats({2, 3}, {-2, 0.5f, 0.25f, 2.5f, 3.1f, -5})};
  for (size_t i = 0; i < 2; ++i) ASSERT_TRUE(meter.add({&reference[i], 1}, {&other[i], 1}).ok());
  const Quality quality = meter.result();
  EXPECT_EQ(quality.samples, 2u);
  const OutputQuality& y = quality.outputs.at(0);
  EXPECT_EQ(y.not_comparable, 0u);
  EXPECT_NEAR(*y.mean_cosine, 0.4929122204237531, 1e-12);
  EXPECT_NEAR(*y.least_cosine, -0.003120134808237861, 1e-12);
  EXPECT_NEAR(*y.snr_db, 0.8347132993748231, 1e-12);
  EXPECT_DOUBLE_EQ(*y.max_abs_error, 8);
  EXPECT_NEAR(*y.kl_divergence, 1.1148828558007287, 1e-12);
  // The last row's reference has two greatest elements, and either is right.
  EXPECT_DOUBLE_EQ(*y.top1_agreement, 0.5);
  EXPECT_FALSE(y.equal);
}

TEST(Quality, ProbabilitiesDivergeAsTheyAre) {
  const OutputQuality y = measure(floats({2, 3}, {0.7f, 0.2f, 0.1f, 0, 0.25f, 0.75f}),
                                  floats({2, 3}, {0.6f, 0.3f, 0.1f, 0.1f, 0.4f, 0.5f}));
  EXPECT_NEAR(*y.kl_divergence, 0.10670518562792385, 1e-12);
  EXPECT_DOUBLE_EQ(*y.top1_agreement, 1);
  // No probability where the reference has all of it: as little as is counted at all.
  EXPECT_NEAR(*measure(floats({2}, {0, 1}), floats({2}, {1, 0})).kl_divergence, -std::log(1e-12), 1e-9);
}

TEST(Quality, NothingAndAlmostNothing) {
  const OutputQuality zeros = measure(floats({2, 2}, {0, 0, 0, 0}), floats({2, 2}, {0, 0, 0, 0}));
  EXPECT_EQ(*zeros.mean_cosine, 1);
  EXPECT_EQ(*zeros.snr_db, std::numeric_limits<double>::infinity());
  EXPECT_EQ(*zeros.kl_divergence, 0);
  EXPECT_EQ(*measure(floats({2}, {0, 0}), floats({2}, {1, 0})).mean_cosine, 0);
  // Squares of these are no floats.
  EXPECT_NEAR(*measure(floats({2}, {1e-30f, 2e-30f}), floats({2}, {1e-30f, 2e-30f})).mean_cosine, 1, 1e-12);
  EXPECT_NEAR(*measure(floats({2}, {1e-30f, 0}), floats({2}, {0.9e-30f, 0})).snr_db, 20, 1e-4);
  EXPECT_EQ(*measure(floats({0, 4}, {}), floats({0, 4}, {})).mean_cosine, 1);
  EXPECT_FALSE(measure(floats({0, 4}, {}), floats({0, 4}, {})).kl_divergence);
  EXPECT_EQ(*measure(floats({}, {3}), floats({}, {3})).mean_cosine, 1);
}

TEST(Quality, WhatIsNoNumberInBothIsLeftOut) {
  const OutputQuality y =
      measure(floats({2, 3}, {kNan, 1, 2, -kInfinity, 3, 4}), floats({2, 3}, {kNan, 1, 2, -kInfinity, 3, 5}));
  EXPECT_EQ(y.not_comparable, 0u);
  EXPECT_DOUBLE_EQ(*y.max_abs_error, 1);
  EXPECT_NEAR(*y.least_cosine, 34.0 / std::sqrt(30.0 * 39.0), 1e-12);
  EXPECT_DOUBLE_EQ(*y.top1_agreement, 1);
  EXPECT_TRUE(std::isfinite(*y.kl_divergence));
}

TEST(Quality, WithoutAnyNumberNothingIsMeasured) {
  for (const float bad : {kNan, kInfinity, -kInfinity}) {
    const Value none = floats({1, 3}, {bad, kNan, bad}), some = floats({1, 3}, {1, 2, 3});
    for (const Value* other : {&none, &some}) {
      const OutputQuality y = measure(none, *other);
      EXPECT_EQ(y.without_numbers, 1u);
      EXPECT_FALSE(y.mean_cosine || y.least_cosine || y.snr_db || y.max_abs_error || y.kl_divergence ||
                   y.top1_agreement);
    }
    EXPECT_TRUE(without_numbers({&none, 1}));
    EXPECT_FALSE(without_numbers({&some, 1}));
    QualityMeter meter({"y"});
    ASSERT_TRUE(meter.add({&none, 1}, {&none, 1}).ok());
    const Value far = floats({1, 3}, {-1, -2, -3});
    ASSERT_TRUE(meter.add({&some, 1}, {&far, 1}).ok());
    EXPECT_DOUBLE_EQ(*meter.result().overall.mean_cosine, -1);
    EXPECT_EQ(meter.result().overall.without_numbers, 1u);
  }
  const Value empty = floats({0, 4}, {}), integer = tensor<int64_t>({1}, {1});
  EXPECT_FALSE(without_numbers({&empty, 1}));
  EXPECT_FALSE(without_numbers({&integer, 1}));
}

TEST(Quality, WhatIsNoNumberInOneIsAsBadAsCanBe) {
  for (const float bad : {kNan, kInfinity, -kInfinity}) {
    const OutputQuality y = measure(floats({1, 3}, {1, 2, 3}), floats({1, 3}, {1, 2, bad}));
    EXPECT_EQ(y.not_comparable, 1u);
    EXPECT_EQ(*y.least_cosine, 0);
    EXPECT_TRUE(std::isfinite(*y.kl_divergence));
    EXPECT_GT(*y.kl_divergence, 1);
    EXPECT_FALSE(y.max_abs_error);
  }
}

TEST(Quality, OtherShapesAndTypesAreNotComparable) {
  const Value reference = floats({2, 3}, {1, 2, 3, 4, 5, 6});
  for (const Value& other :
       {floats({3, 2}, {1, 2, 3, 4, 5, 6}), tensor<int64_t>({2, 3}, {1, 2, 3, 4, 5, 6}), Value()}) {
    const OutputQuality y = measure(reference, other);
    EXPECT_EQ(y.not_comparable, 1u);
    EXPECT_EQ(*y.mean_cosine, 0);
    EXPECT_EQ(*y.top1_agreement, 0);
    EXPECT_NEAR(*y.kl_divergence, -std::log(1e-12), 1e-9);
  }
  // Floats of other widths are.
  EXPECT_EQ(*measure(reference, tensor<f16>({2, 3}, {f16(1), f16(2), f16(3), f16(4), f16(5), f16(6)})).mean_cosine, 1);
}

TEST(Quality, OfOtherTypesIsTheShareOfEqualElements) {
  const OutputQuality integers = measure(tensor<int64_t>({4}, {1, 2, 3, 4}), tensor<int64_t>({4}, {1, 2, 3, -4}));
  EXPECT_DOUBLE_EQ(*integers.equal, 0.75);
  EXPECT_FALSE(integers.mean_cosine);
  EXPECT_FALSE(integers.top1_agreement);
  EXPECT_DOUBLE_EQ(*measure(tensor<std::string>({2}, {"a", "b"}), tensor<std::string>({2}, {"a", "c"})).equal, 0.5);
  EXPECT_DOUBLE_EQ(*measure(tensor<int64_t>({2}, {1, 2}), tensor<int64_t>({3}, {1, 2, 3})).equal, 0);
}

TEST(Quality, SequencesAreTheirElements) {
  const auto sequence = [](std::vector<Value> values) {
    Value v;
    v.sequence = std::make_shared<const Sequence>(Sequence{DType::f32, std::move(values)});
    return v;
  };
  const Value reference = sequence({floats({2}, {1, 2}), floats({1}, {3})});
  EXPECT_EQ(*measure(reference, reference).least_cosine, 1);
  EXPECT_DOUBLE_EQ(*measure(reference, sequence({floats({2}, {1, 2}), floats({1}, {5})})).max_abs_error, 2);
  EXPECT_EQ(measure(reference, sequence({floats({2}, {1, 2})})).not_comparable, 1u);
}

TEST(Quality, OverAllIsTheWorstOfEach) {
  QualityMeter meter({"a", "b"});
  const Value reference[] = {floats({2}, {1, 2}), floats({2}, {1, 2})};
  const Value other[] = {floats({2}, {2, 1}), floats({2}, {1, 7})};
  ASSERT_TRUE(meter.add(reference, other).ok());
  const Quality quality = meter.result();
  EXPECT_NEAR(*quality.overall.mean_cosine, 0.8, 1e-12);
  EXPECT_DOUBLE_EQ(*quality.overall.max_abs_error, 5);
  EXPECT_DOUBLE_EQ(*quality.overall.top1_agreement, 0);
}

TEST(Quality, LabelsTellHowManyAnswersAreRight) {
  QualityMeter meter({"ids", "scores"}, {2, 0, 1, 0});
  const Value ids = tensor<int64_t>({1}, {0});
  const std::vector<float> references[] = {{1, 2, 3}, {3, 2, 1}, {3, 2, 1}, {1, 2, 3}};
  const std::vector<float> others[] = {{1, 3, 2}, {3, 2, 1}, {1, 3, 2}, {1, 2, kNan}};
  for (size_t i = 0; i < 4; ++i) {
    const Value reference[] = {ids, floats({1, 3}, references[i])}, other[] = {ids, floats({1, 3}, others[i])};
    ASSERT_TRUE(meter.add(reference, other).ok());
  }
  const Quality quality = meter.result();
  ASSERT_TRUE(quality.task);
  EXPECT_EQ(quality.task->output, "scores");
  EXPECT_DOUBLE_EQ(quality.task->reference_accuracy, 0.5);
  EXPECT_DOUBLE_EQ(quality.task->accuracy, 0.5);
  const Value reference[] = {ids, floats({1, 3}, references[0])};
  EXPECT_NE(meter.add(reference, reference).message().find("more samples"), std::string::npos);
}

TEST(Quality, LabelsAreClassesThatHaveScores) {
  const Value scores = floats({1, 3}, {1, 2, 3});
  for (const int64_t label : {-1, 3}) {
    QualityMeter meter({"y"}, {label});
    EXPECT_NE(meter.add({&scores, 1}, {&scores, 1}).message().find("scores of 3 classes"), std::string::npos);
  }
}

TEST(Quality, LabelsWantOneAnswerASample) {
  const Value two_rows = floats({2, 3}, {1, 2, 3, 4, 5, 6});
  QualityMeter any({"y"}, {1}), named({"y"}, {1}, "y"), unknown({"y"}, {1}, "z");
  for (QualityMeter* meter : {&any, &named, &unknown}) EXPECT_FALSE(meter->add({&two_rows, 1}, {&two_rows, 1}).ok());
}

TEST(Quality, JsonHasNoNumberForInfinity) {
  QualityMeter meter({"a\"\n\xff"});
  const Value reference = floats({2}, {1, 2});
  ASSERT_TRUE(meter.add({&reference, 1}, {&reference, 1}).ok());
  EXPECT_EQ(
      meter.result().to_json(),
      "{\"samples\": 1, \"overall\": {\"not_comparable\": 0, \"mean_cosine\": 1, \"least_cosine\": 1, \"snr_db\": "
      "null, \"max_abs_error\": 0, \"kl_divergence\": 0, \"top1_agreement\": 1}, \"outputs\": [{\"name\": "
      "\"a\\\"\\u000a\xef\xbf\xbd\", \"not_comparable\": 0, \"mean_cosine\": 1, \"least_cosine\": 1, \"snr_db\": "
      "null, \"max_abs_error\": 0, \"kl_divergence\": 0, \"top1_agreement\": 1}]}");
}

}  // namespace
}  // namespace linnet
