// The objects behind the handles of linnet.h, and how failures cross the boundary: nothing is thrown through it.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <vector>

#include "c_api/handle_table.h"
#include "c_api/runners.h"
#define LINNET_BUILDING
#include "linnet/linnet.h"
#include "load.h"
#include "run/profiler.h"

namespace linnet::c_api {

// --- failures

// NULL for ok, else a new handle.
linnet_status* to_c(Status status) noexcept;
// The failure that a callback returned, whose handle is released; ok for NULL.
Status from_c(linnet_status* status) noexcept;

// Runs the body of an API function; what it throws (bad_alloc, from containers) becomes a status.
template <class Body>
linnet_status* guarded(Body&& body) noexcept {
  try {
    return to_c(body());
  } catch (const std::bad_alloc&) {
    return to_c(Status(Code::out_of_memory, "out of memory"));
  } catch (const std::exception& e) {
    return to_c(Status(Code::internal, e.what()));
  }
}

// Calls a function of the caller's that gives a status; what it throws becomes one.
template <class Call>
Status called(std::string_view what, Call&& call) noexcept {
  try {
    return from_c(call());
  } catch (const std::exception& e) {
    return error(Code::callback_failed, what, " threw: ", e.what());
  } catch (...) {
    return error(Code::callback_failed, what, " threw an exception");
  }
}

// The same for functions without a result, whose failure nobody can be told of.
template <class Call>
void call_quietly(Call&& call) noexcept {
  try {
    call();
  } catch (...) {  // NOLINT(bugprone-empty-catch)
  }
}

inline Status require(const void* pointer, const char* what) {
  return pointer ? Status() : invalid_argument(what, " is NULL");
}

// --- what the caller passes

// The caller's struct as this library knows it: fields that it lacks are zero, fields that are unknown must be.
template <class T>
Result<T> read_struct(const T* from, const char* what) {
  T to{};
  if (!from) return to;
  LINNET_REQUIRE(from->struct_size >= sizeof(size_t), invalid_argument("struct_size of the ", what, " is not set"));
  if (from->struct_size > sizeof(T)) {
    const auto* const bytes = reinterpret_cast<const unsigned char*>(from);
    for (size_t i = sizeof(T); i < from->struct_size; ++i)
      LINNET_REQUIRE(bytes[i] == 0,
                     unsupported("the ", what, " have fields that this version of Linnet does not know"));
  }
  std::memcpy(&to, from, std::min(from->struct_size, sizeof(T)));
  return to;
}

// The other way: fields that the caller does not know are not written.
template <class T>
Status write_struct(T from, T* to, const char* what) {
  LINNET_TRY(require(to, what));
  LINNET_REQUIRE(to->struct_size >= sizeof(size_t), invalid_argument("struct_size of the ", what, " is not set"));
  from.struct_size = to->struct_size;
  std::memcpy(to, &from, std::min(to->struct_size, sizeof(T)));
  return {};
}

// Memory or functions that the caller lends. `release` is called when this goes, provided that the lending was
// accepted.
class Lent {
 public:
  Lent(void (*release)(void*), void* user) noexcept : release_(release), user_(user) {}
  Lent(const Lent&) = delete;
  Lent& operator=(const Lent&) = delete;
  ~Lent() {
    if (accepted_.load(std::memory_order_relaxed) && release_) call_quietly([&] { release_(user_); });
  }
  void accept() noexcept { accepted_.store(true, std::memory_order_relaxed); }

