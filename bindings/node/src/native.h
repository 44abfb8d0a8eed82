// What the parts of the addon share. JavaScript values cross as "forms", which lib/tensor.js makes and reads:
//   [1, dtype, dims, typed array or array of strings]   a tensor
//   [2, dtype, forms]                                   a sequence
//   [3, form of the keys, form of the values]           a map
//   null                                                nothing
#pragma once

#include <napi.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "handle.h"
#include "linnet/linnet.h"

namespace linnet_node {

using linnet_bindings::Handle;

// How a run that was started ended; made on a thread of the engine.
struct Ended {
  uint64_t id;
  Handle<linnet_status> failed;
  std::vector<Handle<linnet_value>> outputs;
};

struct Addon;

// Where runs under way report to. Engine threads may outlive the environment, so they share this and ask `closed`.
struct Reports {
  std::mutex mutex;
  bool closed = false;
  napi_threadsafe_function wake = nullptr;
  std::deque<Ended> ended;
  std::deque<std::function<void(Napi::Env, Addon&)>> told;  // of models that are written

  // From any thread; does nothing once the environment is gone.
  void tell(std::function<void(Napi::Env, Addon&)> what);
};

class Writing;

// One for each environment (the main thread's and each worker's). All but `reports` belongs to its thread.
struct Addon {
  struct Pending {
    Napi::FunctionReference callback;
    Handle<linnet_task> task;
  };
  Napi::FunctionReference error_factory, session, binding;
  std::shared_ptr<Reports> reports = std::make_shared<Reports>();
  std::map<uint64_t, Pending> pending;
  std::map<uint64_t, std::shared_ptr<Writing>> writing;
  uint64_t last_id = 0;

  // Node goes on while there is something to be told.
  void keep_alive(Napi::Env env);
};

// Takes the status: what lib/errors.js makes of it.
Napi::Value error_of(Napi::Env env, linnet_status* status);
// Takes the status and throws unless it is NULL.
void check(Napi::Env env, linnet_status* status);

// How long the memory of typed arrays may be used.
enum class Lending {
  during_call,  // JavaScript does not run meanwhile: everything is lent
  beyond_call,  // memory that the addon gave to JavaScript is lent, the rest is copied
};
// Empty for null and undefined.
Handle<linnet_value> value_of(Napi::Env env, Napi::Value form, Lending lending);
// The tensor of a form to write an output to. Empty where the memory may go away before the run ends.
Handle<linnet_value> target_of(Napi::Env env, Napi::Value form, Lending lending);
Napi::Value form_of(Napi::Env env, Handle<linnet_value> value);
// allocate(dtype, dims): the form of a tensor of zeros in memory that runs use without a copy.
Napi::Value allocate(const Napi::CallbackInfo& info);

Napi::Function session_class(Napi::Env env);
Napi::Function binding_class(Napi::Env env);
// load(path or bytes, options): a promise of a session.
Napi::Value load(const Napi::CallbackInfo& info);
void open_reports(Napi::Env env, Addon& addon);
// { level, cacheFolder, sizes, disabled, externalData }, all of them optional.
void read_load_options(Napi::Env env, const Napi::Object& from, linnet_load_options* to);

// write(kind, source, path, options, callback(error, report)): an id. What is told meanwhile: options.progress(done,
// total, what) and options.sample(pass, names), to be answered by giveSample(id, forms, or null after the last one, or
// false where there is none to give).
Napi::Value write(const Napi::CallbackInfo& info);
Napi::Value give_sample(const Napi::CallbackInfo& info);
Napi::Value cancel_writing(const Napi::CallbackInfo& info);
// The environment ends.
void close_writing(Addon& addon);

}  // namespace linnet_node
