// NumPy's archive of arrays: a ZIP file (https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT) of .npy files.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tensor/tensor.h"

namespace linnet::cli {

struct NamedTensor {
  std::string name;
  Tensor tensor;
};

// Members stored or deflated, up to 4 GiB each, in the order of the archive's directory. Checksums are verified.
Result<std::vector<NamedTensor>> parse_npz(std::string_view bytes);

Result<std::string> npz_bytes(const std::vector<NamedTensor>& tensors, bool deflate = false);

}  // namespace linnet::cli
