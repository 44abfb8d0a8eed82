// Asynchronous calls: what they are to do, who is told, and what came of them.
#include "c_api/task.h"

#include "c_api/binding.h"

namespace linnet::c_api {
namespace {

// A value that Dart's NativeApi.postCObject takes:
// https://github.com/dart-lang/sdk/blob/main/runtime/include/dart_native_api.h
struct DartValue {
  int32_t type;
  union {
    int64_t as_int64;
    const char* as_string;
    struct {
      intptr_t length;
      DartValue** values;
    } as_array;
    void* words[5];  // as large as the largest of its alternatives
  } value{};

  explicit DartValue(int64_t number) : type(3) { value.as_int64 = number; }
  explicit DartValue(const char* text) : type(5) { value.as_string = text; }
  explicit DartValue(std::span<DartValue*> values) : type(6) {
    value.as_array = {static_cast<intptr_t>(values.size()), values.data()};
  }
};

// Whether somebody was there to receive it.
bool post(const linnet_completion& completion, DartValue value) noexcept {
  bool received = false;
  call_quietly([&] { received = completion.post(completion.port, &value) != 0; });
  return received;
}

// Values and the list that points to them.
struct DartList {
  std::vector<DartValue> values;
  std::vector<DartValue*> pointers;

  explicit DartList(std::vector<DartValue> elements) : values(std::move(elements)) {
    for (DartValue& value : values) pointers.push_back(&value);
  }
  DartValue value() { return DartValue(pointers); }
};

void complete(const std::shared_ptr<SharedTask>& task) noexcept {
  const linnet_completion& completion = task->completion;
  call_quietly([&] {
    if (!completion.done) return;
    linnet_task* const handle = make_handle<TaskObject>(task);
    call_quietly([&] { completion.done(completion.user, handle); });
    linnet_release(handle);
  });
  if (completion.release) call_quietly([&] { completion.release(completion.user); });
  if (completion.post) post(completion, DartValue(completion.message));
}

// Names and values of an asynchronous run, copied.
struct QueuedRun {
  std::shared_ptr<SharedSession> session;
  RunSettings settings;
  std::vector<Value> kept, inputs, outputs;
  std::vector<std::string> input_texts, output_texts;
  std::vector<const char*> input_names, output_names;
  bool inputs_by_name = false, outputs_by_name = false;

  static Status copy_names(const char* const* names, size_t count, std::vector<std::string>& texts,
                           std::vector<const char*>& pointers) {
    for (size_t i = 0; i < count; ++i) {
      LINNET_TRY(require(names[i], "a name"));
      texts.emplace_back(names[i]);
    }
    for (const std::string& text : texts) pointers.push_back(text.c_str());
    return {};
  }

  Status run(SharedTask& task) {
    RunCall call;
    if (inputs_by_name) call.input_names = input_names;
    if (outputs_by_name) call.output_names = output_names;
    call.inputs = inputs;
    call.outputs = outputs;
    LINNET_TRY(run_call(*session, call, settings, &task.stop));
    task.outputs = std::move(outputs);
    return {};
  }
};

// What `get` makes of a task that ended well.
template <class Get>
linnet_status* of_ended(const linnet_task* task, Get&& get) {
  return guarded([&]() -> Status {
    LINNET_ASSIGN(const Pin<TaskObject> pinned, use<TaskObject>(task));
    SharedTask& shared = *pinned->shared;
    const std::lock_guard lock(shared.mutex);
    LINNET_REQUIRE(shared.ended, invalid_argument("the task has not ended yet"));
    LINNET_TRY(shared.status.copy());
    return get(shared);
  });
}

}  // namespace

bool SharedTask::wait_for_answer(std::unique_lock<std::mutex>& lock, FunctionRef<bool()> answered) {
  // Neither a cancel token that is requested nor the last handle's closing wakes anybody.
  constexpr std::chrono::milliseconds kLookAgain(20);
  while (!has_answer.wait_for(lock, kLookAgain, [&] { return answered(); }))
    if (stop.stop_requested() || handles == 0) return false;
  return true;
}

void SharedTask::tell(size_t done, size_t total, std::string_view what) {
  if (!completion.post || !completion.post_progress) return;
  const std::string text(what);
  std::unique_lock lock(mutex);
  told = completion.post_progress != LINNET_POST_AND_WAIT;
  const DartValue number(completion.message);
  DartList message(
      {number, DartValue(static_cast<int64_t>(done)), DartValue(static_cast<int64_t>(total)), DartValue(text.c_str())});
  if (post(completion, message.value())) wait_for_answer(lock, [&] { return told; });
}

Result<std::vector<Value>> SharedTask::ask(int64_t pass, const std::vector<Model::Port>& inputs) {
  std::vector<DartValue> texts;
  for (const Model::Port& port : inputs) texts.emplace_back(port.name.c_str());
  DartList names(std::move(texts));
  DartList question({DartValue(completion.message), DartValue(pass), names.value()});
  std::unique_lock lock(mutex);
  asks = true;
  const Status cancelled = error(Code::cancelled, "the task was cancelled");
  if (!post(completion, question.value())) return cancelled.copy();
  if (!wait_for_answer(lock, [&] { return !asks; })) return cancelled.copy();
  return std::exchange(sample, {});
}

Result<std::shared_ptr<StopToken>> read_cancel(linnet_cancel* cancel, SharedTask* task) {
  std::shared_ptr<StopToken> token;
  if (cancel) {
    LINNET_ASSIGN(const Pin<CancelObject> pinned, use<CancelObject>(cancel));
    token = pinned->token;
  }
  if (task) task->stop.set_parent((task->cancel = token).get());
  return token;
}

std::shared_ptr<SharedTask> new_task(std::shared_ptr<SharedEngine> engine, const RunSettings& settings) {
  auto task = std::make_shared<SharedTask>();
  task->engine = std::move(engine);
  task->cancel = settings.cancel;
  task->stop.set_parent(task->cancel.get());
  task->deadline = settings.deadline;
  return task;
}

Status start(std::shared_ptr<SharedTask> task, const linnet_completion* completion, linnet_task** handle,
             std::function<Status(SharedTask&)> work) {
  LINNET_ASSIGN(task->completion, read_struct(completion, "completion"));
  linnet_task* const made = handle ? make_handle<TaskObject>(task) : nullptr;
  try {
    task->engine->runners.submit([task, work = std::move(work)]() mutable {
      Status status;
      if (task->stop.stop_requested()) {
        status = error(Code::cancelled, "the call was cancelled before it began");
      } else if (StopToken::Clock::now() >= task->deadline) {
        status = error(Code::deadline_exceeded, "the deadline passed before the call began");
      } else {
        try {
          status = work(*task);
        } catch (const std::bad_alloc&) {
          status = Status(Code::out_of_memory, "");
        } catch (const std::exception& e) {
          status = Status(Code::internal, e.what());
        }
      }
      work = nullptr;  // lets go of the inputs, before anybody learns that it has ended
      {
        const std::lock_guard lock(task->mutex);
        task->status = std::move(status);
        task->ended = true;
      }
      task->has_ended.notify_all();
      complete(task);
    });
  } catch (...) {
    linnet_release(made);
    return error(Code::out_of_memory, "no thread can be started for asynchronous calls");
  }
  if (handle) *handle = made;
  return {};
}

}  // namespace linnet::c_api

