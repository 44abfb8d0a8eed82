// Each fusion where it fits, and where it almost does; every rewritten graph gives what the original gave.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "optimize/optimizer.h"
#include "optimize/rewritten.h"
#include "run/graph_model.h"

namespace linnet {
namespace {

// Builds twice, optimises one, compares the results, and hands the optimised graph to `look`.
void expect(const std::function<void(Graph&)>& build, const Tensor& x, const std::function<void(const Graph&)>& look) {
  Graph plain, optimized;
  build(plain);
  build(optimized);
  SymbolTable symbols(true);
  const auto reports = optimize(optimized, symbols, {});
  ASSERT_TRUE(reports.ok()) << reports.status().message();
  look(optimized);
  const std::vector<float> a = numbers_of(plain, x), b = numbers_of(optimized, x);
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
  expect([](Graph& g) { build_gelu(g, 1.41421356f, false); }, wave({3, 8}, 3),
         [](const Graph& g) {
           EXPECT_EQ(count_of(g, "Gelu"), 1u);
           EXPECT_EQ(g.order().size(), 1u);
         });
}

TEST(FuseGelu, LeavesAnotherConstantAlone) {
  expect([](Graph& g) { build_gelu(g, 1.5f, false); }, wave({3, 8}, 3),
         [](const Graph& g) { EXPECT_EQ(count_of(g, "Gelu"), 0u); });
}

TEST(FuseGelu, LeavesAGateThatOthersReadAlone) {
  expect([](Graph& g) { build_gelu(g, 1.41421356f, true); }, wave({3, 8}, 3),
         [](const Graph& g) { EXPECT_EQ(count_of(g, "Gelu"), 0u); });
}

// (x w + bias) then an activation, or plus x.
void build_product(Graph& graph, std::string_view last, bool product_is_output) {
  const ValueId x = add_input(graph, "x", DType::f32, {Dim(2), Dim(3), Dim(8)});
  const ValueId product = add(graph, "MatMul", {x, graph.add_constant("w", wave({8, 8}, 0.3f))});
  const ValueId biased = add(graph, "Add", {graph.add_constant("b", wave({8}, 1)), product});
  add_output(graph, "y", last == "Add" ? add(graph, "Add", {x, biased}) : add(graph, last, {biased}));
  if (product_is_output) add_output(graph, "p", product);
}

TEST(FuseMatMul, TakesBiasAndActivation) {
  for (const std::string_view last : {"Relu", "Sigmoid", "Tanh", "HardSwish"})
    expect([&](Graph& g) { build_product(g, last, false); }, wave({2, 3, 8}, 2),
           [&](const Graph& g) {
             EXPECT_EQ(g.order().size(), 1u) << last;
             EXPECT_EQ(count_of(g, "FusedMatMul"), 1u);
           });
}

TEST(FuseMatMul, TakesAResidual) {
  expect([](Graph& g) { build_product(g, "Add", false); }, wave({2, 3, 8}, 2),
         [](const Graph& g) { EXPECT_EQ(g.order().size(), 1u); });
}

TEST(FuseMatMul, LeavesAnOutputAlone) {
  expect([](Graph& g) { build_product(g, "Relu", true); }, wave({2, 3, 8}, 2),
         [](const Graph& g) { EXPECT_EQ(count_of(g, "MatMul"), 1u); });
}

void build_swish(Graph& graph, bool other) {
  const ValueId x = add_input(graph, "x", DType::f32, {Dim(16)});
  const ValueId gate = add(graph, "Sigmoid", {other ? add(graph, "Neg", {x}) : x});
  add_output(graph, "y", add(graph, "Mul", {gate, x}));
}

TEST(FuseSwish, FitsOnlyItsOwnGate) {
  expect([](Graph& g) { build_swish(g, false); }, wave({16}, 4),
         [](const Graph& g) { EXPECT_EQ(count_of(g, "Swish"), 1u); });
  expect([](Graph& g) { build_swish(g, true); }, wave({16}, 4),
         [](const Graph& g) { EXPECT_EQ(count_of(g, "Swish"), 0u); });
}

// (x - mean) / sqrt(mean((x - mean)^2) + e) * w + b, over `axis`.
void build_layer_norm(Graph& graph, int64_t axis) {
  const ValueId x = add_input(graph, "x", DType::f32, {Dim(8), Dim(8)});
  const ValueId axes = graph.add_ints("axes", {axis});
  const ValueId centred = add(graph, "Sub", {x, add(graph, "ReduceMean", {x, axes})});
  const ValueId variance = add(graph, "ReduceMean", {add(graph, "Pow", {centred, number(graph, 2)}), axes});
  const ValueId root = add(graph, "Sqrt", {add(graph, "Add", {variance, number(graph, 1e-5f)})});
  const ValueId scaled = add(graph, "Mul", {add(graph, "Div", {centred, root}), graph.add_constant("w", wave({8}, 1))});
  add_output(graph, "y", add(graph, "Add", {scaled, graph.add_constant("b", wave({8}, 2))}));
}

TEST(FuseLayerNorm, FitsTheLastAxisOnly) {
  expect([](Graph& g) { build_layer_norm(g, -1); }, wave({8, 8}, 2),
         [](const Graph& g) {
           EXPECT_EQ(count_of(g, "LayerNormalization"), 1u);
           EXPECT_EQ(g.order().size(), 1u);
         });
  expect([](Graph& g) { build_layer_norm(g, 0); }, wave({8, 8}, 2),
         [](const Graph& g) { EXPECT_EQ(count_of(g, "LayerNormalization"), 0u); });
}

void build_conv(Graph& graph) {
  const ValueId x = add_input(graph, "x", DType::f32, {Dim(1), Dim(2), Dim(6), Dim(6)});
  const ValueId conv = add(graph, "Conv", {x, graph.add_constant("w", wave({4, 2, 3, 3}, 0.5f))},
                           {{"pads", std::vector<int64_t>{1, 1, 1, 1}}});
  const ValueId norm =
      add(graph, "BatchNormalization",
          {conv, graph.add_constant("g", wave({4}, 1)), graph.add_constant("b", wave({4}, 2)),
           graph.add_constant("m", wave({4}, 1)), graph.add_constant("v", tensor_of<float>({4}, {1, 2, 3, 4}))});
  add_output(graph, "y", add(graph, "Relu", {norm}));
}

TEST(FuseConv, FoldsTheNormAndTakesTheActivation) {
  expect(build_conv, wave({1, 2, 6, 6}, 1), [](const Graph& g) {
    EXPECT_EQ(count_of(g, "BatchNormalization"), 0u);
    EXPECT_EQ(count_of(g, "Relu"), 0u);
    EXPECT_EQ(count_of(g, "FusedConv"), 1u);
  });
}

Tensor half(const Tensor& x) {
  Tensor y = make_tensor(DType::f16, x.shape).value();
  for (int64_t i = 0; i < x.count(); ++i) y.ptr<f16>()[i] = f16(x.ptr<float>()[i]);
  return y;
}

TEST(FuseConv, TakesSumAndActivationOfHalves) {
  const auto build = [](Graph& graph, SymbolTable&) {
    const ValueId x = add_input(graph, "x", DType::f16, {Dim(1), Dim(4), Dim(6), Dim(6)});
    const ValueId conv = add(graph, "Conv", {x, graph.add_constant("w", half(wave({4, 4, 3, 3}, 0.5f)))},
                             {{"pads", std::vector<int64_t>{1, 1, 1, 1}}});
    add_output(graph, "y", add(graph, "Relu", {add(graph, "Add", {conv, x})}));
  };
  // The unoptimised graph rounds the product to half, too.
  OptimizeOptions options = without_chains();
  expect_rewritten(
      build, {{half(wave({1, 4, 6, 6}, 1))}}, [](const Graph& g) { EXPECT_EQ(operators(g)["FusedConv"], 1); }, options,
      2e-3f);
  options.level = OptimizationLevel::extended;  // other implementations have it for float alone
  expect_rewritten(
      build, {{half(wave({1, 4, 6, 6}, 1))}}, [](const Graph& g) { EXPECT_EQ(operators(g)["FusedConv"], 0); }, options,
      2e-3f);
}

TEST(MergeEqualNodes, KeepsWhatDiffers) {
  const auto build = [](Graph& g) {
    const ValueId x = add_input(g, "x", DType::f32, {Dim(2), Dim(4)});
    const ValueId a = add(g, "Softmax", {x}, {{"axis", int64_t{1}}}),
                  b = add(g, "Softmax", {x}, {{"axis", int64_t{1}}});
    const ValueId c = add(g, "Softmax", {x}, {{"axis", int64_t{0}}});
    add_output(g, "y", add(g, "Add", {add(g, "Add", {a, b}), c}));
  };
  expect(build, wave({2, 4}, 1), [](const Graph& g) { EXPECT_EQ(count_of(g, "Softmax"), 2u); });
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
  EXPECT_EQ(count_of(graph, "Expand"), 1u);
}

TEST(FoldConstants, TakesWhatReplacesItsInputsBeyondItsBudget) {
  Graph graph;
  const ValueId big = graph.add_constant("w", wave({40, 50}, 1));
  const ValueId x = add_input(graph, "x", DType::f32, {Dim(40), Dim(50)});
  const ValueId scaled = add(graph, "Mul", {add(graph, "Neg", {big}), number(graph, 3)});
  add_output(graph, "y", add(graph, "Add", {scaled, x}));
  const ValueId kept = graph.add_constant("kept", wave({40, 50}, 2));
  add_output(graph, "z", add(graph, "Add", {add(graph, "Sqrt", {kept}), add(graph, "Mul", {kept, x})}));
  SymbolTable symbols(true);
  OptimizeOptions options;
  options.level = OptimizationLevel::basic;
  options.fold_bytes = 1000;
  ASSERT_TRUE(optimize(graph, symbols, options).ok());
  EXPECT_EQ(count_of(graph, "Neg"), 0u);
  EXPECT_EQ(count_of(graph, "Mul"), 1u);
  EXPECT_EQ(count_of(graph, "Sqrt"), 1u);
}

// The layer's weights, turned, are the next one's, too.
void build_tied(Graph& graph, int64_t rows) {
  const ValueId x = add_input(graph, "x", DType::f32, {Dim(5), Dim(96)});
  const ValueId table = graph.add_constant("table", wave({rows, 96}, 0.1f));
  const ValueId turned = add(graph, "Transpose", {table}, {{"perm", std::vector<int64_t>{1, 0}}});
  const ValueId bias = graph.add_constant("bias", wave({rows}, 1, 2));
  const ValueId h = add(graph, "Relu", {add(graph, "Add", {add(graph, "MatMul", {x, turned}), bias})});
  add_output(graph, "y", add(graph, "MatMul", {h, table}));
}

TEST(FoldConstants, LeavesALargeTableThatOthersReadToItsProduct) {
  for (const OptimizationLevel level :
       {OptimizationLevel::basic, OptimizationLevel::extended, OptimizationLevel::all}) {
    Graph plain, graph;
    build_tied(plain, 200);
    build_tied(graph, 200);
    SymbolTable symbols(true);
    OptimizeOptions options;
    options.level = level;
    ASSERT_TRUE(optimize(graph, symbols, options).ok());
    EXPECT_EQ(count_of(graph, "Transpose"), level == OptimizationLevel::basic ? 1u : 0u);
    EXPECT_EQ(count_of(graph, "FusedMatMul"), level == OptimizationLevel::basic ? 0u : 1u);
    EXPECT_EQ(count_of(graph, "Relu"), level == OptimizationLevel::all ? 0u : 1u);
    size_t bytes = 0;
    for (ValueId v = 0; v < graph.value_count(); ++v)
      if (graph.constant(v) && graph.use_count(v) != 0) bytes += graph.constant(v)->bytes();
    EXPECT_EQ(bytes, (200u * 96 + 200) * sizeof(float));
    const std::vector<float> a = numbers_of(plain, wave({5, 96}, 1, 3)), b = numbers_of(graph, wave({5, 96}, 1, 3));
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-5f * (1 + std::fabs(a[i]))) << i;
  }
}

TEST(FoldConstants, CopiesASmallTable) {
  Graph graph;
  build_tied(graph, 20);
  SymbolTable symbols(true);
  OptimizeOptions options;
  options.level = OptimizationLevel::basic;
  ASSERT_TRUE(optimize(graph, symbols, options).ok());
  EXPECT_EQ(count_of(graph, "Transpose"), 0u);
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
