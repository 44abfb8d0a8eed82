#include "onnx/tensor_data.h"

#include <algorithm>
#include <cstring>
#include <exception>

#include "base/checked.h"
#include "tensor/alignment.h"

namespace linnet::onnx {
namespace {

using linnet::DType;
using Dense = linnet::Tensor;

// Bytes of a payload that is viewed wherever it lies, and of one whose pages are let go when it has been copied;
// smaller payloads share their pages with others.
constexpr size_t kLarge = 64 * 1024;

Result<Dense> copied(DType dtype, const Shape& shape, Bytes payload) {
  LINNET_ASSIGN(Dense tensor, make_tensor_uninitialized(dtype, shape));
  if (dtype == DType::boolean) {
    std::transform(payload.begin(), payload.end(), tensor.ptr<uint8_t>(),
                   [](std::byte b) { return static_cast<uint8_t>(b != std::byte{0}); });
  } else if (!payload.empty()) {
    std::memcpy(tensor.data, payload.data(), payload.size());
  }
  return tensor;
}

// Whether the bytes can serve as elements where they are.
bool viewable(DType dtype, Bytes payload) noexcept {
  if (payload.size() < kLarge && reinterpret_cast<uintptr_t>(payload.data()) % alignment_of(dtype) != 0) return false;
  return dtype != DType::boolean ||
         std::all_of(payload.begin(), payload.end(), [](std::byte b) { return b <= std::byte{1}; });
}

Result<Dense> from_bytes(DType dtype, const Shape& shape, const SharedBytes& payload) {
  if (payload.bytes.empty() || !payload.owner || !viewable(dtype, payload.bytes))
    return copied(dtype, shape, payload.bytes);
  Dense tensor{dtype, shape, const_cast<std::byte*>(payload.bytes.data()), nullptr};
  tensor.owner = std::shared_ptr<void>(payload.owner, tensor.data);
  return tensor;
}

Status wrong_count(int64_t wanted, size_t found, std::string_view what) {
  return invalid_model("its shape asks for ", wanted, " ", what, ", but the file holds ", found);
}

// Numbers of a wider field, of which the low bits count.
template <class From>
Result<Dense> narrowed(DType dtype, const Shape& shape, const std::vector<From>& values) {
  const size_t width = is_packed(dtype) ? 1 : element_size(dtype);
  const size_t count = storage_size(dtype, shape.count()).value_or(0) / width;
  if (values.size() != count) return wrong_count(static_cast<int64_t>(count), values.size(), "numbers");
  LINNET_ASSIGN(Dense tensor, make_tensor_uninitialized(dtype, shape));
  auto* to = static_cast<std::byte*>(tensor.data);
  for (size_t i = 0; i < count; ++i) std::memcpy(to + i * width, &values[i], width);
  if (dtype == DType::boolean)
    std::transform(to, to + count, to, [](std::byte b) { return std::byte{b != std::byte{0}}; });
  return tensor;
}

Result<Dense> strings(const Shape& shape, const std::vector<std::string_view>& values) {
  LINNET_REQUIRE(static_cast<size_t>(shape.count()) == values.size(),
                 wrong_count(shape.count(), values.size(), "strings"));
  LINNET_ASSIGN(Dense tensor, make_tensor(DType::string, shape));
  std::copy(values.begin(), values.end(), tensor.ptr<std::string>());
  return tensor;
}

Result<Dense> convert(const Tensor& message, const DataSource& source) {
  LINNET_REQUIRE(is_dtype(message.data_type), unsupported("the element type ", message.data_type, " is unknown"));
  LINNET_REQUIRE(!message.segment, unsupported("tensors in segments are not supported"));
  const auto dtype = static_cast<DType>(message.data_type);
  const Shape shape{std::span<const int64_t>(message.dims)};
  const std::optional<int64_t> count = shape.checked_count();
  const std::optional<size_t> size = count ? storage_size(dtype, *count) : std::nullopt;
  LINNET_REQUIRE(size, invalid_model("its shape ", shape, " is negative or too large"));

  if (dtype == DType::string) return strings(shape, message.string_data);
  SharedBytes payload{{}, source.owner};
  if (message.data_location == DataLocation::external) {
    LINNET_REQUIRE(source.external, invalid_model("external data is not allowed here"));
    LINNET_ASSIGN(payload, source.external->payload(message, *size));
  } else if (message.raw_data) {
    payload.bytes = *message.raw_data;
  } else {
    switch (dtype) {
      case DType::f32:
      case DType::c64: payload.bytes = message.float_data.bytes(); break;
      case DType::f64:
      case DType::c128: payload.bytes = message.double_data.bytes(); break;
      case DType::i64: return narrowed(dtype, shape, message.int64_data);
      case DType::u32:
      case DType::u64: return narrowed(dtype, shape, message.uint64_data);
      default: return narrowed(dtype, shape, message.int32_data);
    }
    const bool in_file = message.float_data.gathered.empty() && message.double_data.gathered.empty();
    if (!in_file) payload.owner = nullptr;
  }
  LINNET_REQUIRE(payload.bytes.size() == *size,
                 wrong_count(static_cast<int64_t>(*size), payload.bytes.size(), "bytes"));
  LINNET_ASSIGN(Dense tensor, from_bytes(dtype, shape, payload));
  if (source.discard && payload.bytes.size() >= kLarge && tensor.data != payload.bytes.data())
    source.discard(payload.bytes);
  return tensor;
}

// Position `entry` of a sparse tensor's values in the dense one, or -1 when an index is out of range.
int64_t dense_position(const Dense& indices, int64_t entry, const Shape& shape) noexcept {
  if (indices.shape.rank() == 1) {
    const int64_t i = integer_at(indices, entry);
    return i < shape.count() ? std::max<int64_t>(i, -1) : -1;
  }
  int64_t position = 0;
  for (size_t axis = 0; axis < shape.rank(); ++axis) {
    const int64_t i = integer_at(indices, entry * static_cast<int64_t>(shape.rank()) + static_cast<int64_t>(axis));
    if (i < 0 || i >= shape[axis]) return -1;
    position = position * shape[axis] + i;
  }
  return position;
}

Result<Dense> densify(const SparseTensor& message, const DataSource& source, size_t max_bytes) {
  LINNET_ASSIGN(const Dense values, convert(message.values, source));
  LINNET_ASSIGN(const Dense indices, convert(message.indices, source));
  const Shape shape{std::span<const int64_t>(message.dims)};
  const std::optional<int64_t> count = shape.checked_count();
  const std::optional<size_t> size = count ? storage_size(values.dtype, *count) : std::nullopt;
  LINNET_REQUIRE(size, invalid_model("its dense shape ", shape, " is negative or too large"));
  LINNET_REQUIRE(*size <= max_bytes, unsupported("its dense form would take ", *size, " bytes"));
  LINNET_REQUIRE(!is_packed(values.dtype), unsupported("elements narrower than a byte in a sparse tensor"));
  const int64_t entries = values.count();
  const bool flat = indices.shape == Shape{entries};
  const bool coordinates = indices.shape == Shape{entries, static_cast<int64_t>(shape.rank())};
  // The standard has int64 only; ONNX Runtime saves the narrowest type that does.
  const bool whole = indices.dtype == DType::i64 || indices.dtype == DType::i32 || indices.dtype == DType::i16 ||
                     indices.dtype == DType::i8;
  LINNET_REQUIRE(values.shape.rank() == 1 && whole && (flat || coordinates),
                 invalid_model("its indices are ", indices, " for ", entries, " values and ", shape.rank(), " axes"));

  LINNET_ASSIGN(Dense dense, make_tensor(values.dtype, shape));
  const size_t width = element_size(values.dtype);
  for (int64_t i = 0; i < entries; ++i) {
    const int64_t position = dense_position(indices, i, shape);
    LINNET_REQUIRE(position >= 0, invalid_model("its index number ", i, " is outside of the shape ", shape));
    if (values.dtype == DType::string) {
      dense.ptr<std::string>()[position] = values.ptr<std::string>()[i];
    } else {
      std::memcpy(dense.ptr<std::byte>() + static_cast<size_t>(position) * width,
                  values.ptr<std::byte>() + static_cast<size_t>(i) * width, width);
    }
  }
  return dense;
}

// The result of `make`, its error preceded by the tensor's name.
template <class F>
Result<Dense> named(std::string_view name, F make) {
  Status failed;
  try {
    Result<Dense> result = make();
    if (result.ok()) return result;
    failed = std::move(result).status();
  } catch (const std::exception&) {
    failed = error(Code::out_of_memory, "not enough memory");
  }
  return std::move(failed).within(name.empty() ? std::string("a tensor without a name")
                                               : concat("tensor '", name, "'"));
}

}  // namespace

Result<Dense> to_tensor(const Tensor& tensor, const DataSource& source) {
  return named(tensor.name, [&] { return convert(tensor, source); });
}

Result<Dense> to_initializer(const Tensor& tensor, const DataSource& source) {
  const bool packed_only = source.compiled && tensor.data_location == DataLocation::external &&
                           !tensor.external_data.empty() && tensor.external_data.front().value == kPackedOnly;
  if (!packed_only) return to_tensor(tensor, source);
  return named(tensor.name, [&]() -> Result<Dense> {
    LINNET_REQUIRE(is_dtype(tensor.data_type), unsupported("the element type ", tensor.data_type, " is unknown"));
    const auto dtype = static_cast<DType>(tensor.data_type);
    const Shape shape{std::span<const int64_t>(tensor.dims)};
    const std::optional<int64_t> count = shape.checked_count();
    LINNET_REQUIRE(count && storage_size(dtype, *count),
                   invalid_model("its shape ", shape, " is negative or too large"));
    return Dense{dtype, shape, nullptr, nullptr};
  });
}

Result<Dense> to_tensor(const SparseTensor& tensor, const DataSource& source, size_t max_bytes) {
  return named(tensor.values.name, [&] { return densify(tensor, source, max_bytes); });
}

Tensor from_tensor(const Dense& tensor, std::string_view name) {
  Tensor message;
  message.name = name;
  message.dims.assign(tensor.shape.begin(), tensor.shape.end());
  message.data_type = static_cast<int32_t>(tensor.dtype);
  if (tensor.dtype == DType::string) {
    const auto elements = tensor.as<std::string>();
    message.string_data.assign(elements.begin(), elements.end());
  } else {
    message.raw_data = Bytes(tensor.ptr<std::byte>(), tensor.bytes());
  }
  return message;
}

}  // namespace linnet::onnx
