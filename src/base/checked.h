// Arithmetic on sizes that a file or a user supplied: overflow is a false return, never a wrapped number.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>

namespace linnet {

template <std::integral T>
[[nodiscard]] constexpr std::optional<T> checked_add(T a, T b) noexcept {
  T sum{};
  if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
  return sum;
}

template <std::integral T>
[[nodiscard]] constexpr std::optional<T> checked_mul(T a, T b) noexcept {
  T product{};
  if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}

template <std::integral T>
[[nodiscard]] constexpr std::optional<T> checked_sub(T a, T b) noexcept {
  T difference{};
  if (__builtin_sub_overflow(a, b, &difference)) return std::nullopt;
  return difference;
}

// The value in another integer type, or nothing when it does not fit.
template <std::integral To, std::integral From>
[[nodiscard]] constexpr std::optional<To> narrow(From value) noexcept {
  To result = static_cast<To>(value);
  if (static_cast<From>(result) != value || ((result < To{}) != (value < From{}))) return std::nullopt;
  return result;
}

template <std::integral T>
constexpr T ceil_div(T a, T b) noexcept {
  return (a + b - 1) / b;
}

// The least multiple of `unit` (a power of two) that is not below `size`.
constexpr size_t round_up(size_t size, size_t unit) noexcept { return (size + unit - 1) & ~(unit - 1); }

}  // namespace linnet
