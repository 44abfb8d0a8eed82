// What is known of a value before it exists: kind, element type, and possibly symbolic shape.
#pragma once

#include <memory>

#include "tensor/dim.h"
#include "tensor/dtype.h"

namespace linnet {

enum class ValueKind : uint8_t { tensor, sequence, optional, map };

struct ValueInfo {
  ValueKind kind = ValueKind::tensor;
  DType dtype = DType::undefined;  // of the tensor, or of the tensors within; a map's values
  DType key = DType::undefined;    // of a map's keys
  bool ranked = false;             // `shape` is meaningful; for a tensor only
  SymShape shape;
  std::shared_ptr<const ValueInfo> element;  // of a sequence or optional, where the model says

  static ValueInfo tensor(DType dtype) {
    ValueInfo info;
    info.dtype = dtype;
    return info;
  }
  static ValueInfo tensor(DType dtype, SymShape shape) {
    ValueInfo info = tensor(dtype);
    info.ranked = true;
    info.shape = std::move(shape);
    return info;
  }
  // All sizes are known numbers.
  bool concrete() const noexcept { return kind == ValueKind::tensor && ranked && shape.known(); }
};

}  // namespace linnet
