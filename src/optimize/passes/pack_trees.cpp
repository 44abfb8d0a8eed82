// Trees as the kernel walks them, in constants, which a compiled model holds: attributes would be read and built anew
// at each start.
#include "ops/ml/packed_trees.h"
#include "optimize/match.h"
#include "optimize/optimizer.h"

namespace linnet {
namespace {

constexpr std::string_view kNames[] = {"nodes", "roots", "vote_begin", "votes", "tests", "set_begin", "members"};
static_assert(std::size(kNames) == TreeInput::kEnd - TreeInput::kNodes);

size_t pack(Graph& graph, NodeId id) {
  Node& node = graph.node(id);
  if (node.domain != "ai.onnx.ml" || !node.op_type.starts_with("TreeEnsemble") || node.custom) return 0;
  Result<std::vector<Tensor>> constants = pack_tree_node(node, graph.value(node.inputs[0]).info.dtype);
  if (!constants.ok()) return 0;  // preparing the node fails alike
  std::vector<ValueId> inputs = node.inputs;
  for (size_t i = 0; i < std::size(kNames); ++i) {
    Tensor& constant = (*constants)[i];
    const std::string name = concat(graph.value(node.outputs[0]).name, '/', kNames[i]);
    inputs.push_back(constant.dtype == DType::undefined ? kNoValue : graph.add_constant(name, std::move(constant)));
  }
  graph.set_inputs(id, std::move(inputs));
  return 1;
}

}  // namespace

Result<size_t> pack_trees(Graph& graph, PassContext&) {
  return rewrite_nodes(graph, [&](NodeId id) { return pack(graph, id); });
}

}  // namespace linnet
