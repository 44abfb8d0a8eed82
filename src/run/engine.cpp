#include "run/engine.h"

#include "base/cpu.h"

namespace linnet {

Engine::Engine(size_t threads) : pool_(std::make_unique<ThreadPool>(threads ? threads : available_cores())) {}

Engine::Engine(Executor& executor) : executor_(&executor) {}

void Engine::set_threads(size_t threads) {
  if (pool_) pool_->set_threads(threads ? threads : available_cores());
}

size_t Engine::threads() const noexcept { return pool_ ? pool_->threads() : executor_->threads(); }

}  // namespace linnet
