// Each fusion where it fits, and where it almost does; every rewritten graph gives what the original gave.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "optimize/optimizer.h"
#include "run/graph_model.h"

namespace linnet {
namespace {

ValueId number(Graph& graph, float value) { return graph.add_constant("c", tensor_of<float>({}, {value})); }

Tensor ramp(const Shape& shape, float scale) {
  Tensor t = make_tensor(DType::f32, shape).value();
  for (int64_t i = 0; i < t.count(); ++i) t.ptr<float>()[i] = scale * std::sin(static_cast<float>(i) * 0.7f);
  return t;
}

size_t count(const Graph& graph, std::string_view type) {
  return static_cast<size_t>(std::count_if(graph.order().begin(), graph.order().end(),
                                           [&](NodeId id) { return graph.node(id).op_type == type; }));
}

std::vector<float> run(Graph& graph, const Tensor& x) {
  Result<std::shared_ptr<const Model>> model = model_of(graph);
  EXPECT_TRUE(model.ok()) << model.status().message();
  Session session(std::make_shared<Engine>(1), *model);
  std::vector<Value> out(graph.outputs.size());
  const Status status = session.run(std::vector<Value>{Value(x)}, out);
  EXPECT_TRUE(status.ok()) << status.message();
  std::vector<float> all;
  for (const Value& v : out) all.insert(all.end(), v.tensor.as<float>().begin(), v.tensor.as<float>().end());
  return all;
}

// Builds twice, optimises one, compares the results, and hands the optimised graph to `look`.
void expect(const std::function<void(Graph&)>& build, const Tensor& x, const std::function<void(const Graph&)>& look) {
  Graph plain, optimized;
  build(plain);
  build(optimized);
  SymbolTable symbols(true);
  const auto reports = optimize(optimized, symbols, {});
  ASSERT_TRUE(reports.ok()) << reports.status().message();
  look(optimized);
  const std::vector<float> a = run(plain, x), b = run(optimized, x);
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-5f * (1 + std::fabs(a[i]))) << i;
}

// x * 0.5 * (1 + erf(x / root))
void build_gelu(Graph& graph, float root, bool shared) {
  const ValueId x = add_input(graph, "x", DType::f32, {Dim(3), Dim(8)});
  const ValueId erf = add(graph, "Erf", {add(graph, "Div", {x, number(graph, root)})});
  const ValueId gate = add(graph, "Add", {erf, number(graph, 1)});
  const ValueId product = add(graph, "Mul", {x, gate});
  add_output(graph, "y", add(graph, "Mul", {product, number(graph, 0.5f)}));
  if (shared) add_output(graph, "gate", gate);
}

TEST(FuseGelu, Fits) {
  expect([](Graph& g) { build_gelu(g, 1.41421356f, false); }, ramp({3, 8}, 3),
         [](const Graph& g) {
           EXPECT_EQ(count(g, "Gelu"), 1u);
           EXPECT_EQ(g.order().size(), 1u);
         });
}

TEST(FuseGelu, LeavesAnotherConstantAlone) {
  expect([](Graph& g) { build_gelu(g, 1.5f, false); }, ramp({3, 8}, 3),
         [](const Graph& g) { EXPECT_EQ(count(g, "Gelu"), 0u); });
}

TEST(FuseGelu, LeavesAGateThatOthersReadAlone) {
  expect([](Graph& g) { build_gelu(g, 1.41421356f, true); }, ramp({3, 8}, 3),
         [](const Graph& g) { EXPECT_EQ(count(g, "Gelu"), 0u); });
}

// (x w + bias) then an activation, or plus x.
void build_product(Graph& graph, std::string_view last, bool product_is_output) {
  const ValueId x = add_input(graph, "x", DType::f32, {Dim(2), Dim(3), Dim(8)});
  const ValueId product = add(graph, "MatMul", {x, graph.add_constant("w", ramp({8, 8}, 0.3f))});
  const ValueId biased = add(graph, "Add", {graph.add_constant("b", ramp({8}, 1)), product});
  add_output(graph, "y", last == "Add" ? add(graph, "Add", {x, biased}) : add(graph, last, {biased}));
  if (product_is_output) add_output(graph, "p", product);
}

TEST(FuseMatMul, TakesBiasAndActivation) {
  for (const std::string_view last : {"Relu", "Sigmoid", "Tanh", "HardSwish"})
    expect([&](Graph& g) { build_product(g, last, false); }, ramp({2, 3, 8}, 2),
           [&](const Graph& g) {
             EXPECT_EQ(g.order().size(), 1u) << last;
             EXPECT_EQ(count(g, "FusedMatMul"), 1u);
           });
}

TEST(FuseMatMul, TakesAResidual) {
  expect([](Graph& g) { build_product(g, "Add", false); }, ramp({2, 3, 8}, 2),
         [](const Graph& g) { EXPECT_EQ(g.order().size(), 1u); });
}

TEST(FuseMatMul, LeavesAnOutputAlone) {
  expect([](Graph& g) { build_product(g, "Relu", true); }, ramp({2, 3, 8}, 2),
         [](const Graph& g) { EXPECT_EQ(count(g, "MatMul"), 1u); });
}

void build_swish(Graph& graph, bool other) {
  const ValueId x = add_input(graph, "x", DType::f32, {Dim(16)});
  const ValueId gate = add(graph, "Sigmoid", {other ? add(graph, "Neg", {x}) : x});
  add_output(graph, "y", add(graph, "Mul", {gate, x}));
}

TEST(FuseSwish, FitsOnlyItsOwnGate) {
  expect([](Graph& g) { build_swish(g, false); }, ramp({16}, 4),
         [](const Graph& g) { EXPECT_EQ(count(g, "Swish"), 1u); });
  expect([](Graph& g) { build_swish(g, true); }, ramp({16}, 4),
         [](const Graph& g) { EXPECT_EQ(count(g, "Swish"), 0u); });
}

// (x - mean) / sqrt(mean((x - mean)^2) + e) * w + b, over `axis`.
void build_layer_norm(Graph& graph, int64_t axis) {
  const ValueId x = add_input(graph, "x", DType::f32, {Dim(8), Dim(8)});
  const ValueId axes = graph.add_ints("axes", {axis});
  const ValueId centred = add(graph, "Sub", {x, add(graph, "ReduceMean", {x, axes})});
  const ValueId variance = add(graph, "ReduceMean", {add(graph, "Pow", {centred, number(graph, 2)}), axes});
  const ValueId root = add(graph, "Sqrt", {add(graph, "Add", {variance, number(graph, 1e-5f)})});
  const ValueId scaled = add(graph, "Mul", {add(graph, "Div", {centred, root}), graph.add_constant("w", ramp({8}, 1))});
  add_output(graph, "y", add(graph, "Add", {scaled, graph.add_constant("b", ramp({8}, 2))}));
}

TEST(FuseLayerNorm, FitsTheLastAxisOnly) {
  expect([](Graph& g) { build_layer_norm(g, -1); }, ramp({8, 8}, 2),
         [](const Graph& g) {
           EXPECT_EQ(count(g, "LayerNormalization"), 1u);
           EXPECT_EQ(g.order().size(), 1u);
         });
  expect([](Graph& g) { build_layer_norm(g, 0); }, ramp({8, 8}, 2),
         [](const Graph& g) { EXPECT_EQ(count(g, "LayerNormalization"), 0u); });
}

void build_conv(Graph& graph) {
  const ValueId x = add_input(graph, "x", DType::f32, {Dim(1), Dim(2), Dim(6), Dim(6)});
  const ValueId conv = add(graph, "Conv", {x, graph.add_constant("w", ramp({4, 2, 3, 3}, 0.5f))},
                           {{"pads", std::vector<int64_t>{1, 1, 1, 1}}});
  const ValueId norm =
      add(graph, "BatchNormalization",
          {conv, graph.add_constant("g", ramp({4}, 1)), graph.add_constant("b", ramp({4}, 2)),
           graph.add_constant("m", ramp({4}, 1)), graph.add_constant("v", tensor_of<float>({4}, {1, 2, 3, 4}))});
  add_output(graph, "y", add(graph, "Relu", {norm}));
}

TEST(FuseConv, FoldsTheNormAndTakesTheActivation) {
  expect(build_conv, ramp({1, 2, 6, 6}, 1), [](const Graph& g) {
    EXPECT_EQ(count(g, "BatchNormalization"), 0u);
    EXPECT_EQ(count(g, "Relu"), 0u);
    EXPECT_EQ(count(g, "FusedConv"), 1u);
  });
}

TEST(MergeEqualNodes, KeepsWhatDiffers) {
  const auto build = [](Graph& g) {
    const ValueId x = add_input(g, "x", DType::f32, {Dim(2), Dim(4)});
    const ValueId a = add(g, "Softmax", {x}, {{"axis", int64_t{1}}}),
                  b = add(g, "Softmax", {x}, {{"axis", int64_t{1}}});
    const ValueId c = add(g, "Softmax", {x}, {{"axis", int64_t{0}}});
    add_output(g, "y", add(g, "Add", {add(g, "Add", {a, b}), c}));
  };
  expect(build, ramp({2, 4}, 1), [](const Graph& g) { EXPECT_EQ(count(g, "Softmax"), 2u); });
}

TEST(FoldConstants, StopsAtItsBudget) {
  Graph graph;
  const ValueId big = add(graph, "Expand", {number(graph, 1), graph.add_ints("shape", {1000, 1000})});
  const ValueId x = add_input(graph, "x", DType::f32, {Dim(1000)});
  add_output(graph, "y", add(graph, "Add", {big, x}));
  SymbolTable symbols(true);
  OptimizeOptions options;
  options.fold_bytes = 1000;
  ASSERT_TRUE(optimize(graph, symbols, options).ok());
  EXPECT_EQ(count(graph, "Expand"), 1u);
}

TEST(Optimize, RefusesAnUnknownPass) {
  Graph graph;
  SymbolTable symbols(true);
  OptimizeOptions options;
  options.disabled.insert("fuse_everything");
  EXPECT_EQ(optimize(graph, symbols, options).status().code(), Code::invalid_argument);
}

}  // namespace
}  // namespace linnet
