// Conversion between number types: https://onnx.ai/onnx/operators/onnx__Cast.html
//
// To float types: nearest even, from every type in one rounding. Float to integer truncates; what is out of range,
// and NaN, gives what x86's instructions give: the low bits of the least int32 (types up to that) or int64. Integers
// keep their low bits. To bool: not zero. Packed types have the low bits first, and start at a whole byte.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/parallel.h"

namespace linnet {

// The numbers of onnx.TensorProto.DataType.
enum class NumberType : uint8_t {
  f32 = 1,
  u8 = 2,
  i8 = 3,
  u16 = 4,
  i16 = 5,
  i32 = 6,
  i64 = 7,
  boolean = 9,
  f16 = 10,
  f64 = 11,
  u32 = 12,
  u64 = 13,
  bf16 = 16,
  f8e4m3fn = 17,
  f8e4m3fnuz = 18,
  f8e5m2 = 19,
  f8e5m2fnuz = 20,
  u4 = 21,
  i4 = 22,
  f4e2m1 = 23,
  f8e8m0 = 24,
  u2 = 25,
  i2 = 26,
};

struct CastOptions {
  bool saturate = true;   // for the 8-bit float types
  char round_mode = 'u';  // for e8m0: up, down, nearest
};

// `src` and `dst` do not overlap, or are the same when both types have the same width.
void cast(NumberType from, const void* src, NumberType to, void* dst, size_t count, CastOptions options,
          const Parallel& parallel) noexcept;

}  // namespace linnet
