// Rotary position embedding: pairs of features turned by an angle that depends on the position.
// https://onnx.ai/onnx/operators/onnx__RotaryEmbedding.html
#pragma once

#include <cstddef>

namespace linnet {

// One head at one position: the first 2 `half` features are rotated, the others of `head_size` copied. src may be dst.
// Pairs are (i, half + i), or (2 i, 2 i + 1) when interleaved; `cos` and `sin` have half elements.
inline void rotate_head(const float* src, float* dst, const float* cos, const float* sin, size_t half, size_t head_size,
                        bool interleaved) noexcept {
  if (interleaved) {
    for (size_t i = 0; i < half; ++i) {
      const float x = src[2 * i], y = src[2 * i + 1];
      dst[2 * i] = x * cos[i] - y * sin[i];
      dst[2 * i + 1] = x * sin[i] + y * cos[i];
    }
  } else {
    for (size_t i = 0; i < half; ++i) {
      const float x = src[i], y = src[half + i];
      dst[i] = x * cos[i] - y * sin[i];
      dst[half + i] = x * sin[i] + y * cos[i];
    }
  }
  for (size_t i = 2 * half; i < head_size; ++i) dst[i] = src[i];
}

}  // namespace linnet
