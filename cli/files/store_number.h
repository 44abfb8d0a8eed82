// Writing a number into an element of any numeric type but complex.
#pragma once

#include <cstdint>

#include "tensor/tensor.h"

namespace linnet::cli {

// False when the type cannot hold the number: out of range, a fraction for an integer type, or not a type of numbers.
// Floating-point types round.
bool store_number(Tensor& tensor, int64_t i, double number) noexcept;
bool store_integer(Tensor& tensor, int64_t i, int64_t number) noexcept;

}  // namespace linnet::cli
