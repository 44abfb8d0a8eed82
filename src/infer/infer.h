// Walks a graph in topological order and asks each operator for the types and symbolic shapes of its outputs.
#pragma once

#include <memory>
#include <vector>

#include "graph/graph.h"
#include "ops/op.h"

namespace linnet {

// What inference found out beyond the infos it wrote into the graph.
struct GraphFacts {
  // Elements of small integer tensors, by value id; empty pointers where not tracked.
  std::vector<std::unique_ptr<DimVector>> ints;

  const DimVector* tracked(ValueId id) const noexcept { return id < ints.size() ? ints[id].get() : nullptr; }
};

// Sets GraphValue::info of every value, in subgraphs too. The graph must be sorted and upgraded. What the model
// declares for its inputs is taken as given, except that sizes it names are symbols; what it declares for other values
// is ignored. Fails when an operator is unknown or finds its inputs impossible; the error names the node and the input
// shapes.
Result<GraphFacts> infer_graph(Graph& graph, SymbolTable& symbols);

// "float[2, seq], int64[3]": the infos as error messages show them.
std::string describe(std::span<const ValueInfo* const> infos, const SymbolTable& symbols);

}  // namespace linnet
