#include "base/float8.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace linnet {
namespace {

struct Format {
  int exponent_bits;
  int mantissa_bits;
  int bias;
  bool infinity;       // the all-ones exponent holds infinity and NaN, as in IEEE 754
  bool unsigned_zero;  // 0x80 is the only NaN ("uz")
};

constexpr Format format_of(Float8Kind kind) noexcept {
  switch (kind) {
    case Float8Kind::e4m3fn: return {4, 3, 7, false, false};
    case Float8Kind::e4m3fnuz: return {4, 3, 8, false, true};
    case Float8Kind::e5m2: return {5, 2, 15, true, false};
    default: return {5, 2, 16, false, true};
  }
}

// The bits (without sign) of the greatest finite number.
constexpr uint8_t greatest(Float8Kind kind) noexcept {
  switch (kind) {
    case Float8Kind::e4m3fn: return 0x7e;
    case Float8Kind::e5m2: return 0x7b;
    default: return 0x7f;
  }
}

float finite_value(unsigned magnitude, const Format& f) noexcept {
  const int exponent = static_cast<int>(magnitude >> f.mantissa_bits);
  const int mantissa = static_cast<int>(magnitude & ((1u << f.mantissa_bits) - 1u));
  if (exponent == 0) return std::ldexp(static_cast<float>(mantissa), 1 - f.bias - f.mantissa_bits);
  return std::ldexp(static_cast<float>(mantissa + (1 << f.mantissa_bits)), exponent - f.bias - f.mantissa_bits);
}

}  // namespace

float float8_to_float(uint8_t bits, Float8Kind kind) noexcept {
  if (kind == Float8Kind::e8m0) return bits == 0xff ? std::nanf("") : std::ldexp(1.0f, bits - 127);
  const Format f = format_of(kind);
  const unsigned magnitude = bits & 0x7fu;
  const bool negative = (bits & 0x80u) != 0;
  if (f.unsigned_zero && bits == 0x80) return std::nanf("");
  if (kind == Float8Kind::e4m3fn && magnitude == 0x7f) return std::nanf("");
  if (f.infinity && magnitude >= 0x7c) {
    if (magnitude > 0x7c) return std::nanf("");
    return negative ? -HUGE_VALF : HUGE_VALF;
  }
  const float value = finite_value(magnitude, f);
  return negative ? -value : value;
}

uint8_t float_to_float8(float value, Float8Kind kind, bool saturate) noexcept {
  if (kind == Float8Kind::e8m0) return float_to_e8m0(value, saturate, 'u');
  const Format f = format_of(kind);
  const uint8_t sign = std::signbit(value) ? 0x80 : 0;
  const uint8_t nan = f.unsigned_zero ? 0x80 : static_cast<uint8_t>(sign | 0x7f);
  const uint8_t max = greatest(kind);
  if (std::isnan(value)) return nan;
  const uint8_t overflow = saturate     ? static_cast<uint8_t>(sign | max)
                           : f.infinity ? static_cast<uint8_t>(sign | 0x7c)
                                        : nan;
  const float magnitude = std::fabs(value);
  if (std::isinf(magnitude)) return overflow;
  if (magnitude == 0.0f) return f.unsigned_zero ? 0 : sign;
  // Quantise to the step of the number's binade, ties to even.
  int exponent = 0;
  std::frexp(magnitude, &exponent);  // magnitude = m * 2^exponent, 0.5 <= m < 1
  exponent = std::max(exponent - 1, 1 - f.bias);
  const int step = exponent - f.mantissa_bits;
  const double steps = std::nearbyint(std::ldexp(static_cast<double>(magnitude), -step));
  const double rounded = std::ldexp(steps, step);
  if (rounded > static_cast<double>(finite_value(max, f))) return overflow;
  if (steps == 0.0) return f.unsigned_zero ? 0 : sign;
  const int hidden = 1 << f.mantissa_bits;
  int count = static_cast<int>(steps);
  int biased = exponent + f.bias;
  if (count < hidden) return static_cast<uint8_t>(sign | count);  // subnormal
  if (count == 2 * hidden) {
    count = hidden;
    ++biased;
  }
  return static_cast<uint8_t>(sign | (biased << f.mantissa_bits) | (count - hidden));
}

uint8_t float_to_e8m0(float value, bool saturate, char round_mode) noexcept {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t exponent = (bits >> 23) & 0xffu;
  const uint32_t mantissa = bits & 0x7fffffu;
  if (std::isnan(value)) return 0xff;
  if (std::isinf(value)) return saturate ? 0xfe : 0xff;
  bool up = false;
  if (round_mode == 'u') up = (bits & 0x80000000u) == 0 && mantissa != 0 && (exponent != 0 || mantissa > 0x400000u);
  if (round_mode == 'n') {
    // A half rounds up unless that would be even already; at the bottom, numbers above the half of 2^-127 round up.
    up = exponent == 0 ? mantissa > 0x600000u : mantissa >= 0x400000u;
  }
  if (!up) return static_cast<uint8_t>(exponent);
  if (exponent >= 0xfe) return saturate ? 0xfe : 0xff;
  return static_cast<uint8_t>(exponent + 1);
}

float float4_to_float(uint8_t bits) noexcept {
  constexpr float kValues[8] = {0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f};
  const float value = kValues[bits & 7u];
  return (bits & 8u) != 0 ? -value : value;
}

uint8_t float_to_float4(float value) noexcept {
  if (std::isnan(value)) return 0x8;  // the standard leaves NaN open; negative zero is what its reference gives
  const float m = std::fabs(value);
  // Midpoints between neighbours go to the one with the even mantissa bit.
  const uint8_t magnitude = m <= 0.25f   ? 0
                            : m < 0.75f  ? 1
                            : m <= 1.25f ? 2
                            : m < 1.75f  ? 3
                            : m <= 2.5f  ? 4
                            : m < 3.5f   ? 5
                            : m <= 5.0f  ? 6
                                         : 7;
  return static_cast<uint8_t>((std::signbit(value) ? 0x8 : 0) | magnitude);
}

}  // namespace linnet
