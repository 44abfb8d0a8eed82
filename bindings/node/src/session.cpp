// Loading and running: on a thread of Node's pool, on the engine's threads, or at once.
#include <chrono>

#include "native.h"

namespace linnet_node {
namespace {

using SharedEngine = std::shared_ptr<Handle<linnet_engine>>;

// The engine of sessions that ask for none of their own, for all workers of the process.
linnet_status* default_engine(SharedEngine& engine) {
  static auto* const mutex = new std::mutex;
  static auto* const shared = new SharedEngine;
  const std::lock_guard lock(*mutex);
  if (!*shared) {
    auto made = std::make_shared<Handle<linnet_engine>>();
    if (linnet_status* failed = linnet_engine_create(nullptr, made->out())) return failed;
    *shared = std::move(made);
  }
  engine = *shared;
  return nullptr;
}

class Session : public Napi::ObjectWrap<Session> {
 public:
  explicit Session(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Session>(info) {}

  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "NativeSession",
                       {InstanceMethod("run", &Session::run), InstanceMethod("runSync", &Session::run_sync),
                        InstanceMethod("cancel", &Session::cancel), InstanceMethod("close", &Session::close),
                        InstanceMethod("trim", &Session::trim), InstanceMethod("bind", &Session::bind)});
  }

  Handle<linnet_session> handle;
  size_t output_count = 0;

 private:
  // run(input names, input forms, output names or null, output forms or null, timeout, callback): an id for cancel.
  // callback(error, forms) comes on this thread.
  Napi::Value run(const Napi::CallbackInfo& info);
  // runSync(input names, input forms, output names or null, output forms or null, timeout): forms.
  Napi::Value run_sync(const Napi::CallbackInfo& info);

  Napi::Value cancel(const Napi::CallbackInfo& info) {
    Addon& addon = *info.Env().GetInstanceData<Addon>();
    const auto found = addon.pending.find(static_cast<uint64_t>(info[0].ToNumber().Int64Value()));
    if (found != addon.pending.end()) linnet_task_cancel(found->second.task.get());
    return info.Env().Undefined();
  }
  Napi::Value close(const Napi::CallbackInfo& info) {
    handle = Handle<linnet_session>();
    return info.Env().Undefined();
  }
  Napi::Value bind(const Napi::CallbackInfo& info);
  Napi::Value trim(const Napi::CallbackInfo& info) {
    linnet_session_trim(handle.get());
    return info.Env().Undefined();
  }
};

// What both kinds of run are given.
struct Arguments {
  std::vector<std::string> texts;  // of both lists of names, which point here
  std::vector<const char*> input_names, output_names;
  std::vector<Handle<linnet_value>> owned, targets;
  std::vector<const linnet_value*> inputs;
  linnet_run_options options{};

  Arguments(const Napi::CallbackInfo& info, Lending lending, size_t output_count) {
    const Napi::Env env = info.Env();
    const auto names = info[0].As<Napi::Array>(), forms = info[1].As<Napi::Array>();
    const auto wanted = info[2].IsArray() ? info[2].As<Napi::Array>() : Napi::Array::New(env);
    texts.reserve(names.Length() + wanted.Length());
    input_names.reserve(names.Length() + 1);  // not NULL, which would stand for the model's order
    const auto text = [&](Napi::Value name) {
      texts.push_back(name.ToString().Utf8Value());
      return texts.back().c_str();
    };
    for (uint32_t i = 0; i < names.Length(); ++i) {
      input_names.push_back(text(names.Get(i)));
      owned.push_back(value_of(env, forms.Get(i), lending));
      inputs.push_back(owned.back().get());
    }
    for (uint32_t i = 0; i < wanted.Length(); ++i) output_names.push_back(text(wanted.Get(i)));
    targets.resize(output_names.empty() ? output_count : output_names.size());
    if (info[3].IsArray()) {
      const auto given = info[3].As<Napi::Array>();
      for (uint32_t i = 0; i < targets.size() && i < given.Length(); ++i) {
        targets[i] = target_of(env, given.Get(i), lending);
      }
    }
    options.struct_size = sizeof options;
    options.timeout_ms = info[4].ToNumber().Int64Value();
  }

