// Cast by name, Clip's limits and the axes of reductions: attributes that changed or became inputs.
#include "ops/upgrade/upgrade.h"
#include "tensor/dtype.h"

namespace linnet {
namespace {

// Operator sets before 6 name the type: "FLOAT".
Status cast_type(Graph& graph, NodeId id) {
  Node& node = graph.node(id);
  const Attribute* to = node.find("to");
  const std::string* name = to ? std::get_if<std::string>(&to->data) : nullptr;
  if (!name) return {};
  std::string lower = *name;
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  const std::optional<DType> type = parse_dtype(lower);
  LINNET_REQUIRE(type, invalid_model("casts to '", *name, "', which is no type"));
  node.set("to", static_cast<int64_t>(*type));
  return {};
}

Status clip_limits(Graph& graph, NodeId id) {
  graph.node(id).erase("consumed_inputs");
  if (graph.node(id).find("max") && !graph.node(id).find("min")) graph.node(id).set("min", -3.402823466e+38f);
  float_attribute_to_input(graph, id, "min", 1);
  float_attribute_to_input(graph, id, "max", 2);
  return {};
}

Status reduce_axes(Graph& graph, NodeId id) {
  attribute_to_input(graph, id, "axes", 1);
  return {};
}

constexpr Upgrade kUpgrades[] = {
    {"", "Cast", 6, cast_type},
    {"", "Clip", 11, clip_limits},
    {"", "ReduceSum", 13, reduce_axes},
    {"", "ReduceMean", 18, reduce_axes},
    {"", "ReduceMax", 18, reduce_axes},
    {"", "ReduceMin", 18, reduce_axes},
    {"", "ReduceProd", 18, reduce_axes},
    {"", "ReduceSumSquare", 18, reduce_axes},
    {"", "ReduceL1", 18, reduce_axes},
    {"", "ReduceL2", 18, reduce_axes},
    {"", "ReduceLogSum", 18, reduce_axes},
    {"", "ReduceLogSumExp", 18, reduce_axes},
};

}  // namespace

extern const std::span<const Upgrade> kElementwiseUpgrades = kUpgrades;

}  // namespace linnet
