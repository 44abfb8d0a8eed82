// Weights of 4 or 8 bits that share a scale and a zero point in blocks: the layout of com.microsoft's MatMulNBits and
// GatherBlockQuantized. https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
#pragma once

#include "base/parallel.h"
#include "quantize/weight.h"

namespace linnet {

enum class BlockMethod {
  nearest,         // the block's range decides the scale, each number takes the nearest code
  half_quadratic,  // and zero points are moved to where the errors are sparse: https://mobiusml.github.io/hqq_blog/
};

struct BlockScheme {
  int bits = 4;        // or 8
  int64_t block = 32;  // a power of two, 16 or more
  bool symmetric = true;
  BlockMethod method = BlockMethod::nearest;  // half_quadratic is never symmetric

  bool has_zero_points() const noexcept { return !symmetric || method == BlockMethod::half_quadratic; }
};

// A matrix of `rows` sums over `depth` numbers, at data[row * row_stride + k * depth_stride].
struct MatrixView {
  const float* data = nullptr;
  int64_t rows = 0, depth = 0, row_stride = 0, depth_stride = 0;
};

// Codes: uint8 [rows][blocks][block * bits / 8], low bits first, a block that is not full has codes of 0 at its end.
// Scales: [rows * blocks]. Zero points: [rows * ceil(blocks * bits / 8)] packed likewise, or no tensor.
Result<QuantizedWeight> quantize_blocks(const MatrixView& matrix, const BlockScheme& scheme, const Parallel& parallel);

}  // namespace linnet
