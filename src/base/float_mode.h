// Flushes denormal floats to zero while it lives, on this thread; restores the thread's mode afterwards.
#pragma once

#include <cstdint>

namespace linnet {

class FlushDenormals {
 public:
  FlushDenormals() noexcept;
  ~FlushDenormals();
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
  uint64_t saved_;
};

}  // namespace linnet
