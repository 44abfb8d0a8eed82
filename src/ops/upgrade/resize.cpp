// Upsample, and Resize before it had coordinate transformations.
#include <memory>

#include "ops/upgrade/upgrade.h"

namespace linnet {
namespace {

// The numbers as a 1-D float constant at input `index`.
void set_floats(Graph& graph, NodeId id, size_t index, std::vector<float> values) {
  auto owner = std::make_shared<std::vector<float>>(std::move(values));
  const int64_t count = static_cast<int64_t>(owner->size());
  const ValueId constant =
      graph.add_constant(graph.node(id).name + "/scales", Tensor{DType::f32, Shape{count}, owner->data(), owner});
  graph.set_input(id, index, constant);
}

// Operator set 1: two factors for a tensor of four axes. "bilinear" was the name of linear.
Status upsample_factors(Graph& graph, NodeId id) {
  Node& node = graph.node(id);
  if (node.find("height_scale") || node.find("width_scale")) {
    const std::vector<float> scales = {1.0f, 1.0f, node.float_or("height_scale", 1.0f),
                                       node.float_or("width_scale", 1.0f)};
    node.erase("height_scale");
    node.erase("width_scale");
    set_floats(graph, id, 1, scales);
  }
  if (node.string_or("mode", "") == "bilinear") node.set("mode", std::string("linear"));
  return {};
}

Status upsample_scales(Graph& graph, NodeId id) {
  const Attribute* scales = graph.node(id).find("scales");
  const auto* values = scales ? std::get_if<std::vector<float>>(&scales->data) : nullptr;
  if (!values) return {};
  const std::vector<float> copy = *values;
  graph.node(id).erase("scales");
  set_floats(graph, id, 1, copy);
  return {};
}

Status upsample_to_resize(Graph& graph, NodeId id) {
  graph.node(id).op_type = "Resize";
  return {};
}

Status resize_coordinates(Graph& graph, NodeId id) {
  Node& node = graph.node(id);
  const ValueId scales = node.input(1);
  graph.set_inputs(id, {node.input(0), kNoValue, scales});
  node.set("coordinate_transformation_mode", std::string("asymmetric"));
  node.set("nearest_mode", std::string("simple"));
  return {};
}

constexpr Upgrade kUpgrades[] = {
    {"", "Upsample", 7, upsample_factors},
    {"", "Upsample", 9, upsample_scales},
    {"", "Upsample", 10, upsample_to_resize},
    {"", "Resize", 11, resize_coordinates},
};

}  // namespace

extern const std::span<const Upgrade> kResizeUpgrades = kUpgrades;

}  // namespace linnet
