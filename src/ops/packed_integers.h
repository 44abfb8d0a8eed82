// Weights of 8 bits packed for int_gemm.
#pragma once

#include "kernels/quant/packed_check.h"
#include "ops/packing.h"

namespace linnet {

// What a compiled model supplies is checked: the packed form holds offsets.
inline Result<const std::byte*> packed_integers(PrepareContext& context, size_t input, std::string_view form,
                                                const IntMatrix& matrix) {
  const std::span<const std::byte> supplied = packing(context).supplied(input, form);
  LINNET_REQUIRE(supplied.empty() || int_gemm_valid(supplied, matrix.k, matrix.n),
                 invalid_model("the compiled model's packed weights are damaged"));
  LINNET_REQUIRE(!supplied.empty() || matrix.data, invalid_model("the compiled model lacks packed weights"));
  return context.packed(input, form, int_gemm_packed_size(matrix.k, matrix.n),
                        [&](std::byte* to) { int_gemm_pack(matrix, to, context.parallel()); });
}

}  // namespace linnet
