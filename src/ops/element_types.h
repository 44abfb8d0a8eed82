// Sets of element types, and how code that depends on one is chosen.
#pragma once

#include <initializer_list>
#include <string>

#include "ops/op.h"

namespace linnet {

class TypeSet {
 public:
  constexpr TypeSet(std::initializer_list<DType> types) noexcept {
    for (const DType t : types) bits_ |= bit(t);
  }
  constexpr bool has(DType t) const noexcept { return (bits_ & bit(t)) != 0; }
  friend constexpr TypeSet operator|(TypeSet a, TypeSet b) noexcept {
    a.bits_ |= b.bits_;
    return a;
  }

 private:
  static constexpr uint32_t bit(DType t) noexcept { return uint32_t{1} << static_cast<unsigned>(t); }
  uint32_t bits_ = 0;
};

inline constexpr TypeSet kIndexTypes{DType::i32, DType::i64};
inline constexpr TypeSet kIntegerTypes{DType::i8, DType::i16, DType::i32, DType::i64,
                                       DType::u8, DType::u16, DType::u32, DType::u64};
inline constexpr TypeSet kFloatTypes{DType::f32, DType::f64, DType::f16, DType::bf16};
inline constexpr TypeSet kNumberTypes = kIntegerTypes | kFloatTypes;
inline constexpr TypeSet kPackedTypes{DType::u4, DType::i4, DType::f4e2m1, DType::u2, DType::i2};
// All that occupy whole bytes, strings included.
inline constexpr TypeSet kWholeTypes =
    kNumberTypes | TypeSet{DType::boolean,    DType::string, DType::c64,        DType::c128,  DType::f8e4m3fn,
                           DType::f8e4m3fnuz, DType::f8e5m2, DType::f8e5m2fnuz, DType::f8e8m0};

// Fails when input i is present and not a tensor of one of the types. At load, an input of which nothing is known
// passes.
Status expect_type(const InferContext& context, size_t i, TypeSet allowed);
// Fails when input i is present and not a tensor of input j's type.
Status expect_same_type(const InferContext& context, size_t i, size_t j);
// Fails when input i is present and neither a scalar nor a tensor of one element.
Status expect_one_element(const InferContext& context, size_t i);

// The elements of an integer tensor.
Shape integers_of(const Tensor& tensor);

template <class T>
struct TypeTag {
  using Type = T;
};

// Calls f(TypeTag<T>()) with the C++ type of a number, which is in kNumberTypes.
template <class F>
auto visit_number(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f32: return f(TypeTag<float>());
    case DType::f64: return f(TypeTag<double>());
    case DType::f16: return f(TypeTag<f16>());
    case DType::bf16: return f(TypeTag<bf16>());
    case DType::i8: return f(TypeTag<int8_t>());
    case DType::i16: return f(TypeTag<int16_t>());
    case DType::i32: return f(TypeTag<int32_t>());
    case DType::i64: return f(TypeTag<int64_t>());
    case DType::u8: return f(TypeTag<uint8_t>());
    case DType::u16: return f(TypeTag<uint16_t>());
    case DType::u32: return f(TypeTag<uint32_t>());
    default: LINNET_CHECK(dtype == DType::u64); return f(TypeTag<uint64_t>());
  }
}

// The same for kFloatTypes.
template <class F>
auto visit_float(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f32: return f(TypeTag<float>());
    case DType::f64: return f(TypeTag<double>());
    case DType::f16: return f(TypeTag<f16>());
    default: LINNET_CHECK(dtype == DType::bf16); return f(TypeTag<bf16>());
  }
}

// The same for kIndexTypes.
template <class F>
auto visit_index(DType dtype, F&& f) {
  if (dtype == DType::i32) return f(TypeTag<int32_t>());
  LINNET_CHECK(dtype == DType::i64);
  return f(TypeTag<int64_t>());
}

// The value in another type of number; one that an integer cannot hold is the caller's to avoid.
template <class T>
T rounded(double value) noexcept {
  if constexpr (std::is_same_v<T, f16> || std::is_same_v<T, bf16>)
    return T(static_cast<float>(value));
  else
    return static_cast<T>(value);
}

struct Bits128 {
  uint64_t low = 0, high = 0;
};

// For code that only moves elements: calls f(TypeTag<T>()) with an unsigned type of the same width, or std::string.
template <class F>
auto visit_width(DType dtype, F&& f) {
  if (dtype == DType::string) return f(TypeTag<std::string>());
  switch (element_size(dtype)) {
    case 1: return f(TypeTag<uint8_t>());
    case 2: return f(TypeTag<uint16_t>());
    case 4: return f(TypeTag<uint32_t>());
    case 8: return f(TypeTag<uint64_t>());
    default: LINNET_CHECK(element_size(dtype) == 16); return f(TypeTag<Bits128>());
  }
}

}  // namespace linnet
