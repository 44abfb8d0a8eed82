// Models of others, where the machine has them: the shared models ($LINNET_SHARED/models, as ./dev test sets it) and
// the onnx package's test cases ($LINNET_ONNX_CASES, else where tests/onnx_nodes lays them out in the checkout).
#pragma once

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <vector>

namespace linnet::onnx {

inline std::vector<std::filesystem::path> test_models() {
  namespace fs = std::filesystem;
  std::vector<fs::path> found;
  const auto add = [&](const fs::path& root) {
    std::error_code failed;
    if (!fs::is_directory(root, failed)) return;
    for (const auto& entry : fs::recursive_directory_iterator(root))
      if (entry.path().filename() == "model.onnx") found.push_back(entry.path());
  };
  const char* shared = std::getenv("LINNET_SHARED");
  const char* cases = std::getenv("LINNET_ONNX_CASES");
  if (shared) add(fs::path(shared) / "models");
  add(cases ? fs::path(cases) : fs::path("build/onnx_tests"));
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace linnet::onnx
