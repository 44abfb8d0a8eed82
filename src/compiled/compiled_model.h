// Between an optimised graph with packed constants and a container: docs/compiled-models.md says how it is laid out.
#pragma once

#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "compiled/container.h"
#include "graph/graph.h"
#include "onnx/model.h"
#include "plan/packed_forms.h"

namespace linnet::compiled {

// The location of initializers whose elements are in the payload.
inline constexpr std::string_view kPayload = "payload";

// Where a compiled model came from: when that has changed it is stale.
struct Origin {
  std::string files;     // a line for each: what tells it from others, and its path
  uint64_t content = 0;  // hash of what was in them
  std::string options;   // what was asked for when it was compiled
};

// Writes what Program::build makes of a graph.
class Writer {
 public:
  // The graph as Program::build takes it, before that.
  Writer(const Graph& graph, const SymbolTable& symbols);

  PackingRecord record;  // for Program::Options::made

  // To be described: names, versions, metadata. What is set must outlive the writer.
  onnx::Model& model() noexcept { return model_; }
  Status write(const std::filesystem::path& path, const Origin& origin);

 private:
  struct Section {
    uint64_t offset;
    uint64_t bytes;
  };

  void hold(const Graph& graph);
  std::string_view keep(std::string text) { return texts_.emplace_back(std::move(text)); }
  void place(onnx::Graph& graph);
  void place(onnx::Tensor& tensor);
  Section section(std::span<const std::byte> bytes);

  onnx::Model model_;
  std::vector<std::shared_ptr<const Tensor>> held_;
  std::map<const Tensor*, size_t> ids_;
  std::vector<const Tensor*> constants_;  // by id
  std::deque<std::string> texts_;
  std::map<const std::byte*, Section> sections_;
  std::vector<std::span<const std::byte>> pieces_;
  uint64_t payload_bytes_ = 0;
};

// Takes what the writer has added out of the model's metadata.
Origin take_origin(onnx::Model& model);

// The packed forms that the model's initializers name, for the constants of the graph that was built from it.
Result<PackedForms> packed_forms(const onnx::Model& model, const Graph& graph, std::span<const std::byte> payload);

}  // namespace linnet::compiled
