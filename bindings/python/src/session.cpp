// Sessions: runs that wait, runs that do not, and bindings.
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>

#include "native.h"

namespace linnet_python {
namespace {

class RunOptions {
 public:
  RunOptions() { check(linnet_cancel_create(cancel_.out())); }

  linnet_run_options read(const Handle<linnet_profile>& profile) const {
    linnet_run_options options{};
    options.struct_size = sizeof options;
    options.cancel = cancel_.get();
    options.timeout_ms = timeout_ms;
    options.profile = profile.get();
    return options;
  }
  bool terminate() const { return terminate_; }
  void set_terminate(bool terminate) {
    if (terminate) {
      linnet_cancel_request(cancel_.get());
    } else if (terminate_) {
      check(linnet_cancel_create(cancel_.out()));  // a cancel is for good
    }
    terminate_ = terminate;
  }

  int64_t timeout_ms = 0;

 private:
  Handle<linnet_cancel> cancel_;
  bool terminate_ = false;
};

// Asynchronous runs that have not told their callers yet, so that the interpreter can wait for them before it ends.
class Pending {
 public:
  static Pending& all() {
    static auto* const pending = new Pending;
    return *pending;
  }
  uint64_t add() {
    const std::lock_guard lock(mutex_);
    tasks_.emplace(++last_, nullptr);
    return last_;
  }
  void set_task(uint64_t id, std::shared_ptr<Handle<linnet_task>> task) {
    const std::lock_guard lock(mutex_);
    if (const auto found = tasks_.find(id); found != tasks_.end()) found->second = std::move(task);
  }
  void remove(uint64_t id) {
    const std::lock_guard lock(mutex_);
    tasks_.erase(id);
    ended_.notify_all();
  }
  void cancel_and_wait() {
    std::unique_lock lock(mutex_);
    for (const auto& [id, task] : tasks_) {
      if (task) linnet_task_cancel(task->get());
    }
    ended_.wait(lock, [&] { return tasks_.empty(); });
  }

 private:
  std::mutex mutex_;
  std::condition_variable ended_;
  std::map<uint64_t, std::shared_ptr<Handle<linnet_task>>> tasks_;
  uint64_t last_ = 0;
};

// Inputs by name, and what keeps them.
struct Feed {
  std::vector<nb::object> kept;
  std::vector<Argument> arguments;
  std::vector<const char*> names;
  std::vector<const linnet_value*> values;
};

const char* text_of(nb::handle object) {
  const char* const text = PyUnicode_Check(object.ptr()) ? PyUnicode_AsUTF8AndSize(object.ptr(), nullptr) : nullptr;
  if (text) return text;
  PyErr_Clear();
  throw nb::type_error("the names of inputs and outputs must be str");
}

struct Outputs {
  std::vector<nb::object> kept;
  std::vector<const char*> names;  // none: the model's
  size_t count;
};

class Session {
 public:
  explicit Session(const Model& model) : output_count_(model.outputs.size()) {
    check(linnet_session_create(nullptr, model.handle.get(), handle_.out()));
    for (const Port& port : model.inputs) inputs_.emplace(port.name, port);
  }

  linnet_session* get() const { return handle_.get(); }

  const Port* port(const char* name) const {
    const auto found = inputs_.find(name);
    return found == inputs_.end() ? nullptr : &found->second;
  }

  nb::list run(nb::handle output_names, const nb::dict& feed, const RunOptions* options) {
    const Feed inputs = read(feed);
    const Outputs outputs = read_names(output_names);
    std::vector<linnet_value*> values(outputs.count);
    linnet_status* failed = nullptr;
    const linnet_run_options run_options = read(options);
    {
      const nb::gil_scoped_release unlocked;
      failed = linnet_session_run(handle_.get(), &run_options, inputs.names.data(), inputs.values.data(),
                                  inputs.values.size(), outputs.names.empty() ? nullptr : outputs.names.data(),
                                  values.data(), values.size());
    }
    check(failed, Missing::name);
    std::vector<Handle<linnet_value>> owned;
    owned.reserve(values.size());
    for (linnet_value* value : values) owned.emplace_back(value);
    nb::list results;
    for (Handle<linnet_value>& value : owned) results.append(to_python(std::move(value)));
    return results;
  }