using namespace linnet;
using c_api::guarded;
using c_api::Pin;
using c_api::require;
using c_api::SharedTask;
using c_api::TaskObject;
using c_api::ValueObject;

linnet_status* linnet_session_run_async(linnet_session* session, const linnet_run_options* options,
                                        const char* const* input_names, const linnet_value* const* inputs,
                                        size_t input_count, const char* const* output_names,
                                        const linnet_value* const* outputs, size_t output_count,
                                        const linnet_completion* completion, linnet_task** task) {
  return guarded([&]() -> Status {
    LINNET_ASSIGN(const Pin<c_api::SessionObject> pinned, c_api::use<c_api::SessionObject>(session));
    LINNET_REQUIRE(inputs || input_count == 0, invalid_argument("inputs are NULL"));
    auto run = std::make_shared<c_api::QueuedRun>();
    run->session = pinned->shared;
    LINNET_ASSIGN(run->settings, c_api::RunSettings::read(options));
    run->inputs_by_name = input_names != nullptr;
    run->outputs_by_name = output_names != nullptr;
    if (input_names)
      LINNET_TRY(c_api::QueuedRun::copy_names(input_names, input_count, run->input_texts, run->input_names));
    if (output_names)
      LINNET_TRY(c_api::QueuedRun::copy_names(output_names, output_count, run->output_texts, run->output_names));
    run->kept.resize(input_count);
    run->outputs.resize(output_count);
    for (size_t i = 0; i < input_count; ++i) {
      if (!inputs[i]) continue;
      LINNET_ASSIGN(const Pin<ValueObject> value, c_api::use<ValueObject>(inputs[i]));
      run->kept[i] = value->value;
    }
    for (const Value& value : run->kept) run->inputs.push_back(c_api::lent_to_run(value));
    for (size_t i = 0; outputs && i < output_count; ++i) {
      if (!outputs[i]) continue;
      LINNET_ASSIGN(const Pin<ValueObject> value, c_api::use<ValueObject>(outputs[i]));
      LINNET_REQUIRE(value->value.is_tensor(),
                     invalid_argument("what output ", i, " shall be written to is no tensor"));
      run->outputs[i] = value->value;
    }
    auto made = c_api::new_task(pinned->shared->engine, run->settings);
    return c_api::start(std::move(made), completion, task, [run](SharedTask& t) { return run->run(t); });
  });
}

