// LayerNormalization(a + b) and RMSNormalization(a + b) become com.microsoft's operators that add as they normalise,
// and give the sum too where others read it. After the products have taken what they can add themselves.
// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#commicrosoftskiplayernormalization,
// ...skipsimplifiedlayernormalization
#include "optimize/match.h"
#include "optimize/optimizer.h"

namespace linnet {
namespace {

// A row of the last axis' size.
bool is_row(const Graph& graph, ValueId value, Dim size, DType type) {
  const SymShape* shape = shape_of(graph, value, 1);
  return shape && (*shape)[0] == size && graph.value(value).info.dtype == type;
}

bool fuse(Graph& graph, NodeId id, const PassContext& context) {
  const Node& norm = graph.node(id);
  const bool rms = norm.is("RMSNormalization") || norm.is("SimplifiedLayerNormalization");
  if (!rms && !norm.is("LayerNormalization")) return false;
  for (size_t o = 1; o < norm.outputs.size(); ++o)
    if (norm.outputs[o] != kNoValue) return false;
  const Node* add = made_by(graph, norm.inputs[0], "Add");
  const ValueId sum = norm.inputs[0];
  const SymShape* shape = shape_of(graph, sum, 3);
  const DType type = graph.value(sum).info.dtype;
  if (!add || !shape || (type != DType::f32 && type != DType::f16)) return false;
  const int64_t axis = norm.int_or("axis", -1);
  if ((axis != -1 && axis != 2) || norm.int_or("stash_type", 1) != 1) return false;
  for (const ValueId part : add->inputs) {
    const SymShape* same = shape_of(graph, part, 3);
    if (same && *same == *shape && !graph.constant(part)) continue;
    context.miss(graph, id, "a term of the sum in front of it is a constant, or not certain to have the sum's shape");
    return false;
  }
  for (size_t i = 1; i < norm.inputs.size(); ++i)
    if (!is_row(graph, norm.inputs[i], shape->back(), type)) return false;

  Node fused;
  fused.domain = "com.microsoft";
  fused.op_type = rms ? "SkipSimplifiedLayerNormalization" : "SkipLayerNormalization";
  fused.version = 1;
  fused.name = norm.name;
  fused.set("epsilon", norm.float_or("epsilon", 1e-5f));
  fused.inputs = add->inputs;
  fused.inputs.insert(fused.inputs.end(), norm.inputs.begin() + 1, norm.inputs.end());
  fused.outputs = {norm.outputs[0]};
  const bool shared = graph.use_count(sum) > 1;
  if (shared) fused.outputs.insert(fused.outputs.end(), {kNoValue, kNoValue, sum});
  graph.remove_node(id);
  if (shared) graph.remove_node(graph.value(sum).producer);
  graph.add_node(std::move(fused));
  return true;
}

}  // namespace

Result<size_t> fuse_skip_layer_norm(Graph& graph, PassContext& context) {
  return rewrite_nodes(graph, [&](NodeId id) { return fuse(graph, id, context); });
}

}  // namespace linnet
