// activation(x a) (x b), as the feed-forward layers with SwiGLU and GeGLU have it, becomes one product by both matrices
// whose second half is multiplied by the first: linnet.GroupedMatMul. After fuse_matmul has put the activation in.
// https://arxiv.org/abs/2002.05202
#include "optimize/match.h"
#include "optimize/optimizer.h"
#include "optimize/products.h"

namespace linnet {
namespace {

bool fuse(Graph& graph, NodeId id, const PassContext& context) {
  const Node& mul = graph.node(id);
  if (!mul.is("Mul")) return false;
  for (size_t side = 0; side < 2; ++side) {
    const Node* first = graph.producer(mul.inputs[side]);
    const std::optional<ConstantProduct> gate = first ? as_constant_product(graph, *first) : std::nullopt;
    if (!gate || !gate->activated) continue;
    const Node* second = graph.producer(mul.inputs[1 - side]);
    const std::optional<ConstantProduct> value = second ? as_constant_product(graph, *second) : std::nullopt;
    if (!value || value->activated) continue;
    if (value->x != gate->x || value->columns != gate->columns || value->transposed != gate->transposed ||
        gate->columns < 2) {
      context.miss(graph, id, "its factors are products of different inputs or sizes");
      continue;
    }
    if (sole_user(graph, mul.inputs[0]) == kNoNode || sole_user(graph, mul.inputs[1]) == kNoNode) {
      context.miss(graph, id, "one of its factors is read by others, too");
      continue;
    }
    Node node = grouped_matmul(*gate, mul.name);
    node.inputs.insert(node.inputs.end(), {value->matrix, value->bias});
    node.outputs = mul.outputs;
    node.set("gated", int64_t{1});
    for (const std::string_view name : {"activation", "activation_params"})
      if (const Attribute* attribute = first->find(name)) node.set(name, attribute->data);
    const NodeId parts[] = {id, node_id(graph, mul.inputs[0]), node_id(graph, mul.inputs[1])};
    for (const NodeId part : parts) graph.remove_node(part);
    graph.add_node(std::move(node));
    return true;
  }
  return false;
}

}  // namespace

Result<size_t> fuse_gate(Graph& graph, PassContext& context) {
  return rewrite_nodes(graph, [&](NodeId id) { return fuse(graph, id, context); });
}

}  // namespace linnet
