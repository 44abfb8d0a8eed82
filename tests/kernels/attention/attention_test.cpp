// Attention at every instruction set, against the formula in double precision.
#include "kernels/attention/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/isa.h"

namespace linnet {
namespace {

struct Case {
  size_t batch, heads, kv_heads, rows, columns, head_size, v_head_size;
  bool causal = false;
  int64_t offset = 0, window = 0;
  float softcap = 0;
  bool bias = false, zero_sink = false, lengths = false;
};

class AttentionTest : public ::testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    if (GetParam() > best_isa()) GTEST_SKIP() << "not on this machine";
    set_isa(GetParam());
  }
  void TearDown() override { set_isa(best_isa()); }

  static void check(const Case& c) {
    std::mt19937 random(static_cast<unsigned>(c.rows * 7 + c.columns));
    std::normal_distribution<float> normal;
    const auto fill = [&](size_t n) {
      std::vector<float> x(n);
      for (float& value : x) value = normal(random);
      return x;
    };
    const auto q = fill(c.batch * c.rows * c.heads * c.head_size),
               k = fill(c.batch * c.columns * c.kv_heads * c.head_size);
    const auto v = fill(c.batch * c.columns * c.kv_heads * c.v_head_size), bias = fill(c.heads * c.rows * c.columns);
    std::vector<int64_t> lengths(c.batch);
    for (size_t b = 0; b < c.batch; ++b) lengths[b] = static_cast<int64_t>(c.columns - b);
    std::vector<float> out(c.batch * c.rows * c.heads * c.v_head_size, 9.0f);

    // Queries and output are [batch][row][head][size], keys and values [batch][head][row][size].
    AttentionArgs a;
    a.batch = c.batch, a.heads = c.heads, a.kv_heads = c.kv_heads, a.rows = c.rows, a.columns = c.columns;
    a.head_size = c.head_size, a.v_head_size = c.v_head_size;
    a.q = q.data(), a.k = k.data(), a.v = v.data(), a.out = out.data();
    a.q_strides = {c.rows * c.heads * c.head_size, c.head_size, c.heads * c.head_size};
    a.out_strides = {c.rows * c.heads * c.v_head_size, c.v_head_size, c.heads * c.v_head_size};
    a.k_strides = {c.kv_heads * c.columns * c.head_size, c.columns * c.head_size, c.head_size};
    a.v_strides = {c.kv_heads * c.columns * c.v_head_size, c.columns * c.v_head_size, c.v_head_size};
    a.scale = 0.3f, a.softcap = c.softcap, a.causal = c.causal, a.offset = c.offset, a.window = c.window,
    a.zero_sink = c.zero_sink;
    if (c.bias) a.bias = bias.data(), a.bias_strides = {0, c.rows * c.columns, c.columns}, a.bias_columns = c.columns;
    if (c.lengths) a.lengths = lengths.data();
    std::vector<std::byte> scratch(attention_scratch_size(a, 1) + 64);
    attention(a, reinterpret_cast<std::byte*>((reinterpret_cast<uintptr_t>(scratch.data()) + 63) & ~uintptr_t{63}),
              Parallel());

    for (size_t b = 0; b < c.batch; ++b)
      for (size_t h = 0; h < c.heads; ++h)
        for (size_t r = 0; r < c.rows; ++r) {
          const size_t kv = b * c.kv_heads + h / (c.heads / c.kv_heads);
          std::vector<double> scores(c.columns, -std::numeric_limits<double>::infinity());
          for (size_t t = 0; t < c.columns; ++t) {
            const auto position = static_cast<int64_t>(r) + c.offset, column = static_cast<int64_t>(t);
            if (c.causal && column > position) continue;
            if (c.window > 0 && column <= position - c.window) continue;
            if (c.lengths && column >= lengths[b]) continue;
            double dot = 0;
            for (size_t i = 0; i < c.head_size; ++i)
              dot += static_cast<double>(q[((b * c.rows + r) * c.heads + h) * c.head_size + i]) *
                     k[(kv * c.columns + t) * c.head_size + i];
            dot *= 0.3f;
            if (c.softcap > 0) dot = c.softcap * std::tanh(dot / c.softcap);
            scores[t] = dot + (c.bias ? bias[(h * c.rows + r) * c.columns + t] : 0.0f);
          }
          double sum = c.zero_sink ? 1 : 0;
          for (double& s : scores) sum += s = std::exp(s);
          for (size_t i = 0; i < c.v_head_size; ++i) {
            double expected = 0;
            for (size_t t = 0; t < c.columns; ++t) expected += scores[t] * v[(kv * c.columns + t) * c.v_head_size + i];
            if (sum > 0) expected /= sum;
            ASSERT_NEAR(out[((b * c.rows + r) * c.heads + h) * c.v_head_size + i], expected, 3e-6)
                << c.rows << " rows, " << c.columns << " columns, head " << h << ", row " << r;
          }
        }
  }
};

TEST_P(AttentionTest, MatchesTheFormula) {
  for (const size_t rows : {1, 2, 5, 7, 60})
    for (const size_t columns : {1, 3, 16, 33, 130}) {
      check({2, 4, 4, rows, columns, 16, 16});
      check({1, 6, 2, rows, columns, 20, 9});
      check({2, 2, 1, rows, columns, 8, 32, true, 3});
      check({2, 4, 2, rows, columns, 8, 16, true, 0, 4, 2.0f, true, true, true});
    }
}

TEST_P(AttentionTest, TakesEmptyShapes) {
  check({0, 2, 2, 3, 4, 8, 8});
  check({1, 2, 2, 0, 4, 8, 8});
  check({1, 2, 2, 3, 0, 8, 8});
  check({1, 2, 2, 3, 4, 8, 0});
}

// A row that sees nothing gives 0, not NaN.
TEST_P(AttentionTest, GivesZeroToRowsThatSeeNothing) { check({1, 2, 2, 5, 4, 8, 8, true, -2}); }

INSTANTIATE_TEST_SUITE_P(AllIsas, AttentionTest, ::testing::Values(Isa::reference, Isa::sse4, Isa::avx2, Isa::avx512),
                         [](const auto& level) { return std::string(isa_name(level.param)); });

}  // namespace
}  // namespace linnet
