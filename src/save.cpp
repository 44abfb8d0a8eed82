#include "save.h"

#include <algorithm>

#include "description.h"
#include "graph/export.h"
#include "infer/infer.h"
#include "onnx/writer.h"
#include "ops/upgrade/raise.h"

namespace linnet {
namespace {

constexpr size_t kExternalFrom = 1024;
constexpr uint64_t kMostInline = uint64_t{1900} << 20;  // leaves room for names and nodes below protobuf's 2 GB

// Since operator set 7 operands broadcast as they do today; readers of older sets are gone.
constexpr int kOldestSet = 7;

// The version of the file format that came with an operator set: https://onnx.ai/onnx/repo-docs/Versioning.html. The
// oldest is the first that has initializers which are not inputs.
int64_t format_of(int opset) {
  constexpr int kSince[][2] = {{9, 4},  {10, 5},  {11, 6},  {12, 7},  {15, 8},
                               {19, 9}, {21, 10}, {23, 11}, {24, 12}, {25, 13}};
  int64_t format = kSince[0][1];
  for (const auto& [set, version] : kSince)
    if (opset >= set) format = version;
  return format;
}

Status refuse_own_file(const Model& model, const std::filesystem::path& path) {
  for (const auto& file : model.files) {
    std::error_code failed;
    LINNET_REQUIRE(!std::filesystem::equivalent(file->path(), path, failed),
                   invalid_argument("'", path.string(), "' is a file of the model itself; write to another"));
  }
  return {};
}

// A shape that inference cannot tell stays as the model's file has it: the standard wants one of every output.
void keep_declared_shapes(Graph& graph, const std::vector<Model::Port>& declared) {
  for (size_t i = 0; i < std::min(declared.size(), graph.outputs.size()); ++i) {
    ValueInfo& info = graph.value(graph.outputs[i].value).info;
    if (info.ranked || info.kind != ValueKind::tensor || !declared[i].info.ranked) continue;
    info.ranked = true;
    info.shape = declared[i].info.shape;
  }
}

uint64_t bytes_of_initializers(const onnx::Graph& graph) {
  uint64_t bytes = 0;
  for (const onnx::Tensor& tensor : graph.initializer) bytes += tensor.raw_data ? tensor.raw_data->size() : 0;
  for (const onnx::Node& node : graph.node) {
    for (const onnx::Attribute& attribute : node.attribute) {
      if (attribute.g) bytes += bytes_of_initializers(*attribute.g);
      for (const onnx::Graph& body : attribute.graphs) bytes += bytes_of_initializers(body);
    }
  }
  return bytes;
}

}  // namespace

Status require_folder_of(const std::filesystem::path& path) {
  const std::filesystem::path folder = path.parent_path();
  std::error_code failed;
  LINNET_REQUIRE(folder.empty() || std::filesystem::is_directory(folder, failed),
                 error(Code::io, "cannot write '", path.string(), "': there is no folder '", folder.string(), "'"));
  return {};
}

Result<uint64_t> save_model(LoadedGraph& loaded, const std::filesystem::path& path, const SaveOptions& options) {
  Graph& graph = *loaded.graph;
  onnx::WriteOptions write;
  write.external_name = options.external_name.empty() ? path.filename().string() + ".data" : options.external_name;
  LINNET_REQUIRE(std::filesystem::path(write.external_name).filename() == write.external_name,
                 invalid_argument("'", write.external_name, "' is not the name of a file beside the model"));
  LINNET_TRY(refuse_own_file(*loaded.model, path));
  LINNET_TRY(refuse_own_file(*loaded.model, path.parent_path() / write.external_name));

  LINNET_TRY(graph.sort());
  const bool known = unknown_operators(graph).empty();
  if (known) LINNET_TRY(infer_graph(graph, *loaded.symbols).status());
  const auto imported = graph.opsets.find("");
  const int opset =
      std::max({newest_version(graph), imported == graph.opsets.end() ? 0 : imported->second, kOldestSet});
  LINNET_TRY(raise_graph(graph, opset));
  if (known) LINNET_TRY(infer_graph(graph, *loaded.symbols).status());
  graph.opsets[""] = opset;
  keep_declared_shapes(graph, loaded.model->outputs);

  onnx::Model model = export_model(graph, *loaded.symbols);
  write_description(*loaded.model, model);
  model.ir_version = std::max(model.ir_version, format_of(opset));
  if (options.external_threshold)
    write.external_threshold = options.external_threshold;
  else if (bytes_of_initializers(*model.graph) > kMostInline)
    write.external_threshold = kExternalFrom;
  uint64_t bytes = 0;
  write.written = [&](onnx::Bytes part) {
    bytes += part.size();
    for (const auto& file : loaded.model->files) file->discard(part);
  };
  LINNET_TRY(onnx::write_model(path, std::move(model), write));
  return bytes;
}

}  // namespace linnet
