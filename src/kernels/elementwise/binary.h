// Functions of two numbers with broadcasting. `dst` may be an operand that has the result's shape.
//
// float: SIMD for add, sub, mul, div, min, max, prelu, pow and comparisons. f16 and bf16: through float. Others: plain
// loops. Integers wrap; x / 0 and x mod 0 are 0; a shift by the width or more is 0. Max and min return NaN when either
// is NaN.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/half.h"
#include "base/parallel.h"
#include "kernels/elementwise/broadcast.h"

namespace linnet {

enum class BinaryFn : int {
  add,
  sub,
  mul,
  div,  // integers truncate
  min,
  max,
  prelu,  // a < 0 ? a b : a
  pow,    // integers: exact; a negative exponent gives 0 unless a is 1 or -1
  mod,    // the result has the divisor's sign
  fmod,   // the result has the dividend's sign
  // Integers only; for bool, pass uint8_t and the logical forms.
  bit_and,
  bit_or,
  bit_xor,
  shift_left,
  shift_right,
  logical_and,
  logical_or,
  logical_xor,
};

enum class CompareFn : int { equal, less, less_or_equal, greater, greater_or_equal };

// T: float, double, f16, bf16, every integer type.
template <class T>
void binary(BinaryFn fn, const BroadcastPlan& plan, const T* a, const T* b, T* dst, const Parallel& parallel) noexcept;

// Bool operands are compared as uint8_t.
template <class T>
void compare(CompareFn fn, const BroadcastPlan& plan, const T* a, const T* b, bool* dst,
             const Parallel& parallel) noexcept;

// a to the power of b for exponents of another type than a's, given as double. Integer results truncate and saturate.
template <class T>
void pow_mixed(const BroadcastPlan& plan, const T* a, const double* b, T* dst, const Parallel& parallel) noexcept;

// dst = condition ? x : y, elements of `width` 1, 2, 4, 8 or 16 bytes. Operands of the plan in this order.
void select(size_t width, const BroadcastPlan& plan, const bool* condition, const void* x, const void* y, void* dst,
            const Parallel& parallel) noexcept;

// The blocks of `binary` and `compare` for float, by instruction set.
void binary_block(BinaryFn fn, const BroadcastBlock& block, const float* a, const float* b, float* dst) noexcept;
void compare_block(CompareFn fn, const BroadcastBlock& block, const float* a, const float* b, bool* dst) noexcept;
// A block of `select`.
void select_block(size_t width, const BroadcastBlock& block, const bool* condition, const void* x, const void* y,
                  void* dst) noexcept;

}  // namespace linnet
