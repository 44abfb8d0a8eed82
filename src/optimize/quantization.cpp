#include "optimize/quantization.h"

#include <cmath>

namespace linnet {
namespace {

bool is_of(const Node& node, std::string_view type) {
  return node.op_type == type && (node.domain.empty() || node.domain == "com.microsoft");
}

// Fills in scale and zero from inputs 1 and 2.
bool read_constants(const Graph& graph, const Node& node, Quantized& q) {
  const Tensor* scale = graph.constant(node.input(1));
  const Tensor* zero = graph.constant(node.input(2));
  if (!scale || scale->dtype != DType::f32 || scale->count() == 0 || node.int_or("block_size", 0) != 0) return false;
  if (node.input(2) != kNoValue && (!zero || zero->count() != scale->count())) return false;
  for (int64_t i = 0; i < scale->count(); ++i)
    if (!(number_at(*scale, i) > 0) || !std::isfinite(number_at(*scale, i))) return false;
  q.scale = node.inputs[1];
  q.zero = node.input(2);
  q.by_axis = scale->count() > 1 || scale->shape.rank() > 1;
  q.axis = node.int_or("axis", 1);
  return true;
}

}  // namespace

std::optional<Quantized> as_dequantize(const Graph& graph, const Node* node) {
  Quantized q;
  if (!node || !is_of(*node, "DequantizeLinear") || !read_constants(graph, *node, q)) return std::nullopt;
  if (graph.value(node->outputs[0]).info.dtype != DType::f32) return std::nullopt;
  q.codes = node->inputs[0];
  q.type = graph.value(q.codes).info.dtype;
  const ValueInfo& info = graph.value(q.codes).info;
  if (q.by_axis) {
    if (!info.ranked) return std::nullopt;
    if (q.axis < 0) q.axis += static_cast<int64_t>(info.shape.size());
  }
  return q;
}

std::optional<Quantized> as_quantize(const Graph& graph, const Node& node) {
  Quantized q;
  if (!is_of(node, "QuantizeLinear") || node.find("precision") || !read_constants(graph, node, q) || q.by_axis)
    return std::nullopt;
  if (graph.value(node.inputs[0]).info.dtype != DType::f32) return std::nullopt;
  q.codes = node.outputs[0];
  q.type = graph.value(q.codes).info.dtype;
  return q;
}

float scale_of(const Graph& graph, const Quantized& q, int64_t i) {
  return static_cast<float>(number_at(*graph.constant(q.scale), q.by_axis ? i : 0));
}

int32_t zero_of(const Graph& graph, const Quantized& q, int64_t i) {
  const Tensor* zero = graph.constant(q.zero);
  return zero ? static_cast<int32_t>(integer_at(*zero, q.by_axis ? i : 0)) : 0;
}

bool same_quantization(const Graph& graph, const Quantized& a, const Quantized& b) {
  return a.type == b.type && !a.by_axis && !b.by_axis && scale_of(graph, a) == scale_of(graph, b) &&
         zero_of(graph, a) == zero_of(graph, b);
}

ValueId zero_value(Graph& graph, const Quantized& q) {
  if (q.zero != kNoValue) return q.zero;
  const Shape shape = graph.constant(q.scale)->shape;
  Tensor zero = make_tensor(q.type, shape).value();
  return graph.add_constant(graph.value(q.scale).name + "/zero_point", std::move(zero));
}

}  // namespace linnet
