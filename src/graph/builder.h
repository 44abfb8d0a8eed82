// Builds the graph of a model: names become ids, constants tensors, and model-local functions are inlined.
#pragma once

#include <memory>

#include "graph/graph.h"
#include "onnx/tensor_data.h"

namespace linnet {

// The newest operator sets that are known; a model that imports newer ones is refused.
inline constexpr int kMaxOpset = 28;
inline constexpr int kMaxMlOpset = 5;

// The graph is sorted and each name in it defined once. Constants view the buffers of `source` where they can.
// Named sizes become symbols of `symbols`. Nodes are not checked against their operators yet. Numbers of attributes are
// moved out of the model's nodes.
Result<std::shared_ptr<Graph>> build_graph(onnx::Model& model, const onnx::DataSource& source, SymbolTable& symbols);

}  // namespace linnet
