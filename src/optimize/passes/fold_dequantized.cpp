// Small quantised constants that no integer operator took become floats, as do the weights of operators that pack
// theirs for float arithmetic.
#include <algorithm>

#include "optimize/evaluate.h"
#include "optimize/optimizer.h"

namespace linnet {
namespace {

constexpr int64_t kSmall = 1024;  // elements

bool only_packed(const Graph& graph, ValueId value) {
  static constexpr std::string_view kPackers[] = {"Conv", "ConvTranspose"};
  if (graph.is_output(value) || graph.uses(value).empty()) return false;
  return std::all_of(graph.uses(value).begin(), graph.uses(value).end(), [&](NodeId user) {
    const Node& node = graph.node(user);
    return node.domain.empty() && node.input(1) == value &&
           std::find(std::begin(kPackers), std::end(kPackers), node.op_type) != std::end(kPackers);
  });
}

}  // namespace

Result<size_t> fold_dequantized(Graph& graph, PassContext& context) {
  size_t changes = 0, budget = context.options.fold_bytes;
  const std::vector<NodeId> order = graph.order();
  for (const NodeId id : order) {
    const Node& node = graph.node(id);
    if (node.op_type != "DequantizeLinear" || !graph.constant(node.input(0))) continue;
    if (const int64_t count = graph.constant(node.inputs[0])->count();
        count > kSmall && !only_packed(graph, node.outputs[0])) {
      context.miss(graph, id, "its ", count, " elements stay codes; as floats they would take four times the memory");
      continue;
    }
    std::optional<std::vector<Tensor>> outputs = evaluate(graph, id, budget);
    if (!outputs) continue;
    const ValueId out = node.outputs[0];
    graph.remove_node(id);
    budget -= std::min(budget, (*outputs)[0].bytes());
    graph.set_constant(out, std::move((*outputs)[0]));
    ++changes;
  }
  return changes;
}

}  // namespace linnet
