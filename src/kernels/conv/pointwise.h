// Convolution of one tap and few channels: every position is a short row of its own, so that looking up where it lies
// would cost as much as the products.
#pragma once

#include "kernels/conv/conv.h"

namespace linnet {

bool conv_is_pointwise(const ConvGeometry& geometry, const ConvEpilogue& epilogue) noexcept;
void pointwise_conv(const ConvGeometry& geometry, const float* src, const float* packed, const ConvEpilogue& epilogue,
                    float* dst, const Parallel& parallel) noexcept;

}  // namespace linnet
