// Asynchronous calls: what their handles stand for, and how they are started.
#pragma once

#include <condition_variable>

#include "base/function_ref.h"
#include "c_api/run.h"

namespace linnet::c_api {

struct SharedTask {
  std::shared_ptr<SharedEngine> engine;
  linnet_completion completion{};
  StopToken stop;
  std::shared_ptr<StopToken> cancel;  // the caller's, which `stop` listens to
  StopToken::Clock::time_point deadline = StopToken::Clock::time_point::max();
  std::atomic<size_t> handles{0};  // that are open

  std::mutex mutex;
  std::condition_variable has_ended, has_answer;
  bool ended = false, asks = false, told = true;
  Status status;
  std::vector<Value> outputs, sample;
  std::shared_ptr<const SharedModel> model;
  std::optional<std::string> report;

  // Until answered() holds, which linnet_task_* functions see to under the mutex; not so once nobody can.
  bool wait_for_answer(std::unique_lock<std::mutex>& lock, FunctionRef<bool()> answered);

  // Posts how far the call is, where the caller wants to know.
  void tell(size_t done, size_t total, std::string_view what);
  // The values of the next sample, which the caller gives when he sees the posted question; none after the last one.
  Result<std::vector<Value>> ask(int64_t pass, const std::vector<Model::Port>& inputs);
};

struct TaskObject final : Object {
  using Handle = linnet_task;
  static constexpr Kind kKind = Kind::task;
  static constexpr const char* kName = "task";
  explicit TaskObject(std::shared_ptr<SharedTask> t) : shared(std::move(t)) { ++shared->handles; }
  ~TaskObject() override { --shared->handles; }
  const std::shared_ptr<SharedTask> shared;
};

// The token of options, or none. `task`, unless it is NULL, listens to it.
Result<std::shared_ptr<StopToken>> read_cancel(linnet_cancel* cancel, SharedTask* task);

std::shared_ptr<SharedTask> new_task(std::shared_ptr<SharedEngine> engine, const RunSettings& settings);
// Hands the task to a runner: `work` fills in what it gives and returns how it ended.
Status start(std::shared_ptr<SharedTask> task, const linnet_completion* completion, linnet_task** handle,
             std::function<Status(SharedTask&)> work);

// Starts a task that writes a file: prepare(task) checks what the call was given, and gives what is to be done.
using Write = std::function<Status(SharedTask&, const ModelSource&)>;
linnet_status* start_writing(linnet_engine* engine, const linnet_source* source, const linnet_completion* completion,
                             linnet_task** handle, FunctionRef<Result<Write>(SharedTask&)> prepare);

}  // namespace linnet::c_api
