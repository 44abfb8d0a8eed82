// What stays bound between the runs of a linnet_binding.
#pragma once

#include "c_api/run.h"

namespace linnet::c_api {

struct SharedBinding {
  explicit SharedBinding(std::shared_ptr<SharedSession> s)
      : session(std::move(s)),
        kept(session->model->model->inputs.size()),
        inputs(kept.size()),
        targets(session->model->model->outputs.size()),
        outputs(targets.size()),
        fixed(targets.size(), 0) {}

  const std::shared_ptr<SharedSession> session;
  std::atomic<bool> busy{false};    // guards what follows
  std::vector<Value> kept, inputs;  // what the caller gave; the same as a run may use it
  std::vector<Value> targets;       // what the caller gave for outputs
  std::vector<Value> outputs;       // of the last run; what nobody gave a target for serves again
  std::vector<uint8_t> fixed;       // by output: has a target

  Status run(const RunSettings& settings, const StopToken* stop);
};

// Holds a binding for as long as it lives; false when somebody else has it.
class BindingLock {
 public:
  explicit BindingLock(std::shared_ptr<SharedBinding> binding) noexcept
      : binding_(std::move(binding)), held_(!binding_->busy.exchange(true, std::memory_order_acquire)) {}
  BindingLock(const BindingLock&) = delete;
  BindingLock& operator=(const BindingLock&) = delete;
  ~BindingLock() { unlock(); }
  void unlock() noexcept {
    if (std::exchange(held_, false)) binding_->busy.store(false, std::memory_order_release);
  }
  Status status() const {
    return held_ ? Status() : invalid_argument("the binding is in use by another run or thread");
  }
  SharedBinding& operator*() const noexcept { return *binding_; }
  SharedBinding* operator->() const noexcept { return binding_.get(); }

 private:
  std::shared_ptr<SharedBinding> binding_;
  bool held_;
};

struct BindingObject final : Object {
  using Handle = linnet_binding;
  static constexpr Kind kKind = Kind::binding;
  static constexpr const char* kName = "binding";
  explicit BindingObject(std::shared_ptr<SharedBinding> b) : shared(std::move(b)) {}
  const std::shared_ptr<SharedBinding> shared;
};

}  // namespace linnet::c_api
