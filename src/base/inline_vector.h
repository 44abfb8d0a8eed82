// A vector that keeps up to N elements inside itself: shapes and lists of axes never touch the heap.
#pragma once

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <iterator>
#include <type_traits>

#include "base/check.h"

namespace linnet {

template <class T, size_t N>
class InlineVector {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  using value_type = T;
  using iterator = T*;
  using const_iterator = const T*;

  InlineVector() noexcept : data_(inline_) {}
  explicit InlineVector(size_t count, T value = T{}) : InlineVector() { resize(count, value); }
  InlineVector(std::initializer_list<T> values) : InlineVector() { assign(values.begin(), values.end()); }
  template <std::forward_iterator It>
  InlineVector(It first, It last) : InlineVector() {
    assign(first, last);
  }
  InlineVector(const InlineVector& other) : InlineVector() { assign(other.begin(), other.end()); }
  InlineVector(InlineVector&& other) noexcept : InlineVector() { take(other); }
  InlineVector& operator=(const InlineVector& other) {
    if (this != &other) assign(other.begin(), other.end());
    return *this;
  }
  InlineVector& operator=(InlineVector&& other) noexcept {
    if (this != &other) {
      release();
      take(other);
    }
    return *this;
  }
  ~InlineVector() { release(); }

  size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  T* data() noexcept { return data_; }
  const T* data() const noexcept { return data_; }
  T* begin() noexcept { return data_; }
  T* end() noexcept { return data_ + size_; }
  const T* begin() const noexcept { return data_; }
  const T* end() const noexcept { return data_ + size_; }
  T& operator[](size_t i) noexcept {
    LINNET_DCHECK(i < size_);
    return data_[i];
  }
  const T& operator[](size_t i) const noexcept {
    LINNET_DCHECK(i < size_);
    return data_[i];
  }
  T& front() noexcept { return (*this)[0]; }
  const T& front() const noexcept { return (*this)[0]; }
  T& back() noexcept { return (*this)[size_ - 1]; }
  const T& back() const noexcept { return (*this)[size_ - 1]; }

  void clear() noexcept { size_ = 0; }
  void reserve(size_t capacity) {
    if (capacity <= capacity_) return;
    T* grown = new T[capacity];
    std::copy_n(data_, size_, grown);
    release();
    data_ = grown;
    capacity_ = capacity;
  }
  void push_back(T value) {
    if (size_ == capacity_) reserve(capacity_ * 2);
    data_[size_++] = value;
  }
  void pop_back() noexcept { --size_; }
  void resize(size_t count, T value = T{}) {
    reserve(count);
    if (count > size_) std::fill(data_ + size_, data_ + count, value);
    size_ = count;
  }
  template <std::forward_iterator It>
  void assign(It first, It last) {
    const size_t count = static_cast<size_t>(std::distance(first, last));
    reserve(count);
    std::copy(first, last, data_);
    size_ = count;
  }
  void insert(size_t position, T value) {
    push_back(value);
    std::rotate(data_ + position, data_ + size_ - 1, data_ + size_);
  }
  void erase(size_t position) noexcept {
    std::copy(data_ + position + 1, data_ + size_, data_ + position);
    --size_;
  }

  friend bool operator==(const InlineVector& a, const InlineVector& b) noexcept {
    return a.size_ == b.size_ && std::equal(a.begin(), a.end(), b.begin());
  }

 private:
  void release() noexcept {
    if (data_ != inline_) delete[] data_;
    data_ = inline_;
    capacity_ = N;
  }
  void take(InlineVector& other) noexcept {
    if (other.data_ == other.inline_) {
      std::copy_n(other.data_, other.size_, inline_);
    } else {
      data_ = other.data_;
      capacity_ = other.capacity_;
      other.data_ = other.inline_;
      other.capacity_ = N;
    }
    size_ = other.size_;
    other.size_ = 0;
  }

  T* data_;
  size_t size_ = 0;
  size_t capacity_ = N;
  T inline_[N];
};

}  // namespace linnet
