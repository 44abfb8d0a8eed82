// Products of dynamically quantised activations become one operator, bit for bit; near misses stay.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>

#include "load.h"
#include "optimize/optimizer.h"
#include "optimize/rewritten.h"
#include "run/graph_model.h"

namespace linnet {
namespace {

struct Quantised {
  ValueId codes, scale, zero;
};

Quantised dynamic(Graph& graph, ValueId x) {
  Node node;
  node.op_type = "DynamicQuantizeLinear";
  node.version = 11;
  node.inputs = {x};
  node.outputs = {graph.add_value("codes"), graph.add_value("scale"), graph.add_value("zero")};
  const Quantised made{node.outputs[0], node.outputs[1], node.outputs[2]};
  graph.add_node(std::move(node));
  return made;
}

ValueId weights(Graph& graph, const Shape& shape) {
  Tensor t = make_tensor(DType::i8, shape).value();
  for (int64_t i = 0; i < t.count(); ++i) t.ptr<int8_t>()[i] = static_cast<int8_t>(i * 7919 % 255 - 127);
  return graph.add_constant("weights", std::move(t));
}

ValueId floats(Graph& graph, const Shape& shape, float scale) {
  Tensor t = make_tensor(DType::f32, shape).value();
  for (int64_t i = 0; i < t.count(); ++i) t.ptr<float>()[i] = scale * (1.5f + std::sin(static_cast<float>(i)));
  return graph.add_constant("floats", std::move(t));
}

ValueId scaled(Graph& graph, ValueId sum, ValueId scale, ValueId weight_scale) {
  const ValueId cast = add(graph, "Cast", {sum}, {{"to", int64_t{1}}});
  return add(graph, "Mul", {cast, add(graph, "Mul", {scale, weight_scale})});
}

// The operators that are left, after checking that not one bit of the results differs.
Counts optimized(const Shape& shape, const std::function<void(Graph&, ValueId)>& build) {
  Graph plain, fused;
  for (Graph* graph : {&plain, &fused}) {
    SymShape symbolic;
    for (size_t a = 0; a < shape.rank(); ++a) symbolic.push_back(Dim(shape[a]));
    build(*graph, add_input(*graph, "x", DType::f32, std::move(symbolic)));
  }
  SymbolTable symbols(true);
  const auto reports = optimize(fused, symbols, {});
  EXPECT_TRUE(reports.ok()) << reports.status().message();
  const Counts counts = operators(fused);
  Tensor x = make_tensor(DType::f32, shape).value();
  for (int64_t i = 0; i < x.count(); ++i) x.ptr<float>()[i] = 2 * std::sin(static_cast<float>(i * i) * 0.37f);
  const std::vector<float> a = numbers_of(plain, x), b = numbers_of(fused, x);
  EXPECT_EQ(a.size(), b.size());
  EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)), 0);
  return counts;
}

TEST(FuseDynamicQuantize, AProductThatQuantisesForItself) {
  const Counts counts = optimized({2, 3, 20}, [](Graph& g, ValueId x) {
    const Quantised q = dynamic(g, x);
    const ValueId sum = add(g, "MatMulInteger", {q.codes, weights(g, {20, 18}), q.zero});
    add_output(g, "y", add(g, "Add", {floats(g, {18}, 1), scaled(g, sum, q.scale, floats(g, {18}, 0.01f))}));
  });
  EXPECT_EQ(counts, (Counts{{"DynamicQuantizeMatMul", 1}}));
}

TEST(FuseDynamicQuantize, ProductsThatShareTheCodes) {
  const Counts counts = optimized({5, 20}, [](Graph& g, ValueId x) {
    const Quantised q = dynamic(g, x);
    for (const int64_t n : {18, 4}) {
      const ValueId sum = add(g, "MatMulInteger", {q.codes, weights(g, {20, n}), q.zero});
      add_output(g, "y", scaled(g, sum, q.scale, floats(g, {1}, 0.01f)));
    }
  });
  EXPECT_EQ(counts, (Counts{{"GroupedDynamicQuantizeMatMul", 1}}));
}

