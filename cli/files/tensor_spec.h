// What a model says of an input: what a file without types of its own (JSON, an image) is read as.
#pragma once

#include <string>

#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace linnet::cli {

struct TensorSpec {
  std::string name;
  DType dtype = DType::undefined;  // undefined: not known
  Shape shape;                     // -1: any size
  bool any_rank = false;           // the shape is not known at all
};

}  // namespace linnet::cli
