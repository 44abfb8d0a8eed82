#include "base/shared_library.h"

#include <dlfcn.h>

namespace linnet {

std::string component_folder() {
  Dl_info here{};
  if (!dladdr(reinterpret_cast<void*>(&component_folder), &here) || !here.dli_fname) return {};
  const std::string path = here.dli_fname;
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "./" : path.substr(0, slash + 1);
}

void* function_of_component(const std::string& file, const char* function) {
  const std::string folder = component_folder();
  if (folder.empty()) return nullptr;
  void* library = dlopen((folder + file).c_str(), RTLD_NOW | RTLD_LOCAL);
  return library ? dlsym(library, function) : nullptr;
}

}  // namespace linnet
