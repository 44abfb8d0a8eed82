// Linnet's C++ interface: RAII over linnet.h, header-only.
//
//   linnet::Model model("model.onnx");
//   auto outputs = model.run({{"x", linnet::Tensor::of<float>({1, 3}, {1, 2, 3})}});
//   std::span<const float> y = outputs.at("y").data<float>();
//
// Errors: what can fail throws linnet::Error, and has a twin whose name starts with try_, which gives a linnet::Result
// instead (a constructor's twin is try_create or try_load). Both throw std::bad_alloc when memory for their own lists
// is short. Objects are movable; engines, models, sessions and cancel tokens may be used from many threads at once.
#pragma once

#include <cstddef>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "linnet/linnet.h"
#include "linnet/tensor.hpp"

namespace linnet {
inline namespace cpp {

// Threads and memory limit, shared by the models that are given it. Copies are the same engine.
class Engine {
 public:
  // 0: one thread for each core; no limit.
  explicit Engine(size_t threads = 0, size_t memory_limit = 0) : Engine(options_of(threads, memory_limit)) {}
  explicit Engine(const linnet_engine_options& options) : Engine(try_create(options).value()) {}
  static Result<Engine> try_create(const linnet_engine_options& options) {
    auto made = detail::made<linnet_engine>([&](linnet_engine** e) { return linnet_engine_create(&options, e); });
    if (!made) return made.error();
    return Engine(std::move(*made));
  }
  static Result<Engine> try_create(size_t threads = 0, size_t memory_limit = 0) {
    return try_create(options_of(threads, memory_limit));
  }

  size_t threads() const noexcept { return linnet_engine_threads(get()); }
  Result<void> try_set_threads(size_t threads) { return detail::result_of(linnet_engine_set_threads(get(), threads)); }
  void set_threads(size_t threads) { try_set_threads(threads).value(); }
  Result<void> try_set_memory_limit(size_t bytes) {
    return detail::result_of(linnet_engine_set_memory_limit(get(), bytes));
  }
  void set_memory_limit(size_t bytes) { try_set_memory_limit(bytes).value(); }
  size_t memory_used() const noexcept { return linnet_engine_memory_used(get()); }
  linnet_engine* get() const noexcept { return engine_.get(); }

 private:
  explicit Engine(detail::Handle<linnet_engine> engine) : engine_(std::move(engine)) {}
  static linnet_engine_options options_of(size_t threads, size_t memory_limit) noexcept {
    linnet_engine_options options{};
    options.struct_size = sizeof options;
    options.threads = threads;
    options.memory_limit = memory_limit;
    return options;
  }
  std::shared_ptr<linnet_engine> engine_;
};

// Stops the calls that it is given to. Copies are the same token.
class CancelToken {
 public:
  CancelToken() : CancelToken(try_create().value()) {}
  static Result<CancelToken> try_create() {
    auto made = detail::made<linnet_cancel>(linnet_cancel_create);
    if (!made) return made.error();
    return CancelToken(std::move(*made));
  }
  void request() noexcept { linnet_cancel_request(get()); }
  linnet_cancel* get() const noexcept { return cancel_.get(); }

 private:
  explicit CancelToken(detail::Handle<linnet_cancel> cancel) : cancel_(std::move(cancel)) {}
  std::shared_ptr<linnet_cancel> cancel_;
};

class OpContext;
struct Operator;

// How to load. What a setter cannot take is reported by the load.
class LoadOptions {
 public:
  LoadOptions() {
    linnet_load_options* made = nullptr;
    note(linnet_load_options_create(&made));
    options_.reset(made);
  }
  LoadOptions& level(linnet_level level) { return note(linnet_load_options_set_level(get(), level)); }
  LoadOptions& disable_pass(const std::string& pass) {
    return note(linnet_load_options_disable_pass(get(), pass.c_str()));
  }
  LoadOptions& fix_size(const std::string& name, int64_t size) {
    return note(linnet_load_options_fix_size(get(), name.c_str(), size));
  }
  LoadOptions& replace_initializer(const std::string& name, const Tensor& tensor) {
    return note(linnet_load_options_replace_initializer(get(), name.c_str(), tensor.get()));
  }
  // Lent, unless `owner` keeps the bytes.
  LoadOptions& external_data(const std::string& location, std::span<const std::byte> bytes,
                             std::shared_ptr<const void> owner = {}) {
    auto kept = std::make_unique<std::shared_ptr<const void>>(std::move(owner));
    linnet_status* const failed = linnet_load_options_supply_external_data(
        get(), location.c_str(), bytes.data(), bytes.size(), detail::release_owner, kept.get());
    if (!failed) static_cast<void>(kept.release());
    return note(failed);
  }
  LoadOptions& add_output(const std::string& value) {
    return note(linnet_load_options_add_output(get(), value.c_str()));
  }
  LoadOptions& copy_files(bool copy) { return note(linnet_load_options_set_copy_files(get(), copy)); }
  LoadOptions& seed(uint64_t seed) { return note(linnet_load_options_set_seed(get(), seed)); }
  LoadOptions& cache_folder(const std::string& folder) {
    return note(linnet_load_options_set_cache_folder(get(), folder.c_str()));
  }
  using Log = std::function<void(linnet_severity, std::string_view)>;
  LoadOptions& log(Log log) {
    auto kept = std::make_unique<Log>(std::move(log));
    linnet_status* const failed = linnet_load_options_set_log(
        get(),
        [](void* user, linnet_severity severity, const char* text) { (*static_cast<Log*>(user))(severity, text); },
        [](void* user) { delete static_cast<Log*>(user); }, kept.get());
    if (!failed) static_cast<void>(kept.release());
    return note(failed);
  }
  // Stops what is loaded or written with these options before its next stage.
  LoadOptions& cancel(const CancelToken& token) { return note(linnet_load_options_set_cancel(get(), token.get())); }
  // Called before each of these stages: `done` of `total`, and what comes.
  using Progress = std::function<void(size_t done, size_t total, std::string_view what)>;
  LoadOptions& progress(Progress progress) {
    auto kept = std::make_unique<Progress>(std::move(progress));
    linnet_status* const failed = linnet_load_options_set_progress(
        get(),
        [](void* user, size_t done, size_t total, const char* what) {
          (*static_cast<Progress*>(user))(done, total, what);
        },
        [](void* user) { delete static_cast<Progress*>(user); }, kept.get());
    if (!failed) static_cast<void>(kept.release());
    return note(failed);
  }
  LoadOptions& add_operator(Operator op);
  LoadOptions& add_operator(const linnet_operator& op) { return note(linnet_load_options_add_operator(get(), &op)); }

  const std::optional<Error>& error() const noexcept { return error_; }
  linnet_load_options* get() const noexcept { return options_.get(); }

 private:
  LoadOptions& note(linnet_status* failed) {
    if (failed) {
      Error e = detail::error_of(failed);
      if (!error_) error_.emplace(std::move(e));
    }
    return *this;
  }
  detail::Handle<linnet_load_options> options_;
  std::optional<Error> error_;
};

// Where a model comes from.
class Source {
 public:
  Source(const char* path) : path_(path) {}             // NOLINT(google-explicit-constructor)
  Source(std::string path) : path_(std::move(path)) {}  // NOLINT(google-explicit-constructor)
  // Lent, unless `owner` keeps the bytes.
  explicit Source(std::span<const std::byte> bytes, std::shared_ptr<const void> owner = {})
      : bytes_(bytes), owner_(std::move(owner)) {}
  static Source copy(std::span<const std::byte> bytes) {
    auto copied = std::make_shared<std::vector<std::byte>>(bytes.begin(), bytes.end());
    return Source(*copied, copied);
  }
  // `name` is "" for the model itself, else the location of external data. They throw to refuse.
  struct Reader {
    std::function<uint64_t(const std::string& name)> length;
    std::function<void(const std::string& name, uint64_t offset, std::span<std::byte> to)> read;
  };
  explicit Source(Reader reader) : reader_(std::make_shared<Reader>(std::move(reader))) { owner_ = reader_; }

  // Calls take(const linnet_source&), which gives a status.
  template <class Take>
  linnet_status* with(Take&& take) const {
    auto kept = std::make_unique<Kept>(Kept{owner_, reader_.get()});
    linnet_source source{};
    source.struct_size = sizeof source;
    source.user = kept.get();
    source.release = [](void* user) { delete static_cast<Kept*>(user); };
    if (reader_) {
      source.length = [](void* user, const char* name, uint64_t* bytes) {
        return detail::status_of([&] { *bytes = static_cast<Kept*>(user)->reader->length(name); });
      };
      source.read = [](void* user, const char* name, uint64_t offset, void* to, size_t bytes) {
        return detail::status_of([&] {
          static_cast<Kept*>(user)->reader->read(name, offset, {static_cast<std::byte*>(to), bytes});
        });
      };
    } else if (path_) {
      source.path = path_->c_str();
    } else {
      source.data = bytes_.data();
      source.size = bytes_.size();
    }
    linnet_status* const failed = take(source);
    if (!failed) static_cast<void>(kept.release());
    return failed;
  }

 private:
  struct Kept {
    std::shared_ptr<const void> owner;
    const Reader* reader;
  };
  std::optional<std::string> path_;
  std::span<const std::byte> bytes_;
  std::shared_ptr<const void> owner_;
  std::shared_ptr<const Reader> reader_;
};

// What runs tell of their steps. Copies are the same profile.
class Profile {
 public:
  Profile() : Profile(try_create().value()) {}
  static Result<Profile> try_create() {
    auto made = detail::made<linnet_profile>(linnet_profile_create);
    if (!made) return made.error();
    return Profile(std::move(*made));
  }
  Result<std::string> try_chrome_trace() const {
    linnet_value* json = nullptr;
    if (linnet_status* const failed = linnet_profile_trace(get(), &json)) return detail::error_of(failed);
    return std::string(Tensor(json).text(0));
  }
  std::string chrome_trace() const { return try_chrome_trace().value(); }
  linnet_profile* get() const noexcept { return profile_.get(); }

 private:
  explicit Profile(detail::Handle<linnet_profile> profile) : profile_(std::move(profile)) {}
  std::shared_ptr<linnet_profile> profile_;
};

struct RunOptions {
  const CancelToken* cancel = nullptr;
  int64_t timeout_ms = 0;  // 0: none
  Profile* profile = nullptr;

  linnet_run_options to_c() const noexcept {
    return {sizeof(linnet_run_options), cancel ? cancel->get() : nullptr, timeout_ms,
            profile ? profile->get() : nullptr};
  }
};

struct Port {
  std::string name;
  linnet_kind kind = LINNET_TENSOR;
  linnet_kind content = LINNET_TENSOR;  // of an optional or sequence
  linnet_dtype dtype = LINNET_UNDEFINED;
  linnet_dtype key_dtype = LINNET_UNDEFINED;
  bool ranked = false;
  std::vector<int64_t> shape;           // -1: open
  std::vector<std::string> size_names;  // of symbolic sizes
};

class Model;

// An asynchronous call. Letting go of it neither cancels it nor keeps its completion from coming.
class Task {
 public:
  // Called on one of the engine's runner threads.
  using Done = std::function<void(Task&)>;

  // Below 0: waits for as long as it takes. Whether the call has ended.
  Result<bool> try_wait(int64_t timeout_ms = -1) const {
    int32_t ended = 0;
    if (linnet_status* const failed = linnet_task_wait(get(), timeout_ms, &ended)) return detail::error_of(failed);
    return ended != 0;
  }
  bool wait(int64_t timeout_ms = -1) const { return try_wait(timeout_ms).value(); }
  void cancel() noexcept { linnet_task_cancel(get()); }
  // How it ended.
  Result<void> result() const { return detail::result_of(linnet_task_result(get())); }
  // Of a run that has ended, in the order asked for.
  Result<Tensor> try_output(size_t i) const {
    linnet_value* value = nullptr;
    if (linnet_status* const failed = linnet_task_output(get(), i, &value)) return detail::error_of(failed);
    return Tensor(value);
  }
  Tensor output(size_t i) const { return try_output(i).value(); }
  // Of a load that has ended.
  Result<Model> try_model() const;
  Model model() const;
  linnet_task* get() const noexcept { return task_.get(); }

  // Calls start(completion, &task), which gives a status.
  template <class Start>
  static Result<Task> try_start(Done done, Start&& start) {
    auto kept = std::make_unique<Done>(std::move(done));
    linnet_completion completion{};
    completion.struct_size = sizeof completion;
    completion.user = kept.get();
    completion.done = [](void* user, linnet_task* handle) {
      if (!*static_cast<Done*>(user)) return;
      Task task(std::shared_ptr<linnet_task>(handle, [](linnet_task*) {}));
      (*static_cast<Done*>(user))(task);
    };
    completion.release = [](void* user) { delete static_cast<Done*>(user); };
    linnet_task* task = nullptr;
    if (linnet_status* const failed = start(&completion, &task)) return detail::error_of(failed);
    static_cast<void>(kept.release());
    return Task(std::shared_ptr<linnet_task>(task, detail::Release()));
  }

 private:
  explicit Task(std::shared_ptr<linnet_task> task) : task_(std::move(task)) {}
  std::shared_ptr<linnet_task> task_;
};

namespace detail {

// Names and handles of a run as C takes them.
struct RunLists {
  std::vector<const char*> in_names, out_names;
  std::vector<const linnet_value*> in;
  std::vector<linnet_value*> out;

  RunLists() { in_names.reserve(1); }  // not NULL, which would stand for the model's order
  void add(const char* name, const Tensor& tensor) {
    in_names.push_back(name);
    in.push_back(tensor.get());
  }
};

}  // namespace detail

// Runs a model. Any number of threads may run one at once.
class Session {
 public:
  explicit Session(const Model& model);  // on the model's engine
  explicit Session(const Model& model, const Engine& engine);
  static Result<Session> try_create(linnet_engine* engine, linnet_model* model) {
    auto made =
        detail::made<linnet_session>([&](linnet_session** s) { return linnet_session_create(engine, model, s); });
    if (!made) return made.error();
    return Session(std::move(*made), model);
  }

  // By name; all outputs, or those named (which may be inner values of the model).
  Result<NamedTensors> try_run(const NamedTensors& inputs, const std::vector<std::string>& output_names = {},
                               const RunOptions& options = {}) const {
    detail::RunLists lists;
    for (const auto& [name, tensor] : inputs) lists.add(name.c_str(), tensor);
    return run_named(lists, output_names, options);
  }
  NamedTensors run(const NamedTensors& inputs, const std::vector<std::string>& output_names = {},
                   const RunOptions& options = {}) const {
    return try_run(inputs, output_names, options).value();
  }
  // The same from a list of inputs, which lets Tensors be made in place.
  NamedTensors run(std::initializer_list<std::pair<const char*, Tensor>> inputs, const RunOptions& options = {}) const {
    detail::RunLists lists;
    for (const auto& [name, tensor] : inputs) lists.add(name, tensor);
    return run_named(lists, {}, options).value();
  }
  // By position, into `outputs`: those that hold a tensor are written to, others are made.
  Result<void> try_run(std::span<const Tensor> inputs, std::vector<Tensor>& outputs,
                       const RunOptions& options = {}) const {
    detail::RunLists lists;
    for (const Tensor& tensor : inputs) lists.in.push_back(tensor.get());
    outputs.resize(output_names_.size());
    for (const Tensor& tensor : outputs) lists.out.push_back(tensor.get());
    const linnet_run_options c = options.to_c();
    if (linnet_status* const failed = linnet_session_run(get(), &c, nullptr, lists.in.data(), lists.in.size(), nullptr,
                                                         lists.out.data(), lists.out.size()))
      return detail::error_of(failed);
    for (size_t i = 0; i < outputs.size(); ++i)
      if (!outputs[i]) outputs[i] = Tensor(lists.out[i]);
    return {};
  }
  void run(std::span<const Tensor> inputs, std::vector<Tensor>& outputs, const RunOptions& options = {}) const {
    try_run(inputs, outputs, options).value();
  }

  // On a runner thread of the engine; the outputs, all or those named, are asked of the task.
  Result<Task> try_run_async(const NamedTensors& inputs, const std::vector<std::string>& output_names = {},
                             const RunOptions& options = {}, Task::Done done = {}) const {
    detail::RunLists lists;
    for (const auto& [name, tensor] : inputs) lists.add(name.c_str(), tensor);
    name_outputs(lists, output_names);
    const linnet_run_options c = options.to_c();
    return Task::try_start(std::move(done), [&](const linnet_completion* completion, linnet_task** task) {
      return linnet_session_run_async(get(), &c, lists.in_names.data(), lists.in.data(), lists.in.size(),
                                      lists.out_names.data(), nullptr, lists.out_names.size(), completion, task);
    });
  }
  Task run_async(const NamedTensors& inputs, const std::vector<std::string>& output_names = {},
                 const RunOptions& options = {}, Task::Done done = {}) const {
    return try_run_async(inputs, output_names, options, std::move(done)).value();
  }

  void trim() const noexcept { linnet_session_trim(get()); }
  linnet_session* get() const noexcept { return session_.get(); }

 private:
  Session(detail::Handle<linnet_session> session, linnet_model* model) : session_(std::move(session)) {
    for (size_t i = 0; i < linnet_model_output_count(model); ++i) {
      linnet_port port{};
      port.struct_size = sizeof port;
      detail::result_of(linnet_model_output(model, i, &port)).value();
      output_names_.emplace_back(port.name);
    }
  }
  void name_outputs(detail::RunLists& lists, const std::vector<std::string>& names) const {
    for (const std::string& name : names.empty() ? output_names_ : names) lists.out_names.push_back(name.c_str());
  }
  Result<NamedTensors> run_named(detail::RunLists& lists, const std::vector<std::string>& names,
                                 const RunOptions& options) const {
    name_outputs(lists, names);
    lists.out.resize(lists.out_names.size(), nullptr);
    const linnet_run_options c = options.to_c();
    if (linnet_status* const failed =
            linnet_session_run(get(), &c, lists.in_names.data(), lists.in.data(), lists.in.size(),
                               lists.out_names.data(), lists.out.data(), lists.out.size()))
      return detail::error_of(failed);
    NamedTensors named;
    for (size_t i = 0; i < lists.out.size(); ++i) named.insert_or_assign(lists.out_names[i], Tensor(lists.out[i]));
    return named;
  }

  std::shared_ptr<linnet_session> session_;
  std::vector<std::string> output_names_;
};

// A loaded model, with a session to run it in.
class Model {
 public:
  explicit Model(const Source& source, const Engine& engine = Engine(), const LoadOptions& options = LoadOptions())
      : Model(try_load(source, engine, options).value()) {}
  static Result<Model> try_load(const Source& source, const Engine& engine,
                                const LoadOptions& options = LoadOptions()) {
    if (options.error()) return *options.error();
    auto made = detail::made<linnet_model>([&](linnet_model** m) {
      return source.with(
          [&](const linnet_source& s) { return linnet_model_load_source(engine.get(), &s, options.get(), m); });
    });
    if (!made) return made.error();
    return try_adopt(std::move(*made));
  }
  // On a runner thread of the engine.
  static Result<Task> try_load_async(const Source& source, const Engine& engine,
                                     const LoadOptions& options = LoadOptions(), Task::Done done = {}) {
    if (options.error()) return *options.error();
    return Task::try_start(std::move(done), [&](const linnet_completion* completion, linnet_task** task) {
      return source.with([&](const linnet_source& s) {
        return linnet_model_load_async(engine.get(), &s, options.get(), completion, task);
      });
    });
  }
  static Task load_async(const Source& source, const Engine& engine, const LoadOptions& options = LoadOptions(),
                         Task::Done done = {}) {
    return try_load_async(source, engine, options, std::move(done)).value();
  }
  static Result<Model> try_adopt(detail::Handle<linnet_model> model) {
    auto session = Session::try_create(nullptr, model.get());
    if (!session) return session.error();
    return Model(std::move(model), std::move(*session));
  }

  const std::vector<Port>& inputs() const noexcept { return inputs_; }
  const std::vector<Port>& outputs() const noexcept { return outputs_; }
  std::optional<std::string> metadata(const std::string& key) const {
    const char* const value = linnet_model_metadata(get(), key.c_str());
    return value ? std::optional<std::string>(value) : std::nullopt;
  }
  std::vector<std::string> metadata_keys() const {
    std::vector<std::string> keys;
    for (size_t i = 0; i < linnet_model_metadata_count(get()); ++i)
      keys.emplace_back(linnet_model_metadata_key(get(), i));
    return keys;
  }
  size_t bytes() const noexcept { return linnet_model_bytes(get()); }  // of weights

  // As Session's.
  const Session& session() const noexcept { return session_; }
  template <class... Arguments>
  auto try_run(Arguments&&... arguments) const {
    return session_.try_run(std::forward<Arguments>(arguments)...);
  }
  NamedTensors run(const NamedTensors& inputs, const std::vector<std::string>& output_names = {},
                   const RunOptions& options = {}) const {
    return session_.run(inputs, output_names, options);
  }
  NamedTensors run(std::initializer_list<std::pair<const char*, Tensor>> inputs, const RunOptions& options = {}) const {
    return session_.run(inputs, options);
  }
  void run(std::span<const Tensor> inputs, std::vector<Tensor>& outputs, const RunOptions& options = {}) const {
    session_.run(inputs, outputs, options);
  }
  template <class... Arguments>
  Task run_async(Arguments&&... arguments) const {
    return session_.run_async(std::forward<Arguments>(arguments)...);
  }
  linnet_model* get() const noexcept { return model_.get(); }

 private:
  Model(detail::Handle<linnet_model> model, Session session) : model_(std::move(model)), session_(std::move(session)) {
    read(linnet_model_input, linnet_model_input_count(get()), inputs_);
    read(linnet_model_output, linnet_model_output_count(get()), outputs_);
  }
  template <class Get>
  void read(Get get_port, size_t count, std::vector<Port>& ports) {
    for (size_t i = 0; i < count; ++i) {
      linnet_port p{};
      p.struct_size = sizeof p;
      detail::result_of(get_port(get(), i, &p)).value();
      Port port{p.name, p.kind, p.content, p.dtype, p.key_dtype, p.ranked != 0, {p.shape, p.shape + p.rank}, {}};
      for (size_t d = 0; d < p.rank; ++d) port.size_names.emplace_back(p.size_names[d]);
      ports.push_back(std::move(port));
    }
  }
  std::shared_ptr<linnet_model> model_;
  Session session_;
  std::vector<Port> inputs_, outputs_;
};

inline Session::Session(const Model& model) : Session(try_create(nullptr, model.get()).value()) {}
inline Session::Session(const Model& model, const Engine& engine)
    : Session(try_create(engine.get(), model.get()).value()) {}

inline Result<Model> Task::try_model() const {
  auto made = detail::made<linnet_model>([&](linnet_model** m) { return linnet_task_model(get(), m); });
  if (!made) return made.error();
  return Model::try_adopt(std::move(*made));
}
inline Model Task::model() const { return try_model().value(); }

// Inputs and outputs that stay bound from run to run: a second run of the same shapes neither allocates nor copies.
class Binding {
 public:
  explicit Binding(const Session& session) : Binding(try_create(session).value()) {}
  explicit Binding(const Model& model) : Binding(model.session()) {}
  static Result<Binding> try_create(const Session& session) {
    auto made =
        detail::made<linnet_binding>([&](linnet_binding** b) { return linnet_binding_create(session.get(), b); });
    if (!made) return made.error();
    return Binding(std::move(*made));
  }
  // What is written to the tensor's memory is seen by the next run.
  Result<void> try_set_input(const std::string& name, const Tensor& tensor) {
    return detail::result_of(linnet_binding_set_input(get(), name.c_str(), tensor.get()));
  }
  void set_input(const std::string& name, const Tensor& tensor) { try_set_input(name, tensor).value(); }
  // An empty Tensor: memory is made once and kept.
  Result<void> try_set_output(const std::string& name, const Tensor& tensor) {
    return detail::result_of(linnet_binding_set_output(get(), name.c_str(), tensor.get()));
  }
  void set_output(const std::string& name, const Tensor& tensor) { try_set_output(name, tensor).value(); }
  Result<void> try_run(const RunOptions& options = {}) {
    const linnet_run_options c = options.to_c();
    return detail::result_of(linnet_binding_run(get(), &c));
  }
  void run(const RunOptions& options = {}) { try_run(options).value(); }
  Result<Task> try_run_async(const RunOptions& options = {}, Task::Done done = {}) {
    const linnet_run_options c = options.to_c();
    return Task::try_start(std::move(done), [&](const linnet_completion* completion, linnet_task** task) {
      return linnet_binding_run_async(get(), &c, completion, task);
    });
  }
  Task run_async(const RunOptions& options = {}, Task::Done done = {}) {
    return try_run_async(options, std::move(done)).value();
  }
  // Shares the memory that the next run writes to.
  Result<Tensor> try_output(const std::string& name) const {
    linnet_value* value = nullptr;
    if (linnet_status* const failed = linnet_binding_output(get(), name.c_str(), &value))
      return detail::error_of(failed);
    return Tensor(value);
  }
  Tensor output(const std::string& name) const { return try_output(name).value(); }
  linnet_binding* get() const noexcept { return binding_.get(); }

 private:
  explicit Binding(detail::Handle<linnet_binding> binding) : binding_(std::move(binding)) {}
  detail::Handle<linnet_binding> binding_;
};

inline std::string version() { return linnet_version(); }
inline bool has_feature(const std::string& name) noexcept { return linnet_has_feature(name.c_str()) != 0; }

}  // namespace cpp
}  // namespace linnet

#include "linnet/operator.hpp"
#include "linnet/writing.hpp"
