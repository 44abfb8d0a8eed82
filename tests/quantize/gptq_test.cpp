#include "quantize/gptq.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "run/thread_pool.h"

namespace linnet {
namespace {

std::vector<float> correlated(size_t rows, size_t width, uint32_t seed) {
  std::minstd_rand random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> x(rows * width);
  for (size_t r = 0; r < rows; ++r) {
    float common = 0;
    for (size_t c = 0; c < width; ++c) {
      common = 0.9f * common + normal(random);
      x[r * width + c] = common;
    }
  }
  return x;
}

TEST(Gram, SumsProductsOfAllSamples) {
  const size_t width = 300;
  const std::vector<float> x = correlated(700, width, 1);
  ThreadPool pool(3);
  const RunParallel threads(&pool, nullptr, nullptr);
  Gram one, other;
  const std::span<const float> all(x);
  one.add(all.first(width * 513), width, Parallel());
  one.add(all.subspan(width * 513), width, Parallel());
  one.add({}, width, Parallel());
  other.add(all.first(width * 513), width, threads);
  other.add(all.subspan(width * 513), width, threads);
  EXPECT_EQ(one.rows(), 700u);
  for (size_t i = 0; i < width; i += 7) {
    for (size_t j = i; j < width; ++j) {
      double sum = 0, magnitude = 0;
      for (size_t r = 0; r < 700; ++r) {
        const double p = static_cast<double>(x[r * width + i]) * static_cast<double>(x[r * width + j]);
        sum += p;
        magnitude += std::fabs(p);
      }
      ASSERT_NEAR(one.at(i, j), sum, 1e-5 * magnitude) << i << " " << j;
      ASSERT_EQ(one.at(i, j), other.at(i, j)) << "threads change a bit";
    }
  }
  Gram twice = one;
  twice.add(other);
  EXPECT_EQ(twice.rows(), 1400u);
  EXPECT_EQ(twice.at(3, 5), 2 * one.at(3, 5));
  twice.add(all.first(width - 1), width - 1, Parallel());
  EXPECT_TRUE(twice.ragged());
}

TEST(Gram, Complaints) {
  const auto seen = [](std::vector<float> x) {
    Gram gram;
    gram.add(x, 2, Parallel());
    return complaint(gram);
  };
  EXPECT_EQ(seen({1, 2, 3, 4}), "");
  EXPECT_EQ(seen({0, 2, 0, 4}), "");  // a channel that is always zero
  EXPECT_NE(seen({}), "");
  EXPECT_NE(seen({0, 0}), "");
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), 1e30f})
    EXPECT_NE(seen({1, 2, bad, 4}), "") << bad;
}

// What becomes of inputs that tell as little as can be: one vector, twice the same channel, a channel of zeros.
TEST(Gptq, TakesInputsOfAnyRank) {
  const int64_t rows = 20, depth = 70;
  const std::vector<float> w = correlated(20, 70, 2);
  const MatrixView view{w.data(), rows, depth, depth, 1};
  const BlockScheme scheme{4, 32, true, BlockMethod::gptq};
  std::vector<float> x(static_cast<size_t>(depth), 1.0f);
  x[5] = 0;
  for (const double percdamp : {0.0, 0.01}) {
    for (const bool actorder : {false, true}) {
      Gram inputs;
      inputs.add(x, x.size(), Parallel());
      GptqOptions options;
      options.percdamp = percdamp;
      options.actorder = actorder;
      options.shrink = false;
      const QuantizedWeight q =
          quantize_gptq(view, scheme, make_gptq_factor(inputs, options, Parallel()), Parallel()).value();
      EXPECT_TRUE(std::isfinite(q.snr_db));
      double worst = 0;
      for (int64_t r = 0; r < rows; ++r) {
        double off = 0, size = 0;
        for (int64_t k = 0; k < depth; ++k) {
          const int code = q.codes.ptr<uint8_t>()[r * 48 + k / 2] >> (k % 2 * 4) & 15;
          const double number = (code - 8) * static_cast<double>(q.scale.ptr<float>()[r * 3 + k / 32]);
          off += (number - w[static_cast<size_t>(r * depth + k)]) * x[static_cast<size_t>(k)];
          size += std::fabs(number);
        }
        worst = std::max(worst, std::fabs(off) / size);
      }
      EXPECT_LT(worst, 0.01) << percdamp << actorder;  // the one sum that counts is as good as exact
    }
  }
}

