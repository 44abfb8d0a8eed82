// Float kernels on tensors of other float types: through copies in scratch memory.
#pragma once

#include "kernels/elementwise/cast.h"
#include "ops/op.h"

namespace linnet {

inline bool is_half(DType type) noexcept { return type == DType::f16 || type == DType::bf16; }
inline bool is_float_or_half(DType type) noexcept { return type == DType::f32 || is_half(type); }

inline NumberType number_type(DType type) noexcept { return static_cast<NumberType>(type); }

// The bytes of that many elements, or a size that no allocation satisfies and a few of which still add up.
inline size_t scratch_size(int64_t count, size_t width) noexcept {
  constexpr size_t kAbsurd = SIZE_MAX / 16;
  return static_cast<uint64_t>(count) > kAbsurd / width ? kAbsurd : static_cast<size_t>(count) * width;
}

class FloatScratch {
 public:
  // Scratch for one tensor; none for float.
  static size_t bytes(DType type, int64_t count) noexcept {
    return type == DType::f32 ? 0 : round_up(scratch_size(count, sizeof(float)), 64);
  }
  static size_t bytes(DType type, const Shape& shape) noexcept { return bytes(type, shape.count()); }

  // Uses the scratch memory from `offset` on.
  explicit FloatScratch(RunContext& context, size_t offset = 0) noexcept
      : next_(context.scratch() + offset), parallel_(context.parallel) {}

  // The elements as float.
  const float* in(const Tensor& tensor) noexcept {
    if (tensor.dtype == DType::f32) return tensor.ptr<float>();
    float* copy = take(tensor);
    cast(number_type(tensor.dtype), tensor.data, NumberType::f32, copy, static_cast<size_t>(tensor.count()), {},
         parallel_);
    return copy;
  }
  const float* in(const Tensor* tensor) noexcept { return tensor ? in(*tensor) : nullptr; }
  // Where a kernel writes the tensor's elements as float, until finish().
  float* out(Tensor& tensor) noexcept { return tensor.dtype == DType::f32 ? tensor.ptr<float>() : take(tensor); }
  void finish(Tensor& tensor, const float* elements) noexcept {
    if (tensor.dtype != DType::f32)
      cast(NumberType::f32, elements, number_type(tensor.dtype), tensor.data, static_cast<size_t>(tensor.count()), {},
           parallel_);
  }
  // The next `bytes` of scratch memory, for anything else.
  std::byte* raw(size_t bytes) noexcept {
    std::byte* memory = next_;
    next_ += round_up(bytes, 64);
    return memory;
  }

 private:
  float* take(const Tensor& tensor) noexcept {
    return reinterpret_cast<float*>(raw(bytes(tensor.dtype, tensor.shape)));
  }
  std::byte* next_;
  const Parallel& parallel_;
};

// Requests what FloatScratch needs for all inputs and outputs of the node.
void request_float_scratch(BindContext& context);

}  // namespace linnet
