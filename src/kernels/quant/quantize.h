// Conversions between float and integers of 8 and 16 bits: the arithmetic of QuantizeLinear, DequantizeLinear and
// DynamicQuantizeLinear. https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/parallel.h"

namespace linnet {

// dst = saturate(round to even(src / scale) + zero_point). NaN becomes the least value.
void quantize(const float* src, uint8_t* dst, size_t n, float scale, int32_t zero_point) noexcept;
void quantize(const float* src, int8_t* dst, size_t n, float scale, int32_t zero_point) noexcept;
void quantize(const float* src, uint16_t* dst, size_t n, float scale, int32_t zero_point) noexcept;
void quantize(const float* src, int16_t* dst, size_t n, float scale, int32_t zero_point) noexcept;

// dst = (src - zero_point) scale
void dequantize(const uint8_t* src, float* dst, size_t n, float scale, int32_t zero_point) noexcept;
void dequantize(const int8_t* src, float* dst, size_t n, float scale, int32_t zero_point) noexcept;
void dequantize(const uint16_t* src, float* dst, size_t n, float scale, int32_t zero_point) noexcept;
void dequantize(const int16_t* src, float* dst, size_t n, float scale, int32_t zero_point) noexcept;

// The same where each element has its own scale and zero point, 0 where `zero_points` is null. dst overlaps nothing.
void quantize_each(const float* src, uint8_t* dst, size_t n, const float* scales, const uint8_t* zero_points) noexcept;
void quantize_each(const float* src, int8_t* dst, size_t n, const float* scales, const int8_t* zero_points) noexcept;
void dequantize_each(const uint8_t* src, float* dst, size_t n, const float* scales,
                     const uint8_t* zero_points) noexcept;
void dequantize_each(const int8_t* src, float* dst, size_t n, const float* scales, const int8_t* zero_points) noexcept;

// The least and the greatest element, and 0. NaN elements do not count.
struct FloatRange {
  float min = 0.0f;
  float max = 0.0f;
};
FloatRange range_with_zero(const float* src, size_t n) noexcept;

// The scale and zero point that map a range onto [0, 255].
struct QuantizationU8 {
  float scale = 1.0f;
  uint8_t zero_point = 0;
};
QuantizationU8 quantization_for(FloatRange range) noexcept;

// Quantises with the range of src itself. `ranges`: parallel.threads() elements.
QuantizationU8 dynamic_quantize(const float* src, uint8_t* dst, size_t n, FloatRange* ranges,
                                const Parallel& parallel) noexcept;

}  // namespace linnet
