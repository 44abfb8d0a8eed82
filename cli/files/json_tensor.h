// Tensors as JSON: nested arrays, or {"dtype": "int64", "shape": [2, 3], "data": nested or flat array}.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "files/tensor_spec.h"
#include "tensor/tensor.h"

namespace linnet::cli {

// Without a "dtype", elements are of the type in `spec`; when that is unknown too, numbers are float32, text is string,
// true and false are bool. NaN and infinities are the strings "NaN", "Infinity", "-Infinity". Complex types have no
// form.
Result<Tensor> parse_json_tensor(std::string_view text, const TensorSpec& spec);

// The long form with nested data, on one line. Floats are written so that reading them gives the same bits.
Result<std::string> json_text(const Tensor& tensor);

}  // namespace linnet::cli
