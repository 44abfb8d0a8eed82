// Aligned memory that was given back is given out again for the next request of its size, as allocators may do it: what
// takes an address for an identity is found out.
#include <cstdlib>
#include <map>
#include <mutex>
#include <new>
#include <utility>

namespace {

using Kind = std::pair<size_t, size_t>;  // size and alignment

struct Memory {
  std::mutex mutex;
  std::map<void*, Kind> given;
  std::multimap<Kind, void*> returned;
};

Memory& memory() {
  static Memory* const all = new Memory;  // outlives everybody who gives something back
  return *all;
}

void* take(size_t size, std::align_val_t alignment) {
  Memory& all = memory();
  const std::lock_guard lock(all.mutex);
  const Kind kind(size, static_cast<size_t>(alignment));
  void* block = nullptr;
  if (const auto found = all.returned.find(kind); found != all.returned.end()) {
    block = found->second;
    all.returned.erase(found);
  } else if (posix_memalign(&block, kind.second, size ? size : 1) != 0) {
    return nullptr;
  }
  all.given.emplace(block, kind);
  return block;
}

void give_back(void* block) {
  if (!block) return;
  Memory& all = memory();
  const std::lock_guard lock(all.mutex);
  const auto found = all.given.find(block);
  all.returned.emplace(found->second, block);
  all.given.erase(found);
}

}  // namespace

void* operator new(size_t size, std::align_val_t alignment) {
  if (void* block = take(size, alignment)) return block;
  throw std::bad_alloc();
}
void* operator new(size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return take(size, alignment);
}
void operator delete(void* block, std::align_val_t) noexcept { give_back(block); }
void operator delete(void* block, size_t, std::align_val_t) noexcept { give_back(block); }
