// Reshape, Squeeze, Unsqueeze: attributes that became inputs.
#include "ops/upgrade/upgrade.h"

namespace linnet {
namespace {

Status reshape_shape(Graph& graph, NodeId id) {
  graph.node(id).erase("consumed_inputs");
  attribute_to_input(graph, id, "shape", 1);
  return {};
}

Status squeeze_axes(Graph& graph, NodeId id) {
  attribute_to_input(graph, id, "axes", 1);
  return {};
}

constexpr Upgrade kUpgrades[] = {
    {"", "Reshape", 5, reshape_shape},
    {"", "Squeeze", 13, squeeze_axes},
    {"", "Unsqueeze", 13, squeeze_axes},
};

}  // namespace

extern const std::span<const Upgrade> kReshapeUpgrades = kUpgrades;

}  // namespace linnet
