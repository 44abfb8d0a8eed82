// What a model file holds, counted.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "onnx/model.h"
#include "tensor/dtype.h"

namespace linnet::cli {

struct OperatorCount {
  size_t main = 0, inner = 0;  // nodes of the main graph; of subgraphs and functions
};

struct TensorCount {
  size_t tensors = 0;
  uint64_t elements = 0, bytes = 0;
};

struct ModelSummary {
  std::map<std::string, OperatorCount> operators;  // by "Name" or "domain.Name"
  std::map<DType, TensorCount> parameters;         // initializers and the tensors of Constant nodes
  std::map<std::string, TensorCount> external;     // by location
  std::map<std::string, size_t> functions;         // by name: how many overloads
};

ModelSummary summarize(const onnx::Model& model);

}  // namespace linnet::cli
