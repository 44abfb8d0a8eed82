// Products of float rows with weights of 2, 4 or 8 bits that share a scale and a zero point in blocks along k:
//
//   C[m][n] = bias[n] + sum over k of A[m][k] (code[n][k] - zero[n][k / block]) scale[n][k / block]
//
// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#commicrosoftmatmulnbits
//
// Packed form: panels of 16 columns, each a list of blocks, each block [block / 8][16 columns][4 bytes] of codes (a
// byte holds rows j and j + 4 of its 8, the lower in the low half; 8-bit codes are [block / 4][16][4]), 16 scales, and
// 16 zero points unless they are all 2^(bits - 1). 2-bit codes are stored in 4.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/parallel.h"

namespace linnet {

struct NBitsFormat {
  size_t n = 0, k = 0;
  size_t block = 32;  // a multiple of 16
  int bits = 4;
  bool has_zeros = false;

  size_t blocks() const noexcept { return (k + block - 1) / block; }
};

size_t nbits_packed_size(const NBitsFormat& format) noexcept;
// `codes` as in the model, [n][blocks][block * bits / 8], low bits first; scales and zeros [n][blocks], zeros null when
// the format has none.
void nbits_pack(const NBitsFormat& format, const uint8_t* codes, const float* scales, const float* zeros,
                std::byte* packed, const Parallel& parallel) noexcept;

struct NBitsGemm {
  NBitsFormat format;
  const std::byte* b = nullptr;
  size_t m = 0;
  const float* a = nullptr;  // [m][k]
  const float* bias = nullptr;
  float* c = nullptr;  // [m][n]
  // May round A to 8 bits with a scale for each block: faster, and less exact.
  bool a_int8 = false;
};

size_t nbits_scratch_size(const NBitsGemm& gemm, size_t threads) noexcept;  // reads sizes only
void nbits_gemm(const NBitsGemm& gemm, std::byte* scratch, const Parallel& parallel) noexcept;
// Products of one a, their formats alike but for n and the zero points: a is prepared once, and threads meet once.
void nbits_gemm_group(std::span<const NBitsGemm> products, std::byte* scratch, const Parallel& parallel) noexcept;

}  // namespace linnet
