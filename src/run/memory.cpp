#include "run/memory.h"

#include "base/checked.h"

namespace linnet {
namespace {

constexpr size_t kMostKept = size_t{256} << 20;  // bytes of free blocks that a pool keeps

// Sizes in steps of an eighth, so that a slowly growing value finds its last block again.
size_t rounded(size_t bytes) noexcept {
  size_t step = 64;
  while (step * 8 < bytes) step *= 2;
  return round_up(bytes ? bytes : 1, step);
}

}  // namespace

bool MemoryLimit::take(size_t bytes) noexcept {
  size_t used = used_.load(std::memory_order_relaxed);
  do {
    if (bytes > limit() || used > limit() - bytes) return false;
  } while (!used_.compare_exchange_weak(used, used + bytes, std::memory_order_relaxed));
  return true;
}

BlockPool::~BlockPool() { trim(); }

void BlockPool::trim() noexcept {
  const std::lock_guard lock(mutex_);
  free_.clear();
  limit_->give(free_bytes_);
  free_bytes_ = 0;
}

Result<AlignedBuffer> BlockPool::take(size_t bytes) {
  const size_t size = rounded(bytes);
  if (size < bytes) return error(Code::out_of_memory, "cannot allocate ", bytes, " bytes");
  {
    const std::lock_guard lock(mutex_);
    const auto it = free_.lower_bound(size);
    if (it != free_.end() && it->first <= size + size / 4) {
      AlignedBuffer found = std::move(it->second);
      free_.erase(it);
      free_bytes_ -= found.size();
      return found;
    }
  }
  if (!limit_->take(size)) {
    trim();
    if (!limit_->take(size))
      return error(Code::out_of_memory, "the run needs ", size, " more bytes, but ", limit_->used(),
                   " of the limit of ", limit_->limit(), " are in use");
  }
  AlignedBuffer buffer(size);
  if (!buffer.data()) {
    limit_->give(size);
    return error(Code::out_of_memory, "cannot allocate ", size, " bytes");
  }
  return buffer;
}

void BlockPool::give(AlignedBuffer buffer) noexcept {
  const size_t size = buffer.size();
  if (size == 0) return;
  const std::lock_guard lock(mutex_);
  if (free_bytes_ + size <= kMostKept) {
    try {
      free_.emplace(size, std::move(buffer));
      free_bytes_ += size;
      return;
    } catch (const std::bad_alloc&) {
    }
  }
  limit_->give(size);
}

Result<Tensor> BlockPool::make(DType dtype, const Shape& shape) {
  if (dtype == DType::string) return make_tensor(dtype, shape);
  const std::optional<int64_t> count = shape.checked_count();
  const std::optional<size_t> bytes = count ? storage_size(dtype, *count) : std::nullopt;
  if (!bytes) return invalid_argument("a tensor of shape ", shape, " is too large");
  LINNET_ASSIGN(AlignedBuffer buffer, take(*bytes));
  struct Block {
    std::shared_ptr<BlockPool> pool;
    AlignedBuffer buffer;
    ~Block() { pool->give(std::move(buffer)); }
  };
  Tensor tensor{dtype, shape, buffer.data(), nullptr};
  tensor.owner = std::shared_ptr<void>(new Block{shared_from_this(), std::move(buffer)}, [](Block* b) { delete b; });
  return tensor;
}

}  // namespace linnet