TEST(Gptq, FactorIsThatOfTheInverse) {
  const size_t width = 150;
  const std::vector<float> x = correlated(400, width, 5);
  Gram inputs;
  inputs.add(x, width, Parallel());
  ThreadPool pool(3);
  const RunParallel threads(&pool, nullptr, nullptr);
  GptqOptions options;
  options.actorder = true;
  options.shrink = false;
  const GptqFactor factor = make_gptq_factor(inputs, options, threads);
  EXPECT_EQ(factor.upper, make_gptq_factor(inputs, options, Parallel()).upper) << "threads change a bit";
  double mean = 0;
  for (size_t i = 0; i < width; ++i) mean += inputs.at(i, i) / static_cast<double>(width);
  // transposed(U) U (products + damping) is the identity.
  for (size_t i = 0; i < width; i += 11) {
    std::vector<double> row(width);
    for (size_t j = 0; j < width; ++j)
      for (size_t t = 0; t <= std::min(i, j); ++t)
        row[j] += static_cast<double>(factor.upper[t * width + i]) * factor.upper[t * width + j];
    for (size_t j = 0; j < width; ++j) {
      double sum = 0;
      for (size_t t = 0; t < width; ++t) {
        const auto [a, b] = std::minmax(factor.order[t], factor.order[j]);
        sum += row[t] * (inputs.at(a, b) + (t == j ? options.percdamp * mean : 0.0));
      }
      ASSERT_NEAR(sum, i == j, 1e-3) << i << " " << j;
    }
  }
}

TEST(Gptq, FewSamplesOfUnrelatedInputsTeachNothing) {
  const int64_t rows = 24, depth = 96;
  std::minstd_rand random(6);
  std::normal_distribution<float> normal;
  std::vector<float> w(static_cast<size_t>(rows * depth)), x(static_cast<size_t>(100 * depth));
  for (float& e : w) e = normal(random);
  for (float& e : x) e = normal(random);
  const MatrixView view{w.data(), rows, depth, depth, 1};
  Gram inputs;
  inputs.add(x, static_cast<size_t>(depth), Parallel());
  // Unrelated inputs of the same size: what counts is how near the weights are.
  const auto snr = [&](bool shrink) {
    GptqOptions options;
    options.shrink = shrink;
    return quantize_gptq(view, {}, make_gptq_factor(inputs, options, Parallel()), Parallel()).value().snr_db;
  };
  const double nearest = quantize_blocks(view, {}, Parallel()).value().snr_db;
  EXPECT_GT(snr(true), nearest - 0.2);
  EXPECT_LT(snr(false), nearest - 1);
}

TEST(Gptq, RefusesWeightsThatAreNoNumbersAndStops) {
  std::vector<float> w = correlated(4, 32, 3);
  const std::vector<float> x = correlated(50, 32, 4);
  const MatrixView view{w.data(), 4, 32, 32, 1};
  Gram inputs;
  inputs.add(x, 32, Parallel());
  const GptqFactor factor = make_gptq_factor(inputs, {}, Parallel());
  StopToken stop;
  stop.request_stop();
  EXPECT_EQ(quantize_gptq(view, {}, factor, Parallel(&stop)).status().code(), Code::cancelled);
  w[40] = std::numeric_limits<float>::infinity();
  EXPECT_EQ(quantize_gptq(view, {}, factor, Parallel()).status().code(), Code::invalid_argument);
}

TEST(QuantizeBlocks, NarrowerRangesHaveLessErrors) {
  const int64_t rows = 64, depth = 128;
  std::vector<float> w(static_cast<size_t>(rows * depth));
  std::minstd_rand random(3);
  for (float& e : w) e = std::student_t_distribution<float>(4)(random);
  for (const bool symmetric : {true, false}) {
    BlockScheme scheme{4, depth, symmetric};
    const auto errors = [&](bool mse) {
      scheme.mse = mse;
      const QuantizedWeight q = quantize_blocks({w.data(), rows, depth, depth, 1}, scheme, Parallel()).value();
      double sum = 0;
      for (int64_t r = 0; r < rows; ++r) {
        // One block a row: a byte for its zero point, too.
        const int zero = symmetric ? 8 : q.zero_point.ptr<uint8_t>()[r] & 15;
        for (int64_t k = 0; k < depth; ++k) {
          const int code = q.codes.ptr<uint8_t>()[(r * depth + k) / 2] >> (k % 2 * 4) & 15;
          const double number = (code - zero) * static_cast<double>(q.scale.ptr<float>()[r]);
          sum += std::pow(std::fabs(number - w[static_cast<size_t>(r * depth + k)]), 2.4);
        }
      }
      return sum;
    };
    EXPECT_LT(errors(true), 0.95 * errors(false)) << symmetric;
  }
}

}  // namespace
}  // namespace linnet
