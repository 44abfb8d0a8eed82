// x * sigmoid(x), x * sigmoid(c x) (QuickGelu) and x * hardsigmoid(x) in the forms that exporters write.
// https://onnx.ai/onnx/operators/onnx__Swish.html, ...HardSwish.html
#include "optimize/match.h"
#include "optimize/optimizer.h"

namespace linnet {
namespace {

// x when the value is min(max(x + 3, 0), 6).
ValueId match_relu6_of_x_plus_3(const Graph& graph, ValueId value) {
  const Node* clip = made_by(graph, value, "Clip");
  if (!clip || clip->input(1) == kNoValue || clip->input(2) == kNoValue) return kNoValue;
  const std::optional<float> low = scalar(graph, clip->inputs[1]);
  if (!low || *low != 0.0f || !is_scalar(graph, clip->inputs[2], 6)) return kNoValue;
  const Node* add = made_by(graph, clip->inputs[0], "Add");
  return add ? other_input(*add, [&](ValueId v) { return is_scalar(graph, v, 3); }) : kNoValue;
}

bool is_hard_sigmoid_of(const Graph& graph, ValueId value, ValueId x) {
  if (const Node* gate = made_by(graph, value, "HardSigmoid"))
    return gate->inputs[0] == x && std::fabs(gate->float_or("alpha", 0.2f) - 1.0f / 6) < 1e-6f &&
           gate->float_or("beta", 0.5f) == 0.5f;
  const Node* div = made_by(graph, value, "Div");
  if (div && is_scalar(graph, div->inputs[1], 6)) return match_relu6_of_x_plus_3(graph, div->inputs[0]) == x;
  const Node* mul = made_by(graph, value, "Mul");
  const ValueId inner = mul ? other_input(*mul, [&](ValueId v) { return is_scalar(graph, v, 1.0 / 6); }) : kNoValue;
  return inner != kNoValue && match_relu6_of_x_plus_3(graph, inner) == x;
}

// The factor when the value is sigmoid(factor x).
std::optional<float> sigmoid_factor(const Graph& graph, ValueId value, ValueId x) {
  const Node* sigmoid = made_only_for_one(graph, value, "Sigmoid");
  if (!sigmoid) return std::nullopt;
  if (sigmoid->inputs[0] == x) return 1.0f;
  const Node* mul = made_only_for_one(graph, sigmoid->inputs[0], "Mul");
  const ValueId factor = mul ? other_input(*mul, [&](ValueId v) { return v == x; }) : kNoValue;
  const ValueInfo &in = graph.value(x).info, &out = graph.value(value).info;
  if (factor == kNoValue || !in.ranked || !out.ranked || in.shape.size() != out.shape.size()) return std::nullopt;
  return scalar(graph, factor);
}

void replace(Graph& graph, NodeId id, std::string_view type, int version, ValueId x, float alpha = 1.0f) {
  Node node;
  if (alpha != 1.0f) node.set("alpha", alpha);
  node.op_type = type;
  node.version = version;
  node.name = graph.node(id).name;
  node.inputs = {x};
  node.outputs = graph.node(id).outputs;
  graph.remove_node(id);
  graph.add_node(std::move(node));
}

// x * relu6(x + 3) / 6, with the quotient taken last.
ValueId match_quotient_last(const Graph& graph, const Node& last) {
  ValueId product = kNoValue;
  if (last.is("Div") && is_scalar(graph, last.inputs[1], 6)) product = last.inputs[0];
  const Node* mul = product == kNoValue ? nullptr : made_only_for_one(graph, product, "Mul");
  for (size_t side = 0; mul && side < 2; ++side)
    if (match_relu6_of_x_plus_3(graph, mul->inputs[side]) == mul->inputs[1 - side]) return mul->inputs[1 - side];
  return kNoValue;
}

}  // namespace

Result<size_t> fuse_swish(Graph& graph, PassContext& context) {
  size_t changes = 0;
  const std::vector<NodeId> order = graph.order();
  for (const NodeId id : order) {
    if (!graph.alive(id)) continue;
    const Node& node = graph.node(id);
    if (const ValueId x = match_quotient_last(graph, node); x != kNoValue) {
      replace(graph, id, "HardSwish", 14, x);
      ++changes;
      continue;
    }
    if (!node.is("Mul")) continue;
    for (size_t side = 0; side < 2; ++side) {
      const ValueId x = node.inputs[1 - side], gate = node.inputs[side];
      if (const std::optional<float> factor = sigmoid_factor(graph, gate, x)) {
        replace(graph, id, "Swish", 24, x, *factor);
        ++changes;
        break;
      }
      if (const Node* shared = made_by(graph, gate, "Sigmoid"); shared && shared->inputs[0] == x)
        context.miss(graph, id, "the sigmoid is read by others, too");
      if (sole_user(graph, gate) != kNoNode && is_hard_sigmoid_of(graph, gate, x)) {
        replace(graph, id, "HardSwish", 14, x);
        ++changes;
        break;
      }
    }
  }
  return changes;
}

}  // namespace linnet
