// Products of one input by several constant matrices, as queries, keys and values are, become one linnet.GroupedMatMul
// with an output for each: the input is read once, and threads meet once. Only neighbours: results that are wanted much
// later would lie in memory until then.
#include "optimize/match.h"
#include "optimize/optimizer.h"
#include "optimize/products.h"

namespace linnet {
namespace {

constexpr int64_t kLeastColumns = 16;  // fewer are no work to share

void group(Graph& graph, const std::vector<NodeId>& members) {
  const auto product_of = [&](NodeId id) { return *as_constant_product(graph, graph.node(id)); };
  Node node = grouped_matmul(product_of(members[0]), graph.node(members[0]).name);
  for (const NodeId id : members) {
    if (id != members[0]) {
      const ConstantProduct product = product_of(id);
      node.inputs.insert(node.inputs.end(), {product.matrix, product.bias});
    }
    node.outputs.push_back(graph.node(id).outputs[0]);
  }
  for (const NodeId id : members) graph.remove_node(id);
  graph.add_node(std::move(node));
}

}  // namespace

Result<size_t> group_products(Graph& graph, PassContext& context) {
  size_t changes = 0;
  std::vector<NodeId> members;
  ConstantProduct first;
  const auto close = [&] {
    if (members.size() > 1) {
      group(graph, members);
      ++changes;
    }
    members.clear();
  };
  const std::vector<NodeId> order = graph.order();
  for (const NodeId id : order) {
    const Node& node = graph.node(id);
    if (node.op_type.find("MatMul") == std::string::npos && node.op_type != "Gemm") continue;
    if (!graph.constant(node.input(1))) continue;
    const std::optional<ConstantProduct> product = as_constant_product(graph, node);
    const bool alone = !product || product->activated || product->columns < kLeastColumns;
    if (!members.empty() && product && product->x == first.x && (alone || product->transposed != first.transposed))
      context.miss(graph, id, "it has an activation, few columns or another form than its neighbours");
    if (!members.empty() &&
        (alone || product->x != first.x || product->transposed != first.transposed || members.size() == kMostProducts))
      close();
    if (alone) continue;
    if (members.empty()) first = *product;
    members.push_back(id);
  }
  close();
  return changes;
}

}  // namespace linnet
