// Writes a graph as a model again: the inverse of builder.h.
#pragma once

#include <functional>

#include "graph/graph.h"
#include "onnx/model.h"

namespace linnet {

// Names of inputs and outputs stay; other names are kept where they are unique. Tensors are views of the graph's
// constants, so the graph must outlive the model. Equal constants are written once, for the graph and those within it.
// One operator set is imported for each domain, the newest that any
// node was written for: every node has to mean the same in that one. The graph must be sorted.
struct ExportOptions {
  // Nodes say in their doc_string which version they were written for; DataSource::compiled reads that.
  bool node_versions = false;
  // Sees each constant and its message, which it may change; equal constants stay apart.
  std::function<void(const Tensor&, onnx::Tensor&)> constant = nullptr;
};
onnx::Model export_model(const Graph& graph, const SymbolTable& symbols, const ExportOptions& options = {});

}  // namespace linnet
