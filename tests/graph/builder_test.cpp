#include "graph/builder.h"

#include <gtest/gtest.h>

#include "base/mapped_file.h"
#include "onnx/make_model.h"
#include "onnx/reader.h"
#include "onnx/test_models.h"

namespace linnet {
namespace {

using onnx::make_body;
using onnx::make_int;
using onnx::make_ints;
using onnx::make_model;
using onnx::make_node;
using onnx::make_reference;

Result<std::shared_ptr<Graph>> build(onnx::Model& model) {
  SymbolTable symbols(true);
  return build_graph(model, {}, symbols);
}

std::string failure(onnx::Model& model) {
  const auto graph = build(model);
  return graph.ok() ? "none" : std::string(graph.status().message());
}

bool contains(const std::string& text, std::string_view part) { return text.find(part) != text.npos; }

// The operators in order, with the names of their inputs.
std::string summary(const Graph& graph) {
  std::string text;
  for (const NodeId id : graph.order()) {
    const Node& node = graph.node(id);
    text += node.op_type + "(";
    for (const ValueId v : node.inputs) text += (v == kNoValue ? "-" : graph.value(v).name) + " ";
    text += ") ";
  }
  return text;
}

TEST(Builder, SortsNodesAndResolvesNames) {
  onnx::Model model = make_model({"x"}, {"z"});
  model.graph->node.push_back(make_node("Neg", {"y"}, {"z"}));
  model.graph->node.push_back(make_node("Clip", {"x", "", "w"}, {"y", ""}));
  model.graph->initializer.push_back(make_ints("w", {1, 2}));
  const auto graph = build(model);
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  EXPECT_EQ(summary(**graph), "Clip(x - w ) Neg(y ) ");
  EXPECT_EQ((*graph)->inputs.size(), 1u);
  EXPECT_EQ((*graph)->outputs[0].name, "z");
  EXPECT_EQ((*graph)->node((*graph)->order()[0]).version, 21);
}

TEST(Builder, InitializersThatAreInputsCanBeOverridden) {
  onnx::Model model = make_model({"x", "w"}, {"y"});
  model.graph->initializer.push_back(make_ints("w", {3}));
  model.graph->node.push_back(make_node("Add", {"x", "w"}, {"y"}));
  const auto graph = build(model);
  ASSERT_TRUE(graph.ok());
  ASSERT_EQ((*graph)->overridable.size(), 1u);
  EXPECT_EQ((*graph)->inputs.size(), 1u);
  EXPECT_EQ((*graph)->constant((*graph)->overridable[0].value)->as<int64_t>()[0], 3);
}

TEST(Builder, SubgraphsCaptureValuesAndShareConstants) {
  onnx::Graph then_branch;
  then_branch.node.push_back(make_node("Add", {"x", "w"}, {"t"}));
  then_branch.output.push_back(onnx::make_float("t"));
  onnx::Graph else_branch;
  else_branch.node.push_back(make_node("Sub", {"x", "late"}, {"e"}));
  else_branch.output.push_back(onnx::make_float("e"));
  onnx::Model model = make_model({"c", "x"}, {"y"});
  model.graph->initializer.push_back(make_ints("w", {3}));
  model.graph->node.push_back(make_node("If", {"c"}, {"y"}));
  model.graph->node.back().attribute.push_back(make_body("then_branch", std::move(then_branch)));
  model.graph->node.back().attribute.push_back(make_body("else_branch", std::move(else_branch)));
  model.graph->node.push_back(make_node("Neg", {"x"}, {"late"}));
  const auto built = build(model);
  ASSERT_TRUE(built.ok()) << built.status().message();
  const Graph& graph = **built;
  ASSERT_EQ(summary(graph), "Neg(x ) If(c ) ");
  const Node& node = graph.node(graph.order()[1]);
  const auto bodies = subgraphs_of(node);
  ASSERT_EQ(node.captures.size(), 2u);
  EXPECT_EQ(graph.value(node.captures[0]).name, "x");
  EXPECT_EQ(graph.value(node.captures[1]).name, "late");
  ASSERT_EQ(bodies[0]->captures.size(), 2u);
  EXPECT_EQ(bodies[0]->captures[1], kNoValue);
  EXPECT_EQ(bodies[1]->value(bodies[1]->captures[1]).name, "late");
  const Node& add = bodies[0]->node(bodies[0]->order()[0]);
  ASSERT_NE(bodies[0]->constant(add.inputs[1]), nullptr);
  EXPECT_EQ(integer_at(*bodies[0]->constant(add.inputs[1]), 0), 3);
}

TEST(Builder, ConstantsBecomeTensors) {
  onnx::Model model = make_model({}, {"y"});
  model.graph->node.push_back(make_node("Constant", {}, {"y"}));
  model.graph->node.back().attribute.push_back(make_int("value_int", 7));
  const auto graph = build(model);
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  EXPECT_EQ((*graph)->order().size(), 0u);
  EXPECT_EQ(integer_at(*(*graph)->constant((*graph)->outputs[0].value), 0), 7);
}

onnx::Function make_function(std::string_view name, onnx::Names inputs, onnx::Names outputs) {
  onnx::Function function;
  function.name = name;
  function.domain = "local";
  function.input = std::move(inputs);
  function.output = std::move(outputs);
  function.opset_import = {{"", 18}, {"local", 1}};
  return function;
}

TEST(Builder, InlinesFunctionsWithinFunctions) {
  onnx::Model model = make_model({"x"}, {"y", "same"});
  onnx::Function inner = make_function("Inner", {"a", "b"}, {"r"});
  inner.attribute = {"axis", "absent"};
  inner.node.push_back(make_node("Softmax", {"a"}, {"s"}));
  inner.node.back().attribute.push_back(make_reference("axis", "axis"));
  inner.node.back().attribute.push_back(make_reference("other", "absent"));
  inner.node.push_back(make_node("Clip", {"s", "b"}, {"r"}));
  onnx::Function outer = make_function("Outer", {"v"}, {"o", "v"});
  outer.attribute_proto.push_back(make_int("axis", 5));
  outer.node.push_back(make_node("Inner", {"v"}, {"o"}, "local"));
  outer.node.back().attribute.push_back(make_reference("axis", "axis"));
  model.functions.push_back(std::move(inner));
  model.functions.push_back(std::move(outer));
  model.graph->node.push_back(make_node("Outer", {"x"}, {"y", "same"}, "local"));
  const auto graph = build(model);
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  EXPECT_EQ(summary(**graph), "Softmax(x ) Clip(Outer/Inner/s ) Identity(x ) ");
  const Node& softmax = (*graph)->node((*graph)->order()[0]);
  EXPECT_EQ(softmax.version, 18);
  EXPECT_EQ(softmax.int_or("axis", 0), 5);
  EXPECT_EQ(softmax.find("other"), nullptr);
}

TEST(Builder, RefusesBrokenModels) {
  onnx::Model cycle = make_model({"x"}, {"y"});
  cycle.graph->node.push_back(make_node("Add", {"x", "z"}, {"y"}));
  cycle.graph->node.push_back(make_node("Neg", {"y"}, {"z"}));
  EXPECT_TRUE(contains(failure(cycle), "cycle"));

  onnx::Model twice = make_model({"x"}, {"y"});
  twice.graph->node.push_back(make_node("Neg", {"x"}, {"y"}));
  twice.graph->node.push_back(make_node("Abs", {"x"}, {"y"}));
  EXPECT_TRUE(contains(failure(twice), "name of another value"));

  onnx::Model undefined = make_model({"x"}, {"y"});
  undefined.graph->node.push_back(make_node("Add", {"x", "nowhere"}, {"y"}));
  EXPECT_TRUE(contains(failure(undefined), "'nowhere'"));

  onnx::Model no_output = make_model({"x"}, {"y"});
  EXPECT_TRUE(contains(failure(no_output), "'y'"));

  onnx::Model recursive = make_model({"x"}, {"y"});
  recursive.functions.push_back(make_function("F", {"a"}, {"b"}));
  recursive.functions.back().node.push_back(make_node("F", {"a"}, {"b"}, "local"));
  recursive.graph->node.push_back(make_node("F", {"x"}, {"y"}, "local"));
  EXPECT_TRUE(contains(failure(recursive), "calls itself"));

  onnx::Model newer = make_model({"x"}, {"x"});
  newer.opset_import = {{"", 99}};
  EXPECT_TRUE(contains(failure(newer), "99"));
}

TEST(Builder, RefusesFunctionsThatMultiply) {
  onnx::Model model = make_model({"x"}, {"y"});
  static const std::string_view names[] = {"F0", "F1", "F2", "F3", "F4", "F5", "F6", "F7"};
  for (size_t i = 0; i < std::size(names); ++i) {
    onnx::Function function = make_function(names[i], {"a"}, {"a0"});
    static const std::string_view values[] = {"a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7",
                                              "a8", "a9", "b0", "b1", "b2", "b3", "b4", "b5"};
    for (const std::string_view value : values)
      function.node.push_back(i == 0 ? make_node("Neg", {"a"}, {value})
                                     : make_node(names[i - 1], {"a"}, {value}, "local"));
    model.functions.push_back(std::move(function));
  }
  model.graph->node.push_back(make_node("F7", {"x"}, {"y"}, "local"));
  EXPECT_TRUE(contains(failure(model), "too large"));
}

TEST(Builder, BuildsRealModels) {
  const auto models = onnx::test_models();
  if (models.empty()) GTEST_SKIP() << "no models: LINNET_SHARED and LINNET_ONNX_CASES name none";
  for (const std::filesystem::path& path : models) {
    const auto file = MappedFile::open(path);
    ASSERT_TRUE(file.ok());
    auto model = onnx::read_model((*file)->bytes());
    ASSERT_TRUE(model.ok());
    onnx::ExternalData external(path);
    SymbolTable symbols(true);
    const auto graph = build_graph(*model, {*file, &external}, symbols);
    EXPECT_TRUE(graph.ok()) << path << ": " << graph.status().message();
  }
}

}  // namespace
}  // namespace linnet