  const char* const* wanted() const { return output_names.empty() ? nullptr : output_names.data(); }
};

struct Call {
  std::shared_ptr<Reports> reports;
  uint64_t id;
  size_t output_count;
};

// On a thread of the engine.
void report(void* user, linnet_task* task) {
  const auto& call = *static_cast<const Call*>(user);
  Ended ended{call.id, Handle<linnet_status>(linnet_task_result(task)), {}};
  for (size_t i = 0; i < call.output_count && !ended.failed.get(); ++i) {
    Handle<linnet_value> value;
    ended.failed = Handle<linnet_status>(linnet_task_output(task, i, value.out()));
    ended.outputs.push_back(std::move(value));
  }
  const std::lock_guard lock(call.reports->mutex);
  if (call.reports->closed) return;
  call.reports->ended.push_back(std::move(ended));
  napi_call_threadsafe_function(call.reports->wake, nullptr, napi_tsfn_nonblocking);
}

// Starts a task by begin(completion, task) that gives so many outputs, and gives its id.
template <class Begin>
Napi::Value start(Napi::Env env, size_t outputs, const Napi::Value& callback, Begin&& begin) {
  Addon& addon = *env.GetInstanceData<Addon>();
  auto call = std::make_unique<Call>(Call{addon.reports, ++addon.last_id, outputs});
  const uint64_t id = call->id;
  linnet_completion completion{};
  completion.struct_size = sizeof completion;
  completion.done = report;
  completion.release = [](void* user) { delete static_cast<Call*>(user); };
  completion.user = call.get();
  Handle<linnet_task> task;
  check(env, begin(completion, task.out()));
  call.release();
  addon.pending[id] = {Napi::Persistent(callback.As<Napi::Function>()), std::move(task)};
  addon.keep_alive(env);
  return Napi::Number::New(env, static_cast<double>(id));
}

Napi::Value Session::run(const Napi::CallbackInfo& info) {
  const Arguments arguments(info, Lending::beyond_call, output_count);
  std::vector<const linnet_value*> targets;
  for (const Handle<linnet_value>& target : arguments.targets) targets.push_back(target.get());
  return start(info.Env(), targets.size(), info[5], [&](const linnet_completion& completion, linnet_task** task) {
    return linnet_session_run_async(handle.get(), &arguments.options, arguments.input_names.data(),
                                    arguments.inputs.data(), arguments.inputs.size(), arguments.wanted(),
                                    targets.data(), targets.size(), &completion, task);
  });
}

Napi::Array forms_of(Napi::Env env, std::vector<Handle<linnet_value>>& values) {
  const auto forms = Napi::Array::New(env, values.size());
  for (uint32_t i = 0; i < values.size(); ++i) forms.Set(i, form_of(env, std::move(values[i])));
  return forms;
}

Napi::Value Session::run_sync(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Arguments arguments(info, Lending::during_call, output_count);
  std::vector<linnet_value*> outputs;
  std::vector<bool> given;
  for (const Handle<linnet_value>& target : arguments.targets) {
    outputs.push_back(target.get());
    given.push_back(target.get() != nullptr);
  }
  check(env, linnet_session_run(handle.get(), &arguments.options, arguments.input_names.data(), arguments.inputs.data(),
                                arguments.inputs.size(), arguments.wanted(), outputs.data(), outputs.size()));
  std::vector<Handle<linnet_value>> made;
  for (size_t i = 0; i < outputs.size(); ++i) made.emplace_back(given[i] ? nullptr : outputs[i]);
  return forms_of(env, made);
}

// Tensors that stay bound from run to run. Their memory is what the addon gave to JavaScript.
class Binding : public Napi::ObjectWrap<Binding> {
 public:
  explicit Binding(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Binding>(info) {}

  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "NativeBinding",
        {InstanceMethod("setInput", &Binding::set<linnet_binding_set_input>),
         InstanceMethod("setOutput", &Binding::set<linnet_binding_set_output>), InstanceMethod("run", &Binding::run),
         InstanceMethod("runSync", &Binding::run_sync), InstanceMethod("close", &Binding::close)});
  }

  Handle<linnet_binding> handle;

