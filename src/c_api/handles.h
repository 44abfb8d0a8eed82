// What the opaque types of linnet.h are, and how failures cross the boundary: nothing is thrown through it.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <vector>

#include "linnet/linnet.h"
#include "load.h"
#include "run/profiler.h"

struct linnet_status {
  linnet::Code code;
  std::string message;
};

struct linnet_engine {
  std::shared_ptr<linnet::Engine> engine;
};

struct linnet_load_options {
  linnet::LoadOptions options;
};

namespace linnet::c_api {

// Loads a model again, with inner values as further outputs.
using Reload = std::function<Result<std::shared_ptr<const Model>>(std::vector<std::string> outputs)>;

// A port's shape in the form that linnet_port points to.
struct PortShape {
  std::vector<int64_t> sizes;
  std::vector<std::string> names;
  std::vector<const char*> name_pointers;
};

// A session and, for inner values by name, sessions of the same model with other outputs.
struct SharedSession {
  std::shared_ptr<Engine> engine;
  std::shared_ptr<const Model> model;
  Reload reload;
  Session session;
  std::mutex mutex;
  std::map<std::vector<std::string>, std::unique_ptr<Session>> variants;

  SharedSession(std::shared_ptr<Engine> e, std::shared_ptr<const Model> m, Reload r)
      : engine(e), model(m), reload(std::move(r)), session(std::move(e), std::move(m)) {}
};

// NULL for ok; else a new object, its message also kept for linnet_last_error.
linnet_status* to_c(Status status) noexcept;

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

inline Status require(const void* pointer, const char* what) {
  return pointer ? Status() : invalid_argument(what, " is NULL");
}

}  // namespace linnet::c_api

struct linnet_model {
  std::shared_ptr<const linnet::Model> model;
  linnet::c_api::Reload reload;
  std::vector<linnet::c_api::PortShape> inputs, outputs;
  std::vector<std::pair<std::string, std::string>> metadata;
};

struct linnet_session {
  std::shared_ptr<linnet::c_api::SharedSession> shared;
};

struct linnet_value {
  linnet::Value value;
};

struct linnet_cancel {
  linnet::StopToken token;
};

struct linnet_profile {
  linnet::Profiler profiler;
  std::string trace;
};
