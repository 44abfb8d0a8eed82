#pragma once

#include <cstddef>

#include "kernels/activation.h"

namespace linnet {

// activate_block of the current instruction set.
void activate_block_for_test(const ActivationSpec& spec, float* data, size_t row_stride, size_t rows, size_t columns);

}  // namespace linnet
