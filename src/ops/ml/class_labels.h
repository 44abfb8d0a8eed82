// What the classifiers of ai.onnx.ml share: labels, which are integers or strings.
#pragma once

#include <string>
#include <vector>

#include "ops/op.h"

namespace linnet {

struct ClassLabels {
  std::vector<int64_t> integers;
  std::vector<std::string> strings;

  // Exactly one of the two attributes must be there.
  Status parse(NodeReader& reader, std::string_view integers_name, std::string_view strings_name);
  size_t size() const noexcept { return strings.empty() ? integers.size() : strings.size(); }
  DType dtype() const noexcept { return strings.empty() ? DType::i64 : DType::string; }
  void write(Tensor& labels, size_t row, size_t index) const;
  // For models that name one class or none and still answer with 1 or 0.
  void write_sign(Tensor& labels, size_t row, bool positive) const;
};

}  // namespace linnet
