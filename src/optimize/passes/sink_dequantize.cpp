// Operators that only move numbers, or pick the greatest of them, work on the codes: move(dequantize(x)) becomes
// dequantize(move(x)), and quantize(dequantize(x)) of one scale and zero point is x. Shape and Size ask the codes, of
// which none is NaN. https://onnx.ai/onnx/operators/onnx__DequantizeLinear.html
#include <algorithm>

#include "optimize/match.h"
#include "optimize/optimizer.h"
#include "optimize/quantization.h"

namespace linnet {
namespace {

bool is_mover(const Node& node) {
  if (!node.domain.empty()) return false;
  static constexpr std::string_view kMovers[] = {"Reshape", "Flatten", "Transpose",    "Squeeze",      "Unsqueeze",
                                                 "Gather",  "Slice",   "DepthToSpace", "SpaceToDepth", "Split"};
  if (std::find(std::begin(kMovers), std::end(kMovers), node.op_type) != std::end(kMovers)) return true;
  if (node.op_type == "MaxPool") return node.output(1) == kNoValue;
  if (node.op_type == "Pad") return node.string_or("mode", "constant") != "constant";
  return false;
}

// Makes more elements than it takes: worth it only where the codes are wanted.
bool is_enlarging(const Node& node) {
  if (!node.domain.empty()) return false;
  return node.op_type == "Expand" || node.op_type == "Tile" ||
         (node.op_type == "Resize" && node.string_or("mode", "nearest") == "nearest" &&
          node.string_or("coordinate_transformation_mode", "half_pixel") != "tf_crop_and_resize");
}

bool only_quantized(const Graph& graph, const Node& node) {
  for (const ValueId out : node.outputs) {
    if (out == kNoValue) continue;
    if (graph.is_output(out) || graph.uses(out).empty()) return false;
    for (const NodeId user : graph.uses(out))
      if (graph.node(user).op_type != "QuantizeLinear" || graph.node(user).input(0) != out) return false;
  }
  return true;
}

// The node, now of codes; DequantizeLinear nodes of its outputs take over the values that it made.
void sink(Graph& graph, NodeId id, const Quantized& q, std::vector<ValueId> codes) {
  Node node = graph.node(id);
  const Node above = *graph.producer(node.inputs[0]);
  graph.remove_node(id);
  const std::vector<ValueId> outputs = node.outputs;
  std::copy(codes.begin(), codes.end(), node.inputs.begin());
  for (ValueId& out : node.outputs) {
    if (out == kNoValue) continue;
    ValueInfo info = graph.value(out).info;
    info.dtype = q.type;
    out = graph.add_value(graph.value(out).name + "/codes", std::move(info));
  }
  const std::vector<ValueId> made = node.outputs;
  const std::string name = node.name;
  graph.add_node(std::move(node));
  for (size_t o = 0; o < outputs.size(); ++o) {
    if (outputs[o] == kNoValue) continue;
    Node dequantize = above;
    dequantize.name = name + "/dequantize";
    dequantize.erase("axis");
    dequantize.inputs[0] = made[o];
    dequantize.outputs = {outputs[o]};
    graph.add_node(std::move(dequantize));
  }
}

bool sink_below(Graph& graph, NodeId id, const PassContext& context) {
  const Node& node = graph.node(id);
  const bool joins = node.is("Concat");
  if (!joins && !is_mover(node) && !is_enlarging(node)) return false;
  const std::optional<Quantized> q = dequantized(graph, node.input(0));
  if (!q || q->by_axis || (!q->is_byte() && q->type != DType::u16 && q->type != DType::i16)) return false;
  if (node.is("MaxPool") && !q->is_byte()) return false;
  bool exclusive = !is_enlarging(node);
  std::vector<ValueId> codes;
  for (size_t i = 0; i < (joins ? node.inputs.size() : 1); ++i) {
    const std::optional<Quantized> other = dequantized(graph, node.inputs[i]);
    if (!other) return false;
    if (!same_quantization(graph, *q, *other)) {
      if (!only_quantized(graph, node)) context.miss(graph, id, "its inputs have different scales or zero points");
      return false;
    }
    codes.push_back(other->codes);
    exclusive &= graph.constant(other->codes) || sole_user(graph, node.inputs[i]) != kNoNode;
  }
  if (!exclusive && !only_quantized(graph, node)) {
    if (!is_enlarging(node)) context.miss(graph, id, "what it moves is read as floats by others, too");
    return false;
  }
  sink(graph, id, *q, std::move(codes));
  return true;
}

// Quantises what was dequantised alike.
bool is_undone(const Graph& graph, NodeId id, const PassContext& context) {
  const Node& node = graph.node(id);
  const std::optional<Quantized> to = as_quantize(graph, node), from = dequantized(graph, node.input(0));
  if (!to || !from) return false;
  const bool same = same_quantization(graph, *from, *to);
  if (!same) context.miss(graph, id, "it quantises by another scale, zero point or type than its input had");
  return same;
}

// x where the node is Where(IsNaN(x), 0, x), as PyTorch guards softmax, and it guards nothing: x was dequantised, or
// what quantises the result makes 0 of NaN as well, which becomes the least code.
ValueId without_guard(const Graph& graph, const Node& node, OptimizationLevel level) {
  const Node* nan = node.is("Where") ? made_by(graph, node.inputs[0], "IsNaN") : nullptr;
  const ValueId x = nan ? nan->inputs[0] : kNoValue, out = node.outputs[0];
  if (!nan || node.inputs[2] != x || !is_scalar(graph, node.inputs[1], 0) || graph.is_output(out)) return kNoValue;
  const ValueInfo &a = graph.value(x).info, &b = graph.value(out).info;
  if (!a.ranked || !b.ranked || !(a.shape == b.shape)) return kNoValue;
  if (dequantized(graph, x)) return x;
  const bool dies = std::all_of(graph.uses(out).begin(), graph.uses(out).end(), [&](NodeId user) {
    const std::optional<Quantized> q = as_quantize(graph, graph.node(user));
    return q && q->is_byte() && zero_of(graph, *q) == q->least();
  });
  return dies && level == OptimizationLevel::all ? x : kNoValue;
}

}  // namespace

Result<size_t> sink_dequantize(Graph& graph, PassContext& context) {
  size_t changes = 0;
  const std::vector<NodeId> order = graph.order();
  for (const NodeId id : order) {
    if (!graph.alive(id) || graph.node(id).inputs.empty()) continue;
    const Node& node = graph.node(id);
    if (node.op_type == "QuantizeLinear" && is_undone(graph, id, context)) {
      const ValueId out = node.outputs[0], codes = dequantized(graph, node.inputs[0])->codes;
      graph.replace_uses(out, codes);
      graph.remove_node(id);
      ++changes;
    } else if (node.is("Shape") || node.is("Size")) {
      if (const std::optional<Quantized> q = dequantized(graph, node.inputs[0])) {
        graph.set_input(id, 0, q->codes);
        ++changes;
      }
    } else if (const ValueId x = without_guard(graph, node, context.options.level); x != kNoValue) {
      const ValueId out = node.outputs[0];
      graph.remove_node(id);
      graph.replace_uses(out, x);
      ++changes;
    } else {
      changes += sink_below(graph, id, context);
    }
  }
  return changes;
}

}  // namespace linnet
