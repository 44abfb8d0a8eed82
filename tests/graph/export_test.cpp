#include "graph/export.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/mapped_file.h"
#include "graph/builder.h"
#include "onnx/reader.h"
#include "onnx/test_models.h"
#include "onnx/writer.h"

namespace linnet {
namespace {

// Operators, names and constants of a graph and the graphs in it.
std::string summary(const Graph& graph) {
  std::string text = "(";
  for (const GraphPort& port : graph.inputs) text += port.name + " ";
  for (const NodeId id : graph.order()) {
    const Node& node = graph.node(id);
    text += "\n" + node.op_type + " " + node.domain;
    for (const ValueId value : node.inputs) {
      const Tensor* constant = graph.constant(value);
      text += constant            ? concat(" ", *constant)
              : value == kNoValue ? " -"
                                  : concat(" ", graph.value(value).producer != kNoNode);
    }
    for (const Attribute& attribute : node.attributes) text += concat(" ", attribute.name, ":", attribute.data.index());
    text += concat(" captures ", node.captures.size());
    for (const std::shared_ptr<Graph>& body : subgraphs_of(node)) text += summary(*body);
  }
  for (const GraphPort& port : graph.outputs) text += "\n" + port.name;
  return text + ")";
}

TEST(Export, KeepsNamesOfInputsAndOutputs) {
  Graph graph;
  graph.opsets = {{"", 21}};
  const ValueId x = graph.add_value("", ValueInfo::tensor(DType::f32, {2}));
  graph.inputs = {{"x", x}};
  Node node;
  node.op_type = "Neg";
  node.version = 21;
  node.inputs = {x};
  const ValueId y = graph.add_node(std::move(node), "x");
  graph.outputs = {{"y", y}, {"y_again", y}, {"x_again", x}};
  ASSERT_TRUE(graph.sort().ok());
  SymbolTable symbols(true);
  const onnx::Model model = export_model(graph, symbols);
  const auto bytes = onnx::encode(model);
  auto again = onnx::read_model(*bytes);
  const auto rebuilt = build_graph(*again, {}, symbols);
  ASSERT_TRUE(rebuilt.ok()) << rebuilt.status().message();
  EXPECT_EQ((*rebuilt)->inputs[0].name, "x");
  ASSERT_EQ((*rebuilt)->outputs.size(), 3u);
  EXPECT_EQ((*rebuilt)->outputs[0].name, "y");
  EXPECT_EQ((*rebuilt)->outputs[1].name, "y_again");
  EXPECT_EQ((*rebuilt)->outputs[2].name, "x_again");
  EXPECT_EQ((*rebuilt)->order().size(), 3u);
}

// When LINNET_EXPORTED_MODELS names a folder the models go there, to be looked at with other tools.
TEST(Export, RealModelsComeBackTheSame) {
  const auto models = onnx::test_models();
  if (models.empty()) GTEST_SKIP() << "no models: LINNET_SHARED and LINNET_ONNX_CASES name none";
  const char* folder = std::getenv("LINNET_EXPORTED_MODELS");
  for (const std::filesystem::path& path : models) {
    SCOPED_TRACE(path.string());
    const auto file = MappedFile::open(path);
    auto model = onnx::read_model((*file)->bytes());
    onnx::ExternalData external(path);
    SymbolTable symbols(true);
    const auto graph = build_graph(*model, {*file, &external}, symbols);
    ASSERT_TRUE(graph.ok());
    const auto bytes = onnx::encode(export_model(**graph, symbols));
    ASSERT_TRUE(bytes.ok());
    auto again = onnx::read_model(*bytes);
    ASSERT_TRUE(again.ok()) << again.status().message();
    const auto rebuilt = build_graph(*again, {}, symbols);
    ASSERT_TRUE(rebuilt.ok()) << rebuilt.status().message();
    if ((*rebuilt)->order().size() == (*graph)->order().size()) {  // no copies for outputs
      EXPECT_EQ(summary(**rebuilt), summary(**graph));
    }
    if (folder) {
      const auto parent = path.parent_path();
      const auto to = concat(parent.parent_path().filename().string(), "_", parent.filename().string(), ".onnx");
      EXPECT_TRUE(write_file(std::filesystem::path(folder) / to, std::span<const std::byte>(*bytes)).ok());
    }
  }
}

}  // namespace
}  // namespace linnet
