#include "base/aligned_buffer.h"

#include <algorithm>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace linnet {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kWorthwhile = kHugePage / 4 * 3;  // where less of a huge page is needed, small pages save memory

// How many bytes from the start of a buffer lie in huge pages: the last of them may end behind it.
size_t huge_part(size_t size) noexcept {
  return size / kHugePage * kHugePage + (size % kHugePage >= kWorthwhile ? kHugePage : 0);
}

size_t alignment_of(size_t size) noexcept { return huge_part(size) > 0 ? kHugePage : AlignedBuffer::kAlignment; }

}  // namespace

AlignedBuffer::AlignedBuffer(size_t size) noexcept {
  if (size == 0) return;
  const size_t huge = huge_part(size);
  data_ =
      static_cast<std::byte*>(::operator new(std::max(size, huge), std::align_val_t{alignment_of(size)}, std::nothrow));
  if (!data_) return;
  size_ = size;
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  if (huge > 0) static_cast<void>(madvise(data_, huge, MADV_HUGEPAGE));
#endif
}

AlignedBuffer::~AlignedBuffer() {
  if (data_) ::operator delete(data_, std::align_val_t{alignment_of(size_)});
}

}  // namespace linnet
