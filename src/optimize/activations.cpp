#include "optimize/activations.h"

#include <limits>

#include "optimize/match.h"

namespace linnet {

void FusedActivation::apply(Node& node) const {
  node.set("activation", name);
  if (!parameters.empty()) node.set("activation_params", parameters);
}

std::optional<FusedActivation> as_activation(const Graph& graph, const Node& node, DType type) {
  if (node.inputs.empty() || node.inputs[0] == kNoValue || graph.value(node.inputs[0]).info.dtype != type)
    return std::nullopt;
  if (node.domain == "com.microsoft") {
    if (node.op_type == "QuickGelu") return FusedActivation{"QuickGelu", {node.float_or("alpha", 1.702f)}};
    if (node.op_type == "FastGelu" && node.inputs.size() == 1) return FusedActivation{"FastGelu", {}};
    if (node.op_type == "Gelu") return FusedActivation{"Gelu", {}};
    return std::nullopt;
  }
  if (!node.domain.empty()) return std::nullopt;
  const std::string& name = node.op_type;
  if (name == "Relu" || name == "Sigmoid" || name == "Tanh" || name == "HardSwish") return FusedActivation{name, {}};
  if (name == "LeakyRelu") return FusedActivation{name, {node.float_or("alpha", 0.01f)}};
  if (name == "HardSigmoid") return FusedActivation{name, {node.float_or("alpha", 0.2f), node.float_or("beta", 0.5f)}};
  if (name == "Swish") return FusedActivation{name, {node.float_or("alpha", 1.0f)}};
  if (name == "Gelu") return FusedActivation{node.string_or("approximate", "none") == "tanh" ? "FastGelu" : "Gelu", {}};
  if (name == "Clip") {
    float low = -std::numeric_limits<float>::infinity(), high = std::numeric_limits<float>::infinity();
    if (node.input(1) != kNoValue) {
      const std::optional<float> value = scalar(graph, node.input(1));
      if (!value) return std::nullopt;
      low = *value;
    }
    if (node.input(2) != kNoValue) {
      const std::optional<float> value = scalar(graph, node.input(2));
      if (!value) return std::nullopt;
      high = *value;
    }
    return FusedActivation{name, {low, high}};
  }
  return std::nullopt;
}

}  // namespace linnet
