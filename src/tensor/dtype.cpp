#include "tensor/dtype.h"

#include <limits>

#include "base/checked.h"

namespace linnet {
namespace {

struct Entry {
  std::string_view name;
  int bits;
};

constexpr Entry kEntries[kDTypeCount] = {
    {"undefined", 0},      {"float", 32},    {"uint8", 8},        {"int8", 8},           {"uint16", 16},
    {"int16", 16},         {"int32", 32},    {"int64", 64},       {"string", 0},         {"bool", 8},
    {"float16", 16},       {"double", 64},   {"uint32", 32},      {"uint64", 64},        {"complex64", 64},
    {"complex128", 128},   {"bfloat16", 16}, {"float8e4m3fn", 8}, {"float8e4m3fnuz", 8}, {"float8e5m2", 8},
    {"float8e5m2fnuz", 8}, {"uint4", 4},     {"int4", 4},         {"float4e2m1", 4},     {"float8e8m0", 8},
    {"uint2", 2},          {"int2", 2},
};

}  // namespace

std::string_view dtype_name(DType type) noexcept { return kEntries[static_cast<int>(type)].name; }

std::optional<DType> parse_dtype(std::string_view name) noexcept {
  for (int i = 1; i < kDTypeCount; ++i)
    if (kEntries[i].name == name) return static_cast<DType>(i);
  return std::nullopt;
}

int dtype_bits(DType type) noexcept { return kEntries[static_cast<int>(type)].bits; }

size_t element_size(DType type) noexcept {
  return type == DType::string ? sizeof(std::string) : static_cast<size_t>(dtype_bits(type)) / 8;
}

// No object is larger; the rest is for rounding up to a page.
constexpr size_t kMostBytes = static_cast<size_t>(std::numeric_limits<ptrdiff_t>::max()) - 4095;

std::optional<size_t> storage_size(DType type, int64_t count) noexcept {
  const std::optional<size_t> n = narrow<size_t>(count);
  if (count < 0 || !n) return std::nullopt;
  if (is_packed(type)) {
    const size_t per_byte = 8 / static_cast<size_t>(dtype_bits(type));
    return *n / per_byte + (*n % per_byte != 0);
  }
  const std::optional<size_t> bytes = checked_mul(*n, element_size(type));
  return bytes && *bytes <= kMostBytes ? bytes : std::nullopt;
}

}  // namespace linnet
