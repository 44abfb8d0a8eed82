// Values as text: for people a line, for programs JSON.
#pragma once

#include <string>

#include "base/result.h"
#include "tensor/dim.h"
#include "tensor/tensor.h"
#include "tensor/value_info.h"

namespace linnet::cli {

// "float[1x3x224x224]", "sequence of 3", "map of 5", "nothing".
std::string type_text(const Value& value);
// "float[batch, 3]", "sequence(float[?])", "map(int64, float)".
std::string type_text(const ValueInfo& info, const SymbolTable& symbols);
// The least, the greatest and the mean of a tensor of numbers, and its first elements.
std::string summary(const Value& value);
// "[1, 2, 3, 4, 5, 6, ...]".
std::string first_elements(const Tensor& tensor);
// Six significant digits.
std::string number_text(double number);
// An object on one line: {"dtype": .., "shape": .., "data": ..}, {"sequence": [..]}, {"map": {"keys": .., "values":
// ..}} or {"nothing": true}.
Result<std::string> json_text(const Value& value);

}  // namespace linnet::cli
