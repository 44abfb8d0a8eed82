// The threads of an Engine, shared by its sessions.
//
// The caller takes part in every region; workers spin for a short while between the regions of a run and sleep when no
// run is under way. A region that finds the pool busy with another run's region is executed by its caller alone: by the
// contract of Parallel that changes no bit of the result.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/parallel.h"

namespace linnet {

// How a host supplies its own threads: calls part(i) once for each i in [0, parts), possibly at the same time, and
// returns when all have returned. Must be callable from several threads at once.
class Executor {
 public:
  virtual ~Executor() = default;
  virtual size_t threads() const = 0;
  virtual void run(size_t parts, FunctionRef<void(size_t part)> part) = 0;
};

class ThreadPool {
 public:
  explicit ThreadPool(size_t threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // Threads including the caller; at least 1. One means that there are no workers at all.
  size_t threads() const noexcept { return threads_.load(std::memory_order_relaxed); }
  // Waits for the region under way, if any. Runs in progress see the new count in their next region.
  void set_threads(size_t threads);

  // While a run is under way, idle workers spin for a moment before they sleep.
  void begin_run(bool wake_workers) noexcept;
  void end_run() noexcept;

  // Runs body over [0, count) in at most `parts` ranges of equal length. False, doing nothing, when the pool is busy.
  bool try_run(size_t count, size_t parts, Parallel::Body body) noexcept;

 private:
  struct Job {
    size_t count = 0, length = 0, parts = 0;
    const Parallel::Body* body = nullptr;
  };
  void start(size_t threads);
  void stop();
  void work() noexcept;
  bool run_part(uint32_t epoch, size_t part) noexcept;
  void ring() noexcept;

  std::atomic<size_t> threads_{1};
  std::vector<std::thread> workers_;
  std::mutex resize_;

  std::atomic<bool> busy_{false};
  Job job_;
  std::vector<std::atomic<uint32_t>> claims_;  // by part: the epoch that took it
  std::atomic<size_t> unfinished_{0};
  std::atomic<uint32_t> epoch_{0};     // of the job that stands in job_
  std::atomic<uint32_t> doorbell_{0};  // sleepers wait for a change
  std::atomic<uint32_t> sleepers_{0};
  std::atomic<uint32_t> runs_{0};
  std::atomic<bool> quit_{false};
};

// Parallel over a pool or a host's executor, for one run.
class RunParallel final : public Parallel {
 public:
  RunParallel(ThreadPool* pool, Executor* executor, const StopToken* stop);

 private:
  void dispatch(size_t count, size_t grain, Body body) const override;

  ThreadPool* pool_;
  Executor* executor_;
};

}  // namespace linnet
