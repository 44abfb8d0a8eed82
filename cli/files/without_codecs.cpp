// In place of npz.cpp and codecs/ where LINNET_CODECS is off.
#include "codecs/image.h"
#include "files/npz.h"

namespace linnet {

namespace cli {

Result<std::vector<NamedTensor>> parse_npz(std::string_view) {
  return unsupported("this build reads no .npz archives");
}

Result<std::string> npz_bytes(const std::vector<NamedTensor>&, bool) {
  return unsupported("this build writes no .npz archives");
}

}  // namespace cli

namespace codecs {

bool is_image(std::string_view) { return false; }

Result<Image> decode_image(std::string_view, int) { return unsupported("this build reads no images"); }

}  // namespace codecs
}  // namespace linnet
