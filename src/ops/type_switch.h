// From an element type of a tensor to a C++ type.
#pragma once

#include <cstdint>
#include <type_traits>

#include "tensor/dtype.h"

namespace linnet {

// Calls f(std::type_identity<T>()) for the T that `type` stands for; false when it is none of them.
template <class... T, class F>
bool switch_type(DType type, F&& f) {
  return ((type == dtype_of<T> && (f(std::type_identity<T>()), true)) || ...);
}
template <class F>
bool switch_float(DType type, F&& f) {
  return switch_type<float, f16, bf16, double>(type, f);
}
template <class F>
bool switch_integer(DType type, F&& f) {
  return switch_type<int64_t, int32_t, uint8_t, int8_t, int16_t, uint16_t, uint32_t, uint64_t>(type, f);
}
template <class F>
bool switch_number(DType type, F&& f) {
  return switch_float(type, f) || switch_integer(type, f);
}

constexpr bool is_number(DType type) noexcept { return is_float(type) || is_integer(type); }

}  // namespace linnet
