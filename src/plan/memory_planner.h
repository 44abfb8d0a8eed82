// Places buffers with known lifetimes into one arena. Sizes and lifetimes in, offsets out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace linnet {

struct PlannedBuffer {
  size_t bytes = 0;
  uint32_t first = 0, last = 0;  // steps, both inclusive, during which the contents must stay
  size_t offset = 0;             // out; a multiple of 64
};

// Keeps its tables between calls, so that planning again allocates only when there are more buffers than ever before.
class MemoryPlanner {
 public:
  // Buffers must come with `first` not decreasing. Returns the arena's size, or nothing where no memory is that
  // large. Two buffers that overlap in time never overlap in memory; best fit among the gaps.
  std::optional<size_t> plan(std::span<PlannedBuffer> buffers);

 private:
  struct Gap {
    size_t offset, bytes;
  };
  void release(size_t offset, size_t bytes);

  std::vector<Gap> gaps_;         // by offset, never adjacent
  std::vector<uint32_t> ending_;  // a heap of live buffers, the earliest end first
};

}  // namespace linnet
