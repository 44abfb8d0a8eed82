// Constants of a graph may lie in the model's file at any address (protobuf promises none) when they are large. What
// runs read in place is aligned for its type.
#pragma once

#include "tensor/tensor.h"

namespace linnet {

// The alignment that elements of a type need, in bytes.
size_t alignment_of(DType dtype) noexcept;
bool is_aligned(const Tensor& tensor) noexcept;
// The tensor itself when it is aligned, else a copy.
Result<Tensor> aligned(const Tensor& tensor);

}  // namespace linnet
