#include "tensor/tensor.h"

#include <new>

namespace linnet {
namespace {

constexpr size_t kAlignment = 64;

struct AlignedDelete {
  void operator()(void* p) const noexcept { ::operator delete(p, std::align_val_t{kAlignment}); }
};

Result<Tensor> allocate(DType dtype, const Shape& shape, bool zero) {
  const std::optional<int64_t> count = shape.checked_count();
  const std::optional<size_t> bytes = count ? storage_size(dtype, *count) : std::nullopt;
  if (!bytes) return invalid_argument("a tensor of shape ", shape, " is too large");
  Tensor tensor{dtype, shape, nullptr, nullptr};
  try {
    if (dtype == DType::string) {
      auto strings = std::make_shared<std::vector<std::string>>(static_cast<size_t>(*count));
      tensor.data = strings->data();
      tensor.owner = std::shared_ptr<void>(strings, strings->data());
      if (!tensor.owner) tensor.owner = std::move(strings);
    } else {
      void* memory = ::operator new(*bytes ? *bytes : 1, std::align_val_t{kAlignment}, std::nothrow);
      if (!memory)
        return error(Code::out_of_memory, "cannot allocate ", *bytes, " bytes for a tensor of shape ", shape);
      tensor.owner = std::shared_ptr<void>(memory, AlignedDelete{});
      tensor.data = memory;
      if (zero) std::memset(memory, 0, *bytes);
    }
  } catch (const std::exception&) {
    return error(Code::out_of_memory, "cannot allocate a tensor of shape ", shape);
  }
  return tensor;
}

template <class T>
T element(const Tensor& tensor, int64_t i) noexcept {
  T value;
  std::memcpy(&value, tensor.ptr<std::byte>() + static_cast<size_t>(i) * sizeof(T), sizeof(T));
  return value;
}

// Element i of a packed type as unsigned bits.
unsigned packed_bits(const Tensor& tensor, int64_t i) noexcept {
  const unsigned bits = static_cast<unsigned>(dtype_bits(tensor.dtype));
  const int64_t per_byte = 8 / bits;
  return (tensor.ptr<uint8_t>()[i / per_byte] >> (static_cast<unsigned>(i % per_byte) * bits)) & ((1u << bits) - 1u);
}

int sign_extend(unsigned value, unsigned bits) noexcept {
  const unsigned sign = 1u << (bits - 1);
  return static_cast<int>(value ^ sign) - static_cast<int>(sign);
}

}  // namespace

Result<Tensor> make_tensor(DType dtype, const Shape& shape) { return allocate(dtype, shape, true); }
Result<Tensor> make_tensor_uninitialized(DType dtype, const Shape& shape) { return allocate(dtype, shape, false); }

Result<Tensor> clone(const Tensor& tensor) {
  LINNET_ASSIGN(Tensor copy, make_tensor_uninitialized(tensor.dtype, tensor.shape));
  copy_elements(tensor, copy);
  return copy;
}

void copy_elements(const Tensor& from, Tensor& to) {
  if (from.data == to.data) return;
  if (from.dtype == DType::string) {
    std::copy_n(from.ptr<std::string>(), from.count(), to.ptr<std::string>());
  } else if (const size_t bytes = from.bytes()) {
    std::memcpy(to.data, from.data, bytes);
  }
}

int64_t integer_at(const Tensor& tensor, int64_t i) noexcept {
  switch (tensor.dtype) {
    case DType::boolean:
    case DType::u8: return tensor.ptr<uint8_t>()[i];
    case DType::i8: return tensor.ptr<int8_t>()[i];
    case DType::u16: return element<uint16_t>(tensor, i);
    case DType::i16: return element<int16_t>(tensor, i);
    case DType::u32: return element<uint32_t>(tensor, i);
    case DType::i32: return element<int32_t>(tensor, i);
    case DType::u64:
    case DType::i64: return element<int64_t>(tensor, i);
    case DType::u4:
    case DType::u2: return static_cast<int64_t>(packed_bits(tensor, i));
    case DType::i4: return sign_extend(packed_bits(tensor, i), 4);
    case DType::i2: return sign_extend(packed_bits(tensor, i), 2);
    default: return 0;
  }
}

double number_at(const Tensor& tensor, int64_t i) noexcept {
  switch (tensor.dtype) {
    case DType::f32: return static_cast<double>(element<float>(tensor, i));
    case DType::f64: return element<double>(tensor, i);
    case DType::f16: return static_cast<float>(element<f16>(tensor, i));
    case DType::bf16: return static_cast<float>(element<bf16>(tensor, i));
    case DType::f8e4m3fn: return static_cast<float>(tensor.ptr<f8e4m3fn>()[i]);
    case DType::f8e4m3fnuz: return static_cast<float>(tensor.ptr<f8e4m3fnuz>()[i]);
    case DType::f8e5m2: return static_cast<float>(tensor.ptr<f8e5m2>()[i]);
    case DType::f8e5m2fnuz: return static_cast<float>(tensor.ptr<f8e5m2fnuz>()[i]);
    case DType::f8e8m0: return static_cast<float>(tensor.ptr<f8e8m0>()[i]);
    case DType::f4e2m1: return float4_to_float(static_cast<uint8_t>(packed_bits(tensor, i)));
    case DType::u64: return static_cast<double>(element<uint64_t>(tensor, i));
    default: return static_cast<double>(integer_at(tensor, i));
  }
}

}  // namespace linnet
