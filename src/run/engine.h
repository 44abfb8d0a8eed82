// What sessions share: threads and the limit on memory. Passed in, never global.
#pragma once

#include <memory>
#include <mutex>

#include "run/memory.h"
#include "run/thread_pool.h"

namespace linnet {

class Engine {
 public:
  // 0 threads: one for each core that this process may use.
  explicit Engine(size_t threads = 0);
  // Runs on the host's threads; the executor must outlive the engine.
  explicit Engine(Executor& executor);

  // Thread-safe, also while sessions run. With a host's executor the count is the host's.
  void set_threads(size_t threads);
  size_t threads() const noexcept;

  ThreadPool* pool() noexcept { return pool_.get(); }
  Executor* executor() noexcept { return executor_; }
  const std::shared_ptr<MemoryLimit>& memory() const noexcept { return memory_; }

 private:
  std::unique_ptr<ThreadPool> pool_;
  Executor* executor_ = nullptr;
  std::shared_ptr<MemoryLimit> memory_ = std::make_shared<MemoryLimit>();
};

}  // namespace linnet
