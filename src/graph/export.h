// Writes a graph as a model again: the inverse of builder.h.
#pragma once

#include "graph/graph.h"
#include "onnx/model.h"

namespace linnet {

// Names of inputs and outputs stay; other names are kept where they are unique. Tensors are views of the graph's
// constants, so the graph must outlive the model. One operator set is imported for each domain, the newest that any
// node was written for: every node has to mean the same in that one. The graph must be sorted.
onnx::Model export_model(const Graph& graph, const SymbolTable& symbols);

}  // namespace linnet
