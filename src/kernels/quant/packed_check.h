// Whether bytes that come from elsewhere can be used as packed integers without reading beyond them: the packed forms
// hold offsets.
#pragma once

#include <span>

#include "kernels/quant/int_conv.h"

namespace linnet {

bool int_gemm_valid(std::span<const std::byte> packed, size_t k, size_t n) noexcept;
bool int_conv_valid(std::span<const std::byte> packed, const IntConv& conv) noexcept;

}  // namespace linnet
