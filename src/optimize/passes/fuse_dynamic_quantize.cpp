// Sums of integer products that become floats:
//   Mul(Cast(MatMulInteger(a, b, a_zero, b_zero)), Mul(a_scale, b_scale)) [+ bias]
// is one MatMulIntegerToFloat, and DynamicQuantizeMatMul where a is quantised for it alone; with ConvInteger it is
// linnet.ConvIntegerToFloat. https://onnx.ai/onnx/operators/onnx__DynamicQuantizeLinear.html,
// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.MatMulIntegerToFloat
#include "optimize/match.h"
#include "optimize/optimizer.h"

namespace linnet {
namespace {

// A constant with one float, or one for each of the columns.
bool is_scale(const Graph& graph, ValueId value, int64_t columns) {
  const Tensor* t = graph.constant(value);
  return t && t->dtype == DType::f32 && (t->count() == 1 || (t->count() == columns && t->shape.rank() == 1));
}

bool is_one_float(const Graph& graph, ValueId value) {
  const ValueInfo& info = graph.value(value).info;
  return info.dtype == DType::f32 && info.ranked && info.shape.known() && info.shape.values().count() == 1;
}

struct Chain {
  NodeId cast = kNoNode, mul = kNoNode, add = kNoNode;
  ValueId a_scale = kNoValue, b_scale = kNoValue, bias = kNoValue;
};

// The nodes behind a sum; `columns` of B.
std::optional<Chain> chain_of(const Graph& graph, ValueId sum, int64_t columns, bool conv) {
  Chain chain;
  chain.cast = sole_user(graph, sum);
  if (chain.cast == kNoNode || !graph.node(chain.cast).is("Cast") ||
      graph.node(chain.cast).int_or("to", 0) != static_cast<int64_t>(DType::f32))
    return std::nullopt;
  const ValueId floats = graph.node(chain.cast).outputs[0];
  chain.mul = sole_user(graph, floats);
  if (chain.mul == kNoNode || !graph.node(chain.mul).is("Mul")) return std::nullopt;
  const ValueId scale = other_input(graph.node(chain.mul), [&](ValueId v) { return v == floats; });
  const Node* product = scale == floats ? nullptr : made_by(graph, scale, "Mul");
  if (!product) return std::nullopt;
  for (size_t side = 0; side < 2; ++side) {
    const ValueId a = product->inputs[1 - side], b = product->inputs[side];
    if (!graph.constant(a) && is_one_float(graph, a) && is_scale(graph, b, conv ? 1 : columns)) {
      chain.a_scale = a;
      chain.b_scale = b;
    }
  }
  if (chain.a_scale == kNoValue) return std::nullopt;
  const ValueId scaled = graph.node(chain.mul).outputs[0];
  const ValueInfo& info = graph.value(scaled).info;
  const NodeId add = sole_user(graph, scaled);
  if (add == kNoNode || !graph.node(add).is("Add") || !info.ranked) return chain;
  const ValueId bias = other_input(graph.node(add), [&](ValueId v) { return v == scaled; });
  const Tensor* t = graph.constant(bias);
  if (!t || t->dtype != DType::f32 || t->count() != columns || t->shape.rank() > info.shape.size()) return chain;
  // Along the axis of the columns, alone.
  const bool inner = conv && graph.producer(sum)->int_or("channels_last", 0) == 0;
  const size_t from_end = inner ? info.shape.size() - 2 : 0;
  if (t->shape.rank() <= from_end || t->shape[t->shape.rank() - 1 - from_end] != columns) return chain;
  chain.add = add;
  chain.bias = bias;
  return chain;
}

ValueId flat(Graph& graph, ValueId value) {
  if (value == kNoValue || graph.constant(value)->shape.rank() == 1) return value;
  Tensor tensor = *graph.constant(value);
  tensor.shape = Shape{tensor.count()};
  return graph.add_constant(graph.value(value).name + "/flat", std::move(tensor));
}

// Whether `node` quantises x for one product alone: its codes and zero point go there, its scale into `scales`.
bool is_exclusive(const Graph& graph, const Node& node, NodeId product, ValueId scale) {
  if (graph.value(scale).producer != node_id(graph, node.outputs[0])) return false;
  for (const ValueId out : node.outputs)
    if (out == kNoValue || graph.is_output(out)) return false;
  for (const size_t o : {size_t{0}, size_t{2}})
    if (graph.uses(node.outputs[o]).size() != 1 || graph.uses(node.outputs[o])[0] != product) return false;
  return graph.uses(node.outputs[1]).size() == 1;
}

}  // namespace

Result<size_t> fuse_dynamic_quantize(Graph& graph, PassContext& context) {
  size_t changes = 0;
  const std::vector<NodeId> order = graph.order();
  for (const NodeId id : order) {
    if (!graph.alive(id)) continue;
    const Node& sum = graph.node(id);
    const bool conv = sum.is("ConvInteger");
    if (!conv && !sum.is("MatMulInteger")) continue;
    if (conv && context.options.level < OptimizationLevel::all) continue;
    const Tensor* b = graph.constant(sum.input(1));
    if (!b || b->shape.rank() < 2 || (!conv && b->shape.rank() != 2)) {
      context.miss(graph, id, "its weights are no constant matrix");
      continue;
    }
    const std::optional<Chain> chain = chain_of(graph, sum.outputs[0], b->shape[conv ? 0 : 1], conv);
    if (!chain) {
      context.miss(
          graph, id,
          "its sums are not cast to float and multiplied by the product of a computed scale and a constant one "
          "alone");
      continue;
    }
    Node fused = sum;
    fused.version = 1;
    const Node* quantize = made_by(graph, sum.inputs[0], "DynamicQuantizeLinear");
    const bool dynamic =
        !conv && quantize && sum.input(2) == quantize->output(2) && is_exclusive(graph, *quantize, id, chain->a_scale);
    const ValueId a_zero = sum.input(2), b_zero = sum.input(3), bias = flat(graph, chain->bias);
    if (dynamic) {
      fused.domain = "com.microsoft";
      fused.op_type = "DynamicQuantizeMatMul";
      fused.inputs = {quantize->inputs[0], sum.inputs[1], chain->b_scale, b_zero, bias};
    } else {
      fused.domain = conv ? "linnet" : "com.microsoft";
      fused.op_type = conv ? "ConvIntegerToFloat" : "MatMulIntegerToFloat";
      fused.inputs = {sum.inputs[0], sum.inputs[1], chain->a_scale, chain->b_scale, a_zero, b_zero, bias};
    }
    while (fused.inputs.back() == kNoValue) fused.inputs.pop_back();
    const NodeId last = chain->add != kNoNode ? chain->add : chain->mul;
    fused.outputs = graph.node(last).outputs;
    for (const NodeId part : {id, chain->cast, chain->mul, chain->add})
      if (part != kNoNode) graph.remove_node(part);
    graph.add_node(std::move(fused));
    ++changes;
  }
  return changes;
}

}  // namespace linnet
