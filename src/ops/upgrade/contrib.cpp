// Operators of com.microsoft that a few of the standard's say.
// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
#include <algorithm>

#include "ops/upgrade/replacement.h"

namespace linnet {
namespace {

Status check_inputs(const Node& node, size_t least, size_t most) {
  const bool outputs = node.outputs.size() == 1;
  LINNET_REQUIRE(outputs && node.inputs.size() >= least && node.inputs.size() <= most,
                 invalid_model("has ", node.inputs.size(), " inputs and ", node.outputs.size(), " outputs"));
  for (size_t i = 0; i < least; ++i)
    LINNET_REQUIRE(node.input(i) != kNoValue, invalid_model("input ", i, " is missing"));
  return {};
}

Status refuse_attributes(const Node& node, std::initializer_list<std::string_view> known) {
  for (const Attribute& attribute : node.attributes)
    LINNET_REQUIRE(std::find(known.begin(), known.end(), attribute.name) != known.end(),
                   unsupported("attribute '", attribute.name, "' is not known to ", node.op_type));
  return {};
}

Status trilu(Graph& graph, NodeId id) {
  graph.node(id).domain = "";
  return {};
}

Status expand_dims(Graph& graph, NodeId id) {
  LINNET_TRY(check_inputs(graph.node(id), 2, 2));
  LINNET_TRY(refuse_attributes(graph.node(id), {}));
  Replacement with(graph, id);
  const ValueId axis = with.apply("Cast", {with.node().input(1)}, {{"to", int64_t{7}}});
  with.finish("Unsqueeze", {with.x(), with.apply("Reshape", {axis, with.ints({1})})});
  return {};
}

Status gather_nd(Graph& graph, NodeId id) {
  LINNET_TRY(check_inputs(graph.node(id), 2, 2));
  LINNET_TRY(refuse_attributes(graph.node(id), {}));
  Replacement with(graph, id);
  with.finish("GatherND", {with.x(), with.apply("Cast", {with.node().input(1)}, {{"to", int64_t{7}}})});
  return {};
}

Status grid_sample(Graph& graph, NodeId id) {
  graph.node(id).domain = "";
  return {};
}

// The pads may be a row of a matrix.
Status pad(Graph& graph, NodeId id) {
  LINNET_TRY(check_inputs(graph.node(id), 2, 3));
  LINNET_TRY(refuse_attributes(graph.node(id), {"mode"}));
  Replacement with(graph, id, 13);
  std::vector<ValueId> inputs = {with.x(), with.apply("Reshape", {with.node().input(1), with.ints({-1})})};
  if (with.node().input(2) != kNoValue) inputs.push_back(with.node().input(2));
  with.finish("Pad", std::move(inputs), {{"mode", std::string(with.node().string_or("mode", "constant"))}});
  return {};
}

// The numbers may be lists of one, and steps of one left out.
Status range(Graph& graph, NodeId id) {
  LINNET_TRY(check_inputs(graph.node(id), 2, 3));
  LINNET_TRY(refuse_attributes(graph.node(id), {}));
  Replacement with(graph, id);
  const ValueId step = with.node().input(2), scalar = with.ints({});
  const auto number = [&](ValueId value) { return with.apply("Reshape", {value, scalar}); };
  with.finish("Range", {number(with.x()), number(with.node().input(1)),
                        step != kNoValue ? number(step) : with.constant({1}, {})});
  return {};
}

// The standard's, by first appearance, without the places of that.
Status unique(Graph& graph, NodeId id) {
  Node& node = graph.node(id);
  LINNET_REQUIRE(node.inputs.size() == 1 && node.outputs.size() == 3,
                 invalid_model("has ", node.inputs.size(), " inputs and ", node.outputs.size(), " outputs"));
  LINNET_TRY(refuse_attributes(node, {}));
  node.domain = "";
  node.set("sorted", int64_t{0});
  node.outputs.insert(node.outputs.begin() + 1, kNoValue);
  return {};
}

// x + y gate, the product rounded to the element type
Status gated_add(Graph& graph, NodeId id) {
  LINNET_TRY(check_inputs(graph.node(id), 3, 4));
  LINNET_TRY(refuse_attributes(graph.node(id), {}));
  LINNET_REQUIRE(graph.node(id).input(3) == kNoValue, unsupported("gate_weight is not supported"));
  Replacement with(graph, id);
  with.finish("Add", {with.x(), with.apply("Mul", {with.node().input(1), with.node().input(2)})});
  return {};
}

// z sigmoid(z) for z = scale x, each rounded to the element type
Status scaled_silu(Graph& graph, NodeId id) {
  LINNET_TRY(check_inputs(graph.node(id), 1, 2));
  LINNET_TRY(refuse_attributes(graph.node(id), {"alpha"}));
  Replacement with(graph, id);
  const ValueId given = with.node().input(1);
  const ValueId scale =
      with.as_float(given != kNoValue ? given : with.constant({with.node().float_or("alpha", 1.0f)}, {}));
  const ValueId product = with.apply("Mul", {with.as_float(with.x()), scale});
  const ValueId z = with.apply("CastLike", {product, with.x()});
  with.finish("Mul", {z, with.apply("Sigmoid", {z})});
  return {};
}

// The root mean square is that of every group of as many features as `scale` has; all of it in float.
Status gated_rms_norm(Graph& graph, NodeId id) {
  LINNET_TRY(check_inputs(graph.node(id), 3, 3));
  LINNET_TRY(refuse_attributes(graph.node(id), {"activation", "epsilon"}));
  const std::string activation(graph.node(id).string_or("activation", "silu"));
  const bool silu = activation == "silu" || activation == "swish";
  LINNET_REQUIRE(silu || activation == "sigmoid", unsupported("activation '", activation, "' is not known"));
  Replacement with(graph, id, 23);
  const ValueId scale = with.as_float(with.node().input(1)), gate = with.as_float(with.node().input(2));
  const ValueId groups = with.apply("Concat", {with.ints({-1}), with.apply("Shape", {scale})}, {{"axis", int64_t{0}}});
  const ValueId x = with.apply("Reshape", {with.as_float(with.x()), groups});
  const ValueId normal = with.apply("RMSNormalization", {x, scale},
                                    {{"axis", int64_t{-1}}, {"epsilon", with.node().float_or("epsilon", 1e-5f)}});
  const ValueId back = with.apply("Reshape", {normal, with.apply("Shape", {with.x()})}, {{"allowzero", int64_t{1}}});
  ValueId factor = with.apply("Sigmoid", {gate});
  if (silu) factor = with.apply("Mul", {gate, factor});
  with.finish("CastLike", {with.apply("Mul", {back, factor}), with.x()});
  return {};
}

// decay_scale softplus(a + dt_bias), computed in float, and sigmoid(b)
Status linear_attention_gate(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const bool rate = node.output(1) != kNoValue;
  LINNET_REQUIRE(node.outputs.size() <= 2 && node.inputs.size() >= 3 && node.inputs.size() <= 4,
                 invalid_model("has ", node.inputs.size(), " inputs and ", node.outputs.size(), " outputs"));
  for (size_t i = 0; i < (rate ? 4u : 3u); ++i)
    LINNET_REQUIRE(node.input(i) != kNoValue, invalid_model("input ", i, " is missing"));
  LINNET_TRY(refuse_attributes(node, {}));
  Replacement with(graph, id);
  const ValueId sum = with.apply("Add", {with.as_float(with.x()), with.node().input(1)});
  const ValueId decay = with.apply("Mul", {with.node().input(2), with.apply("Softplus", {sum})});
  if (with.node().output(0) != kNoValue) with.finish_output(0, "CastLike", {decay, with.x()});
  if (rate) with.finish_output(1, "Sigmoid", {with.node().input(3)});
  return {};
}

constexpr Upgrade kUpgrades[] = {
    {"com.microsoft", "ExpandDims", kEveryVersion, expand_dims},
    {"com.microsoft", "GatedAdd", kEveryVersion, gated_add},
    {"com.microsoft", "GatedRMSNorm", kEveryVersion, gated_rms_norm},
    {"com.microsoft", "GatherND", kEveryVersion, gather_nd},
    {"com.microsoft", "GridSample", 16, grid_sample},
    {"com.microsoft", "LinearAttentionGate", kEveryVersion, linear_attention_gate},
    {"com.microsoft", "Pad", kEveryVersion, pad},
    {"com.microsoft", "Range", kEveryVersion, range},
    {"com.microsoft", "ScaledSiLU", kEveryVersion, scaled_silu},
    {"com.microsoft", "Trilu", 14, trilu},
    {"com.microsoft", "Unique", 11, unique},
};

}  // namespace

extern const std::span<const Upgrade> kContribUpgrades = kUpgrades;

}  // namespace linnet
