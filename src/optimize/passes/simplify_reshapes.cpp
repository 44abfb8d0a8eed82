// The sizes of a Reshape that are computed from shapes become a constant: 0 where a size is that of its input, -1 where
// one only is left. What computed them goes.
// https://onnx.ai/onnx/operators/onnx__Reshape.html
#include "optimize/match.h"
#include "optimize/optimizer.h"

namespace linnet {
namespace {

std::optional<std::vector<int64_t>> constant_sizes(const SymShape& x, const DimVector& wanted) {
  std::vector<int64_t> sizes;
  size_t rest = 0, left = 0;  // sizes that are -1 as the model has it; those that only we would make so
  bool others_are_numbers = true;
  for (size_t i = 0; i < wanted.size(); ++i) {
    int64_t size = -1;
    if (wanted[i].known()) {
      size = wanted[i].value();
      rest += size == -1;
      others_are_numbers &= size > 0;
    } else if (i < x.size() && wanted[i] == x[i]) {
      size = 0;
      others_are_numbers = false;
    } else {
      ++left;
    }
    sizes.push_back(size);
  }
  // -1 says nothing where another size is 0.
  if (rest + left > 1 || (left == 1 && !others_are_numbers)) return std::nullopt;
  return sizes;
}

bool simplify(Graph& graph, NodeId id, const PassContext& context) {
  const Node& node = graph.node(id);
  if (!node.is("Reshape") || node.int_or("allowzero", 0) != 0 || node.input(1) == kNoValue ||
      graph.constant(node.inputs[1]))
    return false;
  const DimVector* wanted = context.facts.tracked(node.inputs[1]);
  const ValueInfo& x = graph.value(node.inputs[0]).info;
  if (!wanted || !x.ranked || wanted->empty()) return false;
  std::optional<std::vector<int64_t>> sizes = constant_sizes(x.shape, *wanted);
  if (!sizes) {
    context.miss(graph, id, "more than one of its sizes is neither a number nor that of its input");
    return false;
  }
  const ValueId constant = graph.add_ints(graph.value(node.inputs[1]).name + "/constant", std::move(*sizes));
  graph.set_input(id, 1, constant);
  return true;
}

}  // namespace

Result<size_t> simplify_reshapes(Graph& graph, PassContext& context) {
  return rewrite_nodes(graph, [&](NodeId id) { return simplify(graph, id, context); });
}

}  // namespace linnet
