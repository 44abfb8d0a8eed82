// Says in a newer operator set what nodes of older ones mean: an ONNX file imports one set for all of its nodes.
#pragma once

#include "base/result.h"
#include "graph/graph.h"

namespace linnet {

// The oldest set of standard operators that is as new as every node's, in subgraphs too.
int newest_version(const Graph& graph);

// Rewrites the nodes of the standard's domain whose meaning has changed up to `version`, and makes that the version of
// all. The graph must be sorted and have been upgraded; some forms need the ranks of values, which inference finds out.
Status raise_graph(Graph& graph, int version);

}  // namespace linnet
