// From a model file to an optimized one.
#pragma once

#include <functional>

#include "optimize/convert_floats.h"
#include "save.h"

namespace linnet {

struct OptimizeModelOptions {
  // Up to `basic` the result has operators of the standard only, up to `extended` those of com.microsoft, too, and
  // loads in other runtimes; with `all` it is for this engine.
  LoadOptions load;
  std::map<std::string, Shape, std::less<>> shapes;  // of inputs, whose sizes become these
  std::optional<FloatConversion> floats;
  SaveOptions save;
  const StopToken* stop = nullptr;
  // Sees what is about to be written; nothing is where it refuses.
  std::function<Status(const LoadedGraph&)> before_writing;
};

struct OptimizeModelReport {
  std::vector<PassReport> passes;
  FloatConversionReport floats;
  size_t nodes_before = 0, nodes_after = 0;    // subgraphs' included
  uint64_t bytes_before = 0, bytes_after = 0;  // of the files, external data included

  std::string to_json() const;
};

// Reads the model and writes what became of it to `path`, whole or not at all.
Result<OptimizeModelReport> optimize_model(const ModelSource& source, const OptimizeModelOptions& options,
                                           const std::filesystem::path& path);

}  // namespace linnet
