// Builds a graph twice, optimises one, and compares what both compute.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <string>

#include <gtest/gtest.h>

#include "optimize/optimizer.h"
#include "run/graph_model.h"

namespace linnet {

inline ValueId number(Graph& graph, float value) { return graph.add_constant("c", tensor_of<float>({}, {value})); }

// Numbers in [-scale, scale] without a pattern; `start` tells tensors apart.
inline Tensor wave(const Shape& shape, float scale, int start = 0) {
  Tensor t = make_tensor(DType::f32, shape).value();
  for (int64_t i = 0; i < t.count(); ++i)
    t.ptr<float>()[i] = scale * std::sin(static_cast<float>(i % 9973) * 0.7f + static_cast<float>(start) * 1.3f);
  return t;
}

inline size_t count_of(const Graph& graph, std::string_view type) {
  return static_cast<size_t>(std::count_if(graph.order().begin(), graph.order().end(),
                                           [&](NodeId id) { return graph.node(id).op_type == type; }));
}
// The only node of that type.
inline const Node* node_of(const Graph& graph, std::string_view type) {
  for (const NodeId id : graph.order())
    if (graph.node(id).op_type == type) return &graph.node(id);
  return nullptr;
}

using Counts = std::map<std::string, int>;
// How many nodes of each type there are.
inline Counts operators(const Graph& graph) {
  Counts counts;
  for (const NodeId id : graph.order()) ++counts[graph.node(id).op_type];
  return counts;
}

inline std::vector<std::vector<float>> outputs_of(const std::shared_ptr<const Model>& model,
                                                  const std::vector<Tensor>& inputs) {
  Session session(std::make_shared<Engine>(1), model);
  std::vector<Value> out(model->outputs.size()), in(inputs.begin(), inputs.end());
  const Status status = session.run(std::move(in), out);
  EXPECT_TRUE(status.ok()) << status.message();
  std::vector<std::vector<float>> all;
  if (!status.ok()) return all;
  for (const Value& v : out) {
    std::vector<float>& numbers = all.emplace_back();
    for (int64_t i = 0; i < v.tensor.count(); ++i) numbers.push_back(static_cast<float>(number_at(v.tensor, i)));
  }
  return all;
}

// All numbers that a graph of one input gives, output after output.
inline std::vector<float> numbers_of(Graph& graph, const Tensor& x) {
  const Result<std::shared_ptr<const Model>> model = model_of(graph);
  EXPECT_TRUE(model.ok()) << model.status().message();
  std::vector<float> all;
  if (model.ok())
    for (const std::vector<float>& output : outputs_of(*model, {x}))
      all.insert(all.end(), output.begin(), output.end());
  return all;
}

// Every pass but the one that makes one node of all functions of elements that are left, which tests of others count.
inline OptimizeOptions without_chains() {
  OptimizeOptions options;
  options.disabled.insert("fuse_elementwise");
  return options;
}

// Checks that both graphs give the same for each set of inputs, then hands the optimised one to `look`.
inline void expect_rewritten(const std::function<void(Graph&, SymbolTable&)>& build,
                             const std::vector<std::vector<Tensor>>& inputs,
                             const std::function<void(const Graph&)>& look,
                             const OptimizeOptions& options = without_chains(), float tolerance = 2e-5f) {
  Graph plain, optimized;
  const auto plain_symbols = std::make_shared<SymbolTable>(true), symbols = std::make_shared<SymbolTable>(true);
  build(plain, *plain_symbols);
  build(optimized, *symbols);
  const auto reports = optimize(optimized, *symbols, options);
  ASSERT_TRUE(reports.ok()) << reports.status().message();
  look(optimized);
  const Result<std::shared_ptr<const Model>> before = model_of(plain, plain_symbols),
                                             after = model_of(optimized, symbols);
  ASSERT_TRUE(before.ok() && after.ok()) << before.status().message() << after.status().message();
  for (const std::vector<Tensor>& set : inputs) {
    const auto a = outputs_of(*before, set), b = outputs_of(*after, set);
    ASSERT_EQ(a.size(), b.size());
    for (size_t o = 0; o < a.size(); ++o) {
      ASSERT_EQ(a[o].size(), b[o].size()) << "output " << o;
      for (size_t i = 0; i < a[o].size(); ++i) {
        const float x = a[o][i], y = b[o][i];
        ASSERT_TRUE(x == y || std::fabs(x - y) <= tolerance * (1 + std::fabs(x)))
            << "output " << o << " at " << i << ": " << x << " and " << y;
      }
    }
  }
}

}  // namespace linnet
