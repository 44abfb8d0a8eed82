// How two tensors of floats differ.
#pragma once

#include <span>

#include "tensor/tensor.h"

namespace linnet {

// What elements are read as: floats of all widths.
bool has_float_elements(const Tensor& tensor) noexcept;
// Elements [at, at + out.size()) as double.
void read_floats(const Tensor& tensor, int64_t at, std::span<double> out) noexcept;

// Whether elements are floats and none of them is finite: there is nothing to compare others with.
bool without_numbers(const Tensor& tensor) noexcept;

// Elements that are infinite or no numbers in both alike say nothing and are left out; where they are so in one of the
// two alone, the tensors are not comparable.
struct FloatErrors {
  double signal = 0, other_signal = 0, product = 0, noise = 0;  // sums of squares and products
  double max_abs = 0;
  bool comparable = true;

  void add(std::span<const double> reference, std::span<const double> other) noexcept;
  void add(const FloatErrors& more) noexcept;
  // Tensors of other shapes are not comparable.
  void add(const Tensor& reference, const Tensor& other);

  // 1 for two that are all zeros, 0 where one of them is and where they are not comparable.
  double cosine() const noexcept;
  double snr_db() const noexcept;
};

}  // namespace linnet
