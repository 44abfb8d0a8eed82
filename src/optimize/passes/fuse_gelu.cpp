// x * 0.5 * (1 + erf(x / sqrt(2))) and its tanh approximation, in the orders that exporters write them.
// https://onnx.ai/onnx/operators/onnx__Gelu.html
#include "optimize/match.h"
#include "optimize/optimizer.h"

namespace linnet {
namespace {

constexpr double kSqrt2 = 1.4142135623730951;

// x when the value is x / sqrt(2).
ValueId match_over_sqrt2(const Graph& graph, ValueId value) {
  if (const Node* div = made_by(graph, value, "Div"))
    return is_scalar(graph, div->inputs[1], kSqrt2) ? div->inputs[0] : kNoValue;
  if (const Node* mul = made_by(graph, value, "Mul"))
    return other_input(*mul, [&](ValueId v) { return is_scalar(graph, v, 1 / kSqrt2); });
  return kNoValue;
}

// Whether the value is 1 + 0.044715 x^2.
bool is_tanh_factor(const Graph& graph, ValueId value, ValueId x) {
  const Node* add = made_by(graph, value, "Add");
  const ValueId term = add ? other_input(*add, [&](ValueId v) { return is_scalar(graph, v, 1); }) : kNoValue;
  const Node* mul = term == kNoValue ? nullptr : made_by(graph, term, "Mul");
  if (!mul) return false;
  const auto is_coefficient = [&](ValueId v) { return is_scalar(graph, v, 0.044715); };
  const ValueId once = other_input(*mul, [&](ValueId v) { return v == x; });  // 0.044715 x, the other factor is x
  if (const Node* inner = once == kNoValue ? nullptr : made_by(graph, once, "Mul"))
    if (other_input(*inner, is_coefficient) == x) return true;
  const ValueId square = other_input(*mul, is_coefficient);
  if (const Node* product = square == kNoValue ? nullptr : made_by(graph, square, "Mul"))
    return product->inputs[0] == x && product->inputs[1] == x;
  const Node* pow = square == kNoValue ? nullptr : made_by(graph, square, "Pow");
  const Tensor* exponent = pow ? graph.constant(pow->inputs[1]) : nullptr;
  return pow && pow->inputs[0] == x && exponent && exponent->count() == 1 && number_at(*exponent, 0) == 2.0;
}

// x when the value is sqrt(2/pi) * (x + 0.044715 x^3), either factored, or sqrt(2/pi) * x * (1 + 0.044715 x^2).
ValueId match_tanh_argument(const Graph& graph, ValueId value) {
  const Node* mul = made_by(graph, value, "Mul");
  if (!mul) return kNoValue;
  const auto is_root = [&](ValueId v) { return is_scalar(graph, v, 0.7978845608028654); };
  for (size_t side = 0; side < 2; ++side)
    if (const Node* part = made_by(graph, mul->inputs[side], "Mul")) {
      const ValueId x = other_input(*part, is_root);  // (sqrt(2/pi) x) (1 + ...)
      if (x != kNoValue && is_tanh_factor(graph, mul->inputs[1 - side], x)) return x;
      if (!is_root(mul->inputs[1 - side])) continue;  // sqrt(2/pi) (x (1 + ...))
      for (size_t i = 0; i < 2; ++i)
        if (is_tanh_factor(graph, part->inputs[i], part->inputs[1 - i])) return part->inputs[1 - i];
    }
  const ValueId sum = other_input(*mul, is_root);
  const Node* add = sum == kNoValue ? nullptr : made_by(graph, sum, "Add");
  if (!add) return kNoValue;
  for (int side = 0; side < 2; ++side) {
    const ValueId x = add->inputs[static_cast<size_t>(side)];
    const Node* scaled = made_by(graph, add->inputs[static_cast<size_t>(1 - side)], "Mul");
    if (!scaled) continue;
    const ValueId cube = other_input(*scaled, [&](ValueId v) { return is_scalar(graph, v, 0.044715); });
    const Node* pow = cube == kNoValue ? nullptr : made_by(graph, cube, "Pow");
    if (pow && pow->inputs[0] == x && graph.constant(pow->inputs[1]) && graph.constant(pow->inputs[1])->count() == 1 &&
        number_at(*graph.constant(pow->inputs[1]), 0) == 3.0)
      return x;
    const Node* product = cube == kNoValue ? nullptr : made_by(graph, cube, "Mul");
    if (!product) continue;
    const ValueId square = other_input(*product, [&](ValueId v) { return v == x; });
    const Node* squared = square == kNoValue ? nullptr : made_by(graph, square, "Mul");
    if (squared && squared->inputs[0] == x && squared->inputs[1] == x) return x;
  }
  return kNoValue;
}

struct Gelu {
  ValueId x = kNoValue;
  bool tanh = false;
};

// The half of GELU that does not depend on where the 0.5 and the x stand: 1 + erf(...) or 1 + tanh(...).
Gelu match_gate(const Graph& graph, ValueId value) {
  const Node* add = made_only_for_one(graph, value, "Add");
  if (!add) return {};
  const ValueId inner = other_input(*add, [&](ValueId v) { return is_scalar(graph, v, 1); });
  if (inner == kNoValue) return {};
  if (const Node* erf = made_only_for_one(graph, inner, "Erf")) return {match_over_sqrt2(graph, erf->inputs[0]), false};
  if (const Node* tanh = made_only_for_one(graph, inner, "Tanh"))
    return {match_tanh_argument(graph, tanh->inputs[0]), true};
  return {};
}

// Matches the last Mul of x * (0.5 * gate), (x * gate) * 0.5 or (x * 0.5) * gate.
Gelu match(const Graph& graph, const Node& last) {
  const auto half = [&](ValueId v) { return is_scalar(graph, v, 0.5); };
  if (const ValueId product = other_input(last, half); product != kNoValue) {
    const Node* mul = made_only_for_one(graph, product, "Mul");
    if (!mul) return {};
    for (size_t side = 0; side < 2; ++side) {
      const Gelu gelu = match_gate(graph, mul->inputs[side]);
      if (gelu.x != kNoValue && gelu.x == mul->inputs[1 - side]) return gelu;
    }
    return {};
  }
  for (size_t side = 0; side < 2; ++side) {
    const Node* mul = made_only_for_one(graph, last.inputs[side], "Mul");
    const ValueId rest = mul ? other_input(*mul, half) : kNoValue;
    if (rest == kNoValue) continue;
    const ValueId other = last.inputs[1 - side];
    if (const Gelu gelu = match_gate(graph, rest); gelu.x != kNoValue && gelu.x == other)
      return gelu;  // x * (0.5 gate)
    if (const Gelu gelu = match_gate(graph, other); gelu.x != kNoValue && gelu.x == rest)
      return gelu;  // (x * 0.5) * gate
  }
  return {};
}

// What is left of the pattern, and why.
void note_rest(Graph& graph, const PassContext& context) {
  if (!context.misses) return;
  graph.remove_unused();
  for (NodeId id = 0; id < graph.node_count(); ++id) {
    if (!graph.alive(id) || !graph.node(id).is("Erf")) continue;
    const ValueId out = graph.node(id).outputs[0];
    if (match_over_sqrt2(graph, graph.node(id).inputs[0]) == kNoValue)
      context.miss(graph, id, "its input is not x / sqrt(2)");
    else if (sole_user(graph, out) == kNoNode)
      context.miss(graph, id, "its result is read by more than one node");
    else
      context.miss(graph, id, "around it there is no 0.5 * x * (1 + erf)");
  }
}

}  // namespace

Result<size_t> fuse_gelu(Graph& graph, PassContext& context) {
  size_t changes = 0;
  const std::vector<NodeId> order = graph.order();
  for (const NodeId id : order) {
    if (!graph.alive(id) || !graph.node(id).is("Mul")) continue;
    const Gelu gelu = match(graph, graph.node(id));
    if (gelu.x == kNoValue) continue;
    Node node;
    node.op_type = "Gelu";
    node.version = 20;
    node.name = graph.node(id).name;
    node.inputs = {gelu.x};
    node.outputs = graph.node(id).outputs;
    node.set("approximate", std::string(gelu.tanh ? "tanh" : "none"));
    graph.remove_node(id);
    graph.add_node(std::move(node));
    ++changes;
  }
  note_rest(graph, context);
  return changes;
}

}  // namespace linnet
