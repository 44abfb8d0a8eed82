// LSTM, GRU and RNN whose weights are 8-bit integers behind DequantizeLinear become linnet.DynamicQuantizeLSTM and its
// like, which multiply integers: what the weights multiply is rounded to 8 bits, too, as com.microsoft's
// DynamicQuantizeLSTM does.
// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.DynamicQuantizeLSTM
#include "optimize/match.h"
#include "optimize/optimizer.h"

namespace linnet {
namespace {

enum : size_t { kX, kW, kR, kScales = 8, kInputs = 12 };

// [directions][gates hidden][k], with a scale and, where there are any, a zero point for each direction or each of its
// rows.
struct Codes {
  Tensor codes, scale;
  std::optional<Tensor> zero_point;
};

Tensor reshaped(const Tensor& tensor, const Shape& shape) {
  Tensor out = tensor;
  out.shape = shape;
  return out;
}

std::optional<Codes> codes_of(const Graph& graph, ValueId weight) {
  const SymShape* shape = shape_of(graph, weight, 3);
  if (!shape || !shape->known()) return std::nullopt;
  const Shape sizes = shape->values();
  const Node* reshape = made_by(graph, weight, "Reshape");
  const Node* node = made_by(graph, reshape ? reshape->inputs[0] : weight, "DequantizeLinear");
  if (!node || node->int_or("block_size", 0) != 0) return std::nullopt;
  const Tensor* codes = graph.constant(node->inputs[0]);
  const Tensor* scale = graph.constant(node->inputs[1]);
  const Tensor* zero = graph.constant(node->input(2));
  if (!codes || codes->count() != sizes.count() || (codes->dtype != DType::i8 && codes->dtype != DType::u8) || !scale ||
      scale->dtype != DType::f32 || (node->input(2) != kNoValue && (!zero || zero->count() != scale->count())))
    return std::nullopt;
  // Scales go through the first axis, or those that it was split into: the directions, or all of their rows.
  const int64_t axis = node->int_or("axis", 1), directions = sizes[0], rows = directions * sizes[1];
  const bool by_row = scale->count() == rows && (codes->shape[0] == rows || (directions == 1 && axis == 1));
  const bool by_direction = scale->count() == directions && (directions == 1 || codes->shape[0] == directions);
  if (!by_direction && !by_row) return std::nullopt;
  if (scale->count() != 1 && axis != 0 && !(by_row && axis == 1 && codes->shape[0] == 1)) return std::nullopt;
  const Shape of_scales = by_direction ? Shape{directions} : Shape{directions, sizes[1]};
  return Codes{reshaped(*codes, sizes), reshaped(*scale, of_scales),
               zero ? std::optional(reshaped(*zero, of_scales)) : std::nullopt};
}

bool rewrite(Graph& graph, NodeId id, const PassContext& context) {
  const Node& old = graph.node(id);
  if (!old.is("LSTM") && !old.is("GRU") && !old.is("RNN")) return false;
  if (graph.value(old.inputs[kX]).info.dtype != DType::f32) return false;
  std::optional<Codes> w = codes_of(graph, old.inputs[kW]), r = codes_of(graph, old.inputs[kR]);
  if (!w || !r) {
    if (w || r || made_by(graph, old.inputs[kW], "DequantizeLinear"))
      context.miss(graph, id,
                   "not both of its weights are dequantised from constants of 8 bits with scales by direction or row");
    return false;
  }
  Node node = old;
  node.domain = "linnet";
  node.op_type = "DynamicQuantize" + old.op_type;
  node.version = 1;
  node.inputs.resize(kInputs, kNoValue);
  const auto add = [&](Codes& codes, size_t input, size_t scales) {
    const std::string name = graph.value(node.inputs[input]).name;
    node.inputs[input] = graph.add_constant(name + "/codes", std::move(codes.codes));
    node.inputs[scales] = graph.add_constant(name + "/scale", std::move(codes.scale));
    if (codes.zero_point)
      node.inputs[scales + 1] = graph.add_constant(name + "/zero_point", std::move(*codes.zero_point));
  };
  add(*w, kW, kScales);
  add(*r, kR, kScales + 2);
  graph.remove_node(id);
  graph.add_node(std::move(node));
  return true;
}

}  // namespace

Result<size_t> fuse_dequantized_recurrent(Graph& graph, PassContext& context) {
  return rewrite_nodes(graph, [&](NodeId id) { return rewrite(graph, id, context); });
}

}  // namespace linnet
