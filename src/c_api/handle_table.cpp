#include "c_api/handle_table.h"

#include <array>
#include <bit>
#include <mutex>
#include <new>

namespace linnet::c_api {

// state: generation | open (1 bit) | pins (31 bits). Whoever takes it to "closed, no pins" destroys the object.
struct HandleSlot {
  std::atomic<uint64_t> state{uint64_t{1} << 32};
  Object* object = nullptr;
  uint32_t index = 0, next_free = 0;
  Kind kind = Kind::none;
};

namespace {

// On 64-bit systems a handle is below 2^53, so that a language whose numbers are doubles can hold it.
constexpr int kIndexBits = sizeof(void*) == 8 ? 31 : 20;
constexpr int kGenerationBits = sizeof(void*) == 8 ? 21 : 11;
constexpr uint64_t kGenerationMask = (uint64_t{1} << kGenerationBits) - 1;
constexpr uint32_t kMostSlots = (uint32_t{1} << kIndexBits) - 1;
constexpr uint64_t kOpen = uint64_t{1} << 31, kPins = kOpen - 1;
constexpr uint32_t kFirstChunk = 1024;
constexpr uint32_t kNoSlot = 0xffffffffu;
// Slots are used again in order of their closing, and not before there are some, so that a generation lasts.
constexpr uint32_t kLeastFree = 512;

struct Table {
  // Chunk k has kFirstChunk << k slots and never goes away.
  std::array<std::atomic<HandleSlot*>, 22> chunks{};
  std::atomic<size_t> open{0};
  std::mutex mutex;
  uint32_t slots = 0;
  uint32_t free_head = kNoSlot, free_tail = kNoSlot, free_count = 0;

  HandleSlot* slot(uint32_t index) const noexcept {
    const auto chunk = static_cast<uint32_t>(std::bit_width(index / kFirstChunk + 1)) - 1;
    HandleSlot* const first = chunk < chunks.size() ? chunks[chunk].load(std::memory_order_acquire) : nullptr;
    return first ? first + (index - ((uint32_t{1} << chunk) - 1) * kFirstChunk) : nullptr;
  }

  HandleSlot* take() {
    const std::lock_guard lock(mutex);
    if (free_head != kNoSlot && (free_count > kLeastFree || slots == kMostSlots)) {
      HandleSlot* const taken = slot(free_head);
      free_head = taken->next_free;
      if (free_head == kNoSlot) free_tail = kNoSlot;
      --free_count;
      return taken;
    }
    if (slots == kMostSlots) throw std::bad_alloc();
    const auto chunk = static_cast<uint32_t>(std::bit_width(slots / kFirstChunk + 1)) - 1;
    if (!chunks[chunk].load(std::memory_order_relaxed))
      chunks[chunk].store(new HandleSlot[size_t{kFirstChunk} << chunk], std::memory_order_release);
    HandleSlot* const taken = slot(slots);
    taken->index = slots++;
    return taken;
  }

  void give(HandleSlot* from) noexcept {
    const std::lock_guard lock(mutex);
    from->next_free = kNoSlot;
    if (free_tail == kNoSlot) {
      free_head = from->index;
    } else {
      slot(free_tail)->next_free = from->index;
    }
    free_tail = from->index;
    ++free_count;
  }
};

// Never destroyed: threads may still hold handles while the process exits.
Table& table() noexcept {
  static Table& instance = *new Table;
  return instance;
}

uint64_t generation_of(uint64_t state) noexcept { return state >> 32; }

// The slot of a number that could be a handle, or nullptr.
HandleSlot* slot_of(uintptr_t handle, uint64_t* generation) noexcept {
  if (!(handle & 1)) return nullptr;
  const uint64_t bits = handle >> 1;
  *generation = bits >> kIndexBits;
  return table().slot(static_cast<uint32_t>(bits & kMostSlots));
}

void destroy(HandleSlot* slot) noexcept {
  delete std::exchange(slot->object, nullptr);
  const uint64_t next = (generation_of(slot->state.load(std::memory_order_relaxed)) + 1) & kGenerationMask;
  slot->state.store(next << 32, std::memory_order_release);
  table().give(slot);
}

}  // namespace

uintptr_t open_handle(Kind kind, std::unique_ptr<Object> object) {
  HandleSlot* const slot = table().take();
  slot->object = object.release();
  slot->kind = kind;
  const uint64_t generation = generation_of(slot->state.load(std::memory_order_relaxed));
  slot->state.store(generation << 32 | kOpen, std::memory_order_release);
  table().open.fetch_add(1, std::memory_order_relaxed);
  return static_cast<uintptr_t>((generation << kIndexBits | slot->index) << 1 | 1);
}

Object* pin_handle(uintptr_t handle, Kind kind, HandleSlot** pinned) noexcept {
  uint64_t generation = 0;
  HandleSlot* const slot = slot_of(handle, &generation);
  if (!slot) return nullptr;
  uint64_t state = slot->state.load(std::memory_order_relaxed);
  do {
    if (generation_of(state) != generation || !(state & kOpen)) return nullptr;
  } while (!slot->state.compare_exchange_weak(state, state + 1, std::memory_order_acquire, std::memory_order_relaxed));
  if (slot->kind != kind) {
    unpin_handle(slot);
    return nullptr;
  }
  *pinned = slot;
  return slot->object;
}

void unpin_handle(HandleSlot* slot) noexcept {
  const uint64_t before = slot->state.fetch_sub(1, std::memory_order_acq_rel);
  if (!(before & kOpen) && (before & kPins) == 1) destroy(slot);
}

void close_handle(uintptr_t handle) noexcept {
  uint64_t generation = 0;
  HandleSlot* const slot = slot_of(handle, &generation);
  if (!slot) return;
  uint64_t state = slot->state.load(std::memory_order_relaxed);
  do {
    if (generation_of(state) != generation || !(state & kOpen)) return;
  } while (
      !slot->state.compare_exchange_weak(state, state & ~kOpen, std::memory_order_acq_rel, std::memory_order_relaxed));
  table().open.fetch_sub(1, std::memory_order_relaxed);
  if ((state & kPins) == 0) destroy(slot);
}

size_t open_handles() noexcept { return table().open.load(std::memory_order_relaxed); }

}  // namespace linnet::c_api
