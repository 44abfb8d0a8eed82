// Models for tests, written down as graphs.
#pragma once

#include <memory>

#include "infer/infer.h"
#include "run/session.h"

namespace linnet {

// Adds a node of one output and returns that.
inline ValueId add(Graph& graph, std::string_view type, std::vector<ValueId> inputs,
                   std::vector<Attribute> attributes = {}, int version = 20) {
  Node node;
  node.op_type = type;
  node.version = version;
  node.inputs = std::move(inputs);
  node.attributes = std::move(attributes);
  return graph.add_node(std::move(node), std::string(type));
}

inline ValueId add_input(Graph& graph, std::string name, DType dtype, SymShape shape) {
  const ValueId value = graph.add_value(name, ValueInfo::tensor(dtype, std::move(shape)));
  graph.inputs.push_back({std::move(name), value});
  return value;
}

inline void add_output(Graph& graph, std::string name, ValueId value) {
  graph.outputs.push_back({std::move(name), value});
}

// Infers and plans the graph as it is, without passes. `symbols`: those of its inputs' shapes.
inline Result<std::shared_ptr<const Model>> model_of(
    Graph& graph, std::shared_ptr<SymbolTable> symbols = std::make_shared<SymbolTable>(true)) {
  LINNET_ASSIGN(const GraphFacts facts, infer_graph(graph, *symbols));
  auto model = std::make_shared<Model>();
  for (const GraphPort& p : graph.inputs) model->inputs.push_back({p.name, graph.value(p.value).info});
  for (const GraphPort& p : graph.outputs) model->outputs.push_back({p.name, graph.value(p.value).info});
  LINNET_ASSIGN(model->program, Program::build(graph, symbols, {}));
  return std::shared_ptr<const Model>(std::move(model));
}

template <class T>
Tensor tensor_of(const Shape& shape, std::initializer_list<T> elements) {
  Tensor tensor = make_tensor(dtype_of<T>, shape).value();
  std::copy(elements.begin(), elements.end(), tensor.ptr<T>());
  return tensor;
}

}  // namespace linnet
