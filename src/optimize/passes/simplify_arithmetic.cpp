// Elementwise nodes that are no work, or less: x 1, x / 1, x + 0, x - 0; (1 / x) y; Where of Not; a clip behind Relu;
// two factors or two terms, one after the other.
#include <limits>

#include "optimize/match.h"
#include "optimize/optimizer.h"

namespace linnet {
namespace {

bool is_number(const Graph& graph, ValueId value, double wanted) {
  const Tensor* t = graph.constant(value);
  if (!t || t->count() != 1 || t->dtype == DType::boolean || t->dtype == DType::string) return false;
  return is_float(t->dtype) ? number_at(*t, 0) == wanted
                            : is_integer(t->dtype) && integer_at(*t, 0) == static_cast<int64_t>(wanted);
}

// The input that the node hands on as it is.
ValueId handed_on(const Graph& graph, const Node& node) {
  ValueId x = kNoValue;
  if (node.is("Mul")) x = other_input(node, [&](ValueId v) { return is_number(graph, v, 1); });
  if (node.is("Add")) x = other_input(node, [&](ValueId v) { return is_number(graph, v, 0); });
  if (node.is("Div") && is_number(graph, node.inputs[1], 1)) x = node.inputs[0];
  if (node.is("Sub") && is_number(graph, node.inputs[1], 0)) x = node.inputs[0];
  if (x == kNoValue) return kNoValue;
  const ValueInfo &in = graph.value(x).info, &out = graph.value(node.outputs[0]).info;
  const bool same = in.ranked && out.ranked && in.dtype == out.dtype && in.shape == out.shape;
  return same ? x : kNoValue;
}

bool hand_on(Graph& graph, NodeId id) {
  const ValueId x = handed_on(graph, graph.node(id)), out = graph.node(id).outputs[0];
  // A graph output needs a node of its own when what it would hand on is an input, a constant or an output.
  if (x == kNoValue || (graph.is_output(out) && (!graph.producer(x) || graph.is_output(x)))) return false;
  graph.replace_uses(out, x);
  graph.remove_node(id);
  return true;
}

// (1 / x) y is y / x.
bool divide(Graph& graph, NodeId id) {
  const Node& mul = graph.node(id);
  if (!mul.is("Mul") || !is_float(graph.value(mul.outputs[0]).info.dtype)) return false;
  for (size_t side = 0; side < 2; ++side) {
    const Node* over = made_only_for_one(graph, mul.inputs[side], "Div");
    const Node* reciprocal = made_only_for_one(graph, mul.inputs[side], "Reciprocal");
    const bool is_inverse =
        over && is_number(graph, over->inputs[0], 1) && graph.constant(over->inputs[0])->shape.empty();
    if (!is_inverse && !reciprocal) continue;
    Node div;
    div.op_type = "Div";
    div.version = 14;
    div.name = mul.name;
    div.inputs = {mul.inputs[1 - side], is_inverse ? over->inputs[1] : reciprocal->inputs[0]};
    div.outputs = mul.outputs;
    graph.remove_node(id);
    graph.add_node(std::move(div));
    return true;
  }
  return false;
}

bool choose_without_not(Graph& graph, NodeId id) {
  const Node& where = graph.node(id);
  const Node* negation = where.is("Where") ? made_by(graph, where.inputs[0], "Not") : nullptr;
  if (!negation) return false;
  graph.set_inputs(id, {negation->inputs[0], where.inputs[2], where.inputs[1]});
  return true;
}

// Clip(Relu(x), low, high) is Clip(x, max(low, 0), high).
bool clip_without_relu(Graph& graph, NodeId id) {
  const Node& clip = graph.node(id);
  const Node* relu = clip.is("Clip") ? made_only_for_one(graph, clip.inputs[0], "Relu") : nullptr;
  if (!relu || graph.value(relu->inputs[0]).info.dtype != DType::f32) return false;
  const std::optional<float> high =
      clip.input(2) == kNoValue ? std::optional(std::numeric_limits<float>::max()) : scalar(graph, clip.inputs[2]);
  const std::optional<float> low = clip.input(1) == kNoValue ? std::optional(0.0f) : scalar(graph, clip.inputs[1]);
  if (!low || !high || !(*high >= 0.0f)) return false;
  if (!(*low >= 0.0f) || clip.input(1) == kNoValue) {
    Result<Tensor> made = make_tensor(DType::f32, {});
    if (!made.ok()) return false;
    made->ptr<float>()[0] = 0.0f;
    const ValueId bound = graph.add_constant("zero", std::move(*made));
    std::vector<ValueId> inputs = graph.node(id).inputs;
    inputs.resize(std::max<size_t>(inputs.size(), 2), kNoValue);
    inputs[1] = bound;
    graph.set_inputs(id, std::move(inputs));
  }
  graph.set_input(id, 0, relu->inputs[0]);
  return true;
}

// (x a) b is x (a b); (x + a) + b is x + (a + b).
bool join_constants(Graph& graph, NodeId id) {
  const Node& last = graph.node(id);
  if (!last.is("Mul") && !last.is("Add")) return false;
  const auto is_constant = [&](ValueId v) {
    const Tensor* t = graph.constant(v);
    return t && t->dtype == DType::f32 && t->count() == 1;
  };
  const ValueId inner = other_input(last, is_constant);
  const Node* first = inner == kNoValue ? nullptr : made_only_for_one(graph, inner, last.op_type);
  const ValueId x = first ? other_input(*first, is_constant) : kNoValue;
  if (x == kNoValue || is_constant(x) || graph.value(x).info.dtype != DType::f32) return false;
  const ValueId a = first->inputs[0] == x ? first->inputs[1] : first->inputs[0];
  const ValueId b = last.inputs[0] == inner ? last.inputs[1] : last.inputs[0];
  const float p = *scalar(graph, a), q = *scalar(graph, b), joined = last.is("Mul") ? p * q : p + q;
  if (!std::isfinite(joined) || (last.is("Mul") && joined == 0.0f)) return false;
  const Tensor &ta = *graph.constant(a), &tb = *graph.constant(b);
  Result<Tensor> made = make_tensor(DType::f32, ta.shape.rank() >= tb.shape.rank() ? ta.shape : tb.shape);
  if (!made.ok()) return false;
  made->ptr<float>()[0] = joined;
  graph.set_inputs(id, {x, graph.add_constant("joined", std::move(*made))});
  return true;
}

}  // namespace

Result<size_t> simplify_arithmetic(Graph& graph, PassContext&) {
  return rewrite_nodes(graph, [&](NodeId id) {
    return graph.node(id).domain.empty() && !graph.node(id).inputs.empty() &&
           (hand_on(graph, id) || divide(graph, id) || choose_without_not(graph, id) || clip_without_relu(graph, id) ||
            join_constants(graph, id));
  });
}

}  // namespace linnet
