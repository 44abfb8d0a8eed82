#include "kernels/elementwise/unary.h"

#include <array>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "kernels/each_isa.h"
#include "kernels/elementwise/unary_reference.h"

namespace linnet {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

struct Case {
  UnaryFn fn;
  float low;
  float high;
  double relative;  // greatest error against double, as a part of the value
  double absolute;
  UnaryParams params{};
  bool specials = true;  // infinities and NaN behave as the definition in double does
};

const Case kCases[] = {
    {UnaryFn::abs, -9, 9, 0, 0},
    {UnaryFn::neg, -9, 9, 0, 0},
    {UnaryFn::sign, -1, 1, 0, 0},
    {UnaryFn::relu, -9, 9, 0, 0},
    {UnaryFn::reciprocal, -9, 9, 1e-7, 0},
    {UnaryFn::rsqrt, 1e-3f, 90, 2e-7, 0},
    {UnaryFn::sqrt, 0, 90, 1e-7, 0},
    {UnaryFn::floor, -90, 90, 0, 0},
    {UnaryFn::ceil, -90, 90, 0, 0},
    {UnaryFn::round, -90, 90, 0, 0},
    {UnaryFn::exp, -87, 88, 3e-7, 0},
    {UnaryFn::log, 0, 1e6f, 3e-7, 1e-7},
    {UnaryFn::sin, -50, 50, 3e-6, 3e-7},
    {UnaryFn::cos, -50, 50, 3e-6, 3e-7},
    {UnaryFn::sin, -1e6f, 1e6f, 1e-5, 3e-7},
    {UnaryFn::tan, -9, 9, 3e-7, 0},
    {UnaryFn::asin, -1, 1, 3e-7, 0},
    {UnaryFn::acos, -1, 1, 3e-7, 1e-7},
    {UnaryFn::atan, -90, 90, 3e-7, 0},
    {UnaryFn::acosh, 1, 90, 3e-7, 0},
    {UnaryFn::atanh, -1, 1, 3e-7, 0},
    {UnaryFn::tanh, -12, 12, 5e-7, 0},
    {UnaryFn::sigmoid, -80, 80, 5e-7, 0},
    {UnaryFn::erf, -5, 5, 5e-7, 0},
    {UnaryFn::gelu_erf, -12, 12, 6e-7, 1e-6, {}, false},
    {UnaryFn::gelu_tanh, -12, 12, 6e-7, 1e-6, {}, false},
    {UnaryFn::swish, -20, 20, 3e-6, 0, {1.702f, 0}, false},
    {UnaryFn::mish, -20, 30, 6e-7, 1e-9, {}, false},
    {UnaryFn::softplus, -30, 30, 6e-7, 1e-9},
    {UnaryFn::softsign, -30, 30, 2e-7, 0, {}, false},
    {UnaryFn::leaky_relu, -9, 9, 1e-7, 0, {0.1f, 0}},
    {UnaryFn::thresholded_relu, -9, 9, 0, 0, {1.5f, 0}, false},
    {UnaryFn::elu, -9, 9, 2e-7, 2e-7, {1.5f, 0}},
    {UnaryFn::selu, -9, 9, 3e-7, 3e-7, {1.67326f, 1.0507f}},
    {UnaryFn::celu, -9, 9, 3e-7, 3e-7, {2.0f, 0}},
    {UnaryFn::hard_sigmoid, -9, 9, 2e-7, 1e-7, {0.2f, 0.5f}},
    {UnaryFn::hard_swish, -9, 9, 3e-7, 3e-7, {}, false},
    {UnaryFn::shrink, -9, 9, 1e-7, 1e-7, {1.5f, 0.5f}, false},
    {UnaryFn::clip, -9, 9, 0, 0, {-2.0f, 3.0f}},
    {UnaryFn::clip, -9, 9, 0, 0, {3.0f, -2.0f}},
};

void expect_close(const Case& c, float x, float actual) {
  const double expected = unary_reference<double>(c.fn, static_cast<double>(c.params.alpha),
                                                  static_cast<double>(c.params.beta), static_cast<double>(x));
  const float rounded = static_cast<float>(expected);
  if (std::isnan(rounded)) {
    EXPECT_TRUE(std::isnan(actual)) << "fn " << static_cast<int>(c.fn) << " x " << x << " got " << actual;
  } else if (std::isinf(rounded) || rounded == actual) {
    EXPECT_EQ(actual, rounded) << "fn " << static_cast<int>(c.fn) << " x " << x;
  } else {
    EXPECT_LE(std::fabs(static_cast<double>(actual) - expected),
              c.absolute + c.relative * std::fabs(expected) + 6e-8 * std::fabs(expected))
        << "fn " << static_cast<int>(c.fn) << " x " << x << " got " << actual << " not " << expected;
  }
}

TEST(Unary, FloatMatchesDouble) {
  for_each_isa([] {
    for (const Case& c : kCases) {
      std::vector<float> src;
      for (int i = 0; i <= 5000; ++i) src.push_back(c.low + (c.high - c.low) * static_cast<float>(i) / 5000.0f);
      if (c.specials) src.insert(src.end(), {kInf, -kInf, kNaN, 0.0f, -0.0f, 1e-40f, 1e-30f, -1e-30f});
      std::vector<float> dst(src.size());
      unary(c.fn, c.params, src.data(), dst.data(), src.size(), Parallel());
      for (size_t i = 0; i < src.size() && !testing::Test::HasFailure(); ++i) expect_close(c, src[i], dst[i]);
    }
  });
}

TEST(Unary, EveryLengthInPlaceWritesNothingBehind) {
  for_each_isa([] {
    for (size_t n = 0; n <= 70; ++n) {
      std::vector<float> data(n + 3, -2.5f);
      unary(UnaryFn::abs, {}, data.data() + 1, data.data() + 1, n, Parallel());
      for (size_t i = 0; i < data.size(); ++i) EXPECT_EQ(data[i], i >= 1 && i <= n ? 2.5f : -2.5f) << n << " " << i;
    }
  });
}

TEST(Unary, OtherTypes) {
  for_each_isa([] {
    std::vector<f16> halves;
    for (int i = 0; i < 1100; ++i) halves.push_back(f16(static_cast<float>(i) * 0.01f - 5.0f));
    std::vector<f16> out(halves.size());
    unary(UnaryFn::sigmoid, {}, halves.data(), out.data(), halves.size(), Parallel());
    for (size_t i = 0; i < halves.size(); ++i)
      EXPECT_NEAR(static_cast<float>(out[i]), 1.0f / (1.0f + std::exp(-static_cast<float>(halves[i]))), 5e-4f);

    const int8_t bytes[] = {-128, -1, 0, 1, 127};
    int8_t absolute[5];
    unary(UnaryFn::abs, {}, bytes, absolute, 5, Parallel());
    EXPECT_EQ(absolute[0], -128);
    EXPECT_EQ(absolute[1], 1);
    int8_t sign[5];
    unary(UnaryFn::sign, {}, bytes, sign, 5, Parallel());
    EXPECT_EQ(sign[0], -1);
    EXPECT_EQ(sign[4], 1);

    const double d[] = {0.3};
    double s[1];
    unary(UnaryFn::sin, {}, d, s, 1, Parallel());
    EXPECT_EQ(s[0], std::sin(0.3));
    const double more[] = {-2.5, -0.0, 2.25, std::nan("")};
    double y[4];
    for (const auto& [fn, expected] :
         {std::pair(UnaryFn::abs, std::array{2.5, 0.0, 2.25}), std::pair(UnaryFn::neg, std::array{2.5, 0.0, -2.25}),
          std::pair(UnaryFn::relu, std::array{0.0, 0.0, 2.25}),
          std::pair(UnaryFn::sqrt, std::array{std::nan(""), 0.0, 1.5})}) {
      unary(fn, {}, more, y, 4, Parallel());
      for (size_t i = 0; i < 3; ++i)
        EXPECT_TRUE(y[i] == expected[i] || (std::isnan(y[i]) && std::isnan(expected[i]))) << static_cast<int>(fn);
      EXPECT_TRUE(std::isnan(y[3])) << static_cast<int>(fn);
    }
  });
}

}  // namespace
}  // namespace linnet
