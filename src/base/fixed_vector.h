// Up to N elements inside the object, and nothing to destroy: for plans that live in plain memory.
#pragma once

#include <cstddef>
#include <type_traits>

#include "base/check.h"

namespace linnet {

template <class T, size_t N>
class FixedVector {
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);

 public:
  size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  static constexpr size_t capacity() noexcept { return N; }
  T* begin() noexcept { return items_; }
  T* end() noexcept { return items_ + size_; }
  const T* begin() const noexcept { return items_; }
  const T* end() const noexcept { return items_ + size_; }
  T& operator[](size_t i) noexcept { return items_[i]; }
  const T& operator[](size_t i) const noexcept { return items_[i]; }
  T& back() noexcept { return items_[size_ - 1]; }
  const T& back() const noexcept { return items_[size_ - 1]; }
  void push_back(const T& value) noexcept {
    LINNET_CHECK(size_ < N);
    items_[size_++] = value;
  }
  void pop_back() noexcept { --size_; }

 private:
  size_t size_ = 0;
  T items_[N] = {};
};

}  // namespace linnet
