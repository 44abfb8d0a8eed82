// A shape whose sizes are all known. Up to eight axes live inside the object; there is no limit on the rank.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "base/checked.h"
#include "base/inline_vector.h"

namespace linnet {

class Shape : public InlineVector<int64_t, 8> {
 public:
  using InlineVector::InlineVector;
  explicit Shape(std::span<const int64_t> sizes) : InlineVector(sizes.begin(), sizes.end()) {}

  size_t rank() const noexcept { return size(); }
  std::span<const int64_t> sizes() const noexcept { return {data(), size()}; }

  // The number of elements. The sizes must have passed checked_count once.
  int64_t count() const noexcept { return count(0, rank()); }
  // The product of the sizes of axes [first, last).
  int64_t count(size_t first, size_t last) const noexcept {
    int64_t n = 1;
    for (size_t i = first; i < last; ++i) n *= (*this)[i];
    return n;
  }
  // The number of elements, or nothing when a size is negative or the product does not fit into 63 bits (the product of
  // the non-zero sizes, so that any partial product is safe as well).
  std::optional<int64_t> checked_count() const noexcept {
    int64_t n = 1;
    bool zero = false;
    for (const int64_t size : *this) {
      if (size < 0) return std::nullopt;
      zero |= size == 0;
      const std::optional<int64_t> next = checked_mul(n, size == 0 ? int64_t{1} : size);
      if (!next) return std::nullopt;
      n = *next;
    }
    return zero ? 0 : n;
  }

  // "2x3x4"; a scalar is "scalar".
  std::string to_string() const {
    if (empty()) return "scalar";
    std::string out;
    for (size_t i = 0; i < size(); ++i) {
      if (i) out += 'x';
      out += std::to_string((*this)[i]);
    }
    return out;
  }
};

// Row-major strides in elements.
inline Shape strides_of(const Shape& shape) {
  Shape strides(shape.rank());
  int64_t step = 1;
  for (size_t i = shape.rank(); i-- > 0;) {
    strides[i] = step;
    step *= shape[i];
  }
  return strides;
}

// An axis counted from the end when negative, as 0 <= axis < rank, or nothing when out of range.
constexpr std::optional<size_t> normalize_axis(int64_t axis, size_t rank) noexcept {
  const int64_t n = static_cast<int64_t>(rank);
  if (axis < -n || axis >= n) return std::nullopt;
  return static_cast<size_t>(axis < 0 ? axis + n : axis);
}

}  // namespace linnet
