// Weights of few bits in blocks, as MatMulNBits has them: what operators that multiply by them check and pack.
#pragma once

#include <vector>

#include "kernels/quant/nbits.h"
#include "ops/op.h"

namespace linnet {

// The inputs of a product; the last two may be left out.
struct NBitsSlots {
  size_t codes, scales, zeros, bias;
};

Status check_block_size(int64_t block);
Status check_sizes(int64_t n, int64_t k);
// Of n columns, with K, block_size and bits, without zero points.
Result<NBitsFormat> parse_nbits_format(NodeReader& reader, int64_t n);
// The types and numbers of elements. Weights without codes pass: they may be left out.
Status check_nbits_inputs(const InferContext& context, const NBitsFormat& format, const NBitsSlots& slots);

// Aligned, or without elements where a compiled model holds only what was packed of them.
const Tensor* constant_to_pack(PrepareContext& context, size_t input);
std::vector<float> as_floats(const Tensor& t);
// For nbits_gemm, of constants, which are released.
Result<const std::byte*> packed_nbits(PrepareContext& context, const NBitsFormat& format, const NBitsSlots& slots);

}  // namespace linnet
