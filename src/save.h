// From a graph to an .onnx file.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "load.h"

namespace linnet {

struct SaveOptions {
  // Elements of constants of at least so many bytes go to one file beside the model. Unset: they do, from 1024 bytes
  // on, when the model would not fit into the 2 GB of an ONNX file, else none.
  std::optional<size_t> external_threshold;
  std::string external_name;  // of that file; empty: the model's with ".data" appended
};

// Whether a file can be there at all, for those who compute long before they write it.
Status require_folder_of(const std::filesystem::path& path);

// Writes the graph with the model's description, whole or not at all: on failure the folder is as it was. It is sorted
// and inferred, and imports the oldest operator set that is as new as all of its nodes: those written for older ones
// are restated in it. Constants stream from where they are. Refuses to write over a file that the model was read from.
// Returns how many bytes were written.
Result<uint64_t> save_model(LoadedGraph& loaded, const std::filesystem::path& path, const SaveOptions& options = {});

}  // namespace linnet
