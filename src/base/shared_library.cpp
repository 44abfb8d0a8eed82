#include "base/shared_library.h"

#include <dlfcn.h>

#include <filesystem>

namespace linnet {

std::string component_folder() {
  Dl_info here{};
  if (!dladdr(reinterpret_cast<void*>(&component_folder), &here) || !here.dli_fname) return {};
  std::string path = here.dli_fname;
  if (path.find('/') == std::string::npos) {  // a program that was found through PATH
    std::error_code failed;
    path = std::filesystem::read_symlink("/proc/self/exe", failed).string();
  }
  return path.substr(0, path.rfind('/') + 1);
}

void* function_of_component(const std::string& file, const char* function) {
  const std::string folder = component_folder();
  if (folder.empty()) return nullptr;
  void* library = dlopen((folder + file).c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) library = dlopen((folder + LINNET_COMPONENTS_FROM_BIN + file).c_str(), RTLD_NOW | RTLD_LOCAL);
  return library ? dlsym(library, function) : nullptr;
}

}  // namespace linnet