TEST(FuseDynamicQuantize, AConvolution) {
  const Counts counts = optimized({1, 8, 6, 7}, [](Graph& g, ValueId x) {
    const Quantised q = dynamic(g, x);
    const ValueId sum =
        add(g, "ConvInteger", {q.codes, weights(g, {12, 8, 3, 3}), q.zero}, {{"pads", std::vector<int64_t>(4, 1)}});
    add_output(g, "y", add(g, "Add", {scaled(g, sum, q.scale, floats(g, {1}, 0.01f)), floats(g, {1, 12, 1, 1}, 1)}));
  });
  EXPECT_EQ(counts, (Counts{{"DynamicQuantizeLinear", 1}, {"ConvIntegerToFloat", 1}, {"Transpose", 2}}));
}

// The images of a convolution with channels last have their channels elsewhere.
TEST(FuseDynamicQuantize, AConvolutionWithChannelsLast) {
  for (const bool channels : {true, false}) {
    const Counts counts = optimized({1, 12, 7, 12}, [&](Graph& g, ValueId x) {
      const Quantised q = dynamic(g, x);
      Node node;
      node.op_type = "ConvInteger";
      node.version = 10;
      node.inputs = {q.codes, weights(g, {12, 12, 3, 3}), q.zero};
      node.attributes = {{"pads", std::vector<int64_t>(4, 1)}, {"channels_last", int64_t{1}}};
      const ValueId sum = g.add_node(std::move(node), "sum", ValueInfo::tensor(DType::i32));
      const ValueId bias = floats(g, channels ? Shape{12} : Shape{12, 1, 1}, 1);
      add_output(g, "y", add(g, "Add", {scaled(g, sum, q.scale, floats(g, {1}, 0.01f)), bias}));
    });
    EXPECT_EQ(counts.contains("Add"), !channels);
  }
}

TEST(FuseDynamicQuantize, NearMissesStay) {
  // The sum is wanted as integers as well.
  Counts counts = optimized({5, 20}, [](Graph& g, ValueId x) {
    const Quantised q = dynamic(g, x);
    const ValueId sum = add(g, "MatMulInteger", {q.codes, weights(g, {20, 18}), q.zero});
    add_output(g, "y", scaled(g, sum, q.scale, floats(g, {1}, 0.01f)));
    add_output(g, "z", add(g, "Cast", {add(g, "Neg", {sum})}, {{"to", int64_t{1}}}));
  });
  EXPECT_EQ(counts.at("MatMulInteger"), 1);
  // A factor for each row.
  counts = optimized({5, 20}, [](Graph& g, ValueId x) {
    const Quantised q = dynamic(g, x);
    const ValueId sum = add(g, "MatMulInteger", {q.codes, weights(g, {20, 18}), q.zero});
    add_output(g, "y", scaled(g, sum, q.scale, floats(g, {5, 1}, 0.01f)));
  });
  EXPECT_EQ(counts.at("MatMulInteger"), 1);
  // A sum with something for each row stays behind the product.
  counts = optimized({5, 20}, [](Graph& g, ValueId x) {
    const Quantised q = dynamic(g, x);
    const ValueId sum = add(g, "MatMulInteger", {q.codes, weights(g, {20, 18}), q.zero});
    add_output(g, "y", add(g, "Add", {scaled(g, sum, q.scale, floats(g, {1}, 0.01f)), floats(g, {5, 1}, 1)}));
  });
  EXPECT_EQ(counts, (Counts{{"DynamicQuantizeMatMul", 1}, {"Add", 1}}));
}

TEST(FuseDynamicQuantize, RealExports) {
  const char* shared = std::getenv("LINNET_SHARED");
  const std::filesystem::path root = std::filesystem::path(shared ? shared : "../shared") / "models";
  if (!std::filesystem::exists(root)) GTEST_SKIP() << "no models in " << root << "; set LINNET_SHARED";
  for (const char* name : {"dynamic_int8_bert_classifier_script17", "dynamic_int8_distilbert_script13"}) {
    ModelSource source;
    source.path = root / name / "model.onnx";
    const Result<LoadedGraph> loaded = load_graph(source, {});
    ASSERT_TRUE(loaded.ok()) << loaded.status().message();
    ASSERT_TRUE(optimize(*loaded->graph, *loaded->symbols, {}).ok());
    Counts counts = operators(*loaded->graph);
    EXPECT_EQ(counts["MatMulInteger"], 0) << name;
    EXPECT_EQ(counts["GroupedDynamicQuantizeMatMul"], 2) << name;  // of three each
    EXPECT_EQ(counts["DynamicQuantizeMatMul"] + counts["MatMulIntegerToFloat"], 8) << name;
  }
}

}  // namespace
}  // namespace linnet
