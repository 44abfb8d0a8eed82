// A look-up from keys to values of any element types: what LabelEncoder and CategoryMapper do.
#pragma once

#include <limits>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "tensor/tensor.h"

namespace linnet {

// The position of a key in a 1-D tensor of strings or numbers. NaN is found as any other key.
class KeyIndex {
 public:
  // Where a key is there twice, the last one counts.
  Status build(Tensor keys);
  static constexpr size_t kAbsent = std::numeric_limits<size_t>::max();

  DType dtype() const noexcept { return keys_.dtype; }
  size_t size() const noexcept { return static_cast<size_t>(keys_.count()); }
  // Of element i of a tensor whose type is of the same kind (string, integer, or floating).
  size_t find(const Tensor& tensor, int64_t i) const noexcept;
  bool accepts(DType dtype) const noexcept;

 private:
  void index_densely();

  Tensor keys_;  // owns the strings that the index views
  std::unordered_map<std::string_view, size_t> strings_;
  std::unordered_map<int64_t, size_t> integers_;
  std::vector<size_t> dense_;  // positions of the keys from least_ on instead, where they lie close together
  int64_t least_ = 0;
  std::unordered_map<double, size_t> floats_;
  size_t nan_ = kAbsent;
};

// 1-D tensors that own a copy of the elements.
Result<Tensor> label_tensor(const std::vector<std::string>& elements);
Result<Tensor> label_tensor(const std::vector<int64_t>& elements);
Result<Tensor> label_tensor(const std::vector<float>& elements);

}  // namespace linnet
