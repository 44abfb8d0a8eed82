// The handles of linnet.h: numbers that stand for objects, so that one which is closed, foreign or of another kind is
// recognised without touching memory. A handle has the slot's index and a generation that changes whenever the slot is
// used anew; it is odd, as no address of an object is.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

#include "base/result.h"

namespace linnet::c_api {

enum class Kind : uint8_t {
  none,
  status,
  engine,
  load_options,
  model,
  session,
  binding,
  value,
  cancel,
  profile,
  task,
  op_context
};

// What a handle stands for. Derived classes have `using Handle`, `kKind` and `kName` for messages.
class Object {
 public:
  Object() = default;
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  virtual ~Object() = default;
};

struct HandleSlot;

// Thread-safe, all of them. Throws bad_alloc.
uintptr_t open_handle(Kind kind, std::unique_ptr<Object> object);
// The object, which stays until unpin; nullptr when the handle is not open or not of this kind.
Object* pin_handle(uintptr_t handle, Kind kind, HandleSlot** slot) noexcept;
void unpin_handle(HandleSlot* slot) noexcept;
// The object goes as soon as nobody has it pinned. Does nothing for what is no open handle.
void close_handle(uintptr_t handle) noexcept;
size_t open_handles() noexcept;

// An object in use.
template <class T>
class Pin {
 public:
  explicit Pin(const typename T::Handle* handle) noexcept
      : object_(static_cast<T*>(pin_handle(reinterpret_cast<uintptr_t>(handle), T::kKind, &slot_))) {}
  Pin(Pin&& from) noexcept : slot_(std::exchange(from.slot_, nullptr)), object_(std::exchange(from.object_, nullptr)) {}
  Pin& operator=(Pin&& from) noexcept {
    std::swap(slot_, from.slot_);
    std::swap(object_, from.object_);
    return *this;
  }
  ~Pin() {
    if (slot_) unpin_handle(slot_);
  }

  explicit operator bool() const noexcept { return object_ != nullptr; }
  T* operator->() const noexcept { return object_; }
  T& operator*() const noexcept { return *object_; }

 private:
  HandleSlot* slot_ = nullptr;
  T* object_;
};

// The object of a handle that has to be open.
template <class T>
Result<Pin<T>> use(const typename T::Handle* handle) {
  Pin<T> pin(handle);
  if (pin) return pin;
  if (!handle) return error(Code::closed, "the ", T::kName, " is NULL");
  return error(Code::closed, "the ", T::kName, " is closed, or no handle of a ", T::kName);
}

template <class T, class... Args>
typename T::Handle* make_handle(Args&&... args) {
  return reinterpret_cast<typename T::Handle*>(open_handle(T::kKind, std::make_unique<T>(std::forward<Args>(args)...)));
}

}  // namespace linnet::c_api
