// Computes ahead what depends on constants only, and values that shape inference has found out.
#include <algorithm>

#include "optimize/evaluate.h"
#include "optimize/optimizer.h"

namespace linnet {
namespace {

constexpr size_t kLargeTable = size_t{64} << 10;

// Quantised constants stay as they are: integer operators want them, and they are a quarter of the size.
bool keeps(const Node& node) { return node.op_type == "DequantizeLinear"; }

Result<Tensor> tensor_of(DType dtype, bool scalar, const DimVector& elements) {
  LINNET_ASSIGN(Tensor tensor, make_tensor(dtype, scalar ? Shape() : Shape{static_cast<int64_t>(elements.size())}));
  for (size_t i = 0; i < elements.size(); ++i) {
    if (dtype == DType::i64) tensor.ptr<int64_t>()[i] = elements[i].value();
    if (dtype == DType::i32) tensor.ptr<int32_t>()[i] = static_cast<int32_t>(elements[i].value());
  }
  return tensor;
}

// The output's elements where inference knows all of them.
std::optional<Tensor> inferred(const Graph& graph, const PassContext& context, ValueId value) {
  const DimVector* elements = context.facts.tracked(value);
  const ValueInfo& info = graph.value(value).info;
  if (!elements || !elements->known() || (info.dtype != DType::i64 && info.dtype != DType::i32)) return std::nullopt;
  if (!info.concrete() || info.shape.size() > 1 ||
      info.shape.values().count() != static_cast<int64_t>(elements->size()))
    return std::nullopt;
  Result<Tensor> tensor = tensor_of(info.dtype, info.shape.empty(), *elements);
  if (!tensor.ok()) return std::nullopt;
  return std::move(*tensor);
}

// Constants that nothing needs once the node is gone.
std::vector<ValueId> freed_with(const Graph& graph, const Node& node) {
  std::vector<ValueId> freed;
  for (const ValueId v : node.inputs) {
    if (!graph.constant(v) || std::find(freed.begin(), freed.end(), v) != freed.end()) continue;
    if (graph.use_count(v) == static_cast<size_t>(std::count(node.inputs.begin(), node.inputs.end(), v)))
      freed.push_back(v);
  }
  return freed;
}

// A table that is read elsewhere, too, as its transpose is by products: they read the table itself by columns once
// merge_transposes has run, so that nobody holds it twice. Embeddings that are the last product's weights are such.
bool leaves_to_products(const Graph& graph, const Node& node, const std::vector<ValueId>& freed) {
  const Tensor* table = node.is("Transpose") ? graph.constant(node.inputs[0]) : nullptr;
  if (!table || !freed.empty() || table->shape.rank() != 2 || table->bytes() < kLargeTable) return false;
  if (table->dtype != DType::f32 && table->dtype != DType::f16 && table->dtype != DType::bf16) return false;
  const ValueId out = node.outputs[0];
  const std::vector<NodeId>& users = graph.uses(out);
  return !graph.is_output(out) && std::all_of(users.begin(), users.end(), [&](NodeId user) {
    const Node& product = graph.node(user);
    return (product.is("MatMul") || (product.is("Gemm") && users.size() == 1)) && product.inputs[1] == out &&
           product.inputs[0] != out;
  });
}

}  // namespace

Result<size_t> fold_constants(Graph& graph, PassContext& context) {
  size_t changes = 0, budget = context.options.fold_bytes;
  const std::vector<NodeId> order = graph.order();
  for (const NodeId id : order) {
    const Node& node = graph.node(id);
    if (keeps(node)) continue;
    std::optional<std::vector<Tensor>> outputs;
    if (node.outputs.size() == 1 && node.outputs[0] != kNoValue) {
      if (std::optional<Tensor> tensor = inferred(graph, context, node.outputs[0]))
        outputs.emplace().push_back(std::move(*tensor));
    }
    const std::vector<ValueId> freed = freed_with(graph, node);
    if (leaves_to_products(graph, node, freed)) continue;
    size_t most = budget;
    for (const ValueId v : freed) most += graph.constant(v)->bytes();
    if (!outputs) outputs = evaluate(graph, id, most);
    if (!outputs) continue;
    budget = most;
    const std::vector<ValueId> values = node.outputs;
    graph.remove_node(id);
    for (const ValueId v : freed) graph.set_constant(v, Tensor());
    for (size_t o = 0; o < values.size(); ++o) {
      if (values[o] == kNoValue) continue;
      const size_t bytes = (*outputs)[o].bytes();
      budget -= std::min(budget, bytes);
      graph.set_constant(values[o], std::move((*outputs)[o]));
    }
    ++changes;
  }
  return changes;
}

}  // namespace linnet
