// From a model file to a program that runs: map, parse, build, upgrade, infer, optimize, plan.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "compiled/compiled_model.h"
#include "onnx/external_data.h"
#include "optimize/optimizer.h"
#include "run/session.h"

namespace linnet {

enum class Severity { verbose, info, warning, error };

struct LoadOptions {
  OptimizeOptions optimize;
  std::map<std::string, int64_t, std::less<>> fixed_sizes;              // symbolic sizes by name
  std::map<std::string, Tensor, std::less<>> initializers;              // replaced; type and shape must agree
  std::map<std::string, onnx::SharedBytes, std::less<>> external_data;  // files by location, from memory
  std::vector<std::string> extra_outputs;               // inner values of the main graph that become outputs
  std::vector<std::shared_ptr<const OpDef>> operators;  // beyond the registry's; before them only with OpDef::kReplaces
  bool copy_file = false;                               // read the file instead of mapping it
  uint64_t seed = 0;                                    // of random operators without a seed of their own
  // A folder for compiled models. The first load from a path writes one there, later loads map it while the model's
  // files are the same by size, time and inode; with `verify_cache`, by content. Not with what comes from memory, or
  // operators.
  std::filesystem::path cache_folder;
  bool verify_cache = false;
  std::function<void(Severity, std::string_view)> log;
};

struct ModelSource {
  std::filesystem::path path;          // or
  std::span<const std::byte> bytes;    // a whole model in memory
  std::shared_ptr<const void> owner;   // keeps `bytes`; without one they are copied
  onnx::ExternalData::Open open = {};  // gives the external data of `bytes`, by location
};

// A graph that has been read and upgraded, before inference and any optimisation. Its operators may be unknown.
struct LoadedGraph {
  std::shared_ptr<Graph> graph;
  std::shared_ptr<SymbolTable> symbols;
  std::shared_ptr<Model> model;  // description, inputs, and outputs as the file declares them
  // Of a compiled model, whose graph is optimised already and whose constants may have no elements.
  std::optional<PackedForms> packed;
  compiled::Origin origin;
};
Result<LoadedGraph> load_graph(const ModelSource& source, const LoadOptions& options);

// Operators that this build does not know, subgraphs' included: the paths of their nodes by "domain.name".
std::map<std::string, std::vector<std::string>> unknown_operators(const Graph& graph);

// Compiled models too: what optimisation they got was decided when they were compiled.
Result<std::shared_ptr<const Model>> load_model(Engine& engine, const ModelSource& source, const LoadOptions& options);
// The rest of loading, for a graph that was edited in between.
Result<std::shared_ptr<const Model>> load_model(Engine& engine, LoadedGraph loaded, const LoadOptions& options);

// Loads the model and writes it as it then is to `path`, whole or not at all (docs/compiled-models.md).
Status compile_model(Engine& engine, const ModelSource& source, const LoadOptions& options,
                     const std::filesystem::path& path);

}  // namespace linnet
