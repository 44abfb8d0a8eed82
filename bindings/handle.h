// What the bindings in C++ share: a handle of linnet.h that closes itself.
#pragma once

#include <utility>

#include "linnet/linnet.h"

namespace linnet_bindings {

template <class T>
class Handle {
 public:
  Handle() = default;
  explicit Handle(T* handle) noexcept : handle_(handle) {}
  Handle(Handle&& from) noexcept : handle_(std::exchange(from.handle_, nullptr)) {}
  Handle& operator=(Handle&& from) noexcept {
    std::swap(handle_, from.handle_);
    return *this;
  }
  ~Handle() { linnet_release(handle_); }

  T* get() const noexcept { return handle_; }
  T* release() noexcept { return std::exchange(handle_, nullptr); }
  // For output parameters; what was held is closed.
  T** out() noexcept {
    linnet_release(std::exchange(handle_, nullptr));
    return &handle_;
  }

 private:
  T* handle_ = nullptr;
};

}  // namespace linnet_bindings
