// Convolutions of 3x3 taps at step 1 as Winograd's F(2x2, 3x3): of 4x4 pixels and 3x3 weights, each transformed, 16
// products give the 2x2 results that take 36 otherwise. Lavin, Gray: Fast Algorithms for Convolutional Neural Networks,
// https://arxiv.org/abs/1509.09308, section 4.1.
//
// The weights are transformed in each run, from the packed form that the plain convolution reads: that is little work
// beside the products, and neither the model's file nor what stays in memory grows.
#pragma once

#include <cstddef>

#include "kernels/conv/conv.h"

namespace linnet {

// Whether the convolution has such a form, and enough positions to be faster with it. Depends on the sizes alone.
bool conv_is_winograd(const ConvGeometry& geometry) noexcept;

// As conv() and conv_scratch_size() for all threads together. Where transforming gives numbers that are not finite,
// the plain sum is taken, so that infinities and those too large to be added stay in their windows.
size_t winograd_scratch_size(const ConvGeometry& geometry, size_t threads) noexcept;
void winograd_conv(const ConvGeometry& geometry, const float* src, const float* packed, const ConvEpilogue& epilogue,
                   float* dst, std::byte* scratch, const Parallel& parallel) noexcept;

}  // namespace linnet
