// The 16- and 8-bit floating-point types as storage: arithmetic happens in float.
// Formats: IEEE 754 binary16; bfloat16; https://onnx.ai/onnx/technical/float8.html;
// OCP Microscaling Formats (MX) 1.0 for e8m0 and e2m1.
#pragma once

#include <bit>
#include <cstdint>

namespace linnet {

struct f16 {
  uint16_t bits = 0;
  f16() = default;
  explicit f16(float value) noexcept;  // rounds to nearest, ties to even
  operator float() const noexcept;     // NOLINT(google-explicit-constructor): exact
};

struct bf16 {
  uint16_t bits = 0;
  bf16() = default;
  explicit bf16(float value) noexcept {  // rounds to nearest, ties to even
    const uint32_t u = std::bit_cast<uint32_t>(value);
    bits = (u & 0x7fffffffu) > 0x7f800000u ? static_cast<uint16_t>((u >> 16) | 0x40u)
                                           : static_cast<uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
  }
  operator float() const noexcept {  // NOLINT(google-explicit-constructor): exact
    return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
  }
};

inline f16::f16(float value) noexcept {
  const uint32_t u = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (u >> 16) & 0x8000u;
  const uint32_t magnitude = u & 0x7fffffffu;
  if (magnitude >= 0x7f800000u) {  // infinity, NaN
    bits =
        static_cast<uint16_t>(sign | 0x7c00u | (magnitude > 0x7f800000u ? 0x200u | ((magnitude >> 13) & 0x3ffu) : 0u));
  } else if (magnitude >= 0x477ff000u) {  // rounds past the greatest finite number
    bits = static_cast<uint16_t>(sign | 0x7c00u);
  } else if (magnitude < 0x38800000u) {  // subnormal: let the float adder round
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    bits = static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000u));
  } else {
    const uint32_t odd = (magnitude >> 13) & 1u;
    bits = static_cast<uint16_t>(sign | ((magnitude - 0x38000000u + 0xfffu + odd) >> 13));
  }
}

inline f16::operator float() const noexcept {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  const uint32_t magnitude = bits & 0x7fffu;
  if (magnitude >= 0x7c00u) return std::bit_cast<float>(sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13));
  if (magnitude >= 0x400u) return std::bit_cast<float>(sign | ((magnitude << 13) + 0x38000000u));
  const float value = static_cast<float>(magnitude) * 0x1p-24f;
  return sign ? -value : value;
}

}  // namespace linnet
