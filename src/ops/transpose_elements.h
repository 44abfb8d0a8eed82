// Transpositions of tensors of any type: elements of less than a byte travel as bytes, strings by their number.
#pragma once

#include "kernels/transpose/transpose.h"
#include "ops/packed_scratch.h"

namespace linnet {

inline size_t transposed_width(DType type) noexcept {
  return type == DType::string ? sizeof(uint64_t) : is_packed(type) ? 1 : element_size(type);
}

inline void request_transpose_scratch(BindContext& context) {
  if (context.dtype(0) == DType::string)
    context.request_scratch(scratch_size(context.shape(0).count(), 2 * sizeof(uint64_t)));
  else
    request_packed_scratch(context);
}

// From input 0 to output 0, by a plan for elements of transposed_width.
inline void transpose_elements(const TransposePlan& plan, RunContext& context) {
  const Tensor& src = context.in(0);
  Tensor& dst = context.out(0);
  if (src.dtype == DType::string) {
    const size_t count = static_cast<size_t>(src.count());
    uint64_t* index = reinterpret_cast<uint64_t*>(context.scratch());
    for (size_t i = 0; i < count; ++i) index[i] = i;
    transpose(plan, index, index + count, context.parallel);
    for (size_t i = 0; i < count; ++i) dst.ptr<std::string>()[i] = src.ptr<std::string>()[index[count + i]];
    return;
  }
  PackedScratch packed(context.scratch(), context.parallel);
  const Tensor from = packed.in(src), to = packed.out(dst);
  transpose(plan, from.data, to.data, context.parallel);
  packed.finish(dst, to);
}

}  // namespace linnet
