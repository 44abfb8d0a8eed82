#include "files/store_number.h"

#include <cmath>

namespace linnet::cli {
namespace {

template <class T>
bool store(Tensor& tensor, int64_t i, int64_t number) noexcept {
  const std::optional<T> value = narrow<T>(number);
  if (value) tensor.ptr<T>()[i] = *value;
  return value.has_value();
}

template <class T>
bool store_float(Tensor& tensor, int64_t i, double number) noexcept {
  tensor.ptr<T>()[i] = T(static_cast<float>(number));
  return true;
}

void store_packed(Tensor& tensor, int64_t i, unsigned bits) noexcept {
  const unsigned width = static_cast<unsigned>(dtype_bits(tensor.dtype));
  const unsigned shift = static_cast<unsigned>(i % (8 / width)) * width;
  const unsigned mask = ((1u << width) - 1) << shift;
  uint8_t& byte = tensor.ptr<uint8_t>()[i / (8 / width)];
  byte = static_cast<uint8_t>((byte & ~mask) | (bits << shift & mask));
}

bool store_packed_integer(Tensor& tensor, int64_t i, int64_t number) noexcept {
  const int64_t range = int64_t{1} << dtype_bits(tensor.dtype);
  const bool is_signed = tensor.dtype == DType::i4 || tensor.dtype == DType::i2;
  const int64_t least = is_signed ? -range / 2 : 0;
  if (number < least || number >= least + range) return false;
  store_packed(tensor, i, static_cast<unsigned>(number));
  return true;
}

}  // namespace

bool store_integer(Tensor& tensor, int64_t i, int64_t number) noexcept {
  switch (tensor.dtype) {
    case DType::i8: return store<int8_t>(tensor, i, number);
    case DType::u8: return store<uint8_t>(tensor, i, number);
    case DType::i16: return store<int16_t>(tensor, i, number);
    case DType::u16: return store<uint16_t>(tensor, i, number);
    case DType::i32: return store<int32_t>(tensor, i, number);
    case DType::u32: return store<uint32_t>(tensor, i, number);
    case DType::i64: return store<int64_t>(tensor, i, number);
    case DType::u64: return store<uint64_t>(tensor, i, number);
    case DType::boolean: tensor.ptr<uint8_t>()[i] = number != 0; return number == 0 || number == 1;
    case DType::u4:
    case DType::i4:
    case DType::u2:
    case DType::i2: return store_packed_integer(tensor, i, number);
    case DType::f64: tensor.ptr<double>()[i] = static_cast<double>(number); return true;
    default: return store_number(tensor, i, static_cast<double>(number));
  }
}

bool store_number(Tensor& tensor, int64_t i, double number) noexcept {
  switch (tensor.dtype) {
    case DType::f32: return store_float<float>(tensor, i, number);
    case DType::f64: tensor.ptr<double>()[i] = number; return true;
    case DType::f16: return store_float<f16>(tensor, i, number);
    case DType::bf16: return store_float<bf16>(tensor, i, number);
    case DType::f8e4m3fn: return store_float<f8e4m3fn>(tensor, i, number);
    case DType::f8e4m3fnuz: return store_float<f8e4m3fnuz>(tensor, i, number);
    case DType::f8e5m2: return store_float<f8e5m2>(tensor, i, number);
    case DType::f8e5m2fnuz: return store_float<f8e5m2fnuz>(tensor, i, number);
    case DType::f8e8m0: return store_float<f8e8m0>(tensor, i, number);
    case DType::f4e2m1: store_packed(tensor, i, float_to_float4(static_cast<float>(number))); return true;
    case DType::undefined:
    case DType::string:
    case DType::c64:
    case DType::c128: return false;
    default:  // integers; 2^63 is the first that int64 does not hold
      return number == std::trunc(number) && number >= -0x1p63 && number < 0x1p63 &&
             store_integer(tensor, i, static_cast<int64_t>(number));
  }
}

}  // namespace linnet::cli
