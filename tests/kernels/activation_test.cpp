// Every activation at every instruction set of this machine, against double precision.
#include "kernels/activation.h"

#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/isa.h"

namespace linnet {
namespace {

std::vector<float> arguments() {
  std::vector<float> xs = {0.0f,   -0.0f,  1e-40f, -1e-40f, 1e-20f,  -1e-20f, 88.7f,
                           88.73f, -87.3f, -90.0f, -103.9f, -105.0f, 1e30f,   -1e30f};
  for (int i = -60000; i <= 60000; ++i) xs.push_back(static_cast<float>(i) * 0.00025f);
  for (int e = -30; e < 7; ++e)
    for (int i = 0; i < 200; ++i)
      xs.push_back(std::ldexp(1.0f + static_cast<float>(i) / 200.0f, e) * (i % 2 ? 1.0f : -1.0f));
  return xs;
}

struct Case {
  ActivationSpec spec;
  double absolute;  // allowed beside `relative`
  double relative;
};

const Case kCases[] = {
    {{Activation::none}, 0, 0},
    {{Activation::relu}, 0, 0},
    {{Activation::clip, -1.5f, 6.0f}, 0, 0},
    {{Activation::leaky_relu, 0.01f}, 0, 1e-7},
    {{Activation::hard_sigmoid, 0.2f, 0.5f}, 6e-8, 2e-7},
    {{Activation::hard_swish}, 3e-7, 3e-7},
    {{Activation::sigmoid}, 1e-38, 4e-7},
    {{Activation::silu, 1.0f}, 1e-36, 5e-7},
    {{Activation::silu, 1.702f}, 5e-7, 1e-6},
    {{Activation::gelu_erf}, 1.2e-6, 5e-7},
    {{Activation::gelu_tanh}, 1.2e-6, 6e-7},
    {{Activation::tanh}, 0, 5e-7},
};

class ActivationTest : public ::testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    if (GetParam() > best_isa()) GTEST_SKIP() << "not on this machine";
    set_isa(GetParam());
  }
  void TearDown() override { set_isa(best_isa()); }
};

TEST_P(ActivationTest, IsAccurate) {
  for (const Case& c : kCases) {
    const std::vector<float> xs = arguments();
    std::vector<float> ys = xs;
    activate_block(c.spec, ys.data(), ys.size(), 1, ys.size());
    for (size_t i = 0; i < xs.size(); ++i) {
      const double expected = activate_reference(c.spec, xs[i]);
      const double allowed = c.absolute + c.relative * std::abs(expected);
      const double excess = std::abs(ys[i] - expected) - allowed;
      if (!(excess <= 0) && ys[i] != activate_reference(c.spec, xs[i])) {
        ADD_FAILURE() << "activation " << static_cast<int>(c.spec.kind) << " of " << xs[i] << ": " << ys[i]
                      << ", expected " << expected;
        break;
      }
    }
  }
}

TEST_P(ActivationTest, PropagatesNanAndSaturates) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  for (const Case& c : kCases) {
    float values[] = {nan, 1.0f, infinity, -infinity, nan};
    activate_block(c.spec, values, 5, 1, 5);
    EXPECT_TRUE(std::isnan(values[0]) && std::isnan(values[4])) << static_cast<int>(c.spec.kind);
    EXPECT_EQ(values[2], activate_reference(c.spec, infinity)) << static_cast<int>(c.spec.kind);
    const float low = activate_reference(c.spec, -infinity);
    EXPECT_TRUE(values[3] == low || (std::isnan(low) && std::isnan(values[3]))) << static_cast<int>(c.spec.kind);
  }
}

TEST_P(ActivationTest, DoesNotDependOnThePosition) {
  const std::vector<float> xs = arguments();
  for (const Case& c : kCases) {
    std::vector<float> whole(xs.begin(), xs.begin() + 203);
    std::vector<float> split = whole;
    activate_block(c.spec, whole.data(), 203, 1, 203);
    activate_block(c.spec, split.data(), 29, 7, 29);
    EXPECT_EQ(whole, split);
  }
}

INSTANTIATE_TEST_SUITE_P(AllIsas, ActivationTest, ::testing::Values(Isa::reference, Isa::sse4, Isa::avx2, Isa::avx512),
                         [](const auto& level) { return std::string(isa_name(level.param)); });

}  // namespace
}  // namespace linnet
