// Two transpositions in a row are one, or none; a transposition of a matrix's last axes goes into the product that
// reads it, MatMul or Gemm.
#include "optimize/match.h"
#include "optimize/optimizer.h"

namespace linnet {
namespace {

std::optional<std::vector<int64_t>> permutation_of(const Graph& graph, const Node& node) {
  if (const std::vector<int64_t>* listed = node.ints("perm")) return *listed;
  const ValueInfo& info = graph.value(node.inputs[0]).info;
  if (!info.ranked) return std::nullopt;
  std::vector<int64_t> reversed;
  for (size_t i = info.shape.size(); i-- > 0;) reversed.push_back(static_cast<int64_t>(i));
  return reversed;
}

bool swaps_last_two(const std::vector<int64_t>& p) {
  const size_t n = p.size();
  if (n < 2 || p[n - 1] != static_cast<int64_t>(n) - 2 || p[n - 2] != static_cast<int64_t>(n) - 1) return false;
  for (size_t i = 0; i + 2 < n; ++i)
    if (p[i] != static_cast<int64_t>(i)) return false;
  return true;
}

bool merge_pair(Graph& graph, NodeId id) {
  const Node* first = made_by(graph, graph.node(id).inputs[0], "Transpose");
  if (!first) return false;
  const auto a = permutation_of(graph, *first), b = permutation_of(graph, graph.node(id));
  if (!a || !b || a->size() != b->size()) return false;
  std::vector<int64_t> both;
  bool identity = true;
  for (size_t i = 0; i < b->size(); ++i) {
    const int64_t axis = (*b)[i];
    if (axis < 0 || axis >= static_cast<int64_t>(a->size())) return false;
    both.push_back((*a)[static_cast<size_t>(axis)]);
    identity = identity && both.back() == static_cast<int64_t>(i);
  }
  const ValueId source = first->inputs[0], out = graph.node(id).outputs[0];
  if (identity && !(graph.is_output(out) && (!graph.producer(source) || graph.is_output(source)))) {
    graph.replace_uses(out, source);
    graph.remove_node(id);
  } else {
    graph.set_input(id, 0, source);
    graph.node(id).set("perm", both);
  }
  return true;
}

// The value before a Transpose of its last two axes.
ValueId before_swap(const Graph& graph, ValueId value) {
  const Node* transpose = made_by(graph, value, "Transpose");
  const auto permutation = transpose ? permutation_of(graph, *transpose) : std::nullopt;
  return permutation && swaps_last_two(*permutation) ? transpose->inputs[0] : kNoValue;
}

// MatMul over the last two axes is FusedMatMul with transA or transB. A constant on the right keeps its MatMul, which
// takes more of what is around it. In 16 bits other runtimes may lack FusedMatMul; there only constants' are merged.
bool merge_into_product(Graph& graph, NodeId id, OptimizationLevel level) {
  const Node& node = graph.node(id);
  const ValueId b = before_swap(graph, node.inputs[1]);
  if (graph.value(node.outputs[0]).info.dtype != DType::f32 && (level < OptimizationLevel::all || !graph.constant(b)))
    return false;
  const ValueId a = sole_user(graph, node.inputs[0]) != kNoNode && !graph.constant(node.inputs[1])
                        ? before_swap(graph, node.inputs[0])
                        : kNoValue;
  if (a == kNoValue && b == kNoValue) return false;
  Node fused = node;
  fused.domain = "com.microsoft";
  fused.op_type = "FusedMatMul";
  fused.version = 1;
  if (a != kNoValue) fused.inputs[0] = a, fused.set("transA", int64_t{1});
  if (b != kNoValue) fused.inputs[1] = b, fused.set("transB", int64_t{1});
  graph.remove_node(id);
  graph.add_node(std::move(fused));
  return true;
}

bool merge_into_gemm(Graph& graph, NodeId id) {
  bool changed = false;
  for (const size_t side : {0, 1}) {
    const ValueId value = graph.node(id).inputs[side], before = before_swap(graph, value);
    if (before == kNoValue || sole_user(graph, value) == kNoNode) continue;
    const std::string_view name = side == 0 ? "transA" : "transB";
    graph.set_input(id, side, before);
    graph.node(id).set(name, int64_t{graph.node(id).int_or(name, 0) == 0});
    changed = true;
  }
  return changed;
}

}  // namespace

Result<size_t> merge_transposes(Graph& graph, PassContext& context) {
  size_t changes = rewrite_nodes(graph, [&](NodeId id) {
    const Node& node = graph.node(id);
    return (node.is("Transpose") && merge_pair(graph, id)) || (node.is("Gemm") && merge_into_gemm(graph, id));
  });
  if (context.options.level >= OptimizationLevel::extended)
    changes += rewrite_nodes(graph, [&](NodeId id) {
      return graph.node(id).is("MatMul") && merge_into_product(graph, id, context.options.level);
    });
  return changes;
}

}  // namespace linnet