  // done(outputs, exception) is called on a thread of the engine.
  std::shared_ptr<Handle<linnet_task>> start(nb::handle output_names, const nb::dict& feed, const RunOptions* options,
                                             const nb::callable& done);

  void trim() { linnet_session_trim(handle_.get()); }
  void set_profiling(bool on) {
    if (on == (profile_.get() != nullptr)) return;
    if (on) {
      check(linnet_profile_create(profile_.out()));
    } else {
      profile_ = Handle<linnet_profile>();
    }
  }
  std::string trace() const {
    Handle<linnet_value> json;
    if (!profile_.get()) return "";
    check(linnet_profile_trace(profile_.get(), json.out()));
    size_t length = 0;
    const char* const text = linnet_value_string(json.get(), 0, &length);
    return std::string(text, length);
  }

  linnet_run_options read(const RunOptions* options) const {
    if (options) return options->read(profile_);
    linnet_run_options defaults{};
    defaults.struct_size = sizeof defaults;
    defaults.profile = profile_.get();
    return defaults;
  }

 private:
  Feed read(const nb::dict& feed) const {
    Feed inputs;
    inputs.names.reserve(feed.size() + 1);  // not NULL, which would stand for the model's order
    const size_t count = feed.size();
    inputs.kept.reserve(count);
    inputs.arguments.reserve(count);
    for (const auto& [key, object] : feed) {
      const char* const name = text_of(key);
      inputs.kept.push_back(nb::borrow(key));
      inputs.arguments.emplace_back(object, port(name));
      inputs.names.push_back(name);
      inputs.values.push_back(inputs.arguments.back().get());
    }
    return inputs;
  }

  Outputs read_names(nb::handle names) const {
    Outputs outputs;
    outputs.count = output_count_;
    if (names.is_none()) return outputs;
    if (PyUnicode_Check(names.ptr())) throw nb::type_error("output names are a list of str, not a str");
    for (const nb::handle name : names) {
      outputs.names.push_back(text_of(name));
      outputs.kept.push_back(nb::borrow(name));
    }
    if (!outputs.names.empty()) outputs.count = outputs.names.size();
    return outputs;
  }

  Handle<linnet_session> handle_;
  Handle<linnet_profile> profile_;
  std::unordered_map<std::string, Port> inputs_;
  size_t output_count_;
};

struct Call {
  uint64_t id;
  size_t outputs;
  nb::object done;
};

void finish(void* user, linnet_task* task) {
  if (!Py_IsInitialized()) return;
  const auto* const call = static_cast<const Call*>(user);
  const nb::gil_scoped_acquire lock;
  try {
    linnet_status* const failed = linnet_task_result(task);
    if (failed) {
      call->done(nb::none(), exception_of(failed, Missing::name));
      return;
    }
    nb::list results;
    for (size_t i = 0; i < call->outputs; ++i) {
      Handle<linnet_value> value;
      check(linnet_task_output(task, i, value.out()));
      results.append(to_python(std::move(value)));
    }
    call->done(results, nb::none());
  } catch (nb::python_error& error) {
    error.discard_as_unraisable("the callback of linnet's run_async");
  }
}

void forget(void* user) {
  auto* const call = static_cast<Call*>(user);
  const uint64_t id = call->id;
  if (Py_IsInitialized()) {
    const nb::gil_scoped_acquire lock;
    delete call;
  }
  Pending::all().remove(id);
}

std::shared_ptr<Handle<linnet_task>> Session::start(nb::handle output_names, const nb::dict& feed,
                                                    const RunOptions* options, const nb::callable& done) {
  const Feed inputs = read(feed);
  const Outputs outputs = read_names(output_names);
  const linnet_run_options run_options = read(options);
  auto call = std::make_unique<Call>(Call{Pending::all().add(), outputs.count, nb::borrow(done)});
  linnet_completion completion{};
  completion.struct_size = sizeof completion;
  completion.done = finish;
  completion.release = forget;
  completion.user = call.get();
  const uint64_t id = call->id;
  auto task = std::make_shared<Handle<linnet_task>>();
  linnet_status* failed = nullptr;
  {
    const nb::gil_scoped_release unlocked;
    failed = linnet_session_run_async(handle_.get(), &run_options, inputs.names.data(), inputs.values.data(),
                                      inputs.values.size(), outputs.names.empty() ? nullptr : outputs.names.data(),
                                      nullptr, outputs.count, &completion, task->out());
  }
  if (failed) {
    Pending::all().remove(id);
    check(failed, Missing::name);
  }
  call.release();
  Pending::all().set_task(id, task);
  return task;
}

struct Task {
  std::shared_ptr<Handle<linnet_task>> handle;
};

class Binding {
 public:
  explicit Binding(const Session& session) : session_(session) {
    check(linnet_binding_create(session.get(), handle_.out()));
  }
  void set_input(const std::string& name, nb::handle object) {
    const Argument argument(object, session_.port(name.c_str()));
    check(linnet_binding_set_input(handle_.get(), name.c_str(), argument.get()), Missing::name);
  }
  void set_output(const std::string& name, const Value* value) {
    check(linnet_binding_set_output(handle_.get(), name.c_str(), value ? value->get() : nullptr), Missing::name);
  }
  void run(const RunOptions* options) {
    const linnet_run_options run_options = session_.read(options);
    linnet_status* failed = nullptr;
    {
      const nb::gil_scoped_release unlocked;
      failed = linnet_binding_run(handle_.get(), &run_options);
    }
    check(failed);
  }
  Value output(const std::string& name) const {
    Handle<linnet_value> value;
    check(linnet_binding_output(handle_.get(), name.c_str(), value.out()), Missing::name);
    return Value(std::move(value));
  }

