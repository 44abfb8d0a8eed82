// The sums of products of a tensor's channels, X transposed times X: what a layer that multiplies X by a weight shows
// of its inputs to those who judge the weight by the layer's results.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/parallel.h"

namespace linnet {

struct GemmArgs;
// What gemm needs, in `memory`, which grows.
float* gemm_scratch(const GemmArgs& args, const Parallel& parallel, std::vector<float>& memory);

class Gram {
 public:
  // Rows of `channels` elements. The result does not depend on the number of threads.
  void add(std::span<const float> elements, size_t channels, const Parallel& parallel);
  // What another one has seen of as many channels.
  void add(const Gram& other);

  size_t channels() const noexcept { return channels_; }
  uint64_t rows() const noexcept { return rows_; }
  // Whether the number of channels was not always the same; there are no sums then.
  bool ragged() const noexcept { return ragged_; }
  // i <= j: only the upper half is there.
  float at(size_t i, size_t j) const noexcept { return sums_[i * channels_ + j]; }

 private:
  size_t channels_ = 0;
  uint64_t rows_ = 0;
  bool ragged_ = false;
  std::vector<float> sums_;
};

}  // namespace linnet
