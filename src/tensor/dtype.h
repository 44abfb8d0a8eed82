// Element types. The numbers are those of onnx.TensorProto.DataType:
// https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
#pragma once

#include <complex>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/float8.h"
#include "base/half.h"

namespace linnet {

enum class DType : uint8_t {
  undefined = 0,
  f32 = 1,
  u8 = 2,
  i8 = 3,
  u16 = 4,
  i16 = 5,
  i32 = 6,
  i64 = 7,
  string = 8,
  boolean = 9,
  f16 = 10,
  f64 = 11,
  u32 = 12,
  u64 = 13,
  c64 = 14,
  c128 = 15,
  bf16 = 16,
  f8e4m3fn = 17,
  f8e4m3fnuz = 18,
  f8e5m2 = 19,
  f8e5m2fnuz = 20,
  u4 = 21,
  i4 = 22,
  f4e2m1 = 23,
  f8e8m0 = 24,
  u2 = 25,
  i2 = 26,
};
inline constexpr int kDTypeCount = 27;

// A valid type other than undefined.
constexpr bool is_dtype(int64_t number) noexcept { return number > 0 && number < kDTypeCount; }
// ONNX's name in lower case: "float", "int64", "float8e4m3fn".
std::string_view dtype_name(DType type) noexcept;
std::optional<DType> parse_dtype(std::string_view name) noexcept;
inline std::string to_string(DType type) { return std::string(dtype_name(type)); }

// Bits of one element in memory: 2 and 4 for the packed types (low bits first), 0 for string and undefined.
int dtype_bits(DType type) noexcept;
inline bool is_packed(DType type) noexcept { return dtype_bits(type) != 0 && dtype_bits(type) < 8; }
// Bytes of one whole element; strings count as sizeof(std::string). Not for packed types.
size_t element_size(DType type) noexcept;
// Bytes of `count` elements, packed types rounded up to a byte; nothing on overflow.
std::optional<size_t> storage_size(DType type, int64_t count) noexcept;

constexpr bool is_float(DType t) noexcept {
  return t == DType::f32 || t == DType::f64 || t == DType::f16 || t == DType::bf16;
}
constexpr bool is_float8(DType t) noexcept {
  return (t >= DType::f8e4m3fn && t <= DType::f8e5m2fnuz) || t == DType::f8e8m0;
}
constexpr bool is_signed_integer(DType t) noexcept {
  return t == DType::i8 || t == DType::i16 || t == DType::i32 || t == DType::i64;
}
constexpr bool is_unsigned_integer(DType t) noexcept {
  return t == DType::u8 || t == DType::u16 || t == DType::u32 || t == DType::u64;
}
constexpr bool is_integer(DType t) noexcept { return is_signed_integer(t) || is_unsigned_integer(t); }

// The C++ type of an element, and back. Types narrower than a byte have none.
template <DType>
struct TypeOf;
template <class>
struct DTypeOf;
#define LINNET_DTYPE(tag, type)                \
  template <>                                  \
  struct TypeOf<DType::tag> {                  \
    using Type = type;                         \
  };                                           \
  template <>                                  \
  struct DTypeOf<type> {                       \
    static constexpr DType value = DType::tag; \
  };
LINNET_DTYPE(f32, float)
LINNET_DTYPE(u8, uint8_t)
LINNET_DTYPE(i8, int8_t)
LINNET_DTYPE(u16, uint16_t)
LINNET_DTYPE(i16, int16_t)
LINNET_DTYPE(i32, int32_t)
LINNET_DTYPE(i64, int64_t)
LINNET_DTYPE(string, std::string)
LINNET_DTYPE(boolean, bool)
LINNET_DTYPE(f16, ::linnet::f16)
LINNET_DTYPE(f64, double)
LINNET_DTYPE(u32, uint32_t)
LINNET_DTYPE(u64, uint64_t)
LINNET_DTYPE(c64, std::complex<float>)
LINNET_DTYPE(c128, std::complex<double>)
LINNET_DTYPE(bf16, ::linnet::bf16)
LINNET_DTYPE(f8e4m3fn, ::linnet::f8e4m3fn)
LINNET_DTYPE(f8e4m3fnuz, ::linnet::f8e4m3fnuz)
LINNET_DTYPE(f8e5m2, ::linnet::f8e5m2)
LINNET_DTYPE(f8e5m2fnuz, ::linnet::f8e5m2fnuz)
LINNET_DTYPE(f8e8m0, ::linnet::f8e8m0)
#undef LINNET_DTYPE
template <class T>
inline constexpr DType dtype_of = DTypeOf<T>::value;

}  // namespace linnet
