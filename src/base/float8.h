// 8- and 4-bit floating-point storage types: https://onnx.ai/onnx/technical/float8.html, .../float4.html.
// Conversions are by the standard's tables: to float exactly; from float to nearest even, saturating or not.
#pragma once

#include <cstdint>

namespace linnet {

enum class Float8Kind { e4m3fn, e4m3fnuz, e5m2, e5m2fnuz, e8m0 };

float float8_to_float(uint8_t bits, Float8Kind kind) noexcept;
// `saturate`: out-of-range values become the greatest finite number instead of NaN or infinity.
uint8_t float_to_float8(float value, Float8Kind kind, bool saturate) noexcept;
// e8m0 holds powers of two only. `round_mode` is the standard's: 'u' up, 'd' down, 'n' nearest.
uint8_t float_to_e8m0(float value, bool saturate, char round_mode) noexcept;

// e2m1, in the low four bits.
float float4_to_float(uint8_t bits) noexcept;
uint8_t float_to_float4(float value) noexcept;

template <Float8Kind Kind>
struct float8 {
  uint8_t bits = 0;
  float8() = default;
  explicit float8(float value) noexcept : bits(float_to_float8(value, Kind, true)) {}
  operator float() const noexcept { return float8_to_float(bits, Kind); }  // NOLINT(google-explicit-constructor)
};
using f8e4m3fn = float8<Float8Kind::e4m3fn>;
using f8e4m3fnuz = float8<Float8Kind::e4m3fnuz>;
using f8e5m2 = float8<Float8Kind::e5m2>;
using f8e5m2fnuz = float8<Float8Kind::e5m2fnuz>;
using f8e8m0 = float8<Float8Kind::e8m0>;

}  // namespace linnet
