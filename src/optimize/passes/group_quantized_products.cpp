// Products of one input by several quantised matrices, as queries, keys and values are, become one node with an output
// for each: linnet.GroupedDynamicQuantizeMatMul or GroupedMatMulNBits. Only neighbours, as in group_products.
#include <algorithm>

#include "optimize/match.h"
#include "optimize/optimizer.h"
#include "optimize/quantized_products.h"

namespace linnet {
namespace {

// Whether nothing but the members reads what their quantizer, if they have one in common, makes of x.
bool read_alone(const Graph& graph, NodeId quantizer, const std::vector<NodeId>& members) {
  if (quantizer == kNoNode) return true;
  for (const ValueId output : graph.node(quantizer).outputs) {
    if (graph.is_output(output)) return false;
    for (const NodeId user : graph.uses(output))
      if (std::find(members.begin(), members.end(), user) == members.end()) return false;
  }
  return true;
}

}  // namespace

Result<size_t> group_quantized_products(Graph& graph, PassContext& context) {
  size_t changes = 0;
  std::vector<NodeId> members;
  std::vector<QuantizedProduct> products;
  const auto close = [&] {
    const bool alone = members.empty() || read_alone(graph, products[0].quantizer, members);
    if (members.size() > 1 && !alone)
      context.miss(graph, members[0], "the codes of its input are read by others, too, than products of it");
    if (members.size() > 1 && alone) {
      Node node = grouped_quantized(products, graph.node(members[0]).name);
      for (const NodeId id : members) {
        node.outputs.push_back(graph.node(id).outputs[0]);
        graph.remove_node(id);
      }
      graph.add_node(std::move(node));
      ++changes;
    }
    members.clear();
    products.clear();
  };
  const std::vector<NodeId> order = graph.order();
  for (const NodeId id : order) {
    const std::optional<QuantizedProduct> product = as_quantized_product(graph, graph.node(id));
    if (!product) continue;
    if (!members.empty() && product->x == products[0].x && !product->fits(products[0]))
      context.miss(graph, id, "its blocks are not those of its neighbours");
    if (!members.empty() &&
        (!product->fits(products[0]) || product->quantizer != products[0].quantizer || members.size() == kMostProducts))
      close();
    members.push_back(id);
    products.push_back(*product);
  }
  close();
  return changes;
}

}  // namespace linnet
