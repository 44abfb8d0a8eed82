#include "models.h"

#include <initializer_list>

#include "onnx/make_model.h"
#include "onnx/writer.h"

namespace models {
namespace {

using namespace linnet;

constexpr int32_t kFloat = 1, kInt64 = 7, kString = 8, kBool = 9;

onnx::TensorType tensor_type(int32_t dtype, std::initializer_list<onnx::Dimension> dims) {
  onnx::TensorType type{dtype, onnx::TensorShape{}};
  for (const onnx::Dimension& d : dims) type.shape->dim.push_back(d);
  return type;
}

onnx::ValueInfo port(std::string_view name, int32_t dtype, std::initializer_list<onnx::Dimension> dims) {
  onnx::ValueInfo info;
  info.name = name;
  info.type.emplace().tensor_type = tensor_type(dtype, dims);
  return info;
}

onnx::Dimension size(int64_t n) { return {n, {}, {}}; }
onnx::Dimension named(std::string_view name) { return {std::nullopt, name, {}}; }

onnx::ElementType holding(onnx::TensorType tensor) {
  onnx::ElementType element{std::make_unique<onnx::Type>()};
  element.elem_type->tensor_type = std::move(tensor);
  return element;
}

struct Writer {
  onnx::Model model = onnx::make_model({}, {});
  onnx::Graph& graph = *model.graph;
  Writer() {
    model.opset_import = {{"", 21}, {"ai.onnx.ml", 3}, {"mine", 2}};
    model.producer_name = "tests";
    model.metadata_props = {{"author", "somebody"}};
  }
  Bytes bytes() { return onnx::encode(model).value(); }
};

const float kTwo[] = {2.0f};

onnx::Attribute text(std::string_view name, std::string_view value) {
  onnx::Attribute attribute;
  attribute.name = name;
  attribute.type = onnx::AttributeType::string;
  attribute.s = value;
  return attribute;
}

}  // namespace

Bytes sum() {
  Writer w;
  w.graph.input.push_back(port("a", kFloat, {named("n"), size(2)}));
  w.graph.input.push_back(port("b", kFloat, {named("n"), size(2)}));
  w.graph.output.push_back(port("y", kFloat, {named("n"), size(2)}));
  onnx::Tensor two;
  two.name = "two";
  two.data_type = kFloat;
  two.raw_data = std::as_bytes(std::span(kTwo));
  w.graph.initializer.push_back(std::move(two));
  w.graph.node.push_back(onnx::make_node("Add", {"a", "b"}, {"inner"}));
  w.graph.node.push_back(onnx::make_node("Mul", {"inner", "two"}, {"y"}));
  return w.bytes();
}

Bytes endless() {
  Writer w;
  w.graph.input.push_back(port("x", kFloat, {size(1)}));
  w.graph.output.push_back(port("y", kFloat, {size(1)}));
  static const bool kYes[] = {true};
  onnx::Tensor yes;
  yes.name = "yes";
  yes.data_type = kBool;
  yes.raw_data = std::as_bytes(std::span(kYes));
  w.graph.initializer.push_back(std::move(yes));
  onnx::Graph body;
  body.name = "body";
  body.input.push_back(port("i", kInt64, {}));
  body.input.push_back(port("go", kBool, {}));
  body.input.push_back(port("v", kFloat, {size(1)}));
  body.output.push_back(port("go_on", kBool, {}));
  body.output.push_back(port("v_next", kFloat, {size(1)}));
  body.node.push_back(onnx::make_node("Identity", {"go"}, {"go_on"}));
  body.node.push_back(onnx::make_node("Identity", {"v"}, {"v_next"}));
  onnx::Node loop = onnx::make_node("Loop", {"", "yes", "x"}, {"y"});
  loop.attribute.push_back(onnx::make_body("body", std::move(body)));
  w.graph.node.push_back(std::move(loop));
  return w.bytes();
}

Bytes identity_of_strings() {
  Writer w;
  w.graph.input.push_back(port("x", kString, {named("n")}));
  w.graph.output.push_back(port("y", kString, {named("n")}));
  w.graph.node.push_back(onnx::make_node("Identity", {"x"}, {"y"}));
  return w.bytes();
}

Bytes sequence() {
  Writer w;
  w.graph.input.push_back(port("a", kFloat, {named("n")}));
  w.graph.input.push_back(port("b", kFloat, {named("n")}));
  onnx::ValueInfo out;
  out.name = "s";
  out.type.emplace().sequence_type = holding(tensor_type(kFloat, {named("n")}));
  w.graph.output.push_back(std::move(out));
  w.graph.node.push_back(onnx::make_node("SequenceConstruct", {"a", "b"}, {"s"}));
  return w.bytes();
}

Bytes concatenation() {
  Writer w;
  onnx::ValueInfo in;
  in.name = "s";
  in.type.emplace().sequence_type = holding(tensor_type(kFloat, {named("n")}));
  w.graph.input.push_back(std::move(in));
  w.graph.output.push_back(port("y", kFloat, {named("m")}));
  onnx::Node node = onnx::make_node("ConcatFromSequence", {"s"}, {"y"});
  node.attribute.push_back(onnx::make_int("axis", 0));
  w.graph.node.push_back(std::move(node));
  return w.bytes();
}

Bytes from_map() {
  Writer w;
  onnx::ValueInfo in;
  in.name = "m";
  onnx::MapType map{kInt64, std::make_unique<onnx::Type>()};
  map.value_type->tensor_type = tensor_type(kFloat, {});
  in.type.emplace().map_type = std::move(map);
  w.graph.input.push_back(std::move(in));
  w.graph.output.push_back(port("y", kFloat, {size(1), size(2)}));
  onnx::Node node = onnx::make_node("DictVectorizer", {"m"}, {"y"}, "ai.onnx.ml");
  onnx::Attribute keys;
  keys.name = "int64_vocabulary";
  keys.type = onnx::AttributeType::integers;
  keys.ints = {1, 2};
  node.attribute.push_back(std::move(keys));
  w.graph.node.push_back(std::move(node));
  return w.bytes();
}

Bytes optional() {
  Writer w;
  onnx::ValueInfo in;
  in.name = "o";
  in.type.emplace().optional_type = holding(tensor_type(kFloat, {named("n")}));
  w.graph.input.push_back(std::move(in));
  w.graph.output.push_back(port("y", kBool, {}));
  w.graph.node.push_back(onnx::make_node("OptionalHasElement", {"o"}, {"y"}));
  return w.bytes();
}

Bytes external() {
  Writer w;
  w.graph.input.push_back(port("x", kFloat, {size(2)}));
  w.graph.output.push_back(port("y", kFloat, {size(2)}));
  onnx::Tensor weights;
  weights.name = "w";
  weights.data_type = kFloat;
  weights.dims = {2};
  weights.data_location = onnx::DataLocation::external;
  weights.external_data = {{"location", "weights.bin"}};
  w.graph.initializer.push_back(std::move(weights));
  w.graph.node.push_back(onnx::make_node("Add", {"x", "w"}, {"y"}));
  return w.bytes();
}

Bytes reshaped() {
  Writer w;
  w.graph.input.push_back(port("x", kFloat, {named("n")}));
  w.graph.input.push_back(port("shape", kInt64, {size(2)}));
  w.graph.output.push_back(port("y", kFloat, {named("p"), named("q")}));
  w.graph.node.push_back(onnx::make_node("Reshape", {"x", "shape"}, {"y"}));
  return w.bytes();
}

Bytes custom(const std::string& name) {
  Writer w;
  w.graph.input.push_back(port("x", kFloat, {named("n")}));
  w.graph.output.push_back(port("y", kFloat, {named("n")}));
  onnx::Node node = onnx::make_node(name, {"x"}, {"y"}, "mine");
  node.attribute.push_back(onnx::make_int("factor", 3));
  node.attribute.push_back(text("text", "hi"));
  w.graph.node.push_back(std::move(node));
  return w.bytes();
}

Bytes relu() {
  Writer w;
  w.graph.input.push_back(port("x", kFloat, {named("n")}));
  w.graph.output.push_back(port("y", kFloat, {named("n")}));
  w.graph.node.push_back(onnx::make_node("Relu", {"x"}, {"y"}));
  return w.bytes();
}

Bytes product() {
  Writer w;
  w.graph.input.push_back(port("x", kFloat, {named("n"), size(64)}));
  w.graph.output.push_back(port("y", kFloat, {named("n"), size(64)}));
  std::vector<float> weights(64 * 64);
  for (size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<float>(i * 31 % 97) / 97 - 0.5f;
  onnx::Tensor& tensor = w.graph.initializer.emplace_back();
  tensor.name = "w";
  tensor.dims = {64, 64};
  tensor.data_type = kFloat;
  tensor.raw_data = std::as_bytes(std::span(weights));
  w.graph.node.push_back(onnx::make_node("MatMul", {"x", "w"}, {"y"}));
  return w.bytes();
}

Bytes custom_strings() {
  Writer w;
  w.graph.input.push_back(port("x", kString, {named("n")}));
  w.graph.output.push_back(port("y", kString, {named("n")}));
  w.graph.node.push_back(onnx::make_node("Upper", {"x"}, {"y"}, "mine"));
  return w.bytes();
}

}  // namespace models
