// Scaled dot-product attention in float:
//
//   out[row] = softmax(softcap(scale q[row] . k[column]) + bias[row][column]) v        over the columns that row may
//   see
//
// https://onnx.ai/onnx/operators/onnx__Attention.html. Groups of heads may share a head of k and v.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/parallel.h"

namespace linnet {

// In elements; the features of a head lie next to each other.
struct HeadStrides {
  size_t batch = 0, head = 0, row = 0;
};

enum class AttentionScores : uint8_t { scaled, capped, biased, softmax };

struct AttentionArgs {
  size_t batch = 0, heads = 0, kv_heads = 0;  // heads is a multiple of kv_heads
  size_t rows = 0, columns = 0;               // of queries and of keys
  size_t head_size = 0, v_head_size = 0;

  const float* q = nullptr;
  const float* k = nullptr;
  const float* v = nullptr;
  float* out = nullptr;
  HeadStrides q_strides, k_strides, v_strides, out_strides;

  float scale = 1.0f;
  float softcap = 0.0f;  // 0: none; else x becomes softcap tanh(x / softcap)

  // [batch][heads][rows][bias_columns], any stride 0; columns from bias_columns on are not seen. Null: none.
  const float* bias = nullptr;
  HeadStrides bias_strides;
  size_t bias_columns = 0;

  const int64_t* lengths = nullptr;  // [batch]: row sees no column from this one on; null: all columns
  bool causal = false;               // row r sees columns up to r + offset
  const int64_t* offsets = nullptr;  // [batch], or null for `offset` everywhere
  int64_t offset = 0;
  int64_t window = 0;  // > 0: row r sees columns from r + offset - window + 1 on

  const float* sinks = nullptr;  // [heads]: a column more in the softmax's sum, of this score and no value
  bool zero_sink = false;        // the same, of score 0

  float* scores = nullptr;  // [batch][heads][rows][columns], or null
  AttentionScores scores_kind = AttentionScores::scaled;
};

// Rows that may see nothing give 0. `scratch` is 64-byte aligned.
size_t attention_scratch_size(const AttentionArgs& args, size_t threads) noexcept;  // reads sizes and strides only
void attention(const AttentionArgs& args, std::byte* scratch, const Parallel& parallel) noexcept;

}  // namespace linnet