 private:
  // (name, form)
  template <auto kSet>
  Napi::Value set(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    const std::string name = info[0].ToString().Utf8Value();
    const Handle<linnet_value> value = target_of(env, info[1], Lending::beyond_call);
    if (!value.get())
      check(env, linnet_status_create(
                     LINNET_INVALID_ARGUMENT,
                     ("what is bound to '" + name + "' has to be a tensor of Tensor.allocate, or of a run").c_str()));
    check(env, kSet(handle.get(), name.c_str(), value.get()));
    return env.Undefined();
  }

  static linnet_run_options options_of(const Napi::Value& timeout) {
    linnet_run_options options{};
    options.struct_size = sizeof options;
    options.timeout_ms = timeout.ToNumber().Int64Value();
    return options;
  }

  // run(timeout, callback): as a session's.
  Napi::Value run(const Napi::CallbackInfo& info) {
    const linnet_run_options options = options_of(info[0]);
    return start(info.Env(), 0, info[1], [&](const linnet_completion& completion, linnet_task** task) {
      return linnet_binding_run_async(handle.get(), &options, &completion, task);
    });
  }
  Napi::Value run_sync(const Napi::CallbackInfo& info) {
    const linnet_run_options options = options_of(info[0]);
    check(info.Env(), linnet_binding_run(handle.get(), &options));
    return info.Env().Undefined();
  }
  Napi::Value close(const Napi::CallbackInfo& info) {
    handle = Handle<linnet_binding>();
    return info.Env().Undefined();
  }
};

Napi::Value Session::bind(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Napi::Object object = env.GetInstanceData<Addon>()->binding.New({});
  check(env, linnet_binding_create(handle.get(), Binding::Unwrap(object)->handle.out()));
  return object;
}

// On the environment's thread: tells those whose runs have ended.
void deliver(napi_env raw, napi_value, void*, void*) {
  if (!raw) return;  // the environment is going
  const Napi::Env env(raw);
  Addon& addon = *env.GetInstanceData<Addon>();
  for (;;) {
    std::function<void(Napi::Env, Addon&)> what;
    {
      const std::lock_guard lock(addon.reports->mutex);
      if (addon.reports->told.empty()) break;
      what = std::move(addon.reports->told.front());
      addon.reports->told.pop_front();
    }
    const Napi::HandleScope scope(env);
    try {
      what(env, addon);
    } catch (const Napi::Error&) {
      // a worker that is being ended calls no functions any more
    }
  }
  for (;;) {
    Ended ended;
    {
      const std::lock_guard lock(addon.reports->mutex);
      if (addon.reports->ended.empty()) break;
      ended = std::move(addon.reports->ended.front());
      addon.reports->ended.pop_front();
    }
    const auto found = addon.pending.find(ended.id);
    if (found == addon.pending.end()) continue;
    const Napi::HandleScope scope(env);
    const Addon::Pending pending = std::move(found->second);
    addon.pending.erase(found);
    addon.keep_alive(env);
    // What JavaScript is told is data or an error, never an exception that nobody could catch.
    try {
      if (ended.failed.get()) {
        pending.callback.Call({error_of(env, ended.failed.release())});
      } else {
        pending.callback.Call({env.Null(), forms_of(env, ended.outputs)});
      }
    } catch (const Napi::Error& error) {
      try {
        pending.callback.Call({error.Value()});
      } catch (const Napi::Error&) {
      }
    }
  }
}

