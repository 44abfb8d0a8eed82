// Rows of features: the input of the operators of ai.onnx.ml, [N, C] or [C].
#pragma once

#include "ops/op.h"

namespace linnet {

struct FeatureShape {
  Dim rows, features;
};
// Fails for scalars and for more than two axes. Unknown sizes when the input has no rank yet.
Result<FeatureShape> feature_shape(const InferContext& context, size_t i);
// Fails when the input's type is none of float, double, int64, int32.
Status check_feature_type(const InferContext& context, size_t i);

// The elements of input i as float, converted in parallel into `scratch` where they are something else.
const float* float_features(const RunContext& context, size_t i, std::byte* scratch);
// Bytes of scratch that float_features needs.
size_t float_features_scratch(const BindContext& context, size_t i);

inline size_t row_count(const Shape& shape) { return shape.rank() == 1 ? 1 : static_cast<size_t>(shape[0]); }
inline size_t feature_count(const Shape& shape) { return static_cast<size_t>(shape.back()); }

}  // namespace linnet
