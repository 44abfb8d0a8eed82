// A row of constants behind MatMulNBits becomes its bias.
// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#commicrosoftmatmulnbits
#include "optimize/match.h"
#include "optimize/optimizer.h"

namespace linnet {
namespace {

constexpr size_t kBias = 5;

bool fuse(Graph& graph, NodeId id, const PassContext& context) {
  const Node& product = graph.node(id);
  if (!product.is("MatMulNBits", "com.microsoft") || product.input(kBias) != kNoValue) return false;
  const ValueId out = product.outputs[0];
  const NodeId user = sole_user(graph, out);
  if (user == kNoNode || !graph.node(user).is("Add")) return false;
  const ValueId bias = other_input(graph.node(user), [&](ValueId v) { return v == out; });
  const Tensor* row = graph.constant(bias);
  const ValueInfo& info = graph.value(out).info;
  if (!row || row->dtype != info.dtype || row->shape.rank() != 1 || row->count() != product.int_or("N", 0)) {
    context.miss(graph, id, "what is added in ", graph.node_path(user), " is no constant row");
    return false;
  }
  Node fused = product;
  fused.inputs.resize(kBias + 1, kNoValue);
  fused.inputs[kBias] = bias;
  fused.outputs = graph.node(user).outputs;
  graph.remove_node(user);
  graph.remove_node(id);
  graph.add_node(std::move(fused));
  return true;
}

}  // namespace

Result<size_t> fuse_nbits_bias(Graph& graph, PassContext& context) {
  return rewrite_nodes(graph, [&](NodeId id) { return fuse(graph, id, context); });
}

}  // namespace linnet
