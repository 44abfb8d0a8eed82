#include <cmath>
#include <limits>
#include <vector>

#include "kernels/each_isa.h"
#include "kernels/norm/norm.h"
#include "kernels/softmax/softmax.h"

namespace linnet {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

std::vector<float> numbers(size_t n, float scale = 1.0f, uint32_t seed = 1) {
  std::vector<float> v(n);
  for (float& x : v) {
    seed = seed * 1664525u + 1013904223u;
    x = scale * (static_cast<float>(seed >> 8) / 8388608.0f - 1.0f);
  }
  return v;
}

TEST(Softmax, MatchesDouble) {
  for_each_isa([] {
    for (const size_t n : {1u, 2u, 7u, 8u, 33u, 1000u})
      for (const size_t inner : {1u, 3u, 20u})
        for (const bool log : {false, true}) {
          const std::vector<float> src = numbers(2 * n * inner, 20.0f);
          std::vector<float> dst = src;  // in place
          softmax(log, {2, n, inner}, dst.data(), dst.data(), Parallel());
          for (size_t o = 0; o < 2; ++o)
            for (size_t k = 0; k < inner; ++k) {
              const auto at = [&](size_t i) { return (o * n + i) * inner + k; };
              double max = -HUGE_VAL, sum = 0;
              for (size_t i = 0; i < n; ++i) max = std::max(max, static_cast<double>(src[at(i)]));
              for (size_t i = 0; i < n; ++i) sum += std::exp(static_cast<double>(src[at(i)]) - max);
              for (size_t i = 0; i < n; ++i) {
                const double x = static_cast<double>(src[at(i)]) - max;
                const double expected = log ? x - std::log(sum) : std::exp(x) / sum;
                ASSERT_NEAR(static_cast<double>(dst[at(i)]), expected, 3e-7 + 1e-6 * std::fabs(expected))
                    << n << " " << inner << " " << log;
              }
            }
        }
  });
}

TEST(Softmax, Specials) {
  for_each_isa([] {
    for (const size_t inner : {1u, 2u}) {
      std::vector<float> src(10 * inner, 0.0f);
      src[3 * inner] = -kInf;
      softmax(false, {1, 10, inner}, src.data(), src.data(), Parallel());
      EXPECT_EQ(src[3 * inner], 0.0f);
      EXPECT_NEAR(src[0], 1.0f / 9.0f, 1e-7f);
      src[4 * inner] = std::numeric_limits<float>::quiet_NaN();
      softmax(false, {1, 10, inner}, src.data(), src.data(), Parallel());
      for (size_t i = 0; i < 10; ++i) EXPECT_TRUE(std::isnan(src[i * inner])) << i;
    }
    double d[] = {1.0, 2.0};
    softmax(true, {1, 2, 1}, d, d, Parallel());
    EXPECT_NEAR(d[0], -1.3132616875182228, 1e-15);
  });
}

TEST(LayerNorm, MatchesDouble) {
  for_each_isa([] {
    for (const size_t n : {1u, 5u, 32u, 77u})
      for (int mode = 0; mode < 8; ++mode) {
        const size_t rows = 4;
        const bool rms = (mode & 1) != 0, residual = (mode & 2) != 0, affine = (mode & 4) != 0;
        const auto src = numbers(rows * n, 3.0f), skip = numbers(2 * n, 1.0f, 7), bias = numbers(n, 1.0f, 9);
        const auto scale = numbers(n, 1.0f, 11), shift = numbers(n, 1.0f, 13);
        std::vector<float> dst(rows * n), sum(rows * n), mean(rows), inverse(rows);
        LayerNorm norm{.rows = rows, .n = n, .rms = rms, .epsilon = 1e-3f, .src = src.data(), .dst = dst.data()};
        if (residual) {
          norm.skip = skip.data();
          norm.skip_rows = 2;
          norm.bias = bias.data();
          norm.sum = sum.data();
        }
        if (affine) {
          norm.scale = scale.data();
          norm.shift = shift.data();
        }
        norm.mean = mean.data();
        norm.inverse = inverse.data();
        layer_norm(norm, Parallel());
        for (size_t r = 0; r < rows; ++r) {
          std::vector<double> x(n);
          double center = 0, squares = 0;
          for (size_t i = 0; i < n; ++i) {
            x[i] = static_cast<double>(src[r * n + i]);
            if (residual) x[i] += static_cast<double>(skip[r % 2 * n + i]) + static_cast<double>(bias[i]);
            if (!rms) center += x[i] / static_cast<double>(n);
          }
          for (const double v : x) squares += (v - center) * (v - center) / static_cast<double>(n);
          const double factor = 1.0 / std::sqrt(squares + 1e-3);
          EXPECT_NEAR(static_cast<double>(inverse[r]), factor, 1e-4 * factor);
          for (size_t i = 0; i < n; ++i) {
            double expected = (x[i] - center) * factor;
            if (affine) expected = expected * static_cast<double>(scale[i]) + static_cast<double>(shift[i]);
            ASSERT_NEAR(static_cast<double>(dst[r * n + i]), expected, 2e-5) << n << " " << mode;
            if (residual) {
              ASSERT_NEAR(static_cast<double>(sum[r * n + i]), x[i], 1e-6);
            }
          }
        }
      }
  });
}

TEST(ChannelNorm, GroupsOfChannels) {
  for_each_isa([] {
    const size_t batch = 2, groups = 2, per_group = 3, n = 19, channels = groups * per_group;
    const auto src = numbers(batch * channels * n), scale = numbers(channels, 1.0f, 3),
               shift = numbers(channels, 1.0f, 5);
    std::vector<float> dst = src;
    channel_norm({batch * groups, per_group, n, channels, 1e-5f, dst.data(), scale.data(), shift.data(), dst.data()},
                 Parallel());
    for (size_t r = 0; r < batch * groups; ++r) {
      double mean = 0, squares = 0;
      const size_t count = per_group * n;
      for (size_t i = 0; i < count; ++i) mean += static_cast<double>(src[r * count + i]) / static_cast<double>(count);
      for (size_t i = 0; i < count; ++i)
        squares += std::pow(static_cast<double>(src[r * count + i]) - mean, 2) / static_cast<double>(count);
      for (size_t i = 0; i < count; ++i) {
        const size_t channel = r % groups * per_group + i / n;
        const double expected = (static_cast<double>(src[r * count + i]) - mean) / std::sqrt(squares + 1e-5) *
                                    static_cast<double>(scale[channel]) +
                                static_cast<double>(shift[channel]);
        ASSERT_NEAR(static_cast<double>(dst[r * count + i]), expected, 1e-5);
      }
    }
  });
}

TEST(ChannelAffine, BothLayouts) {
  for_each_isa([] {
    const auto src = numbers(2 * 21 * 5), scale = numbers(21, 1.0f, 3), shift = numbers(21, 1.0f, 5);
    for (const size_t inner : {1u, 5u}) {
      std::vector<float> dst(2 * 21 * inner);
      channel_affine({2, 21, inner, src.data(), scale.data(), shift.data(), dst.data()}, Parallel());
      for (size_t i = 0; i < dst.size(); ++i)
        ASSERT_NEAR(dst[i], src[i] * scale[i / inner % 21] + shift[i / inner % 21], 1e-6f);
    }
  });
}

TEST(LocalResponse, WindowIsCutAtTheEdges) {
  const float src[] = {1.0f, 2.0f, 3.0f};
  float dst[3];
  local_response({1, 3, 1, 3, 0.3f, 0.5f, 1.0f}, src, dst, Parallel());
  EXPECT_NEAR(dst[0], 1.0f / std::sqrt(1.0f + 0.1f * 5.0f), 1e-6f);
  EXPECT_NEAR(dst[1], 2.0f / std::sqrt(1.0f + 0.1f * 14.0f), 1e-6f);
}

TEST(LpNormalize, ZeroStaysZero) {
  const float src[] = {3.0f, 4.0f, 0.0f, 0.0f};
  float dst[4];
  lp_normalize(2, 2, 2, 1, src, dst, Parallel());
  EXPECT_FLOAT_EQ(dst[0], 0.6f);
  EXPECT_EQ(dst[2], 0.0f);
}

}  // namespace
}  // namespace linnet
