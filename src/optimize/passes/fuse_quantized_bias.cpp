// A row of constants behind a product by quantised weights becomes its bias: MatMulNBits, DynamicQuantizeMatMul and
// MatMulIntegerToFloat. https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
#include "optimize/match.h"
#include "optimize/optimizer.h"

namespace linnet {
namespace {

// Which input is the bias; 0 for other operators.
size_t bias_of(const Node& node) {
  constexpr std::pair<std::string_view, size_t> kProducts[] = {
      {"MatMulNBits", 5}, {"DynamicQuantizeMatMul", 4}, {"MatMulIntegerToFloat", 6}};
  for (const auto& [type, input] : kProducts)
    if (node.is(type, "com.microsoft")) return input;
  return 0;
}

bool fuse(Graph& graph, NodeId id, const PassContext& context) {
  const Node& product = graph.node(id);
  const size_t input = bias_of(product);
  if (input == 0 || product.input(input) != kNoValue) return false;
  const ValueId out = product.outputs[0];
  const NodeId user = sole_user(graph, out);
  if (user == kNoNode || !graph.node(user).is("Add")) return false;
  const ValueId bias = other_input(graph.node(user), [&](ValueId v) { return v == out; });
  const Tensor* row = graph.constant(bias);
  const ValueInfo& info = graph.value(out).info;
  if (!row || row->dtype != info.dtype || row->shape.rank() != 1 || !info.ranked || info.shape.empty() ||
      !info.shape.back().is(row->count())) {
    if (row) context.miss(graph, id, "what is added in ", graph.node_path(user), " is no row as long as the product's");
    return false;
  }
  Node fused = product;
  fused.inputs.resize(input + 1, kNoValue);
  fused.inputs[input] = bias;
  fused.outputs = graph.node(user).outputs;
  graph.remove_node(user);
  graph.remove_node(id);
  graph.add_node(std::move(fused));
  return true;
}

}  // namespace

Result<size_t> fuse_quantized_bias(Graph& graph, PassContext& context) {
  return rewrite_nodes(graph, [&](NodeId id) { return fuse(graph, id, context); });
}

}  // namespace linnet
