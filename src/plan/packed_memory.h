// The memory of a program's packed constants: many small buffers share a few large allocations, which the system backs
// with huge pages and touches as they fill.
#pragma once

#include <cstddef>
#include <vector>

#include "base/aligned_buffer.h"

namespace linnet {

class PackedMemory {
 public:
  // 64-byte aligned, not zeroed; nullptr when memory is short.
  std::byte* allocate(size_t bytes);
  size_t used() const noexcept { return used_; }

 private:
  std::vector<AlignedBuffer> chunks_;
  size_t free_ = 0;  // bytes at the end of the last chunk
  size_t used_ = 0;
};

}  // namespace linnet
