// Rows of half-precision numbers to float (exact) and back (nearest even), by SIMD where the machine can.
// Pieces of at most kHalfChunk are how kernels for float serve half-precision storage without scratch memory.
#pragma once

#include <cstddef>

#include "base/half.h"

namespace linnet {

inline constexpr size_t kHalfChunk = 512;

void to_float(const f16* src, float* dst, size_t count) noexcept;
void to_float(const bf16* src, float* dst, size_t count) noexcept;
void from_float(const float* src, f16* dst, size_t count) noexcept;
void from_float(const float* src, bf16* dst, size_t count) noexcept;
// The floats that `from_float` and `to_float` leave of them; `dst` may be `src`.
void round_to_f16(const float* src, float* dst, size_t count) noexcept;
void round_to_bf16(const float* src, float* dst, size_t count) noexcept;

}  // namespace linnet
