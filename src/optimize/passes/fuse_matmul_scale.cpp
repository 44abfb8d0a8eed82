// A product of two computed matrices that is multiplied or divided by a number, before or behind, becomes FusedMatMul
// with that number as alpha. Products by constants take it in fuse_matmul, attention's in fuse_attention.
// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.FusedMatMul
#include "optimize/match.h"
#include "optimize/optimizer.h"

namespace linnet {
namespace {

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
