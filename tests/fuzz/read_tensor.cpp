// Any bytes as a tensor in each of the formats that the command line reads.
#include "files/json_tensor.h"
#include "files/npy.h"
#include "files/npz.h"
#include "files/tensor_spec.h"

using namespace linnet;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  static_cast<void>(cli::parse_npy(bytes).ok());
  static_cast<void>(cli::parse_npz(bytes).ok());
  cli::TensorSpec spec;
  spec.any_rank = true;
  static_cast<void>(cli::parse_json_tensor(bytes, spec).ok());
  return 0;
}
