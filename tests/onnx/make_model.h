// Short ways to write models down in tests. Strings must outlive the model: literals do.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "onnx/model.h"

namespace linnet::onnx {

using Names = std::vector<std::string_view>;

inline Node make_node(std::string_view op_type, Names inputs, Names outputs, std::string_view domain = "") {
  Node node;
  node.op_type = op_type;
  node.domain = domain;
  node.input = std::move(inputs);
  node.output = std::move(outputs);
  return node;
}

inline ValueInfo make_float(std::string_view name) {
  ValueInfo info;
  info.name = name;
  info.type.emplace().tensor_type = TensorType{1, TensorShape{}};
  return info;
}

inline Tensor make_ints(std::string_view name, std::vector<int64_t> elements) {
  Tensor tensor;
  tensor.name = name;
  tensor.data_type = 7;
  tensor.dims = {static_cast<int64_t>(elements.size())};
  tensor.int64_data = std::move(elements);
  return tensor;
}

inline Attribute make_int(std::string_view name, int64_t value) {
  Attribute attribute;
  attribute.name = name;
  attribute.type = AttributeType::integer;
  attribute.i = value;
  return attribute;
}

inline Attribute make_reference(std::string_view name, std::string_view to) {
  Attribute attribute;
  attribute.name = name;
  attribute.type = AttributeType::integer;
  attribute.ref_attr_name = to;
  return attribute;
}

inline Attribute make_body(std::string_view name, Graph graph) {
  Attribute attribute;
  attribute.name = name;
  attribute.type = AttributeType::graph;
  attribute.g = std::make_unique<Graph>(std::move(graph));
  return attribute;
}

inline Model make_model(Names inputs, Names outputs) {
  Model model;
  model.ir_version = 10;
  model.opset_import = {{"", 21}, {"local", 1}};
  Graph& graph = model.graph.emplace();
  graph.name = "main";
  for (const std::string_view name : inputs) graph.input.push_back(make_float(name));
  for (const std::string_view name : outputs) graph.output.push_back(make_float(name));
  return model;
}

}  // namespace linnet::onnx
