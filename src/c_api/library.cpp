// What the library says of itself.
#include <string_view>

#include "c_api/handles.h"
#include "kernels/isa.h"
#include "ops/registry.h"

const char* linnet_version(void) { return LINNET_VERSION; }

uint32_t linnet_abi_version(void) { return LINNET_ABI_VERSION; }

int32_t linnet_has_feature(const char* name) {
  using namespace linnet;
  std::string_view rest = name ? name : "";
  const auto starts = [&](std::string_view prefix) {
    if (!rest.starts_with(prefix)) return false;
    rest.remove_prefix(prefix.size());
    return true;
  };
  if (starts("device:")) return rest == "cpu";
  if (starts("isa:")) return rest == isa_name(current_isa());
  if (starts("op:")) {
    const size_t dot = rest.rfind('.');
    return dot != std::string_view::npos && find_op(rest.substr(0, dot), rest.substr(dot + 1)) != nullptr;
  }
  return 0;
}
