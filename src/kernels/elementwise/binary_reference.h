// The definition of every BinaryFn and CompareFn: the oracle of the SIMD forms, and the form for the other types.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

#include "kernels/elementwise/binary.h"

namespace linnet {

// dst = f(a, b) over a block. `Wide` also writes the loops that a compiler vectorises.
template <bool Wide, class T, class U, class R, class F>
void map_block(const BroadcastBlock& block, const T* a, const U* b, R* dst, F f) noexcept {
  for (size_t r = 0; r < block.rows; ++r) {
    const T* x = a + block.src[0] + r * block.row_stride[0];
    const U* y = b + block.src[1] + r * block.row_stride[1];
    R* out = dst + block.dst + r * block.columns;
    const size_t n = block.columns;
    if (Wide && block.stride[0] == 1 && block.stride[1] == 1) {
      for (size_t i = 0; i < n; ++i) out[i] = f(x[i], y[i]);
    } else if (Wide && block.stride[0] == 1 && block.stride[1] == 0) {
      for (size_t i = 0; i < n; ++i) out[i] = f(x[i], *y);
    } else if (Wide && block.stride[0] == 0 && block.stride[1] == 1) {
      for (size_t i = 0; i < n; ++i) out[i] = f(*x, y[i]);
    } else {
      for (size_t i = 0; i < n; ++i) out[i] = f(x[i * block.stride[0]], y[i * block.stride[1]]);
    }
  }
}

template <class T>
struct WrapType {
  using Type = std::make_unsigned_t<T>;
};
template <std::floating_point T>
struct WrapType<T> {
  using Type = T;
};

template <std::integral T>
T integer_pow(T base, T exponent) noexcept {
  using U = std::make_unsigned_t<T>;
  if (exponent < 0) {
    if (base == 1) return 1;
    if (static_cast<U>(base) == static_cast<U>(-1)) return (exponent & 1) != 0 ? base : T{1};
    return 0;
  }
  uint64_t result = 1;
  uint64_t factor = static_cast<uint64_t>(base);
  for (U e = static_cast<U>(exponent); e != 0; e = static_cast<U>(e >> 1)) {
    if ((e & 1) != 0) result *= factor;
    factor *= factor;
  }
  return static_cast<T>(result);
}

// std::fmod. Quotients of floats that are not too large are cut to their integer exactly in double.
template <class T>
T real_mod(T a, T b) noexcept {
  if constexpr (std::is_same_v<T, float>) {
    const double quotient = static_cast<double>(a) / static_cast<double>(b);
    if (std::fabs(quotient) < 0x1p28) {
      const double whole = static_cast<double>(static_cast<int32_t>(quotient));
      if (whole == 0) return a;
      return std::copysign(static_cast<float>(static_cast<double>(a) - whole * static_cast<double>(b)), a);
    }
  }
  return std::fmod(a, b);
}

template <class T>
T floor_mod(T a, T b) noexcept {
  if constexpr (std::is_integral_v<T>) {
    if (b == 0 || (std::is_signed_v<T> && b == static_cast<T>(-1))) return 0;
    const T rest = static_cast<T>(a % b);
    return rest != 0 && (rest < 0) != (b < 0) ? static_cast<T>(rest + b) : rest;
  } else {
    const T rest = real_mod(a, b);
    return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
  }
}

// The bits of the result do not depend on whether the integers have a sign.
constexpr bool ignores_sign(BinaryFn fn) noexcept {
  switch (fn) {
    case BinaryFn::add:
    case BinaryFn::sub:
    case BinaryFn::mul:
    case BinaryFn::bit_and:
    case BinaryFn::bit_or:
    case BinaryFn::bit_xor:
    case BinaryFn::shift_left:
    case BinaryFn::logical_and:
    case BinaryFn::logical_or:
    case BinaryFn::logical_xor: return true;
    default: return false;
  }
}

template <class T>
void binary_block_reference(BinaryFn fn, const BroadcastBlock& block, const T* a, const T* b, T* dst) noexcept {
  using W = typename WrapType<T>::Type;  // arithmetic that wraps
  constexpr bool kInteger = std::is_integral_v<T>;
  const auto wide = [&](auto f) { map_block<true>(block, a, b, dst, f); };
  const auto plain = [&](auto f) { map_block<false>(block, a, b, dst, f); };
  if constexpr (std::signed_integral<T>) {
    if (ignores_sign(fn))
      return binary_block_reference(fn, block, reinterpret_cast<const W*>(a), reinterpret_cast<const W*>(b),
                                    reinterpret_cast<W*>(dst));
  } else {
    switch (fn) {
      case BinaryFn::add: return wide([](T x, T y) { return static_cast<T>(x + y); });
      case BinaryFn::sub: return wide([](T x, T y) { return static_cast<T>(x - y); });
      case BinaryFn::mul:
        if constexpr (sizeof(T) == 2) {  // would promote to int and overflow it
          return wide([](T x, T y) { return static_cast<T>(static_cast<uint32_t>(x) * static_cast<uint32_t>(y)); });
        } else {
          return wide([](T x, T y) { return static_cast<T>(x * y); });
        }
      default: break;
    }
    if constexpr (kInteger) {
      switch (fn) {
        case BinaryFn::bit_and: return wide([](T x, T y) { return static_cast<T>(x & y); });
        case BinaryFn::bit_or: return wide([](T x, T y) { return static_cast<T>(x | y); });
        case BinaryFn::bit_xor: return wide([](T x, T y) { return static_cast<T>(x ^ y); });
        case BinaryFn::shift_left:
          return plain([](T x, T y) { return y >= sizeof(T) * 8 ? T{0} : static_cast<T>(x << y); });
        case BinaryFn::logical_and: return wide([](T x, T y) { return static_cast<T>((x != 0) & (y != 0)); });
        case BinaryFn::logical_or: return wide([](T x, T y) { return static_cast<T>((x | y) != 0); });
        case BinaryFn::logical_xor: return wide([](T x, T y) { return static_cast<T>((x != 0) != (y != 0)); });
        default: break;
      }
    }
  }
  switch (fn) {
    case BinaryFn::div:
      if constexpr (kInteger) {
        return plain([](T x, T y) {
          if (y == 0) return T{0};
          if (std::is_signed_v<T> && y == static_cast<T>(-1)) return static_cast<T>(W{0} - static_cast<W>(x));
          return static_cast<T>(x / y);
        });
      } else {
        return wide([](T x, T y) { return x / y; });
      }
    case BinaryFn::min: return wide([](T x, T y) { return x < y || x != x ? x : y; });
    case BinaryFn::max: return wide([](T x, T y) { return x > y || x != x ? x : y; });
    case BinaryFn::prelu:
      return plain([](T x, T y) { return x < 0 ? static_cast<T>(static_cast<W>(x) * static_cast<W>(y)) : x; });
    case BinaryFn::pow:
      if constexpr (kInteger) {
        return plain([](T x, T y) { return integer_pow(x, y); });
      } else {
        return plain([](T x, T y) { return std::pow(x, y); });
      }
    case BinaryFn::mod: return plain(floor_mod<T>);
    case BinaryFn::fmod:
      if constexpr (kInteger) {
        return plain([](T x, T y) {
          return y == 0 || (std::is_signed_v<T> && y == static_cast<T>(-1)) ? T{0} : static_cast<T>(x % y);
        });
      } else {
        return plain(real_mod<T>);
      }
    case BinaryFn::shift_right:
      if constexpr (kInteger)
        return plain([](T x, T y) { return static_cast<W>(y) >= sizeof(T) * 8 ? T{0} : static_cast<T>(x >> y); });
      return;
    default: return;
  }
}

template <class T>
void compare_block_reference(CompareFn fn, const BroadcastBlock& block, const T* a, const T* b, bool* dst) noexcept {
  const auto map = [&](auto f) { map_block<true>(block, a, b, dst, f); };
  const auto swapped = [&](CompareFn mirrored) {
    BroadcastBlock other = block;
    std::swap(other.src[0], other.src[1]);
    std::swap(other.row_stride[0], other.row_stride[1]);
    std::swap(other.stride[0], other.stride[1]);
    compare_block_reference(mirrored, other, b, a, dst);
  };
  switch (fn) {
    case CompareFn::equal: return map([](T x, T y) { return x == y; });
    case CompareFn::less: return map([](T x, T y) { return x < y; });
    case CompareFn::less_or_equal: return map([](T x, T y) { return x <= y; });
    case CompareFn::greater: return swapped(CompareFn::less);
    case CompareFn::greater_or_equal: return swapped(CompareFn::less_or_equal);
  }
}

}  // namespace linnet
