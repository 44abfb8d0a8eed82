// Threads that carry asynchronous calls out: started when there is work, asleep when there is none.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace linnet::c_api {

class Runners {
 public:
  explicit Runners(size_t most_threads);
  Runners(const Runners&) = delete;
  Runners& operator=(const Runners&) = delete;
  // Waits for the threads to end; but for the one that calls this, when it is one of them. The queue must be empty.
  ~Runners();

  // Work is begun in order of arrival. Throws when no thread can be had. `work` must not throw.
  void submit(std::function<void()> work);

 private:
  struct State;
  size_t most_;
  std::shared_ptr<State> state_;
};

}  // namespace linnet::c_api
