#include "plan/packed_memory.h"

#include <algorithm>
#include <cstdint>

#include "base/checked.h"

namespace linnet {
namespace {

// Chunks grow with what is there, so that a small model takes little; what is not touched costs no memory.
constexpr size_t kLeastChunk = size_t{256} << 10;
constexpr size_t kMostChunk = size_t{32} << 20;

}  // namespace

std::byte* PackedMemory::allocate(size_t bytes) {
  if (bytes > static_cast<size_t>(PTRDIFF_MAX)) return nullptr;
  bytes = round_up(std::max<size_t>(bytes, 1), AlignedBuffer::kAlignment);
  if (bytes > free_) {
    // A large buffer of its own leaves the rest of the last chunk in use.
    const bool apart = bytes >= kMostChunk / 2;
    const size_t size = apart ? bytes : std::max(bytes, std::clamp(used_, kLeastChunk, kMostChunk));
    AlignedBuffer chunk(size);
    if (!chunk.data()) return nullptr;
    std::byte* data = chunk.data();
    used_ += bytes;
    if (apart) {
      chunks_.insert(chunks_.empty() ? chunks_.end() : chunks_.end() - 1, std::move(chunk));
    } else {
      chunks_.push_back(std::move(chunk));
      free_ = size - bytes;
    }
    return data;
  }
  std::byte* data = chunks_.back().data() + (chunks_.back().size() - free_);
  free_ -= bytes;
  used_ += bytes;
  return data;
}

}  // namespace linnet