 private:
  void (*release_)(void*);
  void* user_;
  std::atomic<bool> accepted_{false};
};

Result<std::filesystem::path> path_of(const char* utf8, const char* what);

linnet_view view_of(const Value& value) noexcept;
// A new handle of a string tensor of one element.
Result<linnet_value*> text_value(std::string text);

// --- objects

struct StatusObject final : Object {
  using Handle = linnet_status;
  static constexpr Kind kKind = Kind::status;
  static constexpr const char* kName = "status";
  explicit StatusObject(Status s) : code(s.code()), message(s.message()), node(s.node()), inputs(s.inputs()) {}
  const Code code;
  const std::string message, node, inputs;
};

// An engine and the threads that carry asynchronous calls out on it.
struct SharedEngine {
  std::shared_ptr<Engine> engine;
  Runners runners;
  SharedEngine(std::shared_ptr<Engine> e, size_t most_runners) : engine(std::move(e)), runners(most_runners) {}
};

struct EngineObject final : Object {
  using Handle = linnet_engine;
  static constexpr Kind kKind = Kind::engine;
  static constexpr const char* kName = "engine";
  explicit EngineObject(std::shared_ptr<SharedEngine> e) : shared(std::move(e)) {}
  const std::shared_ptr<SharedEngine> shared;
};

struct LoadOptionsObject final : Object {
  using Handle = linnet_load_options;
  static constexpr Kind kKind = Kind::load_options;
  static constexpr const char* kName = "load options";
  LoadOptions options;
  std::function<void(size_t done, size_t total, const char* what)> progress;
  std::shared_ptr<StopToken> cancel;
};
struct SharedTask;
// The options behind the handle, or the defaults. Stages begin unless the options' token, `stop` or the task's is
// requested; the task is told of them. Both must outlive what is done with the result.
Result<LoadOptions> load_options_of(const linnet_load_options* options, SharedTask* task,
                                    const StopToken* stop = nullptr);

// A port's shape in the form that linnet_port points to.
struct PortShape {
  std::vector<int64_t> sizes;
  std::vector<std::string> names;
  std::vector<const char*> name_pointers;
};

// Loads a model again, with inner values as further outputs.
using Reload = std::function<Result<std::shared_ptr<const Model>>(std::vector<std::string> outputs)>;

struct SharedModel {
  std::shared_ptr<SharedEngine> engine;
  std::shared_ptr<const Model> model;
  Reload reload;
  std::vector<PortShape> inputs, outputs;
  std::vector<std::pair<std::string, std::string>> metadata;
  size_t bytes = 0;
};
Result<std::shared_ptr<const SharedModel>> load(std::shared_ptr<SharedEngine> engine, ModelSource source,
                                                LoadOptions options);
// `lent` is to be accepted once the call that took the source succeeds.
Result<ModelSource> source_of(const linnet_source* source, std::shared_ptr<Lent>& lent);
// Reads a model that comes through functions into memory.
Status read_now(ModelSource& source);

struct ModelObject final : Object {
  using Handle = linnet_model;
  static constexpr Kind kKind = Kind::model;
  static constexpr const char* kName = "model";
  explicit ModelObject(std::shared_ptr<const SharedModel> m) : shared(std::move(m)) {}
  const std::shared_ptr<const SharedModel> shared;
};

// A session and, for inner values by name, sessions of the same model with other outputs.
struct SharedSession {
  std::shared_ptr<SharedEngine> engine;
  std::shared_ptr<const SharedModel> model;
  Session session;
  std::mutex mutex;
  std::map<std::vector<std::string>, std::unique_ptr<Session>> variants;

  SharedSession(std::shared_ptr<SharedEngine> e, std::shared_ptr<const SharedModel> m)
      : engine(std::move(e)), model(std::move(m)), session(engine->engine, model->model) {}
};

struct SessionObject final : Object {
  using Handle = linnet_session;
  static constexpr Kind kKind = Kind::session;
  static constexpr const char* kName = "session";
  explicit SessionObject(std::shared_ptr<SharedSession> s) : shared(std::move(s)) {}
  const std::shared_ptr<SharedSession> shared;
};

struct ValueObject final : Object {
  using Handle = linnet_value;
  static constexpr Kind kKind = Kind::value;
  static constexpr const char* kName = "value";
  explicit ValueObject(Value v) : value(std::move(v)) {}
  const Value value;
};

struct CancelObject final : Object {
  using Handle = linnet_cancel;
  static constexpr Kind kKind = Kind::cancel;
  static constexpr const char* kName = "cancel token";
  const std::shared_ptr<StopToken> token = std::make_shared<StopToken>();
};

// The events of runs that have ended.
struct SharedProfile {
  mutable std::mutex mutex;
  Profiler profiler;
};

struct ProfileObject final : Object {
  using Handle = linnet_profile;
  static constexpr Kind kKind = Kind::profile;
  static constexpr const char* kName = "profile";
  const std::shared_ptr<SharedProfile> shared = std::make_shared<SharedProfile>();
};

}  // namespace linnet::c_api
