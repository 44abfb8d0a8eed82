// What a kernel knows of threads: run this over a range, and has anybody asked to stop.
// Implemented by src/run (a pool, or an executor of the host).
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <limits>

#include "base/function_ref.h"

namespace linnet {

// Asks a run to end early. Thread-safe: any thread may stop it while others poll.
class StopToken {
 public:
  using Clock = std::chrono::steady_clock;

  void request_stop() noexcept { requested_.store(true, std::memory_order_relaxed); }
  void set_deadline(Clock::time_point deadline) noexcept { deadline_ = deadline; }
  void set_parent(const StopToken* parent) noexcept { parent_ = parent; }

  bool stop_requested() const noexcept {
    return requested_.load(std::memory_order_relaxed) || (parent_ && parent_->stop_requested());
  }
  bool past_deadline() const noexcept { return deadline_ != Clock::time_point::max() && Clock::now() >= deadline_; }
  bool stopped() const noexcept { return stop_requested() || past_deadline(); }

 private:
  std::atomic<bool> requested_{false};
  Clock::time_point deadline_ = Clock::time_point::max();
  const StopToken* parent_ = nullptr;
};

// Splits ranges of independent items over threads. The base class is the serial form.
//
// The result of an item must not depend on how the range was split: that is what keeps outputs bit-identical for
// every thread count. A sum that crosses items must be cut at places that the thread count does not decide.
class Parallel {
 public:
  // begin <= i < end, worker < threads(): the worker's number selects its part of a scratch buffer.
  using Body = FunctionRef<void(size_t begin, size_t end, size_t worker)>;

  Parallel() = default;
  explicit Parallel(const StopToken* stop) : stop_(stop) {}
  Parallel(const Parallel&) = delete;
  Parallel& operator=(const Parallel&) = delete;
  virtual ~Parallel() = default;

  size_t threads() const noexcept { return threads_; }

  // A long kernel polls this about once per 100 us of work and returns early when it is true; what it has written so
  // far is then discarded by the caller.
  bool stopped() const noexcept { return stop_ && stop_->stopped(); }

  // Calls `body` over disjoint ranges that cover [0, count), each of at least `grain` items but the last.
  // Choose the grain so that one range is worth about 7 us of work. Does not nest: a call from inside runs serially.
  void for_range(size_t count, size_t grain, Body body) const {
    if (count == 0) return;
    if (threads_ == 1 || count <= grain) {
      body(0, count, 0);
    } else {
      dispatch(count, grain, body);
    }
  }

 protected:
  void set_threads(size_t threads) noexcept { threads_ = threads; }
  void set_stop(const StopToken* stop) noexcept { stop_ = stop; }
  virtual void dispatch(size_t count, size_t grain, Body body) const {
    static_cast<void>(grain);
    body(0, count, 0);
  }

 private:
  size_t threads_ = 1;
  const StopToken* stop_ = nullptr;
};

// Items per range so that a range costs about 7 us, given the cost of one item in nanoseconds.
inline size_t grain_for(double item_ns) noexcept {
  return item_ns >= 7'000.0 ? 1 : static_cast<size_t>(7'000.0 / (item_ns > 0.001 ? item_ns : 0.001));
}

}  // namespace linnet
