// Compares values as test data asks: |a - e| <= atol + rtol * |e|, NaN equal to NaN, types and shapes the same.
#pragma once

#include <string>

#include "tensor/tensor.h"

namespace linnet::cli {

struct Difference {
  bool equal = true;
  double max_abs = 0, max_rel = 0;
  std::string message;  // where and how they differ first
};

Difference compare(const Value& actual, const Value& expected, double rtol, double atol);

}  // namespace linnet::cli
