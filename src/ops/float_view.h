// Tensors of half precision as floats in scratch memory, for operators that compute in float.
#pragma once

#include "ops/op.h"

namespace linnet {

inline bool is_float_or_half(DType t) noexcept { return t == DType::f32 || t == DType::f16 || t == DType::bf16; }

// Bytes of scratch for a tensor's floats: 0 when it has floats already.
inline size_t float_view_bytes(DType type, int64_t count) noexcept {
  return type == DType::f32 ? 0 : round_up(static_cast<size_t>(count) * sizeof(float), 64);
}

// The tensor's elements; `scratch` moves on by float_view_bytes.
const float* float_view(const Tensor& tensor, std::byte*& scratch, const Parallel& parallel);
// Where to write the floats of an output; finish_floats() rounds them into it when they are not there already.
float* float_target(Tensor& tensor, std::byte*& scratch);
void finish_floats(const float* floats, Tensor& tensor, const Parallel& parallel);

}  // namespace linnet
