// How the elements of a tensor are distributed, in memory that does not grow with their number.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace linnet {

// Bins of equal width over [-2^e, 2^e), where 2^e is above every magnitude seen so far. A greater one doubles the
// range, which merges neighbours: no count is ever split, so the order of the data does not matter. Zeros, which lie on
// the edge of two bins and are exact in every quantisation, are counted apart.
class Histogram {
 public:
  static constexpr size_t kBins = 4096;

  // Infinities and NaN are left out; `magnitude` is the greatest of the finite elements.
  void add(std::span<const float> elements, float magnitude);

  uint64_t zeros() const noexcept { return zeros_; }
  bool empty() const noexcept { return bins_.empty(); }  // nothing but zeros
  // Without zeros; element i counts from edge(i) to edge(i + 1). None when empty.
  std::span<const uint64_t> bins() const noexcept { return bins_; }
  double edge(size_t bin) const noexcept { return (static_cast<double>(bin) - kHalf) * width_; }
  double width() const noexcept { return width_; }

 private:
  static constexpr int64_t kHalf = kBins / 2;
  void widen(int exponent);

  std::vector<uint64_t> bins_;
  uint64_t zeros_ = 0;
  int exponent_ = 0;
  double width_ = 0;
};

}  // namespace linnet
