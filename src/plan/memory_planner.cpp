#include "plan/memory_planner.h"

#include <algorithm>
#include <limits>

#include "base/aligned_buffer.h"
#include "base/checked.h"

namespace linnet {

std::optional<size_t> MemoryPlanner::plan(std::span<PlannedBuffer> buffers) {
  gaps_.clear();
  ending_.clear();
  size_t total = 0;
  const auto ends_later = [&](uint32_t a, uint32_t b) { return buffers[a].last > buffers[b].last; };
  for (uint32_t i = 0; i < buffers.size(); ++i) {
    PlannedBuffer& buffer = buffers[i];
    while (!ending_.empty() && buffers[ending_.front()].last < buffer.first) {
      std::pop_heap(ending_.begin(), ending_.end(), ends_later);
      const PlannedBuffer& ended = buffers[ending_.back()];
      ending_.pop_back();
      release(ended.offset, round_up(ended.bytes, AlignedBuffer::kAlignment));
    }
    constexpr size_t kMost =
        static_cast<size_t>(std::numeric_limits<ptrdiff_t>::max()) & ~(AlignedBuffer::kAlignment - 1);
    if (buffer.bytes > kMost || total > kMost - buffer.bytes) return std::nullopt;
    const size_t bytes = round_up(buffer.bytes, AlignedBuffer::kAlignment);
    if (bytes == 0) {
      buffer.offset = 0;
      continue;
    }
    auto best = gaps_.end();
    for (auto gap = gaps_.begin(); gap != gaps_.end(); ++gap)
      if (gap->bytes >= bytes && (best == gaps_.end() || gap->bytes < best->bytes)) best = gap;
    if (best != gaps_.end()) {
      buffer.offset = best->offset;
      best->offset += bytes;
      best->bytes -= bytes;
      if (best->bytes == 0) gaps_.erase(best);
    } else if (!gaps_.empty() && gaps_.back().offset + gaps_.back().bytes == total) {
      buffer.offset = gaps_.back().offset;  // grow the gap at the end
      total = buffer.offset + bytes;
      gaps_.pop_back();
    } else {
      buffer.offset = total;
      total += bytes;
    }
    ending_.push_back(i);
    std::push_heap(ending_.begin(), ending_.end(), ends_later);
  }
  return total;
}

void MemoryPlanner::release(size_t offset, size_t bytes) {
  if (bytes == 0) return;
  const auto next =
      std::lower_bound(gaps_.begin(), gaps_.end(), offset, [](const Gap& g, size_t o) { return g.offset < o; });
  const bool joins_next = next != gaps_.end() && offset + bytes == next->offset;
  if (next != gaps_.begin()) {
    const auto previous = next - 1;
    if (previous->offset + previous->bytes == offset) {
      previous->bytes += bytes;
      if (joins_next) {
        previous->bytes += next->bytes;
        gaps_.erase(next);
      }
      return;
    }
  }
  if (joins_next) {
    next->offset = offset;
    next->bytes += bytes;
  } else {
    gaps_.insert(next, {offset, bytes});
  }
}

}  // namespace linnet
