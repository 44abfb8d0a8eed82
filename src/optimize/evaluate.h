// Computes a node's outputs from constant inputs, for folding.
#pragma once

#include <vector>

#include "graph/graph.h"

namespace linnet {

// The outputs of the node (empty tensors for those it leaves out), or nothing when it cannot be computed ahead: an
// input is not constant, it is random, it has subgraphs, an output is no tensor or larger than `most_bytes` together.
// What fails here fails again at run time, with a better message, so errors mean "nothing" as well.
std::optional<std::vector<Tensor>> evaluate(const Graph& graph, NodeId id, size_t most_bytes);

}  // namespace linnet
