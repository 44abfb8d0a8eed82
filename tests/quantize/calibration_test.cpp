// Histograms and the ranges that are chosen by them.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "quantize/calibration/range.h"

namespace linnet {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Cubes of equidistant numbers in [-2, 2], in a mixed order.
std::vector<float> cubes() {
  std::vector<float> x(20000);
  for (size_t i = 0; i < x.size(); ++i) {
    const double u = static_cast<double>(i * 2654435761u % 1000003u) / 1000003.0 - 0.5;
    x[i] = static_cast<float>(std::copysign(std::pow(std::fabs(u) * 2, 3), u) * 8);
  }
  return x;
}

// Most elements near zero, few far from it.
std::vector<float> long_tails() {
  std::vector<float> x = cubes();
  for (float& v : x) v = std::tan(v / 8 * 1.56f);
  return x;
}

Observer observed(std::span<const float> elements) {
  Observer observer(true);
  observer.add(elements);
  return observer;
}

double quantisation_error(std::span<const float> x, double least, double greatest, uint32_t levels) {
  const double step = (greatest - least) / (levels - 1), zero = std::round(-least / step);
  double sum = 0;
  for (const float v : x) {
    const double code = std::clamp(std::round(v / step) + zero, 0.0, levels - 1.0);
    sum += std::pow((code - zero) * step - v, 2);
  }
  return sum / static_cast<double>(x.size());
}

TEST(Histogram, CountsEveryElementInItsBin) {
  const std::vector<float> x{0.0f, -0.0f, 0.75f, -0.75f, 0.999f, -1e-30f, 1e-30f};
  Histogram histogram;
  histogram.add(x, 0.999f);
  EXPECT_EQ(histogram.zeros(), 2u);
  const auto bins = histogram.bins();
  ASSERT_EQ(bins.size(), Histogram::kBins);
  EXPECT_EQ(histogram.width(), 2.0 / Histogram::kBins);
  EXPECT_EQ(std::accumulate(bins.begin(), bins.end(), uint64_t{0}), 5u);
  for (size_t i = 0; i < bins.size(); ++i) {
    const double low = histogram.edge(i), high = histogram.edge(i + 1);
    EXPECT_EQ(bins[i], std::count_if(x.begin(), x.end(), [&](float v) { return v != 0 && low <= v && v < high; })) << i;
  }
}

TEST(Histogram, IsTheSameInWhateverOrderAndPartsTheDataCome) {
  std::vector<float> x = long_tails();
  Observer whole(true);
  whole.add(x);
  std::sort(x.begin(), x.end(), [](float a, float b) { return std::fabs(a) < std::fabs(b); });
  Observer parts(true);  // widens again and again
  for (size_t i = 0; i < x.size(); i += 1000) parts.add(std::span(x).subspan(i, 1000));
  EXPECT_TRUE(std::ranges::equal(whole.histogram().bins(), parts.histogram().bins()));
  EXPECT_EQ(whole.histogram().width(), parts.histogram().width());
  EXPECT_EQ(whole.least(), parts.least());
  EXPECT_EQ(whole.greatest(), parts.greatest());
}

TEST(Histogram, HoldsTheGreatestAndTheLeastFloats) {
  constexpr float kGreatest = std::numeric_limits<float>::max(), kLeast = std::numeric_limits<float>::denorm_min();
  const Observer observer = observed(std::vector<float>{kLeast, -kLeast, kGreatest, -kGreatest});
  const auto bins = observer.histogram().bins();
  EXPECT_EQ(std::accumulate(bins.begin(), bins.end(), uint64_t{0}), 4u);
  EXPECT_EQ(bins.front() + bins.back(), 2u);
}

TEST(Observer, SetsNotNumbersAndInfinitiesApart) {
  Observer observer(true);
  observer.add(std::vector<float>{1, kNan, -kInfinity, kInfinity, -3});
  observer.add({});
  observer.add(std::vector<float>{kNan});
  EXPECT_EQ(observer.count(), 2u);
  EXPECT_EQ(observer.not_numbers(), 2u);
  EXPECT_EQ(observer.infinities(), 2u);
  EXPECT_EQ(observer.least(), -3);
  EXPECT_EQ(observer.greatest(), 1);
}

TEST(MinMax, IsTheUnionOrTheMeanOfTheSamples) {
  Observer observer(false);
  observer.add(std::vector<float>{-1, 2});
  observer.add(std::vector<float>{-3, 1, 0.5f});
  const ValueRange all = choose_range(observer, {}, 256);
  EXPECT_EQ(all.least, -3);
  EXPECT_EQ(all.greatest, 2);
  RangeOptions options;
  options.moving_average = true;
  const ValueRange mean = choose_range(observer, options, 256);
  EXPECT_EQ(mean.least, -2);
  EXPECT_EQ(mean.greatest, 1.5f);
  options.symmetric = true;
  EXPECT_EQ(choose_range(observer, options, 256).least, -2);
  EXPECT_EQ(choose_range(observer, options, 256).greatest, 2);
}

TEST(EveryMethod, TakesConstantTensors) {
  for (const float constant : {0.0f, 2.5f, -1e-20f}) {
    const Observer observer = observed(std::vector<float>(10, constant));
    for (const auto method : {CalibrationMethod::min_max, CalibrationMethod::entropy, CalibrationMethod::percentile,
                              CalibrationMethod::mse}) {
      RangeOptions options;
      options.method = method;
      const ValueRange range = choose_range(observer, options, 256);
      const float least = std::min(range.least, 0.0f), greatest = std::max(range.greatest, 0.0f);
      EXPECT_GE(constant, least) << calibration_name(method);
      EXPECT_LE(constant, greatest) << calibration_name(method);
    }
  }
}

// What HistogramCollector.get_entropy_threshold of onnxruntime.quantization.calibrate 1.32 finds with 128 levels.
TEST(Entropy, CutsWhereOnnxRuntimeDoes) {
  constexpr size_t kSize = 512;
  std::vector<uint64_t> cauchy(kSize), triangle(kSize), one_sided(kSize);
  for (size_t i = 0; i < kSize; ++i) {
    const double d = std::fabs(static_cast<double>(i) - kSize / 2.0 + 0.5);
    cauchy[i] = static_cast<uint64_t>(10000 / (1 + std::pow(d / 8, 2)));
    triangle[i] = static_cast<uint64_t>(5000 * std::max(0.0, 1 - d / 100)) + (i % 17 == 0 ? 3 : 0);
    one_sided[i] = i < kSize / 2 ? 0 : static_cast<uint64_t>(9000 / (1 + d)) + (i == kSize / 2 ? 2000 : 0);
  }
  EXPECT_EQ(least_divergence(cauchy, 128), std::pair(size_t{0}, size_t{512}));
  EXPECT_EQ(least_divergence(triangle, 128), std::pair(size_t{102}, size_t{411}));
  EXPECT_EQ(least_divergence(one_sided, 128), std::pair(size_t{0}, size_t{512}));
}

// Against HistogramCollector.compute_percentile of the same, to a bin of its histogram and of ours.
TEST(Percentile, CoversWhatOnnxRuntimeCovers) {
  const Observer observer = observed(cubes());
  const double tolerance = 8.0 / 4096 + observer.histogram().width();
  for (const auto& [percentile, expected] : {std::pair(99.9, 7.9804688), {99.0, 7.7597656}, {90.0, 5.8320312}}) {
    RangeOptions options;
    options.method = CalibrationMethod::percentile;
    options.percentile = percentile;
    const ValueRange range = choose_range(observer, options, 256);
    EXPECT_NEAR(range.greatest, expected, tolerance);
    EXPECT_NEAR(range.least, -expected, tolerance);
  }
  RangeOptions all;
  all.method = CalibrationMethod::percentile;
  all.percentile = 100;
  EXPECT_EQ(choose_range(observer, all, 256).least, observer.least());
  EXPECT_EQ(choose_range(observer, all, 256).greatest, observer.greatest());
}

TEST(Mse, IsAsGoodAsTheBestOfManyRanges) {
  std::vector<float> rectified = long_tails();
  for (float& v : rectified) v = std::max(v, 0.0f);
  for (const std::vector<float>& x : {cubes(), long_tails(), rectified}) {
    const Observer observer = observed(x);
    for (const uint32_t levels : {16u, 256u}) {
      const ValueRange range = mse_range(observer, levels, false);
      const double reached = quantisation_error(x, range.least, range.greatest, levels);
      double best = std::numeric_limits<double>::infinity();
      for (double low = 0; low <= 1; low += 1 / 24.0)
        for (double high = 1 / 24.0; high <= 1; high += 1 / 24.0)
          best = std::min(best, quantisation_error(x, observer.least() * low, observer.greatest() * high, levels));
      EXPECT_LE(reached, best * 1.05) << levels;
      const double all = quantisation_error(x, observer.least(), observer.greatest(), levels);
      EXPECT_LE(reached, all * 1.0001) << levels;
    }
  }
}

}  // namespace
}  // namespace linnet
