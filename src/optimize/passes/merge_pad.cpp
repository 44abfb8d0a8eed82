// Zeros that Pad puts around an image become pads of the convolution or the average behind it.
// https://onnx.ai/onnx/operators/onnx__Pad.html
#include "optimize/match.h"
#include "optimize/optimizer.h"

namespace linnet {
namespace {

// What the Pad adds to the spatial axes, begins then ends; nothing when it adds elsewhere, takes away, or adds no
// zeros.
std::optional<std::vector<int64_t>> spatial_zeros(const Graph& graph, const Node& pad) {
  const Tensor* pads = graph.constant(pad.input(1));
  if (pad.string_or("mode", "constant") != "constant" || !pads || pad.input(3) != kNoValue) return std::nullopt;
  if (pad.input(2) != kNoValue) {
    const std::optional<float> value = scalar(graph, pad.input(2));
    if (!value || *value != 0.0f) return std::nullopt;
  }
  const int64_t rank = pads->count() / 2;
  if (rank < 3) return std::nullopt;
  std::vector<int64_t> zeros;
  for (int64_t i = 0; i < 2 * rank; ++i) {
    const int64_t n = integer_at(*pads, i);
    if (n < 0 || (i % rank < 2 && n != 0)) return std::nullopt;
    if (i % rank >= 2) zeros.push_back(n);
  }
  return zeros;
}

bool merge(Graph& graph, NodeId id, const PassContext& context) {
  Node& node = graph.node(id);
  const bool conv = node.is("Conv"), average = node.is("AveragePool");
  if (!conv && !average) return false;
  const Node* pad = made_by(graph, node.inputs[0], "Pad");
  if (!pad) return false;
  const auto refused = [&](std::string_view reason) {
    context.miss(graph, id, reason);
    return false;
  };
  const auto zeros = spatial_zeros(graph, *pad);
  if (!zeros) return refused("the Pad in front of it does not only add constant zeros around rows and columns");
  const std::string_view automatic = node.string_or("auto_pad", "NOTSET");
  if (automatic != "NOTSET" && automatic != "VALID") return refused("its own pads depend on its input's size");
  std::vector<int64_t> pads(zeros->size(), 0);
  if (const std::vector<int64_t>* own = node.ints("pads"); own && automatic == "NOTSET") pads = *own;
  if (pads.size() != zeros->size()) return false;
  if (average) {  // the zeros count, pads of its own must too; a last window that reaches beyond would count
                  // differently
    for (const int64_t n : pads)
      if (n != 0 && node.int_or("count_include_pad", 0) == 0) return refused("its own pads do not count");
    if (node.int_or("ceil_mode", 0) != 0) return refused("its last window may reach beyond its pads");
    const std::vector<int64_t>* kernel = node.ints("kernel_shape");
    if (!kernel) return false;
    for (size_t i = 0; i < pads.size(); ++i)  // pads are smaller than the window
      if (pads[i] + (*zeros)[i] >= (*kernel)[i % kernel->size()]) return refused("its pads would exceed its window");
    node.set("count_include_pad", int64_t{1});
  }
  for (size_t i = 0; i < pads.size(); ++i) pads[i] += (*zeros)[i];
  node.set("pads", std::move(pads));
  node.erase("auto_pad");
  graph.set_input(id, 0, pad->inputs[0]);
  return true;
}

}  // namespace

Result<size_t> merge_pad(Graph& graph, PassContext& context) {
  return rewrite_nodes(graph, [&](NodeId id) { return merge(graph, id, context); });
}

}  // namespace linnet
