// Whatever the bytes are, reading ends in a model or a sentence.
#include <gtest/gtest.h>

#include "graph/builder.h"
#include "onnx/make_model.h"
#include "onnx/reader.h"
#include "onnx/writer.h"

namespace linnet::onnx {
namespace {

using Buffer = std::vector<std::byte>;

// A model with a little of everything.
Buffer sample() {
  Model model = make_model({"x"}, {"y"});
  model.producer_name = "test";
  model.metadata_props = {{"key", "value"}};
  Graph body;
  body.node.push_back(make_node("Neg", {"x"}, {"n"}));
  body.output.push_back(make_float("n"));
  Graph& graph = *model.graph;
  graph.input[0].type->tensor_type->shape->dim.push_back({4, {}, {}});
  graph.input[0].type->tensor_type->shape->dim.push_back({std::nullopt, "batch", {}});
  graph.initializer.push_back(make_ints("w", {1, -2, 300}));
  Tensor reals;
  reals.name = "f";
  reals.data_type = 1;
  reals.dims = {2};
  static const float values[] = {1.5f, -2.0f};
  reals.float_data.view = std::as_bytes(std::span(values));
  graph.initializer.push_back(std::move(reals));
  graph.sparse_initializer.emplace_back();
  graph.sparse_initializer[0].values = make_ints("s", {5});
  graph.sparse_initializer[0].indices = make_ints("", {3});
  graph.sparse_initializer[0].dims = {2, 2};
  graph.node.push_back(make_node("If", {"x"}, {"i"}));
  graph.node.back().attribute.push_back(make_body("then_branch", std::move(body)));
  graph.node.push_back(make_node("F", {"i"}, {"y"}, "local"));
  Function function;
  function.name = "F";
  function.domain = "local";
  function.input = {"a"};
  function.output = {"b"};
  function.opset_import = {{"", 21}};
  function.attribute_proto.push_back(make_int("axis", -1));
  function.node.push_back(make_node("Softmax", {"a"}, {"b"}));
  function.node.back().attribute.push_back(make_reference("axis", "axis"));
  model.functions.push_back(std::move(function));
  return *encode(model);
}

// Reads, and takes what was read as far as it goes. True when it was a graph.
bool survives(Bytes bytes) {
  Result<Model> model = read_model(bytes);
  if (!model.ok()) {
    EXPECT_FALSE(model.status().message().empty());
    return false;
  }
  EXPECT_TRUE(encode(*model).ok());
  SymbolTable symbols(true);
  return build_graph(*model, {}, symbols).ok();
}

TEST(Malformed, TheSampleIsFine) { EXPECT_TRUE(survives(sample())); }

TEST(Malformed, EveryTruncation) {
  const Buffer bytes = sample();
  for (size_t size = 0; size < bytes.size(); ++size) {
    const Buffer part(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(size));
    survives(part);
  }
}

TEST(Malformed, EveryBitFlipped) {
  Buffer bytes = sample();
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    const std::byte mask{static_cast<uint8_t>(1u << (bit % 8))};
    bytes[bit / 8] ^= mask;
    survives(bytes);
    bytes[bit / 8] ^= mask;
  }
}

Buffer bytes_of(std::initializer_list<int> values) {
  Buffer bytes;
  for (const int value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

Buffer wrapped(uint8_t key, const Buffer& inner) {
  Buffer bytes{std::byte{key}};
  size_t length = inner.size();
  for (; length >= 0x80; length >>= 7) bytes.push_back(static_cast<std::byte>(length | 0x80));
  bytes.push_back(static_cast<std::byte>(length));
  bytes.insert(bytes.end(), inner.begin(), inner.end());
  return bytes;
}

std::string message_of(const Buffer& bytes) { return std::string(read_model(bytes).status().message()); }

TEST(Malformed, GraphsNestedBeyondReason) {
  Buffer bytes;
  for (int level = 0; level < 2000; ++level)
    bytes = wrapped(0x0a, wrapped(0x2a, wrapped(0x32, bytes)));  // node { attribute { g { ... } } }
  EXPECT_NE(message_of(wrapped(0x3a, bytes)).find("nested too deeply"), std::string::npos);
}

TEST(Malformed, TypesNestedBeyondReason) {
  Buffer bytes;
  for (int level = 0; level < 2000; ++level)
    bytes = wrapped(0x22, wrapped(0x0a, bytes));  // sequence_type { elem_type {
  const Buffer input = wrapped(0x5a, wrapped(0x12, bytes));
  EXPECT_NE(message_of(wrapped(0x3a, input)).find("nested too deeply"), std::string::npos);
}

TEST(Malformed, ManyEmptyMessages) {
  Buffer graph;
  for (int i = 0; i < 2'000'000; ++i) graph.insert(graph.end(), {std::byte{0x2a}, std::byte{0}});  // initializer {}
  EXPECT_NE(message_of(wrapped(0x3a, graph)).find("more messages"), std::string::npos);
}

TEST(Malformed, SaysWhatIsWrong) {
  EXPECT_NE(message_of({}).find("empty"), std::string::npos);
  for (const Buffer& other : {bytes_of({0x08, 0x80}), bytes_of({0x0d, 1, 2, 3, 4}), bytes_of({0x0b}), bytes_of({0x00})})
    EXPECT_NE(message_of(other).find("not an ONNX model"), std::string::npos);
  EXPECT_NE(message_of(bytes_of({0x3a, 0x05, 0x00})).find("ends within a field"), std::string::npos);
  // Behind a graph, which makes it one.
  EXPECT_NE(message_of(bytes_of({0x3a, 0x00, 0x08, 0x80})).find("ends within a number"), std::string::npos);
  EXPECT_NE(message_of(bytes_of({0x3a, 0x00, 0x0d, 1, 2, 3, 4})).find("wrong wire type"), std::string::npos);
  EXPECT_NE(message_of(bytes_of({0x3a, 0x00, 0x0b})).find("unknown wire type"), std::string::npos);
  EXPECT_NE(message_of(bytes_of({0x3a, 0x00, 0x00})).find("field number"), std::string::npos);
  EXPECT_NE(message_of(bytes_of({0x08, 0x0a})).find("no graph"), std::string::npos);
  EXPECT_NE(message_of(bytes_of({0x08, 0x63, 0x3a, 0x00})).find("IR version 99"), std::string::npos);
  EXPECT_EQ(read_model(bytes_of({0x08, 0x63, 0x3a, 0x00})).status().code(), Code::unsupported);
}

TEST(Reader, SkipsUnknownFieldsAndMergesRepeatedMessages) {
  // ir_version 10; field 100 of each wire type; the graph in two parts; ir_version again, 11.
  const Buffer bytes =
      bytes_of({0x08, 10,   0xa0, 0x06, 1, 0xa1, 0x06, 0,    0, 0,   0,    0, 0,    0, 0,    0xa5, 0x06, 0, 0, 0, 0,  //
                0xa2, 0x06, 2,    7,    7, 0x3a, 3,    0x12, 1, 'g', 0x3a, 2, 0x0a, 0, 0x08, 11});
  Result<Model> model = read_model(bytes);
  ASSERT_TRUE(model.ok()) << model.status().message();
  EXPECT_EQ(model->ir_version, 11);
  EXPECT_EQ(model->graph->name, "g");
  EXPECT_EQ(model->graph->node.size(), 1u);
}

TEST(Reader, TakesRepeatedNumbersPackedAndOneByOne) {
  // dims 2, then [3, 4]; float_data 1.0 alone, then [1.0]; int32_data [-1], one at a time
  const Buffer bytes =
      bytes_of({0x08, 2,    0x0a, 2,    3,    4,    0x25, 0,    0,    0x80, 0x3f, 0x22, 4, 0, 0, 0x80, 0x3f,  //
                0x28, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01});
  const Result<Tensor> tensor = read_tensor(bytes);
  ASSERT_TRUE(tensor.ok()) << tensor.status().message();
  EXPECT_EQ(tensor->dims, (std::vector<int64_t>{2, 3, 4}));
  EXPECT_EQ(tensor->float_data.bytes().size(), 8u);
  EXPECT_EQ(tensor->int32_data, std::vector<int32_t>{-1});
}

}  // namespace
}  // namespace linnet::onnx
