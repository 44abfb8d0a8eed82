// Nodes that contradict themselves, the standard or the data: refused with a sentence, wherever that comes to light.
#include <limits>

#include <gtest/gtest.h>

#include "ops/registry.h"
#include "run_node.h"

namespace linnet {
namespace {

// With sizes and values that are known when the model loads, and with those that only the run knows.
void expect_refused(NodeRun run) {
  for (const bool symbolic : {false, true})
    for (const size_t first_constant : {size_t{1}, SIZE_MAX}) {
      run.symbolic = symbolic;
      run.first_constant = first_constant;
      const auto result = run_node(run);
      ASSERT_FALSE(result.ok()) << run.op_type;
      EXPECT_NE(result.status().code(), Code::internal) << result.status().message();
    }
}

TEST(HostileNodes, LeaveOutWhatIsNotOptional) {
  Node norm;
  norm.op_type = "LayerNormalization";
  norm.version = 17;
  norm.inputs = {0, 1};
  norm.outputs = {kNoValue, 2};
  EXPECT_FALSE(create_op(norm).ok());
  norm.outputs = {2};
  EXPECT_TRUE(create_op(norm).ok());

  Node concat;
  concat.op_type = "Concat";
  concat.version = 13;
  concat.attributes = {{"axis", int64_t{0}}};
  concat.inputs = {0, kNoValue, 1};
  concat.outputs = {2};
  EXPECT_FALSE(create_op(concat).ok());
}

TEST(HostileNodes, GiveShapesThatAreNoLists) {
  const Tensor table = tensor_of<int64_t>({2, 2}, {1, 1, 2, 2});
  expect_refused({"ConstantOfShape", {table}});
  expect_refused({"Reshape", {counting({4}), table}});
  expect_refused({"Expand", {counting({4}), table}});
  expect_refused({"AffineGrid", {counting({1, 2, 3}), table}});
  expect_refused({"Split", {counting({8}), table}, {}, 4});
  expect_refused({"Reshape", {counting({4}), floats({1}, {4})}});
}

TEST(HostileNodes, ReshapeToAScalarWhatIsNone) {
  expect_refused({"Reshape", {counting({2, 3}), ints({})}});
  const auto scalar = run_node({"Reshape", {counting({1, 1}), ints({})}});
  ASSERT_TRUE(scalar.ok()) << scalar.status().message();
  EXPECT_EQ(scalar.value()[0].tensor.shape.rank(), 0u);
}

TEST(HostileNodes, PoolRegionsThatAreNowhere) {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  for (const float scale : {1.0f, inf, nan, 1e38f}) {
    const auto result = run_node({"MaxRoiPool",
                                  {counting({1, 2, 3, 3}), floats({2, 5}, {0, -9, 9e5f, 9e5f, 5, 0, 0, 0, 2, 2})},
                                  {{"pooled_shape", std::vector<int64_t>{2, 2}}, {"spatial_scale", scale}}});
    ASSERT_TRUE(result.ok()) << result.status().message();
    EXPECT_EQ(result.value()[0].tensor.shape, Shape({2, 2, 2, 2}));
  }
}

TEST(HostileNodes, NormalizeNothingInManyPlaces) {
  const auto result = run_node(
      {"LpNormalization", {make_tensor(DType::f32, {int64_t{1} << 40, 0, 7}).value()}, {{"axis", int64_t{1}}}});
  ASSERT_TRUE(result.ok()) << result.status().message();
}

TEST(HostileNodes, DeclareMoreElementsThanCanBeCounted) {
  Graph graph;
  SymbolTable symbols(true);
  Node node;
  node.op_type = "LayerNormalization";
  node.version = 17;
  for (const Shape& shape : {Shape{2, 3, 5}, Shape{3, 5}, Shape{int64_t{1} << 62, 5}})
    node.inputs.push_back(graph.add_value("x", ValueInfo::tensor(DType::f32, shape)));
  node.outputs = {graph.add_value("y")};
  node.attributes = {{"axis", int64_t{1}}};
  graph.add_node(std::move(node));
  const auto facts = infer_graph(graph, symbols);
  ASSERT_FALSE(facts.ok());
  EXPECT_NE(std::string(facts.status().message()).find("too many elements"), std::string::npos);
}

TEST(HostileNodes, UniqueOfNothingInManyPlaces) {
  for (const DType type : {DType::string, DType::f32, DType::i64}) {
    const auto result =
        run_node({"Unique", {make_tensor(type, {int64_t{1} << 40, 17, 0}).value()}, {{"axis", int64_t{1}}}});
    ASSERT_TRUE(result.ok()) << result.status().message();
    EXPECT_EQ(result.value()[0].tensor.shape, Shape({int64_t{1} << 40, 1, 0}));
  }
}

TEST(HostileNodes, ResizeToNothingWithAnAspectRatio) {
  for (const bool symbolic : {false, true})
    for (const size_t first_constant : {size_t{1}, SIZE_MAX})
      for (const char* policy : {"not_smaller", "not_larger"}) {
        NodeRun run{"Resize", {counting({1, 1, 2, 2}), std::nullopt, std::nullopt, ints({0, 0})}};
        run.attributes = {{"axes", std::vector<int64_t>{2, 3}}, {"keep_aspect_ratio_policy", std::string(policy)}};
        run.symbolic = symbolic;
        run.first_constant = first_constant;
        const auto result = run_node(run);
        ASSERT_TRUE(result.ok()) << result.status().message();
        EXPECT_EQ(result.value()[0].tensor.shape, (Shape{1, 1, 0, 0}));
      }
}

TEST(HostileNodes, ResizeBySizesBesideScalesThatDoNotFit) {
  for (const size_t first_constant : {size_t{1}, SIZE_MAX}) {
    NodeRun run{"Resize", {counting({1, 1, 2, 2}), std::nullopt, tensor_of<int32_t>({1}, {1000}), ints({4, 4})}};
    run.attributes = {{"axes", std::vector<int64_t>{2, 3}}, {"mode", std::string("nearest")}};
    run.first_constant = first_constant;
    const auto result = run_node(run);
    ASSERT_TRUE(result.ok()) << result.status().message();
    EXPECT_EQ(result.value()[0].tensor.shape, (Shape{1, 1, 4, 4}));
    EXPECT_EQ(result.value()[0].tensor.ptr<float>()[5], 0.0f);
    EXPECT_EQ(result.value()[0].tensor.ptr<float>()[15], 3.0f);
  }
}

TEST(HostileNodes, ResizeToMoreThanTablesCanHave) {
  expect_refused({"Resize", {counting({1, 2}), std::nullopt, std::nullopt, ints({1, INT32_MAX})}});
}

TEST(HostileNodes, ConvolveByWeightsBesideAnInputOfUnknownRank) {
  const auto infer = [](std::vector<int64_t> kernel, int64_t zeros) {
    Graph graph;
    SymbolTable symbols(true);
    Node node;
    node.op_type = "ConvInteger";
    node.version = 10;
    ValueInfo unranked;
    unranked.dtype = DType::u8;
    node.inputs = {graph.add_value("x", unranked),
                   graph.add_constant("w", make_tensor(DType::u8, {4, 2, 3, 3}).value()), kNoValue,
                   graph.add_constant("zero", make_tensor(DType::u8, {zeros}).value())};
    node.outputs = {graph.add_value("y")};
    node.attributes = {{"group", int64_t{2}}, {"kernel_shape", std::move(kernel)}};
    graph.add_node(std::move(node));
    return infer_graph(graph, symbols).ok();
  };
  EXPECT_TRUE(infer({3, 3}, 4));
  EXPECT_FALSE(infer({-5, -5, -5, -5}, 4));
  EXPECT_FALSE(infer({5, 5}, 4));
  EXPECT_FALSE(infer({3, 3}, 3));
}

}  // namespace
}  // namespace linnet
