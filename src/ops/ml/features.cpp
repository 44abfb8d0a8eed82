#include "ops/ml/features.h"

#include <algorithm>

namespace linnet {
namespace {

template <class T>
const float* convert(const Tensor& tensor, std::byte* scratch, const Parallel& parallel) {
  float* out = reinterpret_cast<float*>(scratch);
  const T* in = tensor.ptr<T>();
  parallel.for_range(static_cast<size_t>(tensor.count()), 16384, [&](size_t begin, size_t end, size_t) {
    for (size_t i = begin; i < end; ++i) out[i] = static_cast<float>(in[i]);
  });
  return out;
}

}  // namespace

Result<FeatureShape> feature_shape(const InferContext& context, size_t i) {
  if (!context.ranked(i)) return FeatureShape{};
  const SymShape& shape = context.shape(i);
  if (shape.size() == 1) return FeatureShape{1, shape[0]};
  if (shape.size() == 2) return FeatureShape{shape[0], shape[1]};
  return invalid_argument("takes rows of features, not an input of rank ", shape.size());
}

Status check_feature_type(const InferContext& context, size_t i) {
  const DType type = context.dtype(i);
  if (type == DType::f32 || type == DType::f64 || type == DType::i64 || type == DType::i32) return {};
  return unsupported("features of type ", dtype_name(type), " are not supported");
}

const float* float_features(const RunContext& context, size_t i, std::byte* scratch) {
  const Tensor& tensor = context.in(i);
  switch (tensor.dtype) {
    case DType::f16: return convert<f16>(tensor, scratch, context.parallel);
    case DType::f64: return convert<double>(tensor, scratch, context.parallel);
    case DType::i64: return convert<int64_t>(tensor, scratch, context.parallel);
    case DType::i32: return convert<int32_t>(tensor, scratch, context.parallel);
    default: return tensor.ptr<float>();
  }
}

size_t float_features_scratch(const BindContext& context, size_t i) {
  return context.dtype(i) == DType::f32 ? 0 : static_cast<size_t>(context.shape(i).count()) * sizeof(float);
}

}  // namespace linnet
