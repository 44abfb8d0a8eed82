#include "c_api/runners.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

namespace linnet::c_api {

// Shared with the threads, so that the last piece of work may be what destroys the Runners.
struct Runners::State {
  std::mutex mutex;
  std::condition_variable arrived;
  std::deque<std::function<void()>> queue;
  std::vector<std::thread> threads;
  size_t idle = 0;
  bool quit = false;

  void work() {
    std::unique_lock lock(mutex);
    for (;;) {
      ++idle;
      arrived.wait(lock, [&] { return quit || !queue.empty(); });
      --idle;
      if (queue.empty()) return;
      std::function<void()> next = std::move(queue.front());
      queue.pop_front();
      lock.unlock();
      next();
      next = nullptr;
      lock.lock();
    }
  }
};

Runners::Runners(size_t most_threads) : most_(most_threads), state_(std::make_shared<State>()) {}

Runners::~Runners() {
  std::vector<std::thread> threads;
  {
    const std::lock_guard lock(state_->mutex);
    state_->quit = true;
    threads.swap(state_->threads);
  }
  state_->arrived.notify_all();
  for (std::thread& thread : threads) {
    if (thread.get_id() == std::this_thread::get_id()) {
      thread.detach();
    } else {
      thread.join();
    }
  }
}

void Runners::submit(std::function<void()> work) {
  const std::lock_guard lock(state_->mutex);
  state_->queue.push_back(std::move(work));
  if (state_->queue.size() > state_->idle && state_->threads.size() < most_) {
    try {
      state_->threads.emplace_back([state = state_] { state->work(); });
    } catch (...) {
      if (state_->threads.empty()) {
        state_->queue.pop_back();
        throw;
      }
    }
  }
  state_->arrived.notify_one();
}

}  // namespace linnet::c_api
