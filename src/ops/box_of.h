// Copies between strided views of tensors: the steps that data movement operators share.
#pragma once

#include "kernels/movement/box.h"
#include "ops/op.h"

namespace linnet {

// As make_box, with an error that names the limit.
inline Result<Box> box_of(const Shape& sizes, const Shape& src_steps, const Shape& dst_steps) {
  const std::optional<Box> box = make_box(sizes.sizes(), src_steps.sizes(), dst_steps.sizes());
  if (!box) return unsupported("the copy has more than ", Box::kMaxAxes, " axes that cannot be merged");
  return *box;
}

// Copies the box between tensors of one type, which is not packed.
inline void copy_box(const Box& box, const Tensor& src, Tensor& dst, const Parallel& parallel) {
  if (src.dtype == DType::string) {
    copy_box(box, src.ptr<std::string>(), dst.ptr<std::string>());
  } else {
    copy_box(box, element_size(src.dtype), src.data, dst.data, parallel);
  }
}

}  // namespace linnet
