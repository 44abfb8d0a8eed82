// Memory of runs: counted against a limit, and kept for the next run, because fresh pages are dear.
#pragma once

#include <atomic>
#include <cstddef>
#include <limits>
#include <map>
#include <memory>
#include <mutex>

#include "base/aligned_buffer.h"
#include "base/result.h"
#include "tensor/tensor.h"

namespace linnet {

// Of an engine. Thread-safe.
class MemoryLimit {
 public:
  void set(size_t bytes) noexcept { limit_.store(bytes, std::memory_order_relaxed); }
  size_t limit() const noexcept { return limit_.load(std::memory_order_relaxed); }
  size_t used() const noexcept { return used_.load(std::memory_order_relaxed); }
  bool take(size_t bytes) noexcept;
  void give(size_t bytes) noexcept { used_.fetch_sub(bytes, std::memory_order_relaxed); }

 private:
  std::atomic<size_t> limit_{std::numeric_limits<size_t>::max()};
  std::atomic<size_t> used_{0};
};

// Blocks for values whose size is only known during a run, and for outputs. Freed blocks are reused. Thread-safe;
// blocks may outlive the run, but keep the pool alive.
class BlockPool : public std::enable_shared_from_this<BlockPool> {
 public:
  explicit BlockPool(std::shared_ptr<MemoryLimit> limit) : limit_(std::move(limit)) {}
  ~BlockPool();

  // An owned tensor of numbers (not zeroed) or of empty strings.
  Result<Tensor> make(DType dtype, const Shape& shape);
  // A block to keep, such as an arena.
  Result<AlignedBuffer> take(size_t bytes);
  void give(AlignedBuffer buffer) noexcept;
  // Gives unused blocks back to the system.
  void trim() noexcept;

 private:
  std::shared_ptr<MemoryLimit> limit_;
  std::mutex mutex_;
  std::multimap<size_t, AlignedBuffer> free_;
  size_t free_bytes_ = 0;
};

}  // namespace linnet
