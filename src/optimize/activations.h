// Activations as nodes, and as the attributes of operators that apply one to their result.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "graph/graph.h"

namespace linnet {

// The value of the `activation` and `activation_params` attributes (see ops/fused_activation.h).
struct FusedActivation {
  std::string name;
  std::vector<float> parameters;

  void apply(Node& node) const;  // sets the attributes
};

// What the node would be as a fused activation of its first input; nothing when that is not of `type`, or when the node
// is none, or not with constant parameters.
std::optional<FusedActivation> as_activation(const Graph& graph, const Node& node, DType type = DType::f32);

}  // namespace linnet
