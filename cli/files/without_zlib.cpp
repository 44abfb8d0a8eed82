// In place of npz.cpp where LINNET_ARCHIVES is off.
#include "files/npz.h"

namespace linnet::cli {

Result<std::vector<NamedTensor>> parse_npz(std::string_view) {
  return unsupported("this build reads no .npz archives");
}

Result<std::string> npz_bytes(const std::vector<NamedTensor>&, bool) {
  return unsupported("this build writes no .npz archives");
}

}  // namespace linnet::cli
