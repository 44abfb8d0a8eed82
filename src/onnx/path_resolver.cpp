#include "onnx/path_resolver.h"

#include <algorithm>
#include <exception>

namespace linnet::onnx {
namespace {

namespace fs = std::filesystem;

// Both are canonical.
bool is_beneath(const fs::path& file, const fs::path& folder) {
  const auto [in_folder, in_file] = std::mismatch(folder.begin(), folder.end(), file.begin(), file.end());
  return in_folder == folder.end() && in_file != file.end();
}

}  // namespace

Result<fs::path> resolve_location(const fs::path& model_path, std::string_view location) try {
  const auto refuse = [&](std::string_view why) { return invalid_model("the external data '", location, "' ", why); };
  const fs::path relative{std::string(location)};
  if (location.empty() || location.find('\0') != location.npos) return refuse("has no valid file name");
  if (relative.has_root_path()) return refuse("has an absolute path: only files beneath the model's folder are read");
  for (const fs::path& part : relative)
    if (part == "..") return refuse("leaves the model's folder");

  std::error_code failed;
  const fs::path parent = model_path.parent_path();
  const fs::path folder = fs::canonical(parent.empty() ? fs::path(".") : parent, failed);
  if (failed) return error(Code::not_found, "the model's folder '", parent.string(), "' cannot be found");
  const fs::path target = fs::canonical(folder / relative, failed);
  if (failed)
    return error(Code::not_found, "the external data '", location, "' is not beside the model in '", folder.string(),
                 "'");
  if (is_beneath(target, folder)) return target;
  const fs::path model = fs::canonical(model_path, failed);
  if (!failed && is_beneath(target, model.parent_path())) return target;
  return refuse("links to a file outside the model's folder");
} catch (const std::exception&) {
  return error(Code::io, "the path of the external data '", location, "' cannot be resolved");
}

}  // namespace linnet::onnx
