// Types and attributes of a model file as the graph has them.
#pragma once

#include "graph/graph.h"
#include "onnx/tensor_data.h"

namespace linnet {

// Sizes without a value, and negative ones, are unknown; named ones become symbols. Fails on an unknown element type.
Result<ValueInfo> to_value_info(const onnx::Type& type, SymbolTable& symbols);

// The value of an attribute that holds no graph. Sparse tensors are made dense.
Result<Attribute::Data> to_attribute_data(const onnx::Attribute& attribute, const onnx::DataSource& source,
                                          SymbolTable& symbols);

// The tensor that a Constant node's attribute stands for.
Result<Tensor> constant_of(const Attribute& attribute);

}  // namespace linnet
