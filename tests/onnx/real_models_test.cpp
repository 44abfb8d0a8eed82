// Every model of the ONNX package's backend tests and of the shared folder is read and written back. When
// LINNET_WRITTEN_MODELS names a folder the written files go there, for compare_with_onnx.py.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <set>

#include "base/file.h"
#include "onnx/reader.h"
#include "onnx/tensor_data.h"
#include "onnx/test_models.h"
#include "onnx/value_data.h"
#include "onnx/writer.h"

namespace linnet::onnx {
namespace {

namespace fs = std::filesystem;

ElementKind kind_of(const Type& type) {
  if (type.sequence_type) return ElementKind::sequence;
  if (type.map_type) return ElementKind::map;
  if (type.optional_type) return ElementKind::optional;
  return ElementKind::tensor;
}

void check_tensors(const Graph& graph, const DataSource& source) {
  for (const Tensor& initializer : graph.initializer) {
    const auto tensor = to_tensor(initializer, source);
    ASSERT_TRUE(tensor.ok()) << tensor.status().message();
  }
  for (const SparseTensor& initializer : graph.sparse_initializer) {
    const auto tensor = to_tensor(initializer, source);
    ASSERT_TRUE(tensor.ok()) << tensor.status().message();
  }
  for (const Node& node : graph.node) {
    for (const Attribute& attribute : node.attribute) {
      if (attribute.t) {
        const auto tensor = to_tensor(*attribute.t, source);
        ASSERT_TRUE(tensor.ok()) << tensor.status().message();
      }
      if (attribute.g) check_tensors(*attribute.g, source);
    }
  }
}

void check_values(const fs::path& folder, const std::vector<const ValueInfo*>& declared, std::string_view prefix) {
  for (size_t i = 0; i < declared.size(); ++i) {
    const fs::path path = folder / concat(prefix, i, ".pb");
    if (!fs::exists(path)) continue;
    SCOPED_TRACE(path.string());
    const auto file = MappedFile::open(path);
    ASSERT_TRUE(file.ok());
    const ElementKind kind = kind_of(*declared[i]->type);
    auto value = decode_value((*file)->bytes(), kind, *file);
    ASSERT_TRUE(value.ok()) << value.status().message();
    const auto written = encode_value(value->value, value->name, kind);
    ASSERT_TRUE(written.ok()) << written.status().message();
    const auto again = decode_value(*written, kind);
    ASSERT_TRUE(again.ok()) << again.status().message();
    EXPECT_EQ(*encode_value(again.value().value, value->name, kind), *written);
  }
}

void check_model(const fs::path& path) {
  SCOPED_TRACE(path.string());
  const auto file = MappedFile::open(path);
  ASSERT_TRUE(file.ok()) << file.status().message();
  auto model = read_model((*file)->bytes());
  ASSERT_TRUE(model.ok()) << model.status().message();
  ExternalData external(path);
  check_tensors(*model->graph, {*file, &external});

  const auto written = encode(*model);
  ASSERT_TRUE(written.ok()) << written.status().message();
  const auto again = read_model(*written);
  ASSERT_TRUE(again.ok()) << again.status().message();
  EXPECT_EQ(*encode(again.value()), *written);
  if (const char* folder = std::getenv("LINNET_WRITTEN_MODELS")) {
    const fs::path parent = path.parent_path();
    const fs::path to =
        fs::path(folder) / concat(parent.parent_path().filename().string(), "_", parent.filename().string(), ".onnx");
    EXPECT_TRUE(write_file(to, std::span<const std::byte>(*written)).ok());
  }

  std::set<std::string_view> initialized;
  for (const Tensor& tensor : model->graph->initializer) initialized.insert(tensor.name);
  std::vector<const ValueInfo*> inputs;
  std::vector<const ValueInfo*> outputs;
  for (const ValueInfo& input : model->graph->input)
    if (!initialized.contains(input.name)) inputs.push_back(&input);
  for (const ValueInfo& output : model->graph->output) outputs.push_back(&output);
  for (const auto& entry : fs::directory_iterator(path.parent_path())) {
    if (!entry.is_directory()) continue;
    check_values(entry.path(), inputs, "input_");
    check_values(entry.path(), outputs, "output_");
  }
}

TEST(RealModels, AreReadAndWritten) {
  const std::vector<fs::path> models = test_models();
  if (models.empty()) GTEST_SKIP() << "no models: LINNET_SHARED and LINNET_ONNX_CASES name none";
  for (const fs::path& model : models) check_model(model);
  std::cout << models.size() << " models\n";
}

}  // namespace
}  // namespace linnet::onnx
