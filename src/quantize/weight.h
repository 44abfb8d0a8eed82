// Constants as 8- or 16-bit integers: (code - zero point) scale stands for the number.
#pragma once

#include <optional>

#include "quality/decibels.h"
#include "tensor/tensor.h"

namespace linnet {

struct Quantization {
  float scale = 1.0f;
  int32_t zero_point = 0;
};

// The codes of a type: 8- and 16-bit integers. Symmetric signed ones leave out the least; `reduced` takes a bit away.
struct CodeRange {
  int32_t min = 0, max = 0;
};
CodeRange code_range(DType type, bool symmetric, bool reduced = false) noexcept;

// Maps [min, max], widened to contain 0, onto the codes. Symmetric: the zero point is the middle code.
Quantization choose_quantization(float min, float max, CodeRange codes, bool symmetric) noexcept;

struct WeightScheme {
  DType type = DType::i8;
  bool symmetric = true;
  bool reduced = false;
  // A quantisation for each index along this axis; else one for all.
  std::optional<size_t> axis;

  auto operator<=>(const WeightScheme&) const = default;
};

struct QuantizedWeight {
  Tensor codes;              // of the weight's shape
  Tensor scale, zero_point;  // scalars, or 1-D with one element for each index along the axis
  double snr_db = 0;
};

// Of floats of any width. Fails where an element is not finite.
Result<QuantizedWeight> quantize_weight(const Tensor& weight, const WeightScheme& scheme);

// Matrices of codes, [.., m, n], each transposed.
Result<Tensor> transposed_codes(const Tensor& from);

// The elements as aligned float32; the tensor itself where it is that.
Result<Tensor> as_float(const Tensor& tensor);
// A copy of its own, as float32.
Result<Tensor> copy_as_float(const Tensor& tensor);
// Back: float32, which stays what it is, as float16 or bfloat16.
Result<std::shared_ptr<const Tensor>> share_as(Tensor floats, DType type);

}  // namespace linnet
