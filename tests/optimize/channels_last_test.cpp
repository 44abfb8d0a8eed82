// Where the pass leaves transpositions: at the borders of a region of convolutions, nowhere inside.
#include "gtest/gtest.h"
#include "optimize/optimizer.h"

namespace linnet {
namespace {

struct Net {
  Graph graph;
  SymbolTable symbols{true};

  ValueId input(const char* name, Shape shape) {
    const ValueId id = graph.add_value(name, ValueInfo::tensor(DType::f32, shape));
    graph.inputs.push_back({name, id});
    return id;
  }
  ValueId weights(const Shape& shape) { return graph.add_constant("w", make_tensor(DType::f32, shape).value()); }
  ValueId add(const char* type, std::vector<ValueId> inputs, std::vector<Attribute> attributes = {}, int version = 18) {
    Node node;
    node.op_type = type;
    node.version = version;
    node.inputs = std::move(inputs);
    node.attributes = std::move(attributes);
    return graph.add_node(std::move(node), type);
  }
  // The types of the nodes in order, after the pass alone.
  std::vector<std::string> optimized(ValueId out) {
    graph.outputs.push_back({"y", out});
    EXPECT_TRUE(graph.sort().ok());
    OptimizeOptions options;
    for (const Pass& pass : all_passes())
      if (pass.name != "channels_last") options.disabled.insert(std::string(pass.name));
    const auto reports = optimize(graph, symbols, options);
    EXPECT_TRUE(reports.ok()) << reports.status().message();
    std::vector<std::string> types;
    for (const NodeId id : graph.order()) types.push_back(graph.node(id).op_type);
    return types;
  }
};

using Types = std::vector<std::string>;
const Attribute kPads{"pads", std::vector<int64_t>{1, 1, 1, 1}};
const Attribute kKernel{"kernel_shape", std::vector<int64_t>{2, 2}};

TEST(ChannelsLast, ASoftmaxOfSeveralAxesKeepsTheirOrder) {
  for (const int version : {11, 13}) {
    Net net;
    const ValueId x = net.add("Conv", {net.input("x", {1, 3, 8, 8}), net.weights({16, 3, 3, 3})}, {kPads});
    const Types types = net.optimized(net.add("Softmax", {x}, {}, version));
    EXPECT_EQ(types.back(), version == 11 ? "Softmax" : "Transpose");
  }
}

TEST(ChannelsLast, AnOldSoftmaxOfTheLastAxisBecomesOneOfThatAxisAlone) {
  Net net;
  const ValueId x = net.add("Conv", {net.input("x", {1, 3, 8, 8}), net.weights({16, 3, 3, 3})}, {kPads});
  EXPECT_EQ(net.optimized(net.add("Softmax", {x}, {{"axis", int64_t{3}}}, 11)).back(), "Transpose");
  for (const NodeId id : net.graph.order()) {
    const Node& node = net.graph.node(id);
    if (node.op_type != "Softmax") continue;
    EXPECT_EQ(node.int_or("axis", -1), 2);  // with the channels behind it
    EXPECT_EQ(node.version, 13);
  }
}

TEST(ChannelsLast, AStemReadsTheImageAndNothingIsTransposedInside) {
  Net net;
  const ValueId x = net.input("x", {1, 3, 8, 8});
  const ValueId a = net.add("Relu", {net.add("Conv", {x, net.weights({16, 3, 3, 3})}, {kPads})});
  const ValueId b = net.add("Conv", {net.add("MaxPool", {a}, {kKernel}), net.weights({16, 16, 2, 2})}, {kPads});
  const ValueId c = net.add("Concat", {net.add("Add", {b, net.weights({16, 1, 1})}), b}, {{"axis", int64_t{1}}});
  EXPECT_EQ(net.optimized(net.add("GlobalAveragePool", {c})),
            (Types{"Conv", "Relu", "MaxPool", "Conv", "Add", "Concat", "GlobalAveragePool", "Transpose"}));
  EXPECT_EQ(net.graph.node(net.graph.order()[5]).int_or("axis", 0), 3);
  const ValueInfo& out = net.graph.value(net.graph.outputs[0].value).info;
  EXPECT_EQ(out.shape.values(), (Shape{1, 32, 1, 1}));
}

TEST(ChannelsLast, TranspositionsOfTheModelCancel) {
  Net net;
  const ValueId x = net.input("x", {1, 8, 8, 32});
  const ValueId first = net.add("Transpose", {x}, {{"perm", std::vector<int64_t>{0, 3, 1, 2}}});
  const ValueId conv = net.add("Conv", {first, net.weights({16, 32, 3, 3})}, {kPads});
  const ValueId last = net.add("Transpose", {conv}, {{"perm", std::vector<int64_t>{0, 2, 3, 1}}});
  EXPECT_EQ(net.optimized(net.add("Softmax", {last}, {{"axis", int64_t{-1}}})), (Types{"Conv", "Softmax"}));
}

TEST(ChannelsLast, WhatHasNoOtherOrderGetsTheModels) {
  Net net;
  const ValueId x = net.input("x", {1, 32, 8, 8});
  const ValueId conv = net.add("Conv", {x, net.weights({16, 32, 3, 3})}, {kPads});
  EXPECT_EQ(net.optimized(net.add("Flatten", {conv})), (Types{"Transpose", "Conv", "Transpose", "Flatten"}));
}

}  // namespace
}  // namespace linnet
