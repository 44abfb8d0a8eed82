// Images (codecs/) as input tensors.
#pragma once

#include <string_view>

#include "base/result.h"
#include "files/tensor_spec.h"
#include "tensor/tensor.h"

namespace linnet::cli {

// The image in the layout that `spec` asks for: N x C x H x W or N x H x W x C (N is 1), the same without N, or H x W.
// C is the axis of size 1 (grey), 3 (RGB) or 4 (RGBA); where no size tells, N x 3 x H x W. uint8 takes 0..255 as they
// are, float and float16 divide by 255; nothing else is normalised. The image is not resized: a size that the model
// fixes must be the image's own.
Result<Tensor> image_tensor(std::string_view bytes, const TensorSpec& spec);

}  // namespace linnet::cli
