// Constants as gemm reads them.
#pragma once

#include "kernels/gemm/gemm.h"
#include "ops/packing.h"

namespace linnet {

struct PackedMatrix {
  const std::byte* data = nullptr;  // null: the input is no constant, or one that gemm reads as it is
  BForm form = BForm::packed;
};

// Packs the constant input, a matrix or a batch of them, for the right side of a product, and releases it. Numbers that
// fit 16 bits are stored so: fewer bytes to keep and to read.
Result<PackedMatrix> pack_matrix(PrepareContext& context, size_t input, bool transposed);

}  // namespace linnet
