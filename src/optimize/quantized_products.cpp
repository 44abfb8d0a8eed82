#include "optimize/quantized_products.h"

#include <utility>

#include "optimize/match.h"

namespace linnet {
namespace {

constexpr std::string_view kBlockAttributes[] = {"K", "block_size", "bits", "accuracy_level"};

bool is_constant(const Graph& graph, ValueId value) { return graph.constant(value) != nullptr; }

}  // namespace

std::optional<QuantizedProduct> as_quantized_product(const Graph& graph, const Node& node) {
  constexpr std::string_view kDomain = "com.microsoft";
  const bool blocks = node.is("MatMulNBits", kDomain), codes = node.is("MatMulIntegerToFloat", kDomain);
  if (!blocks && !codes && !node.is("DynamicQuantizeMatMul", kDomain)) return std::nullopt;
  QuantizedProduct p;
  p.x = node.inputs[0];
  if (codes) {
    const Node* quantizer = made_by(graph, p.x, "DynamicQuantizeLinear");
    if (!quantizer || node.input(2) != quantizer->output(1) || node.input(4) != quantizer->output(2))
      return std::nullopt;
    p.quantizer = node_id(graph, p.x);
    p.x = quantizer->inputs[0];
    p.weights = {node.input(1), node.input(3), node.input(5), node.input(6)};
  } else {
    p.weights = {node.input(1), node.input(2), node.input(3), node.input(blocks ? 5 : 4)};
  }
  const Tensor* matrix = graph.constant(p.weights[0]);
  const ValueInfo &x = graph.value(p.x).info, &y = graph.value(node.outputs[0]).info;
  if (!matrix || matrix->count() == 0 || !x.ranked || x.shape.empty() || x.dtype != DType::f32 ||
      is_constant(graph, p.x) || y.dtype != DType::f32)
    return std::nullopt;
  for (size_t i = 1; i < p.weights.size(); ++i)
    if (p.weights[i] != kNoValue && !is_constant(graph, p.weights[i])) return std::nullopt;
  if (p.weights[3] != kNoValue && graph.constant(p.weights[3])->dtype != DType::f32) return std::nullopt;
  if (!blocks) {
    if (matrix->shape.rank() != 2 || graph.constant(p.weights[1])->dtype != DType::f32) return std::nullopt;
    p.columns = matrix->shape[1];
    return p;
  }
  if (node.input(4) != kNoValue) return std::nullopt;  // the blocks of columns in an order of their own
  p.columns = node.int_or("N", 0);
  for (size_t i = 0; i < p.blocks.size(); ++i)
    p.blocks[i] = node.int_or(kBlockAttributes[i], kBlockAttributes[i] == "bits" ? 4 : 0);
  return p;
}

Node grouped_quantized(std::span<const QuantizedProduct> products, std::string name) {
  const std::array<int64_t, 4>& blocks = products[0].blocks;
  Node node;
  node.domain = "linnet";
  node.op_type = blocks[0] != 0 ? "GroupedMatMulNBits" : "GroupedDynamicQuantizeMatMul";
  node.version = 1;
  node.name = std::move(name);
  node.inputs = {products[0].x};
  std::vector<int64_t> columns;
  for (const QuantizedProduct& p : products) {
    node.inputs.insert(node.inputs.end(), p.weights.begin(), p.weights.end());
    columns.push_back(p.columns);
  }
  while (node.inputs.back() == kNoValue) node.inputs.pop_back();
  if (blocks[0] == 0) return node;
  node.set("N", std::move(columns));
  for (size_t i = 0; i < blocks.size(); ++i) node.set(kBlockAttributes[i], blocks[i]);
  return node;
}

}  // namespace linnet
