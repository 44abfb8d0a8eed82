// Conv, then a sum with a value of its shape, then an activation: one FusedConv.
// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.FusedConv
#include <algorithm>

#include "optimize/activations.h"
#include "optimize/match.h"
#include "optimize/optimizer.h"

namespace linnet {
namespace {

bool same_known_shape(const ValueInfo& a, const ValueInfo& b) {
  return a.ranked && b.ranked && a.dtype == b.dtype && a.shape.size() == b.shape.size() && a.shape == b.shape;
}

// Below the level `all` the result is what the domain's other implementations know.
bool is_known_everywhere(const FusedActivation& activation) {
  static constexpr std::string_view kKnown[] = {"Relu", "Tanh", "Sigmoid", "LeakyRelu", "Clip", "HardSigmoid"};
  return std::find(std::begin(kKnown), std::end(kKnown), activation.name) != std::end(kKnown);
}

// Other implementations know it for float alone.
bool has_fused_form(DType type, OptimizationLevel level) {
  return type == DType::f32 || (level >= OptimizationLevel::all && (type == DType::f16 || type == DType::bf16));
}

// Tells of an activation that would go into the convolution if nobody else read what is between.
void note_shared(const Graph& graph, NodeId conv, ValueId out, const PassContext& context) {
  for (const NodeId user : graph.uses(out))
    if (as_activation(graph, graph.node(user), graph.value(out).info.dtype))
      return context.miss(graph, conv, "its result is read by others beside ", graph.node_path(user));
}

}  // namespace

Result<size_t> fuse_conv_activation(Graph& graph, PassContext& context) {
  size_t changes = 0;
  const std::vector<NodeId> order = graph.order();
  NodePlaces places(graph);
  for (const NodeId id : order) {
    if (!graph.alive(id) || !graph.node(id).is("Conv")) continue;
    const Tensor* weights = graph.constant(graph.node(id).input(1));
    if (!weights || !has_fused_form(weights->dtype, context.options.level)) continue;
    Node fused = graph.node(id);
    fused.domain = "com.microsoft";
    fused.op_type = "FusedConv";
    fused.version = 1;
    std::vector<NodeId> chain = {id};  // what becomes one node
    NodeId user = sole_user(graph, graph.node(id).outputs[0]);
    if (user != kNoNode && graph.node(user).is("Add")) {
      const ValueId out = graph.node(id).outputs[0];
      const ValueId other = other_input(graph.node(user), [&](ValueId v) { return v == out; });
      // Conv a + conv b: the later one takes the sum, so that its addend is there.
      if (other != kNoValue && other != out && !graph.constant(other) && places.is_before(graph, other, id) &&
          same_known_shape(graph.value(out).info, graph.value(other).info)) {
        fused.inputs.resize(4, kNoValue);
        fused.inputs[3] = other;
        chain.push_back(user);
        user = sole_user(graph, graph.node(user).outputs[0]);
      } else if (other != kNoValue && other != out && !graph.constant(other)) {
        context.miss(graph, id, "the addend in ", graph.node_path(user), " comes later or may have another shape");
      }
    }
    if (user != kNoNode && graph.node(user).input(0) == graph.node(chain.back()).outputs[0]) {
      const std::optional<FusedActivation> activation = as_activation(graph, graph.node(user), weights->dtype);
      if (activation && (context.options.level >= OptimizationLevel::all || is_known_everywhere(*activation))) {
        activation->apply(fused);
        chain.push_back(user);
      } else if (activation) {
        context.miss(graph, id, "FusedConv with ", activation->name, " is for the level 'all' only");
      }
    }
    if (user == kNoNode) note_shared(graph, id, graph.node(chain.back()).outputs[0], context);
    if (chain.size() == 1) continue;
    fused.outputs = graph.node(chain.back()).outputs;
    for (const NodeId part : chain) graph.remove_node(part);
    places.take(graph.add_node(std::move(fused)), id);
    ++changes;
  }
  return changes;
}

}  // namespace linnet
