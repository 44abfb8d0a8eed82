// Linear attention: a matrix of state for each head that every token updates and every query reads.
// https://onnx.ai/onnx/operators/onnx__LinearAttention.html
#pragma once

#include <cstddef>

#include "base/parallel.h"

namespace linnet {

struct LinearAttentionArgs {
  size_t batch = 0, steps = 0;
  size_t q_heads = 0, kv_heads = 0;  // one a multiple of the other
  size_t k_heads = 0;                // a divisor of kv_heads
  size_t k_size = 0, v_size = 0;     // of a head
  // Dense rows of one token: q_heads k_size, k_heads k_size and kv_heads v_size wide.
  const float* q = nullptr;
  const float* k = nullptr;
  const float* v = nullptr;
  const float* decay = nullptr;  // null, or the logarithm of what the state keeps: decay_size for each of the kv_heads
  size_t decay_size = 1;         // 1, or k_size
  const float* beta = nullptr;   // the delta rule's rate; null for plain sums
  size_t beta_heads = 1;         // 1, or kv_heads
  float scale = 1.0f;
  const float* past = nullptr;  // [batch][kv_heads][k_size][v_size], or null for zeros
  float* state = nullptr;       // the same after the last token; may not be `past`
  float* out = nullptr;         // rows of v_size for each of the q_heads or kv_heads, whichever are more
};

// The columns of the states are divided among workers; nothing is shared between them.
void linear_attention(const LinearAttentionArgs& args, const Parallel& parallel) noexcept;

}  // namespace linnet