 private:
  const Session& session_;  // kept by Python
  Handle<linnet_binding> handle_;
};

}  // namespace

void bind_sessions(nb::module_& module) {
  nb::class_<RunOptions>(module, "RunOptionsBase", nb::dynamic_attr())
      .def(nb::init<>())
      .def_prop_rw("terminate", &RunOptions::terminate, &RunOptions::set_terminate,
                   "True stops every run that has these options, and refuses further ones.")
      .def_prop_rw(
          "timeout", [](const RunOptions& o) { return static_cast<double>(o.timeout_ms) / 1000; },
          [](RunOptions& o, double seconds) {
            if (!(seconds >= 0 && seconds < 1e12))
              throw nb::value_error("the timeout must be 0 or a number of seconds");
            o.timeout_ms = seconds > 0 && seconds < 0.001 ? 1 : static_cast<int64_t>(seconds * 1000);
          },
          "Seconds from the call on; 0: none.");
  nb::class_<Task>(module, "Task", "A run under way.")
      .def(
          "cancel", [](Task& t) { linnet_task_cancel(t.handle->get()); }, "The run stops at its next step.")
      .def(
          "wait",
          [](Task& t, double seconds) {
            int32_t ended = 0;
            linnet_status* failed = nullptr;
            {
              const nb::gil_scoped_release unlocked;
              failed =
                  linnet_task_wait(t.handle->get(), seconds < 0 ? -1 : static_cast<int64_t>(seconds * 1000), &ended);
            }
            check(failed);
            return ended != 0;
          },
          nb::arg("timeout") = -1.0, "Whether it has ended within so many seconds; below 0: waits.");
  nb::class_<Session>(module, "Session")
      .def(nb::init<const Model&>(), nb::arg("model"))
      .def("run", &Session::run, nb::arg("output_names").none(), nb::arg("feed"),
           nb::arg("options").none() = nb::none())
      .def(
          "start",
          [](Session& s, nb::handle names, const nb::dict& feed, const RunOptions* options, const nb::callable& done) {
            return Task{s.start(names, feed, options, done)};
          },
          nb::arg("output_names").none(), nb::arg("feed"), nb::arg("options").none(), nb::arg("done"))
      .def("trim", &Session::trim)
      .def("set_profiling", &Session::set_profiling, nb::arg("on"))
      .def("trace", &Session::trace);
  nb::class_<Binding>(module, "Binding")
      .def(nb::init<const Session&>(), nb::arg("session"), nb::keep_alive<1, 2>())
      .def("set_input", &Binding::set_input, nb::arg("name"), nb::arg("value").none())
      .def("set_output", &Binding::set_output, nb::arg("name"), nb::arg("value").none())
      .def("run", &Binding::run, nb::arg("options").none() = nb::none())
      .def("output", &Binding::output, nb::arg("name"));
  module.def("cancel_all", [] {
    const nb::gil_scoped_release unlocked;
    Pending::all().cancel_and_wait();
  });
}

}  // namespace linnet_python
