// A graph as text, for people: a line for each node.
#pragma once

#include <string>

#include "graph/graph.h"

namespace linnet::cli {

//   y: float[batch, 10] = Gemm(x, w: float[10x3], b) {alpha=0.5}
// Small constants stand as their elements, larger ones with their type; subgraphs follow their node, indented.
std::string graph_text(const Graph& graph, const SymbolTable& symbols);

}  // namespace linnet::cli
