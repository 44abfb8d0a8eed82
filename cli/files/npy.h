// NumPy's array file: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "tensor/tensor.h"

namespace linnet::cli {

// Versions 1 to 3, both byte orders, C and Fortran order; text ('U') and byte ('S') arrays become string tensors.
// Pickled objects and structured types are refused. With an `owner` of the bytes, elements that lie in the file as in a
// tensor are not copied: the tensor is a view.
Result<Tensor> parse_npy(std::string_view bytes, std::shared_ptr<const void> owner = nullptr);

// Version 1, little-endian, C order. Types that NumPy has no name for are widened without loss: bfloat16, float8 and
// float4 to float32, 2- and 4-bit integers to 8 bits.
Result<std::string> npy_bytes(const Tensor& tensor);

}  // namespace linnet::cli
