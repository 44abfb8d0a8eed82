// Inputs made up by type and shape, the same for a seed on every machine.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "tensor/tensor.h"

namespace linnet::cli {

// Floats are uniform over [-1, 1); integers and booleans are 0 or 1, which are valid as indices, masks and token ids of
// nearly every model; strings are single letters.
Result<Tensor> random_tensor(DType dtype, const Shape& shape, uint64_t seed);

}  // namespace linnet::cli
