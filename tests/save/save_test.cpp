// Saved models: what was read comes back, in newer operator sets too, and a failure leaves nothing behind.
#include "save.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <random>

#include "base/mapped_file.h"
#include "graph/export.h"
#include "onnx/reader.h"
#include "onnx/writer.h"
#include "run/graph_model.h"

namespace linnet {
namespace {

namespace fs = std::filesystem;

class Folder {
 public:
  Folder() : path_(fs::temp_directory_path() / ("linnet_save_" + std::to_string(std::random_device()()))) {
    fs::create_directories(path_);
  }
  ~Folder() { fs::remove_all(path_); }
  fs::path operator/(const std::string& name) const { return path_ / name; }
  size_t files() const { return static_cast<size_t>(std::distance(fs::directory_iterator(path_), {})); }

 private:
  fs::path path_;
};

Tensor ramp(const Shape& shape, float scale = 1) {
  Tensor t = make_tensor(DType::f32, shape).value();
  for (int64_t i = 0; i < t.count(); ++i) t.ptr<float>()[i] = scale * (std::sin(static_cast<float>(i) * 0.7f) + 1.5f);
  return t;
}

using Build = ValueId (*)(Graph&, ValueId x);

// x: float[2, 4, 3, 3].
void write(const fs::path& path, int opset, Build build) {
  Graph graph;
  graph.opsets = {{"", opset}};
  const ValueId x = add_input(graph, "x", DType::f32, {Dim(2), Dim(4), Dim(3), Dim(3)});
  add_output(graph, "y", build(graph, x));
  for (NodeId id = 0; id < graph.node_count(); ++id) graph.node(id).version = opset;
  SymbolTable symbols(true);
  ASSERT_TRUE(graph.sort().ok());
  ASSERT_TRUE(onnx::write_model(path, export_model(graph, symbols)).ok());
}

ValueId product(Graph& graph, ValueId x) {
  return add(graph, "MatMul", {x, graph.add_constant("w", ramp(Shape{3, 700}))});
}

Result<Tensor> run(const fs::path& path) {
  const auto engine = std::make_shared<Engine>(1);
  LoadOptions plain;
  plain.optimize.level = OptimizationLevel::none;
  LINNET_ASSIGN(const auto model, load_model(*engine, {path, {}, nullptr}, plain));
  std::vector<Value> out(model->outputs.size());
  LINNET_TRY(Session(engine, model).run(std::vector<Value>{Value(ramp(Shape{2, 4, 3, 3}, 0.3f))}, out));
  return out[0].tensor;
}

void expect_same(const fs::path& a, const fs::path& b) {
  const Result<Tensor> left = run(a), right = run(b);
  ASSERT_TRUE(left.ok()) << left.status().message();
  ASSERT_TRUE(right.ok()) << right.status().message();
  ASSERT_EQ(left->shape, right->shape);
  for (int64_t i = 0; i < left->count(); ++i) ASSERT_NEAR(number_at(*left, i), number_at(*right, i), 1e-6) << i;
}

Status resave(const fs::path& from, const fs::path& to, const SaveOptions& options = {}, int opset = 0) {
  LINNET_ASSIGN(LoadedGraph loaded, load_graph({from, {}, nullptr}, {}));
  loaded.graph->opsets[""] = std::max(loaded.graph->opsets[""], opset);
  return save_model(loaded, to, options).status();
}

int opset_of(const fs::path& path) { return load_graph({path, {}, nullptr}, {})->graph->opsets[""]; }

struct OldForm {
  const char* name;
  int opset;
  Build build;
};

const OldForm kOldForms[] = {
    {"AddAtAnAxis", 6,
     [](Graph& g, ValueId x) {
       const ValueId b = g.add_constant("b", ramp(Shape{4}));
       return add(g, "Add", {x, b}, {{"axis", int64_t{1}}, {"broadcast", int64_t{1}}});
     }},
    {"MulByAValueAtAnAxis", 6,
     [](Graph& g, ValueId x) {
       const ValueId b = add(g, "Relu", {g.add_constant("b", ramp(Shape{4, 3}))});
       return add(g, "Mul", {x, b}, {{"axis", int64_t{1}}, {"broadcast", int64_t{1}}});
     }},
    {"PReluByChannel", 6,
     [](Graph& g, ValueId x) {
       const ValueId slope = g.add_constant("slope", ramp(Shape{4}));
       return add(g, "PRelu", {add(g, "Neg", {x}), slope});
     }},
    {"SoftmaxOverTheRest", 11, [](Graph& g, ValueId x) { return add(g, "Softmax", {x}); }},
    {"SoftmaxOverTheLast", 11,
     [](Graph& g, ValueId x) {
       return add(g, "Softmax", {x}, {{"axis", int64_t{3}}});
     }},
    {"LogSoftmaxFromAnAxis", 11,
     [](Graph& g, ValueId x) {
       return add(g, "LogSoftmax", {x}, {{"axis", int64_t{2}}});
     }},
    {"Dropout", 7,
     [](Graph& g, ValueId x) {
       return add(g, "Dropout", {x}, {{"ratio", 0.25f}});
     }},
    {"BatchNormalization", 8,
     [](Graph& g, ValueId x) {
       const ValueId c = g.add_constant("c", ramp(Shape{4}));
       return add(g, "BatchNormalization", {x, c, c, c, c}, {{"spatial", int64_t{1}}, {"momentum", 0.8f}});
     }},
    {"SplitInHalves", 13,
     [](Graph& g, ValueId x) {
       Node split;
       split.op_type = "Split";
       split.inputs = {x};
       split.outputs = {g.add_value("first"), g.add_value("second")};
       split.set("axis", int64_t{1});
       const std::vector<ValueId> parts = split.outputs;
       g.add_node(std::move(split));
       return add(g, "Concat", {parts[1], parts[0]}, {{"axis", int64_t{1}}});
     }},
    {"GroupNormalization", 18,
     [](Graph& g, ValueId x) {
       const ValueId s = g.add_constant("s", ramp(Shape{2}));
       return add(g, "GroupNormalization", {x, s, s}, {{"num_groups", int64_t{2}}});
     }},
    {"UpsampleByScales", 9,
     [](Graph& g, ValueId x) {
       const ValueId scales = g.add_constant("scales", tensor_of<float>({4}, {1, 1, 2, 3}));
       return add(g, "Upsample", {x, scales}, {{"mode", std::string("nearest")}});
     }},
    {"ResizeToLess", 10,
     [](Graph& g, ValueId x) {
       const ValueId scales = g.add_constant("scales", tensor_of<float>({4}, {1, 1, 0.7f, 0.4f}));
       return add(g, "Resize", {x, scales}, {{"mode", std::string("nearest")}});
     }},
    {"GridSample", 16,
     [](Graph& g, ValueId x) {
       const ValueId grid = g.add_constant("grid", ramp(Shape{2, 5, 5, 2}, 0.3f));
       return add(g, "GridSample", {x, grid}, {{"mode", std::string("bilinear")}});
     }},
};

TEST(Save, OldFormsMeanTheSameInNewerSets) {
  const Folder folder;
  for (const OldForm& form : kOldForms) {
    SCOPED_TRACE(form.name);
    write(folder / "old.onnx", form.opset, form.build);
    for (const int opset : {0, 13, 22}) {
      const Status saved = resave(folder / "old.onnx", folder / "new.onnx", {}, opset);
      ASSERT_TRUE(saved.ok()) << saved.message();
      EXPECT_GE(opset_of(folder / "new.onnx"), std::max(opset, 7));
      expect_same(folder / "old.onnx", folder / "new.onnx");
    }
  }
}

TEST(Save, WhatHasNoNewerFormIsRefused) {
  const Folder folder;
  write(folder / "old.onnx", 18, [](Graph& g, ValueId x) {
    const ValueId s = add(g, "Abs", {g.add_constant("s", ramp(Shape{2}))});
    return add(g, "GroupNormalization", {x, s, s}, {{"num_groups", int64_t{2}}});
  });
  EXPECT_TRUE(resave(folder / "old.onnx", folder / "same.onnx").ok());
  const Status status = resave(folder / "old.onnx", folder / "new.onnx", {}, 22);
  EXPECT_EQ(status.code(), Code::unsupported);
  EXPECT_NE(status.message().find("operator set 22"), std::string_view::npos) << status.message();
}

TEST(Save, ElementsGoToAFileBesideTheModel) {
  const Folder folder;
  write(folder / "model.onnx", 20, product);
  SaveOptions options;
  options.external_threshold = 1024;
  const Status saved = resave(folder / "model.onnx", folder / "saved.onnx", options);
  ASSERT_TRUE(saved.ok()) << saved.message();
  EXPECT_EQ(fs::file_size(folder / "saved.onnx.data"), 3u * 700 * sizeof(float));
  EXPECT_LT(fs::file_size(folder / "saved.onnx"), 1024u);
  expect_same(folder / "model.onnx", folder / "saved.onnx");
  options.external_name = "../elsewhere";
  EXPECT_EQ(resave(folder / "model.onnx", folder / "other.onnx", options).code(), Code::invalid_argument);
}

// A branch with weights of its own: "x" reaches it as a capture.
std::shared_ptr<Graph> branch(const std::string& name, float scale) {
  auto body = std::make_shared<Graph>();
  body->name = name;
  const ValueId x = body->add_value("x", ValueInfo::tensor(DType::f32, {Dim(2), Dim(4), Dim(3), Dim(3)}));
  body->captures = {x};
  const ValueId w = body->add_constant("w", ramp(Shape{3, 700}));
  const ValueId b = body->add_constant("b", ramp(Shape{700}, scale));
  add_output(*body, name, add(*body, "Add", {add(*body, "MatMul", {x, w}), b}));
  EXPECT_TRUE(body->sort().ok());
  return body;
}

TEST(Save, EqualWeightsOfBranchesAreWrittenOnce) {
  const Folder folder;
  write(folder / "model.onnx", 20, [](Graph& g, ValueId x) {
    const ValueId b = g.add_constant("b", ramp(Shape{700}));
    const ValueId condition = add(g, "Cast", {add(g, "ReduceMean", {x}, {{"keepdims", int64_t{0}}})},
                                  {{"to", static_cast<int64_t>(DType::boolean)}});
    Node node;
    node.op_type = "If";
    node.inputs = {condition};
    node.captures = {x};
    node.set("then_branch", branch("then", 1));
    node.set("else_branch", branch("else", 2));
    return add(g, "Sub", {g.add_node(std::move(node), "chosen"), b});
  });
  const auto file = MappedFile::open(folder / "model.onnx").value();
  const onnx::Model model = onnx::read_model(file->bytes()).value();
  std::vector<std::string> names;
  for (const onnx::Tensor& tensor : model.graph->initializer) names.emplace_back(tensor.name);
  EXPECT_EQ(names, (std::vector<std::string>{"b", "w"}));  // of the main graph, and of both branches
  const size_t once = (3 * 700 + 2 * 700) * sizeof(float);
  EXPECT_LT(fs::file_size(folder / "model.onnx"), once + 1024);
  ASSERT_TRUE(resave(folder / "model.onnx", folder / "saved.onnx").ok());
  EXPECT_LT(fs::file_size(folder / "saved.onnx"), once + 1024);
  expect_same(folder / "model.onnx", folder / "saved.onnx");
}

TEST(Save, FilesOfTheModelAreNotWrittenOver) {
  const Folder folder;
  write(folder / "model.onnx", 20, product);
  SaveOptions external;
  external.external_threshold = 0;
  ASSERT_TRUE(resave(folder / "model.onnx", folder / "saved.onnx", external).ok());
  EXPECT_EQ(resave(folder / "saved.onnx", folder / "saved.onnx").code(), Code::invalid_argument);
  EXPECT_EQ(resave(folder / "saved.onnx", folder / "saved.onnx.data").code(), Code::invalid_argument);
  external.external_name = "saved.onnx.data";
  EXPECT_EQ(resave(folder / "saved.onnx", folder / "third.onnx", external).code(), Code::invalid_argument);
  expect_same(folder / "model.onnx", folder / "saved.onnx");
}

TEST(Save, AFailureLeavesTheFolderAsItWas) {
  const Folder folder;
  write(folder / "model.onnx", 20, product);
  fs::create_directories(folder / "taken.onnx" / fs::path("inside"));
  SaveOptions external;
  external.external_threshold = 0;
  EXPECT_EQ(resave(folder / "model.onnx", folder / "taken.onnx").code(), Code::io);
  EXPECT_EQ(resave(folder / "model.onnx", folder / "nowhere/model.onnx", external).code(), Code::io);
  EXPECT_EQ(folder.files(), 2u);
  EXPECT_TRUE(fs::exists(folder / "taken.onnx" / fs::path("inside")));
}

TEST(Save, NamesOfInputsAndMetadataStay) {
  const Folder folder;
  write(folder / "model.onnx", 20, product);
  LoadedGraph loaded = load_graph({folder / "model.onnx", {}, nullptr}, {}).value();
  loaded.model->metadata = {{"author", "somebody"}};
  loaded.model->model_version = 7;
  ASSERT_TRUE(save_model(loaded, folder / "saved.onnx").ok());
  const LoadedGraph again = load_graph({folder / "saved.onnx", {}, nullptr}, {}).value();
  EXPECT_EQ(again.graph->inputs[0].name, "x");
  EXPECT_EQ(again.graph->outputs[0].name, "y");
  EXPECT_EQ(again.model->metadata, loaded.model->metadata);
  EXPECT_EQ(again.model->model_version, 7);
}

TEST(Save, ShapesThatInferenceCannotTellStayAsDeclared) {
  const Folder folder;
  Graph graph;
  graph.opsets = {{"", 20}};
  SymbolTable symbols(true);
  const ValueId x = add_input(graph, "x", DType::f32, {Dim(2), Dim(4)});
  const ValueId shape = add_input(graph, "shape", DType::i64, {symbols.named("rank")});
  const ValueId y = add(graph, "Reshape", {x, shape});
  graph.value(y).info = ValueInfo::tensor(DType::f32, {symbols.named("rows"), Dim(2)});
  add_output(graph, "y", y);
  ASSERT_TRUE(graph.sort().ok());
  ASSERT_TRUE(onnx::write_model(folder / "model.onnx", export_model(graph, symbols)).ok());
  ASSERT_TRUE(resave(folder / "model.onnx", folder / "saved.onnx").ok());
  const LoadedGraph again = load_graph({folder / "saved.onnx", {}, nullptr}, {}).value();
  const ValueInfo& info = again.graph->value(again.graph->outputs[0].value).info;
  ASSERT_TRUE(info.ranked);
  EXPECT_EQ(again.symbols->to_string(info.shape[0]), "rows");
  EXPECT_TRUE(info.shape[1].is(2));
}

}  // namespace
}  // namespace linnet
