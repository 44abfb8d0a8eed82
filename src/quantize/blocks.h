// Weights of 4 or 8 bits that share a scale and a zero point in blocks: the layout of com.microsoft's MatMulNBits and
// GatherBlockQuantized. https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
#pragma once

#include <span>

#include "base/parallel.h"
#include "quantize/weight.h"

namespace linnet {

enum class BlockMethod {
  nearest,         // the block's range decides the scale, each number takes the nearest code
  half_quadratic,  // and zero points are moved to where the errors are sparse: https://mobiusml.github.io/hqq_blog/
  gptq,            // later numbers make up for earlier ones' errors: gptq.h
};

struct BlockScheme {
  int bits = 4;        // or 8
  int64_t block = 32;  // a power of two, 16 or more
  bool symmetric = true;
  BlockMethod method = BlockMethod::nearest;  // half_quadratic is never symmetric
  bool mse = false;  // narrower ranges, where errors to the power of 2.4 become less by it; not with half_quadratic

  bool has_zero_points() const noexcept { return !symmetric || method == BlockMethod::half_quadratic; }
  int32_t most() const noexcept { return (1 << bits) - 1; }  // the greatest code
};

// A matrix of `rows` sums over `depth` numbers, at data[row * row_stride + k * depth_stride]: floats of any width at
// any address, as they lie in a model's file.
struct MatrixView {
  const void* data = nullptr;
  int64_t rows = 0, depth = 0, row_stride = 0, depth_stride = 0;
  DType type = DType::f32;

  // Rows from `first` on as [count][depth]. False where an element is not finite.
  bool read(int64_t first, int64_t count, float* to) const noexcept;
};

// (code - zero) scale stands for a number.
struct Block {
  float scale = 1.0f;
  int32_t zero = 0;

  float decoded(int32_t code) const noexcept { return static_cast<float>(code - zero) * scale; }
  int32_t nearest(float x, int32_t most) const noexcept;
};
// How the scheme quantises these numbers.
Block choose_block(std::span<const float> numbers, const BlockScheme& scheme) noexcept;

// A quantised matrix that is written block by block. Rows may be written at the same time.
// Codes: uint8 [rows][blocks][block * bits / 8], low bits first, a block that is not full has codes of 0 at its end.
// Scales: [rows * blocks]. Zero points: [rows * ceil(blocks * bits / 8)] packed likewise, or no tensor.
class BlockWriter {
 public:
  static Result<BlockWriter> make(int64_t rows, int64_t depth, const BlockScheme& scheme);

  int64_t blocks() const noexcept { return blocks_; }
  // Each block and each code once.
  void set_block(int64_t row, int64_t index, const Block& block) noexcept;
  void set_code(int64_t row, int64_t k, int32_t code) noexcept { set(codes_ + row * row_bytes_, k, code); }
  // `errors`: of parts of the matrix, added in their order.
  struct Errors {
    double signal = 0, noise = 0;
    bool finite = true;
  };
  // Fails where an element was not finite.
  Result<QuantizedWeight> finish(std::span<const Errors> errors);

 private:
  void set(uint8_t* bytes, int64_t i, int32_t code) const noexcept {
    uint8_t& byte = bytes[i / per_byte_];
    byte = static_cast<uint8_t>(byte | code << (i % per_byte_ * bits_));
  }

  int bits_ = 4;
  int64_t per_byte_ = 2, blocks_ = 0, row_bytes_ = 0, zero_bytes_ = 0;
  QuantizedWeight out_;
  uint8_t* codes_ = nullptr;
  uint8_t* zeros_ = nullptr;
  float* scales_ = nullptr;
};

// Each block by itself, whatever the scheme's method: gptq is nearest here.
Result<QuantizedWeight> quantize_blocks(const MatrixView& matrix, const BlockScheme& scheme, const Parallel& parallel);

}  // namespace linnet
