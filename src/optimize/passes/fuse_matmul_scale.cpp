// A product of two computed matrices that is multiplied or divided by a number, before or behind, becomes FusedMatMul
// with that number as alpha. Products by constants take it in fuse_matmul, attention's in fuse_attention.
// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.FusedMatMul
#include "optimize/match.h"
#include "optimize/optimizer.h"

namespace linnet {
namespace {

struct Scaled {
  ValueId x = kNoValue;
  float factor = 1.0f;
};

// x and the number when the node is x number or x / number, of x's shape.
Scaled as_scaled(const Graph& graph, const Node& node) {
  if (!node.is("Mul") && !node.is("Div")) return {};
  const ValueId x =
      node.is("Div") ? node.inputs[0] : other_input(node, [&](ValueId v) { return scalar(graph, v).has_value(); });
  if (x == kNoValue || graph.constant(x)) return {};
  const ValueId number = node.inputs[0] == x ? node.inputs[1] : node.inputs[0];
  const std::optional<float> value = scalar(graph, number);
  const ValueInfo& info = graph.value(x).info;
  if (!value || info.dtype != DType::f32 || !info.ranked || graph.constant(number)->shape.rank() > info.shape.size())
    return {};
  const float factor = node.is("Div") ? 1.0f / *value : *value;
  return std::isfinite(factor) && factor != 0.0f ? Scaled{x, factor} : Scaled{};
}

bool fuse(Graph& graph, NodeId id, const PassContext& context) {
  const Node& product = graph.node(id);
  const bool fused = product.is("FusedMatMul", "com.microsoft");
  if ((!fused && !product.is("MatMul")) || graph.value(product.outputs[0]).info.dtype != DType::f32 ||
      graph.constant(product.inputs[0]) || graph.constant(product.inputs[1]))
    return false;
  Node made = product;
  float alpha = product.float_or("alpha", 1.0f);
  bool changed = false;
  for (ValueId& in : made.inputs) {
    const Node* before = sole_user(graph, in) == id ? graph.producer(in) : nullptr;
    const Scaled scaled = before ? as_scaled(graph, *before) : Scaled{};
    if (scaled.x == kNoValue) continue;
    in = scaled.x;
    alpha *= scaled.factor;
    changed = true;
  }
  const NodeId behind = sole_user(graph, product.outputs[0]);
  if (behind != kNoNode) {
    const Scaled scaled = as_scaled(graph, graph.node(behind));
    if (scaled.x == product.outputs[0]) {
      made.outputs = graph.node(behind).outputs;
      alpha *= scaled.factor;
      changed = true;
    }
  }
  for (const NodeId user : graph.uses(product.outputs[0]))
    if (behind == kNoNode && as_scaled(graph, graph.node(user)).x == product.outputs[0])
      context.miss(graph, id, "its result is read by others beside ", graph.node_path(user));
  if (!changed || !std::isfinite(alpha)) return false;
  made.domain = "com.microsoft";
  made.op_type = "FusedMatMul";
  made.version = 1;
  made.set("alpha", alpha);
  if (made.outputs != product.outputs) graph.remove_node(behind);
  graph.remove_node(id);
  graph.add_node(std::move(made));
  return true;
}

}  // namespace

Result<size_t> fuse_matmul_scale(Graph& graph, PassContext& context) {
  return rewrite_nodes(graph, [&](NodeId id) { return fuse(graph, id, context); });
}

}  // namespace linnet
