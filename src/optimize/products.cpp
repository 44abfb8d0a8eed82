#include "optimize/products.h"

#include <utility>

namespace linnet {

std::optional<ConstantProduct> as_constant_product(const Graph& graph, const Node& node) {
  const bool gemm = node.is("Gemm"), fused = node.is("FusedMatMul", "linnet");
  if (!gemm && !fused && !node.is("MatMul")) return std::nullopt;
  if (node.int_or("transA", 0) != 0 || node.float_or("alpha", 1.0f) != 1.0f || node.float_or("beta", 1.0f) != 1.0f ||
      node.input(3) != kNoValue)
    return std::nullopt;
  const Tensor* matrix = graph.constant(node.input(1));
  const ValueInfo& x = graph.value(node.inputs[0]).info;
  if (!matrix || matrix->dtype != DType::f32 || matrix->shape.rank() != 2 || !x.ranked || x.shape.size() < 2 ||
      graph.constant(node.inputs[0]))
    return std::nullopt;
  ConstantProduct p;
  p.x = node.inputs[0];
  p.matrix = node.inputs[1];
  p.bias = node.input(2);
  p.transposed = node.int_or("transB", 0) != 0;
  p.columns = matrix->shape[p.transposed ? 0 : 1];
  p.activated = !node.string_or("activation", "").empty();
  if (p.bias != kNoValue) {
    const Tensor* bias = graph.constant(p.bias);
    if (!bias || bias->shape.rank() != 1 || bias->count() != p.columns) return std::nullopt;
  }
  return p;
}

Node grouped_matmul(const ConstantProduct& first, std::string name) {
  Node node;
  node.domain = "linnet";
  node.op_type = "GroupedMatMul";
  node.version = 1;
  node.name = std::move(name);
  node.inputs = {first.x, first.matrix, first.bias};
  if (first.transposed) node.set("transB", int64_t{1});
  return node;
}

}  // namespace linnet
