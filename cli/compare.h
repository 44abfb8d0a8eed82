// Compares values as test data asks: |a - e| <= atol + rtol * |e|, NaN equal to NaN, types and shapes the same.
#pragma once

#include <string>

#include "tensor/tensor.h"

namespace linnet::cli {

struct Tolerance {
  double rtol = 0, atol = 0;
  bool any_float = false;  // floats of different types are compared by their numbers
};

struct Difference {
  bool equal = true;
  bool compared = true;  // false: what is expected are floats, and none is finite
  double max_abs = 0, max_rel = 0;
  std::string message;  // where and how they differ first
  std::string types;    // of floats that were compared, where they differ: "float16 instead of float"
};

Difference compare(const Value& actual, const Value& expected, const Tolerance& tolerance);

// How far a model that computes in these floats may be from one that computes in 32 bits: rtol, and atol as a part of
// the greatest number.
double rounding_of(DType floats) noexcept;
// The same numbers in a type of floats; what has no floats stays as it is.
Result<Value> as_floats(const Value& value, DType type);
// The greatest finite magnitude; 0 where there is none.
double greatest(const Value& value);

}  // namespace linnet::cli
