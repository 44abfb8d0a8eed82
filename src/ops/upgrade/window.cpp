// Convolution and pooling: forms that only gained attributes, and the one whose attribute changed its type.
#include "ops/upgrade/upgrade.h"

namespace linnet {
namespace {

Status unchanged(Graph&, NodeId) { return {}; }

// p was a float.
Status integer_p(Graph& graph, NodeId id) {
  Node& node = graph.node(id);
  if (const Attribute* p = node.find("p"))
    if (const float* value = std::get_if<float>(&p->data)) {
      LINNET_REQUIRE(*value >= 1.0f && *value <= 1e6f && *value == static_cast<float>(static_cast<int64_t>(*value)),
                     unsupported("p is ", *value, ", not a whole number"));
      node.set("p", static_cast<int64_t>(*value));
    }
  return {};
}

// Coordinates were not shifted by half a pixel, and nothing could say otherwise.
Status unshifted_regions(Graph& graph, NodeId id) {
  graph.node(id).set("coordinate_transformation_mode", std::string("output_half_pixel"));
  return {};
}

constexpr Upgrade kUpgrades[] = {
    {"", "Conv", 11, unchanged},        {"", "ConvTranspose", 11, unchanged}, {"", "MaxPool", 12, unchanged},
    {"", "AveragePool", 19, unchanged}, {"", "LpPool", 2, integer_p},         {"", "LpPool", 18, unchanged},
    {"", "GlobalLpPool", 2, integer_p}, {"", "MaxUnpool", 11, unchanged},     {"", "RoiAlign", 16, unshifted_regions},
};

}  // namespace

extern const std::span<const Upgrade> kWindowUpgrades = kUpgrades;

}  // namespace linnet
