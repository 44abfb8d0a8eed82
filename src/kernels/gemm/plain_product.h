// Products of matrices of any element type that C++ can add and multiply, with any strides: what is not fp32.
// Integers wrap, as the standard's reference does. double_product is the SIMD form for double.
#pragma once

#include <cstddef>
#include <type_traits>

namespace linnet {

template <class T>
struct PlainProduct {
  size_t n = 0, k = 0;
  const T* a = nullptr;
  size_t a_row = 0, a_column = 1;  // strides in elements
  const T* b = nullptr;
  size_t b_row = 0, b_column = 1;
  T* c = nullptr;  // rows ldc apart
  size_t ldc = 0;
};

// Rows [begin, end) of c.
template <class T>
void plain_product(const PlainProduct<T>& p, size_t begin, size_t end) noexcept {
  using Sum = typename std::conditional_t<std::is_integral_v<T>, std::make_unsigned<T>, std::type_identity<T>>::type;
  for (size_t i = begin; i < end; ++i) {
    T* c = p.c + i * p.ldc;
    for (size_t j = 0; j < p.n; ++j) c[j] = T{};
    for (size_t x = 0; x < p.k; ++x) {
      const Sum a = static_cast<Sum>(p.a[i * p.a_row + x * p.a_column]);
      const T* b = p.b + x * p.b_row;
      for (size_t j = 0; j < p.n; ++j)
        c[j] = static_cast<T>(static_cast<Sum>(c[j]) + a * static_cast<Sum>(b[j * p.b_column]));
    }
  }
}

// Rows [begin, end) of c; how the rows are split does not change a bit. Without SIMD where b's elements stand together
// along neither axis.
void double_product(const PlainProduct<double>& p, size_t begin, size_t end) noexcept;

}  // namespace linnet
