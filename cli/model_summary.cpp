#include "model_summary.h"

#include "base/result.h"
#include "tensor/tensor.h"

namespace linnet::cli {
namespace {

std::string qualified(std::string_view domain, std::string_view name) {
  return domain.empty() || domain == "ai.onnx" ? std::string(name) : concat(domain, ".", name);
}

class Counter {
 public:
  ModelSummary count(const onnx::Model& model) {
    if (model.graph) add_graph(*model.graph, true);
    for (const onnx::Function& f : model.functions) {
      ++summary_.functions[qualified(f.domain, f.name)];
      add_nodes(f.node, false);
    }
    return std::move(summary_);
  }

 private:
  void add_graph(const onnx::Graph& graph, bool main) {
    for (const onnx::Tensor& t : graph.initializer) add_tensor(t);
    for (const onnx::SparseTensor& t : graph.sparse_initializer) {
      add_tensor(t.values);
      add_tensor(t.indices);
    }
    add_nodes(graph.node, main);
  }

  void add_nodes(const std::vector<onnx::Node>& nodes, bool main) {
    for (const onnx::Node& node : nodes) {
      OperatorCount& count = summary_.operators[qualified(node.domain, node.op_type)];
      ++(main ? count.main : count.inner);
      for (const onnx::Attribute& a : node.attribute) {
        if (a.t && node.op_type == "Constant") add_tensor(*a.t);
        if (a.g) add_graph(*a.g, false);
        for (const onnx::Graph& body : a.graphs) add_graph(body, false);
      }
    }
  }

  void add_tensor(const onnx::Tensor& tensor) {
    const DType dtype = is_dtype(tensor.data_type) ? static_cast<DType>(tensor.data_type) : DType::undefined;
    const std::optional<int64_t> count = Shape(std::span<const int64_t>(tensor.dims)).checked_count();
    const uint64_t elements = static_cast<uint64_t>(count.value_or(0));
    uint64_t bytes = storage_size(dtype, count.value_or(0)).value_or(0);
    if (dtype == DType::string) {
      bytes = 0;
      for (const std::string_view text : tensor.string_data) bytes += text.size();
    }
    const auto add = [&](TensorCount& to) {
      ++to.tensors;
      to.elements += elements;
      to.bytes += bytes;
    };
    add(summary_.parameters[dtype]);
    if (tensor.data_location != onnx::DataLocation::external) return;
    for (const onnx::StringPair& entry : tensor.external_data)
      if (entry.key == "location") add(summary_.external[std::string(entry.value)]);
  }

  ModelSummary summary_;
};

}  // namespace

ModelSummary summarize(const onnx::Model& model) { return Counter().count(model); }

}  // namespace linnet::cli