linnet_status* linnet_binding_run_async(linnet_binding* binding, const linnet_run_options* options,
                                        const linnet_completion* completion, linnet_task** task) {
  return guarded([&]() -> Status {
    LINNET_ASSIGN(const Pin<c_api::BindingObject> pinned, c_api::use<c_api::BindingObject>(binding));
    LINNET_ASSIGN(c_api::RunSettings settings, c_api::RunSettings::read(options));
    const auto lock = std::make_shared<c_api::BindingLock>(pinned->shared);
    LINNET_TRY(lock->status());
    auto made = c_api::new_task(pinned->shared->session->engine, settings);
    return c_api::start(std::move(made), completion, task, [lock, settings](SharedTask& t) {
      LINNET_TRY((*lock)->run(settings, &t.stop));
      t.outputs = (*lock)->outputs;
      return Status();
    });
  });
}

linnet_status* linnet_model_load_async(linnet_engine* engine, const linnet_source* source,
                                       const linnet_load_options* options, const linnet_completion* completion,
                                       linnet_task** task) {
  return guarded([&]() -> Status {
    LINNET_ASSIGN(const Pin<c_api::EngineObject> pinned, c_api::use<c_api::EngineObject>(engine));
    auto made = c_api::new_task(pinned->shared, {});
    LINNET_ASSIGN(const LoadOptions given, c_api::load_options_of(options, made.get()));
    std::shared_ptr<c_api::Lent> lent;
    LINNET_ASSIGN(ModelSource from, c_api::source_of(source, lent));
    LINNET_TRY(c_api::start(std::move(made), completion, task, [from, given](SharedTask& t) -> Status {
      LINNET_ASSIGN(t.model, c_api::load(t.engine, from, given));
      return {};
    }));
    if (lent) lent->accept();
    return {};
  });
}

linnet_status* linnet_task_wait(const linnet_task* task, int64_t timeout_ms, int32_t* ended) {
  return guarded([&]() -> Status {
    LINNET_ASSIGN(const Pin<TaskObject> pinned, c_api::use<TaskObject>(task));
    SharedTask& shared = *pinned->shared;
    std::unique_lock lock(shared.mutex);
    const auto done = [&] { return shared.ended; };
    if (timeout_ms < 0) {
      shared.has_ended.wait(lock, done);
    } else {
      constexpr int64_t kLongest = int64_t{1} << 40;
      shared.has_ended.wait_until(
          lock, StopToken::Clock::now() + std::chrono::milliseconds(std::min(timeout_ms, kLongest)), done);
    }
    if (ended) *ended = shared.ended;
    return {};
  });
}

void linnet_task_cancel(linnet_task* task) {
  const Pin<TaskObject> pinned(task);
  if (pinned) pinned->shared->stop.request_stop();
}

linnet_status* linnet_task_result(const linnet_task* task) {
  return c_api::of_ended(task, [](SharedTask&) { return Status(); });
}

linnet_status* linnet_task_output(const linnet_task* task, size_t i, linnet_value** value) {
  return c_api::of_ended(task, [&](SharedTask& shared) -> Status {
    LINNET_TRY(require(value, "value"));
    LINNET_REQUIRE(i < shared.outputs.size(),
                   invalid_argument("the task has no output ", i, "; it has ", shared.outputs.size()));
    *value = c_api::make_handle<ValueObject>(shared.outputs[i]);
    return {};
  });
}

linnet_status* linnet_task_model(const linnet_task* task, linnet_model** model) {
  return c_api::of_ended(task, [&](SharedTask& shared) -> Status {
    LINNET_TRY(require(model, "model"));
    LINNET_REQUIRE(shared.model, invalid_argument("the task loaded no model"));
    *model = c_api::make_handle<c_api::ModelObject>(shared.model);
    return {};
  });
}

linnet_status* linnet_task_report(const linnet_task* task, linnet_value** report) {
  return c_api::of_ended(task, [&](SharedTask& shared) -> Status {
    LINNET_TRY(require(report, "report"));
    LINNET_REQUIRE(shared.report, invalid_argument("the task has no report"));
    LINNET_ASSIGN(*report, c_api::text_value(*shared.report));
    return {};
  });
}

linnet_status* linnet_task_give_sample(linnet_task* task, const linnet_value* const* inputs, size_t count) {
  return guarded([&]() -> Status {
    LINNET_ASSIGN(const Pin<TaskObject> pinned, c_api::use<TaskObject>(task));
    LINNET_REQUIRE(inputs || count == 0, invalid_argument("inputs are NULL"));
    std::vector<Value> values(count);
    for (size_t i = 0; i < count; ++i) {
      if (!inputs[i]) continue;
      LINNET_ASSIGN(const Pin<ValueObject> value, c_api::use<ValueObject>(inputs[i]));
      values[i] = value->value;
    }
    SharedTask& shared = *pinned->shared;
    const std::lock_guard lock(shared.mutex);
    LINNET_REQUIRE(shared.asks, invalid_argument("the task does not ask for a sample"));
    shared.sample = std::move(values);
    shared.asks = false;
    shared.has_answer.notify_one();
    return {};
  });
}

void linnet_task_continue(linnet_task* task) {
  const Pin<TaskObject> pinned(task);
  if (!pinned) return;
  SharedTask& shared = *pinned->shared;
  const std::lock_guard lock(shared.mutex);
  shared.told = true;
  shared.has_answer.notify_one();
}
