// Rotary position embedding: pairs of features turned by an angle that depends on the position.
// https://onnx.ai/onnx/operators/onnx__RotaryEmbedding.html
#pragma once

#include <cstddef>

namespace linnet {

// One head at one position: the first 2 `half` features are rotated, the others of `head_size` copied. src may be dst.
// Pairs are (i, half + i), or (2 i, 2 i + 1) when interleaved; `cos` and `sin` have half elements.
void rotate_head(const float* src, float* dst, const float* cos, const float* sin, size_t half, size_t head_size,
                 bool interleaved) noexcept;

}  // namespace linnet
