#include "c_api/handles.h"

namespace linnet::c_api {
namespace {

thread_local std::string last_error;

// Given out when there is no memory for a status of its own; never freed.
linnet_status& no_memory() {
  static linnet_status status{Code::out_of_memory, "out of memory"};
  return status;
}

}  // namespace

linnet_status* to_c(Status status) noexcept {
  if (status.ok()) return nullptr;
  try {
    last_error = status.message();
    return new linnet_status{status.code(), std::string(status.message())};
  } catch (const std::bad_alloc&) {
    return &no_memory();
  }
}

}  // namespace linnet::c_api

linnet_code linnet_status_code(const linnet_status* status) {
  return status ? static_cast<linnet_code>(status->code) : LINNET_OK;
}

const char* linnet_status_message(const linnet_status* status) { return status ? status->message.c_str() : ""; }

void linnet_status_release(linnet_status* status) {
  if (status != &linnet::c_api::no_memory()) delete status;
}

const char* linnet_last_error(void) { return linnet::c_api::last_error.c_str(); }

const char* linnet_version(void) { return LINNET_VERSION; }
