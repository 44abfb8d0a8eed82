// com.microsoft's channels-last MaxPool, as the standard's between two transpositions.
// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.NhwcMaxPool
#include "ops/upgrade/upgrade.h"

namespace linnet {
namespace {

Node node_of(std::string_view op_type, int version, std::string name, std::vector<ValueId> inputs) {
  Node node;
  node.op_type = op_type;
  node.version = version;
  node.name = std::move(name);
  node.inputs = std::move(inputs);
  return node;
}

Status nhwc_max_pool(Graph& graph, NodeId id) {
  const std::vector<int64_t>* kernel = graph.node(id).ints("kernel_shape");
  LINNET_REQUIRE(
      kernel && kernel->size() < 16 && graph.node(id).inputs.size() == 1 && graph.node(id).outputs.size() == 1,
      invalid_model("lacks its kernel_shape, or has more than one input or output"));
  const size_t axes = kernel->size();
  std::vector<int64_t> to_first{0, static_cast<int64_t>(axes) + 1}, to_last{0};
  for (size_t i = 0; i < axes; ++i) {
    to_first.push_back(static_cast<int64_t>(i) + 1);
    to_last.push_back(static_cast<int64_t>(i) + 2);
  }
  to_last.push_back(1);
  const std::string name = graph.node(id).name;
  const std::vector<ValueId> outputs = graph.node(id).outputs;
  Node before = node_of("Transpose", 13, name + "/channels_first", graph.node(id).inputs);
  before.set("perm", std::move(to_first));
  graph.set_inputs(id, {graph.add_node(std::move(before), name + "/channels_first")});
  const ValueId pooled = graph.add_value(name + "/pooled");
  graph.set_outputs(id, {pooled});
  Node behind = node_of("Transpose", 13, name + "/channels_last", {pooled});
  behind.set("perm", std::move(to_last));
  behind.outputs = outputs;
  graph.add_node(std::move(behind));
  graph.node(id).domain = "";
  graph.node(id).op_type = "MaxPool";
  return {};
}

constexpr Upgrade kUpgrades[] = {
    {"com.microsoft", "NhwcMaxPool", 12, nhwc_max_pool},
};

}  // namespace

extern const std::span<const Upgrade> kNhwcMaxPoolUpgrades = kUpgrades;

}  // namespace linnet
