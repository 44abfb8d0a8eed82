// activation(a) b of one shape becomes linnet.ActivatedMul, where no product could take it: gates behind convolutions
// and integer products. Last, since the layout is arranged by operator.
#include "optimize/activations.h"
#include "optimize/match.h"
#include "optimize/optimizer.h"

namespace linnet {
namespace {

bool fuse(Graph& graph, NodeId id, const PassContext& context) {
  const Node& mul = graph.node(id);
  if (!mul.is("Mul") || graph.value(mul.outputs[0]).info.dtype != DType::f32) return false;
  for (const size_t side : {0, 1}) {
    const ValueId gate = mul.inputs[side], other = mul.inputs[1 - side];
    const Node* activated = graph.producer(gate);
    const std::optional<FusedActivation> activation =
        activated && gate != other ? as_activation(graph, *activated) : std::nullopt;
    if (!activation) continue;
    const ValueInfo &a = graph.value(gate).info, &b = graph.value(other).info;
    if (!a.ranked || !b.ranked || !(a.shape == b.shape) || graph.constant(other)) continue;
    if (sole_user(graph, gate) == kNoNode) {
      context.miss(graph, id, "the activation is read by others, too");
      continue;
    }
    Node node;
    node.domain = "linnet";
    node.op_type = "ActivatedMul";
    node.version = 1;
    node.name = mul.name;
    node.inputs = {activated->inputs[0], other};
    node.outputs = mul.outputs;
    activation->apply(node);
    const NodeId before = node_id(graph, gate);
    graph.remove_node(id);
    graph.remove_node(before);
    graph.add_node(std::move(node));
    return true;
  }
  return false;
}

}  // namespace

Result<size_t> fuse_activated_mul(Graph& graph, PassContext& context) {
  return rewrite_nodes(graph, [&](NodeId id) { return fuse(graph, id, context); });
}

}  // namespace linnet
