#include "kernels/attention/linear_attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/each_isa.h"
#include "kernels/split_parallel.h"

namespace linnet {
namespace {

std::vector<float> waves(size_t count, double step) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) values[i] = static_cast<float>(std::sin(static_cast<double>(i) * step));
  return values;
}

struct Problem {
  LinearAttentionArgs args;
  std::vector<float> q, k, v, decay, beta, past, state, out;

  Problem(size_t q_heads, size_t kv_heads, size_t v_size, size_t decay_size, bool delta, size_t sharing = 1) {
    LinearAttentionArgs& a = args;
    a.batch = 2, a.steps = 3, a.q_heads = q_heads, a.kv_heads = kv_heads, a.k_heads = kv_heads / sharing, a.k_size = 5,
    a.v_size = v_size;
    const size_t rows = a.batch * a.steps;
    q = waves(rows * q_heads * a.k_size, 0.7), k = waves(rows * a.k_heads * a.k_size, 1.3);
    v = waves(rows * kv_heads * v_size, 0.3), beta = waves(rows * kv_heads, 0.9);
    decay = waves(rows * kv_heads * std::max<size_t>(decay_size, 1), 0.5);
    past = waves(a.batch * kv_heads * a.k_size * v_size, 0.2);
    state.resize(past.size()), out.resize(rows * std::max(q_heads, kv_heads) * v_size);
    a.q = q.data(), a.k = k.data(), a.v = v.data(), a.past = past.data(), a.state = state.data(), a.out = out.data();
    if (decay_size != 0) a.decay = decay.data(), a.decay_size = decay_size;
    if (delta) a.beta = beta.data(), a.beta_heads = kv_heads;
    a.scale = 0.25f;
  }

  // The standard's formula with whole matrices.
  void expect_definition() const {
    const LinearAttentionArgs& a = args;
    const size_t outputs = std::max(a.q_heads, a.kv_heads), group = outputs / a.kv_heads,
                 sharing = a.kv_heads / a.k_heads;
    for (size_t b = 0; b < a.batch; ++b)
      for (size_t h = 0; h < a.kv_heads; ++h) {
        const size_t at = (b * a.kv_heads + h) * a.k_size * a.v_size;
        std::vector<double> s(past.begin() + static_cast<ptrdiff_t>(at),
                              past.begin() + static_cast<ptrdiff_t>(at + a.k_size * a.v_size));
        for (size_t t = 0; t < a.steps; ++t) {
          const size_t row = (b * a.steps + t) * a.kv_heads + h;
          const float* key = k.data() + ((b * a.steps + t) * a.k_heads + h / sharing) * a.k_size;
          for (size_t i = 0; i < a.k_size && a.decay; ++i)
            for (size_t j = 0; j < a.v_size; ++j)
              s[i * a.v_size + j] *= std::exp(double{decay[row * a.decay_size + (a.decay_size == 1 ? 0 : i)]});
          std::vector<double> u(a.v_size);
          for (size_t j = 0; j < a.v_size; ++j) {
            u[j] = v[row * a.v_size + j];
            for (size_t i = 0; i < a.k_size && a.beta; ++i) u[j] -= s[i * a.v_size + j] * key[i];
            if (a.beta) u[j] *= beta[row];
          }
          for (size_t i = 0; i < a.k_size; ++i)
            for (size_t j = 0; j < a.v_size; ++j) s[i * a.v_size + j] += key[i] * u[j];
          for (size_t g = 0; g < group; ++g)
            for (size_t j = 0; j < a.v_size; ++j) {
              const size_t head = (b * a.steps + t) * outputs + h * group + g;
              const size_t asking = (b * a.steps + t) * a.q_heads + (h * group + g) / (outputs / a.q_heads);
              double sum = 0;
              for (size_t i = 0; i < a.k_size; ++i) sum += q[asking * a.k_size + i] * s[i * a.v_size + j];
              ASSERT_NEAR(out[head * a.v_size + j], 0.25 * sum, 1e-5);
            }
        }
        for (size_t i = 0; i < s.size(); ++i) ASSERT_NEAR(state[at + i], s[i], 1e-5);
      }
  }
};

TEST(LinearAttention, IsItsDefinition) {
  for_each_isa([] {
    for (const size_t v_size : {1, 7, 64, 131})
      for (const size_t decay_size : {0, 1, 5})
        for (const bool delta : {false, true}) {
          Problem problem(4, 2, v_size, decay_size, delta);
          linear_attention(problem.args, Parallel());
          problem.expect_definition();
          Problem split(4, 2, v_size, decay_size, delta);
          linear_attention(split.args, SplitParallel(3));
          EXPECT_EQ(problem.out, split.out);
          EXPECT_EQ(problem.state, split.state);
        }
  });
}

TEST(LinearAttention, StatesShareKeysAndQueries) {
  for_each_isa([] {
    for (const size_t q_heads : {1, 3, 6, 12})
      for (const size_t sharing : {1, 2, 6})
        for (const size_t decay_size : {1, 5}) {
          Problem problem(q_heads, 6, 7, decay_size, true, sharing);
          linear_attention(problem.args, Parallel());
          problem.expect_definition();
        }
  });
}

TEST(LinearAttention, StartsFromZerosWithoutAPast) {
  for_each_isa([] {
    Problem problem(2, 2, 9, 1, true);
    problem.args.past = nullptr;
    std::fill(problem.past.begin(), problem.past.end(), 0.0f);
    std::fill(problem.state.begin(), problem.state.end(), NAN);
    linear_attention(problem.args, Parallel());
    problem.expect_definition();
  });
}

}  // namespace
}  // namespace linnet
