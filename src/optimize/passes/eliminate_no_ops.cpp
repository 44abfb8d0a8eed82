// Removes nodes that hand their input on unchanged.
#include "optimize/match.h"
#include "optimize/optimizer.h"

namespace linnet {
namespace {

// Same rank and provably the same sizes.
bool same_shape(const ValueInfo& a, const ValueInfo& b) {
  return a.ranked && b.ranked && a.shape.size() == b.shape.size() && a.shape == b.shape;
}

bool is_no_op(const Graph& graph, const Node& node) {
  if (!node.domain.empty() || node.inputs.empty() || node.input(0) == kNoValue) return false;
  const ValueInfo& in = graph.value(node.inputs[0]).info;
  const ValueInfo& out = graph.value(node.outputs[0]).info;
  if (node.op_type == "Identity") return true;
  if (node.op_type == "Dropout")
    return node.output(1) == kNoValue &&
           (node.input(2) == kNoValue ||
            (graph.constant(node.input(2)) && integer_at(*graph.constant(node.input(2)), 0) == 0));
  if (node.op_type == "Cast" || node.op_type == "CastLike")
    return in.dtype == out.dtype && in.dtype != DType::undefined;
  static constexpr std::string_view kShapeOnly[] = {"Reshape", "Flatten", "Squeeze",   "Unsqueeze", "Expand",
                                                    "Slice",   "Tile",    "Transpose", "Pad"};
  for (const std::string_view type : kShapeOnly) {
    if (node.op_type != type || !same_shape(in, out)) continue;
    if (type == "Transpose") {
      const std::vector<int64_t>* permutation = node.ints("perm");
      if (!permutation) return in.shape.size() <= 1;
      for (size_t i = 0; i < permutation->size(); ++i)
        if ((*permutation)[i] != static_cast<int64_t>(i)) return false;
      return true;
    }
    if (type == "Slice") {  // the same sizes, but perhaps the other way round
      const Tensor* steps = graph.constant(node.input(4));
      if (node.input(4) != kNoValue && !steps) return false;
      for (int64_t i = 0; steps && i < steps->count(); ++i)
        if (integer_at(*steps, i) < 0) return false;
      return true;
    }
    if (type == "Pad") {
      const Tensor* pads = graph.constant(node.input(1));
      if (!pads) return false;
      for (int64_t i = 0; i < pads->count(); ++i)
        if (integer_at(*pads, i) != 0) return false;
      return true;
    }
    return true;
  }
  return (node.op_type == "Concat" || node.op_type == "Sum" || node.op_type == "Max" || node.op_type == "Min" ||
          node.op_type == "Mean") &&
         node.inputs.size() == 1;
}

}  // namespace

Result<size_t> eliminate_no_ops(Graph& graph, PassContext&) {
  return rewrite_nodes(graph, [&](NodeId id) {
    const Node& node = graph.node(id);
    if (!is_no_op(graph, node)) return false;
    const ValueId in = node.inputs[0], out = node.outputs[0];
    // A graph output needs a node of its own when what it would hand on is an input or a constant.
    if (graph.is_output(out) && (!graph.producer(in) || graph.is_output(in))) return false;
    graph.replace_uses(out, in);
    graph.remove_node(id);
    return true;
  });
}

}  // namespace linnet
