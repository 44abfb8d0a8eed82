#include "base/aligned_buffer.h"

#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace linnet {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kHugeFrom = size_t{4} << 20;  // smaller buffers would waste most of a huge page

size_t alignment_of(size_t size) noexcept { return size >= kHugeFrom ? kHugePage : AlignedBuffer::kAlignment; }

}  // namespace

AlignedBuffer::AlignedBuffer(size_t size) noexcept {
  if (size == 0) return;
  data_ = static_cast<std::byte*>(::operator new(size, std::align_val_t{alignment_of(size)}, std::nothrow));
  if (!data_) return;
  size_ = size;
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  if (size >= kHugeFrom) static_cast<void>(madvise(data_, size, MADV_HUGEPAGE));
#endif
}

AlignedBuffer::~AlignedBuffer() {
  if (data_) ::operator delete(data_, std::align_val_t{alignment_of(size_)});
}

}  // namespace linnet
