// Concat, Split, Slice, Pad, Scatter, TopK, DFT: attributes that became inputs, and names that changed.
#include "ops/upgrade/upgrade.h"

namespace linnet {
namespace {

Status concat_axis(Graph& graph, NodeId id) {
  Node& node = graph.node(id);
  if (!node.find("axis")) node.set("axis", int64_t{1});
  return {};
}

Status split_sizes(Graph& graph, NodeId id) {
  attribute_to_input(graph, id, "split", 1);
  return {};
}

Status slice_inputs(Graph& graph, NodeId id) {
  attribute_to_input(graph, id, "starts", 1);
  attribute_to_input(graph, id, "ends", 2);
  attribute_to_input(graph, id, "axes", 3);
  return {};
}

Status pad_inputs(Graph& graph, NodeId id) {
  attribute_to_input(graph, id, "paddings", 1);
  attribute_to_input(graph, id, "pads", 1);
  float_attribute_to_input(graph, id, "value", 2);
  return {};
}

Status scatter_elements(Graph& graph, NodeId id) {
  graph.node(id).op_type = "ScatterElements";
  return {};
}

// An integer attribute as an input of one element.
Status number_to_input(Graph& graph, NodeId id, std::string_view attribute, size_t index, int64_t fallback) {
  const int64_t value = graph.node(id).int_or(attribute, fallback);
  graph.node(id).set(attribute, std::vector<int64_t>{value});
  attribute_to_input(graph, id, attribute, index);
  return {};
}

Status topk_count(Graph& graph, NodeId id) {
  LINNET_REQUIRE(graph.node(id).find("k"), invalid_model("attribute 'k' is missing"));
  return number_to_input(graph, id, "k", 1, 0);
}

// A scalar, which other readers of a saved model insist on.
Status dft_axis(Graph& graph, NodeId id) {
  LINNET_TRY(number_to_input(graph, id, "axis", 2, 1));
  const ValueId axis = graph.node(id).input(2);
  Tensor scalar = *graph.constant(axis);
  scalar.shape = Shape();
  graph.set_input(id, 2, graph.add_constant(graph.value(axis).name, std::move(scalar)));
  return {};
}

constexpr Upgrade kUpgrades[] = {
    {"", "Concat", 4, concat_axis}, {"", "Split", 13, split_sizes},        {"", "Slice", 10, slice_inputs},
    {"", "Pad", 11, pad_inputs},    {"", "Scatter", 11, scatter_elements}, {"", "TopK", 10, topk_count},
    {"", "DFT", 20, dft_axis},
};

}  // namespace

extern const std::span<const Upgrade> kMovementUpgrades = kUpgrades;

}  // namespace linnet
