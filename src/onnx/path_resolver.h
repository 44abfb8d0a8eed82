// Where external data may lie: the only place that turns a string of a model into a path.
#pragma once

#include <filesystem>
#include <string_view>

#include "base/result.h"

namespace linnet::onnx {

// The file that `location` of the model at `model_path` names, free of symbolic links. The location is relative, has no
// "..", and after following links lies beneath the model's folder, or beneath the folder of the file that the model's
// own path links to: caches keep content in one folder and link to it from another, models and their data alike.
Result<std::filesystem::path> resolve_location(const std::filesystem::path& model_path, std::string_view location);

}  // namespace linnet::onnx
