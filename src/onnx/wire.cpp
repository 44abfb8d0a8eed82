// What is done for each number of a list: the only part of reading that is worth compiling for speed.
#include "onnx/wire.h"

namespace linnet::onnx {

size_t WireReader::count_alike() const noexcept {
  WireReader ahead = *this;
  size_t count = 0;
  do {
    ahead.skip();
    ++count;
  } while (ahead.next_alike());
  return count;
}

template <class T>
void WireReader::append_alike(std::vector<T>& values) {
  values.reserve(values.size() + count_alike());
  do values.push_back(number<T>());
  while (next_alike());
}

template void WireReader::append_alike(std::vector<int32_t>&);
template void WireReader::append_alike(std::vector<int64_t>&);
template void WireReader::append_alike(std::vector<uint64_t>&);
template void WireReader::append_alike(std::vector<float>&);

}  // namespace linnet::onnx
