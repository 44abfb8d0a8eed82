// com.microsoft's FusedGemm is the standard's Gemm with an activation behind it, which our own passes fuse where a
// kernel has it; NhwcFusedConv is FusedConv for channels-last images.
// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.FusedGemm
#include <algorithm>
#include <array>

#include "ops/upgrade/upgrade.h"

namespace linnet {
namespace {

// With the operator set of the activation's newest form.
constexpr std::pair<std::string_view, int> kActivations[] = {
    {"Relu", 14}, {"LeakyRelu", 16}, {"Sigmoid", 13}, {"Tanh", 13}, {"HardSigmoid", 6},      {"Elu", 6},
    {"Selu", 6},  {"Softplus", 1},   {"Softsign", 1}, {"Celu", 12}, {"ThresholdedRelu", 10}, {"Gelu", 20},
};

Status fused_gemm(Graph& graph, NodeId id) {
  const std::string type(graph.node(id).string_or("activation", ""));
  const auto* known = std::find_if(std::begin(kActivations), std::end(kActivations),
                                   [&](const auto& activation) { return activation.first == type; });
  LINNET_REQUIRE(type.empty() || known != std::end(kActivations), unsupported("activation '", type, "' is not known"));
  LINNET_REQUIRE(graph.node(id).outputs.size() == 1, invalid_model("has more than one output"));
  Node behind;
  for (const std::string_view parameter : {"alpha", "beta", "gamma"}) {
    const std::string name = "activation_" + std::string(parameter);
    if (const Attribute* value = graph.node(id).find(name)) {
      const bool taken = parameter == "alpha" ? type != "Relu" && type != "Sigmoid" && type != "Tanh" &&
                                                    type != "Softplus" && type != "Softsign" && type != "Gelu"
                                              : (parameter == "beta" && type == "HardSigmoid") ||
                                                    (parameter == "gamma" && type == "Selu");
      if (taken) behind.set(parameter, value->data);
      graph.node(id).erase(name);
    }
  }
  graph.node(id).erase("activation");
  graph.node(id).domain = "";
  graph.node(id).op_type = "Gemm";
  if (type.empty()) return {};
  const std::string name = graph.node(id).name;
  behind.op_type = type;
  behind.version = known->second;
  behind.name = name + "/" + type;
  behind.outputs = graph.node(id).outputs;
  const ValueId product = graph.add_value(name + "/product");
  graph.set_outputs(id, {product});
  behind.inputs = {product};
  graph.add_node(std::move(behind));
  return {};
}

Status nhwc_fused_conv(Graph& graph, NodeId id) {
  graph.node(id).set("channels_last", int64_t{1});
  graph.node(id).op_type = "FusedConv";
  return {};
}

constexpr Upgrade kUpgrades[] = {
    {"com.microsoft", "FusedGemm", 13, fused_gemm},
    {"com.microsoft", "NhwcFusedConv", 2, nhwc_fused_conv},
};

}  // namespace

extern const std::span<const Upgrade> kFusedProductUpgrades = kUpgrades;

}  // namespace linnet
