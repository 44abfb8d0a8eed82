// Runs a graph of one node, the way a model of one node would run.
#pragma once

#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "infer/infer.h"
#include "ops/upgrade/upgrade.h"
#include "plan/program.h"
#include "run/execution.h"

namespace linnet {

template <class T>
Tensor tensor_of(const Shape& shape, const std::vector<T>& elements) {
  Tensor tensor = make_tensor(dtype_of<T>, shape).value();
  std::copy_n(elements.begin(), tensor.count(), tensor.ptr<T>());
  return tensor;
}
inline Tensor ints(const std::vector<int64_t>& elements) {
  return tensor_of<int64_t>({static_cast<int64_t>(elements.size())}, elements);
}
inline Tensor scalar(int64_t value) { return tensor_of<int64_t>({}, {value}); }
inline Tensor floats(const Shape& shape, const std::vector<float>& elements) {
  return tensor_of<float>(shape, elements);
}
// 0, 1, 2, ...
inline Tensor counting(const Shape& shape) {
  Tensor tensor = make_tensor(DType::f32, shape).value();
  for (int64_t i = 0; i < tensor.count(); ++i) tensor.ptr<float>()[i] = static_cast<float>(i);
  return tensor;
}

// From -1 to 1.
inline Tensor noise(const Shape& shape, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
  Tensor tensor = make_tensor(DType::f32, shape).value();
  for (float& v : tensor.as<float>()) v = uniform(random);
  return tensor;
}

template <class T>
Tensor converted(const Tensor& from) {
  Tensor to = make_tensor(dtype_of<T>, from.shape).value();
  for (int64_t i = 0; i < from.count(); ++i) to.ptr<T>()[i] = static_cast<T>(from.ptr<float>()[i]);
  return to;
}

struct NodeRun {
  std::string op_type;
  std::vector<std::optional<Tensor>> inputs;  // nothing: left out
  std::vector<Attribute> attributes = {};
  size_t outputs = 1;
  int version = 22;
  // Inputs from this one on are constants of the model, those before it inputs of the run.
  size_t first_constant = SIZE_MAX;
  // The sizes of the model's inputs are symbols.
  bool symbolic = false;
  uint64_t seed = 0;
  std::string domain = {};
};

inline Result<std::vector<Value>> run_node(const NodeRun& what, const Parallel& parallel = Parallel()) {
  Graph graph;
  graph.name = "test";
  auto symbols = std::make_shared<SymbolTable>(true);
  Node node;
  node.op_type = what.op_type;
  node.domain = what.domain;
  node.version = what.version;
  node.attributes = what.attributes;
  std::vector<Value> inputs;
  for (size_t i = 0; i < what.inputs.size(); ++i) {
    const std::optional<Tensor>& input = what.inputs[i];
    if (!input) {
      node.inputs.push_back(kNoValue);
      continue;
    }
    const std::string name = "x" + std::to_string(i);
    if (i >= what.first_constant) {
      node.inputs.push_back(graph.add_constant(name, *input));
      continue;
    }
    SymShape shape = input->shape;
    if (what.symbolic)
      for (Dim& size : shape) size = symbols->fresh();
    node.inputs.push_back(graph.add_value(name, ValueInfo::tensor(input->dtype, shape)));
    graph.inputs.push_back({name, node.inputs.back()});
    inputs.push_back(*input);
  }
  for (size_t o = 0; o < what.outputs; ++o) {
    const std::string name = "y" + std::to_string(o);
    node.outputs.push_back(graph.add_value(name));
    graph.outputs.push_back({name, node.outputs.back()});
  }
  graph.add_node(std::move(node));
  LINNET_TRY(upgrade_graph(graph));
  LINNET_TRY(infer_graph(graph, *symbols).status());
  Program::Options options;
  options.parallel = &parallel;
  LINNET_ASSIGN(const std::unique_ptr<Program> program, Program::build(graph, symbols, options));
  auto limit = std::make_shared<MemoryLimit>();
  limit->set(size_t{1} << 30);
  Execution execution(*program, std::make_shared<BlockPool>(limit));
  const StopToken stop;
  RunEnvironment environment;
  environment.parallel = &parallel;
  environment.stop = &stop;
  environment.seed = what.seed;
  std::vector<Value> outputs(what.outputs);
  LINNET_TRY(execution.run(environment, inputs, {}, outputs));
  for (Value& output : outputs) {
    if (!output.is_tensor()) continue;
    LINNET_ASSIGN(output.tensor, clone(output.tensor));  // the execution goes
  }
  return outputs;
}

}  // namespace linnet
