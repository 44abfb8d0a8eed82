// Elements of less than a byte for code that moves whole bytes: through copies in scratch memory.
#pragma once

#include "ops/float_scratch.h"

namespace linnet {

// Tensors of packed types as tensors of uint8, all others as they are. The bits of a signed or floating-point element
// travel as those of an unsigned one.
class PackedScratch {
 public:
  // Scratch for one tensor; none for types of whole bytes.
  static size_t bytes(DType type, const Shape& shape) noexcept {
    return is_packed(type) ? round_up(scratch_size(shape.count(), 1), 64) : 0;
  }

  explicit PackedScratch(std::byte* memory, const Parallel& parallel) noexcept : next_(memory), parallel_(parallel) {}

  Tensor in(const Tensor& tensor) noexcept {
    Tensor copy = out(tensor);
    if (is_packed(tensor.dtype))
      cast(unsigned_type(tensor.dtype), tensor.data, NumberType::u8, copy.data, count(tensor), {}, parallel_);
    return copy;
  }
  // Where the elements of `tensor` are written until finish().
  Tensor out(const Tensor& tensor) noexcept {
    if (!is_packed(tensor.dtype)) return tensor;
    Tensor copy{DType::u8, tensor.shape, next_, nullptr};
    next_ += bytes(tensor.dtype, tensor.shape);
    return copy;
  }
  void finish(Tensor& tensor, const Tensor& elements) noexcept {
    if (is_packed(tensor.dtype))
      cast(NumberType::u8, elements.data, unsigned_type(tensor.dtype), tensor.data, count(tensor), {}, parallel_);
  }

 private:
  static NumberType unsigned_type(DType type) noexcept {
    return dtype_bits(type) == 4 ? NumberType::u4 : NumberType::u2;
  }
  static size_t count(const Tensor& tensor) noexcept { return static_cast<size_t>(tensor.count()); }

  std::byte* next_;
  const Parallel& parallel_;
};

// Requests what PackedScratch needs for all inputs and outputs of the node.
inline void request_packed_scratch(BindContext& context) {
  size_t bytes = 0;
  for (size_t i = 0; i < context.inputs(); ++i)
    if (context.has(i)) bytes += PackedScratch::bytes(context.dtype(i), context.shape(i));
  for (size_t o = 0; o < context.outputs(); ++o)
    if (context.wants(o) && context.has_shape(o))
      bytes += PackedScratch::bytes(context.out_dtype(o), context.out_shape(o));
  if (bytes != 0) context.request_scratch(bytes);
}

}  // namespace linnet
