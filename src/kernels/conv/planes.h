// Convolution of an image in planes, [batch][channels][...], of few channels: a model's first layer, a sound wave.
// The rows that some output positions read are copied once, with zeros around the image; there every tap of every
// position lies at an offset that the tap alone decides.
#pragma once

#include "kernels/conv/conv.h"

namespace linnet {

// As conv() and conv_scratch_size() for all threads together, of a geometry with src_planes.
size_t planes_scratch_size(const ConvGeometry& geometry, size_t threads) noexcept;
void planes_conv(const ConvGeometry& geometry, const float* src, const float* packed, const ConvEpilogue& epilogue,
                 float* dst, std::byte* scratch, const Parallel& parallel) noexcept;

}  // namespace linnet
