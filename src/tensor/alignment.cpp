#include "tensor/alignment.h"

#include <algorithm>

namespace linnet {

size_t alignment_of(DType dtype) noexcept {
  return is_packed(dtype) ? 1
                          : std::clamp<size_t>(element_size(dtype), 1, 8);  // complex numbers are moved as whole words
}

bool is_aligned(const Tensor& tensor) noexcept {
  return reinterpret_cast<uintptr_t>(tensor.data) % alignment_of(tensor.dtype) == 0;
}

Result<Tensor> aligned(const Tensor& tensor) { return is_aligned(tensor) ? Result<Tensor>(tensor) : clone(tensor); }

}  // namespace linnet
