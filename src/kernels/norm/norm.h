// Normalisations of float. A row is read from memory once: the later passes find it in the L1 cache.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/parallel.h"

namespace linnet {

// Layer and RMS normalisation of [rows, n], with an optional residual:
//   x = src + skip + bias;  dst = (x - mean) / sqrt(mean of (x - mean)^2 + epsilon) * scale + shift
// where `rms` takes mean as 0. Null pointers leave a term out. dst may be src, skip or sum.
struct LayerNorm {
  size_t rows, n;
  bool rms = false;
  float epsilon = 1e-5f;
  const float* src;
  const float* skip = nullptr;  // [skip_rows, n], repeated
  size_t skip_rows = 0;
  const float* bias = nullptr;   // [n]
  const float* scale = nullptr;  // [n]
  const float* shift = nullptr;  // [n]
  float* dst;
  float* sum = nullptr;      // [rows, n]: x
  float* mean = nullptr;     // [rows]
  float* inverse = nullptr;  // [rows]: 1 / the divisor
};
void layer_norm(const LayerNorm& norm, const Parallel& parallel) noexcept;

// Normalises each of `rows` rows of `groups x n` numbers to mean 0 and variance 1, then scales by channel:
// instance normalisation (groups = 1) and group normalisation. Row r holds channels (r * groups ...) mod channels.
struct ChannelNorm {
  size_t rows, groups, n;
  size_t channels;
  float epsilon;
  const float* src;
  const float* scale;  // [channels]
  const float* shift;  // [channels]
  float* dst;          // may be src
};
void channel_norm(const ChannelNorm& norm, const Parallel& parallel) noexcept;

// dst = src * scale[c] + shift[c] over [outer, channels, inner]; dst may be src.
struct ChannelAffine {
  size_t outer, channels, inner;
  const float* src;
  const float* scale;
  const float* shift;
  float* dst;
};
void channel_affine(const ChannelAffine& affine, const Parallel& parallel) noexcept;

// https://onnx.ai/onnx/operators/onnx__LRN.html over [outer, channels, inner]; dst is not src.
struct LocalResponse {
  size_t outer, channels, inner;
  size_t size;
  float alpha, beta, bias;
};
void local_response(const LocalResponse& what, const float* src, float* dst, const Parallel& parallel) noexcept;

// Divides by the p-norm (p = 1 or 2) along the middle axis of [outer, n, inner]; where that is 0 the result is 0.
template <class T>
void lp_normalize(int p, size_t outer, size_t n, size_t inner, const T* src, T* dst, const Parallel& parallel) noexcept;

}  // namespace linnet
