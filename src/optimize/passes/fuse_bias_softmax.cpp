// Softmax(scores + bias) over the last axis becomes com.microsoft's BiasSoftmax, where fuse_attention found no
// attention around it. ONNX Runtime has that operator for GPUs only.
// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.BiasSoftmax
#include "optimize/match.h"
#include "optimize/optimizer.h"

namespace linnet {
namespace {

// Whether the bias has a row for each innermost row of the scores (1), for each outermost (0), or neither.
std::optional<bool> repeats_outside(const SymShape& scores, const SymShape& bias) {
  if (bias.size() > scores.size() || bias.empty() || !(bias.back() == scores.back())) return std::nullopt;
  const size_t rows = scores.size() - 1, shift = scores.size() - bias.size();
  const auto same = [&](size_t i) { return i >= shift && bias[i - shift] == scores[i]; };
  const auto one = [&](size_t i) { return i < shift || bias[i - shift].is(1); };
  size_t ones = 0, sames = 0;
  while (ones < rows && one(ones)) ++ones;
  size_t end = ones;
  while (end < rows && same(end)) ++end;
  if (end == rows) return true;  // 1, ..., then the scores' own
  while (sames < rows && same(sames)) ++sames;
  end = sames;
  while (end < rows && one(end)) ++end;
  return end == rows ? std::optional(false) : std::nullopt;
}

bool fuse(Graph& graph, NodeId id, const PassContext& context) {
  const Node& softmax = graph.node(id);
  if (!softmax.is("Softmax")) return false;
  const Node* add = made_only_for_one(graph, softmax.inputs[0], "Add");
  const ValueInfo& sum = graph.value(softmax.inputs[0]).info;
  if (!add || !sum.ranked || sum.dtype != DType::f32) return false;
  const auto axis = softmax_axis(graph, softmax);
  if (!axis || *axis != static_cast<int64_t>(sum.shape.size()) - 1) return false;
  for (const size_t side : {0, 1}) {
    const ValueInfo &scores = graph.value(add->inputs[side]).info, &bias = graph.value(add->inputs[1 - side]).info;
    if (!scores.ranked || !bias.ranked || !(scores.shape == sum.shape)) continue;
    const std::optional<bool> outside = repeats_outside(scores.shape, bias.shape);
    if (!outside) continue;
    Node node;
    node.domain = "com.microsoft";
    node.op_type = "BiasSoftmax";
    node.version = 1;
    node.name = softmax.name;
    node.set("axis", *axis);
    node.set("is_inner_broadcast", int64_t{!*outside});
    node.inputs = {add->inputs[side], add->inputs[1 - side]};
    node.outputs = softmax.outputs;
    graph.remove_node(id);
    graph.add_node(std::move(node));
    return true;
  }
  context.miss(graph, id, "what is added to its scores has no row for all outer or all inner axes");
  return false;
}

}  // namespace

Result<size_t> fuse_bias_softmax(Graph& graph, PassContext& context) {
  return rewrite_nodes(graph, [&](NodeId id) { return fuse(graph, id, context); });
}

}  // namespace linnet