// The environment ends: nobody is told any more, and runs stop before the memory that they use can go.
void close_reports(void* data) {
  Addon& addon = *static_cast<Addon*>(data);
  {
    const std::lock_guard lock(addon.reports->mutex);
    addon.reports->closed = true;
    addon.reports->ended.clear();
    addon.reports->told.clear();
  }
  for (const auto& [id, pending] : addon.pending) linnet_task_cancel(pending.task.get());
  for (const auto& [id, pending] : addon.pending) {
    linnet_release(linnet_task_wait(pending.task.get(), 10'000, nullptr));
  }
  addon.pending.clear();
  close_writing(addon);
}

template <class T>
T or_default(const Napi::Object& options, const char* name, T otherwise) {
  const Napi::Value value = options.Get(name);
  return value.IsUndefined() ? otherwise : static_cast<T>(value.ToNumber().Int64Value());
}

Napi::Array ports_of(Napi::Env env, const linnet_model* model, size_t count,
                     linnet_status* (*read)(const linnet_model*, size_t, linnet_port*)) {
  const auto ports = Napi::Array::New(env, count);
  for (uint32_t i = 0; i < count; ++i) {
    linnet_port port{};
    port.struct_size = sizeof port;
    check(env, read(model, i, &port));
    const auto described = Napi::Object::New(env);
    described.Set("name", port.name);
    described.Set("kind", Napi::Number::New(env, port.kind));
    described.Set("content", Napi::Number::New(env, port.content));
    described.Set("dtype", Napi::Number::New(env, port.dtype));
    described.Set("keyDtype", Napi::Number::New(env, port.key_dtype));
    if (port.ranked) {
      const auto shape = Napi::Array::New(env, port.rank);
      for (uint32_t d = 0; d < port.rank; ++d) {
        if (port.shape[d] >= 0) {
          shape.Set(d, Napi::Number::New(env, static_cast<double>(port.shape[d])));
        } else {
          shape.Set(d, Napi::String::New(env, port.size_names[d]));
        }
      }
      described.Set("shape", shape);
    }
    ports.Set(i, described);
  }
  return ports;
}

void release_text(void* user) { delete static_cast<std::string*>(user); }

// Runs on a thread of Node's pool, which ends before the environment does.
class Load : public Napi::AsyncWorker {
 public:
  Load(Napi::Env env, Napi::Value source, const Napi::Object& options)
      : Napi::AsyncWorker(env, "linnet.load"), deferred_(env) {
    if (source.IsString()) {
      path_ = source.As<Napi::String>().Utf8Value();
    } else {
      const auto bytes = source.As<Napi::Uint8Array>();
      content_ = std::make_unique<std::string>(reinterpret_cast<const char*>(bytes.Data()), bytes.ByteLength());
    }
    threads_ = or_default<size_t>(options, "threads", 0);
    memory_limit_ = or_default<size_t>(options, "memoryLimit", 0);
    check(env, linnet_load_options_create(options_.out()));
    read_load_options(env, options, options_.get());
  }

  Napi::Promise promise() const { return deferred_.Promise(); }

  void Execute() override { failed_ = Handle<linnet_status>(load()); }

  void OnOK() override {
    const Napi::Env env = Env();
    try {
      check(env, failed_.release());
      const auto result = Napi::Object::New(env);
      const Napi::Object object = env.GetInstanceData<Addon>()->session.New({});
      Session& session = *Session::Unwrap(object);
      session.handle = std::move(session_);
      session.output_count = linnet_model_output_count(model_.get());
      result.Set("session", object);
      result.Set("inputs", ports_of(env, model_.get(), linnet_model_input_count(model_.get()), linnet_model_input));
      result.Set("outputs", ports_of(env, model_.get(), session.output_count, linnet_model_output));
      const auto metadata = Napi::Object::New(env);
      for (size_t i = 0; i < linnet_model_metadata_count(model_.get()); ++i) {
        const char* const key = linnet_model_metadata_key(model_.get(), i);
        const char* const text = linnet_model_metadata(model_.get(), key);
        metadata.Set(key, text ? text : "");
      }
      result.Set("metadata", metadata);
      deferred_.Resolve(result);
    } catch (const Napi::Error& error) {
      deferred_.Reject(error.Value());
    }
  }
  void OnError(const Napi::Error& error) override { deferred_.Reject(error.Value()); }

 private:
  linnet_status* load() {
    SharedEngine engine;
    if (threads_ || memory_limit_) {
      linnet_engine_options options{};
      options.struct_size = sizeof options;
      options.threads = threads_;
      options.memory_limit = memory_limit_;
      engine = std::make_shared<Handle<linnet_engine>>();
      if (linnet_status* failed = linnet_engine_create(&options, engine->out())) return failed;
    } else if (linnet_status* failed = default_engine(engine)) {
      return failed;
    }
    linnet_source source{};
    source.struct_size = sizeof source;
    if (content_) {
      source.data = content_->data();
      source.size = content_->size();
      source.release = release_text;
      source.user = content_.get();
    } else {
      source.path = path_.c_str();
    }
    if (linnet_status* failed = linnet_model_load_source(engine->get(), &source, options_.get(), model_.out()))
      return failed;
    content_.release();
    return linnet_session_create(nullptr, model_.get(), session_.out());
  }

  Napi::Promise::Deferred deferred_;
  std::string path_;
  std::unique_ptr<std::string> content_;
  size_t threads_ = 0, memory_limit_ = 0;
  Handle<linnet_load_options> options_;
  Handle<linnet_status> failed_;
  Handle<linnet_model> model_;
  Handle<linnet_session> session_;
};

}  // namespace

void Reports::tell(std::function<void(Napi::Env, Addon&)> what) {
  const std::lock_guard lock(mutex);
  if (closed) return;
  told.push_back(std::move(what));
  napi_call_threadsafe_function(wake, nullptr, napi_tsfn_nonblocking);
}

void Addon::keep_alive(Napi::Env env) {
  if (pending.empty() && writing.empty()) {
    napi_unref_threadsafe_function(env, reports->wake);
  } else {
    napi_ref_threadsafe_function(env, reports->wake);
  }
}

void read_load_options(Napi::Env env, const Napi::Object& from, linnet_load_options* to) {
  check(env, linnet_load_options_set_level(to, static_cast<linnet_level>(or_default(from, "level", 3))));
  if (const Napi::Value folder = from.Get("cacheFolder"); folder.IsString())
    check(env, linnet_load_options_set_cache_folder(to, folder.As<Napi::String>().Utf8Value().c_str()));
  if (const Napi::Value sizes = from.Get("sizes"); sizes.IsObject()) {
    const auto entries = sizes.As<Napi::Object>();
    const Napi::Array names = entries.GetPropertyNames();
    for (uint32_t i = 0; i < names.Length(); ++i) {
      const std::string name = names.Get(i).ToString().Utf8Value();
      check(env, linnet_load_options_fix_size(to, name.c_str(), entries.Get(name).ToNumber().Int64Value()));
    }
  }
  if (const Napi::Value passes = from.Get("disabled"); passes.IsArray()) {
    const auto names = passes.As<Napi::Array>();
    for (uint32_t i = 0; i < names.Length(); ++i)
      check(env, linnet_load_options_disable_pass(to, names.Get(i).ToString().Utf8Value().c_str()));
  }
  if (const Napi::Value data = from.Get("externalData"); data.IsArray()) {
    const auto files = data.As<Napi::Array>();
    for (uint32_t i = 0; i < files.Length(); ++i) {
      const auto file = files.Get(i).As<Napi::Object>();
      const std::string path = file.Get("path").ToString().Utf8Value();
      const auto bytes = file.Get("data").As<Napi::Uint8Array>();
      auto content = std::make_unique<std::string>(reinterpret_cast<const char*>(bytes.Data()), bytes.ByteLength());
      check(env, linnet_load_options_supply_external_data(to, path.c_str(), content->data(), content->size(),
                                                          release_text, content.get()));
      content.release();
    }
  }
}

Napi::Function binding_class(Napi::Env env) { return Binding::define(env); }
Napi::Function session_class(Napi::Env env) { return Session::define(env); }

Napi::Value load(const Napi::CallbackInfo& info) {
  auto work = std::make_unique<Load>(info.Env(), info[0], info[1].As<Napi::Object>());
  const Napi::Promise promise = work->promise();
  work.release()->Queue();  // deletes itself
  return promise;
}

void open_reports(Napi::Env env, Addon& addon) {
  napi_create_threadsafe_function(env, nullptr, nullptr, Napi::String::New(env, "linnet"), 0, 1, nullptr, nullptr,
                                  nullptr, deliver, &addon.reports->wake);
  napi_unref_threadsafe_function(env, addon.reports->wake);
  // After the function's own hook, hence before it: hooks run last first.
  napi_add_env_cleanup_hook(env, close_reports, &addon);
}

}  // namespace linnet_node
