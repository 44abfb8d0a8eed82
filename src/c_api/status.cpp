#include "c_api/handles.h"

using namespace linnet;
using c_api::Pin;
using c_api::StatusObject;

namespace {

// Stands for "out of memory" when there is none for a status of its own. No handle: closing it does nothing.
alignas(8) constexpr char kNoMemory[8] = {};

linnet_status* no_memory() noexcept { return reinterpret_cast<linnet_status*>(const_cast<char*>(kNoMemory)); }

const char* text_of(const linnet_status* status, const std::string StatusObject::*text) noexcept {
  if (status == no_memory()) return text == &StatusObject::message ? "out of memory" : "";
  const Pin<StatusObject> pinned(status);
  return pinned ? ((*pinned).*text).c_str() : "";
}

}  // namespace

namespace linnet::c_api {

linnet_status* to_c(Status status) noexcept {
  if (status.ok()) return nullptr;
  try {
    return make_handle<StatusObject>(std::move(status));
  } catch (const std::bad_alloc&) {
    return no_memory();
  }
}

Status from_c(linnet_status* status) noexcept {
  if (!status) return {};
  if (status == no_memory()) return error(Code::out_of_memory, "out of memory");
  const Pin<StatusObject> pinned(status);
  if (!pinned) return error(Code::callback_failed, "a callback returned what is no status");
  close_handle(reinterpret_cast<uintptr_t>(status));
  return Status(pinned->code, pinned->message);
}

}  // namespace linnet::c_api

void linnet_release(void* handle) { c_api::close_handle(reinterpret_cast<uintptr_t>(handle)); }

size_t linnet_open_handles(void) { return c_api::open_handles(); }

linnet_code linnet_status_code(const linnet_status* status) {
  if (!status) return LINNET_OK;
  if (status == no_memory()) return LINNET_OUT_OF_MEMORY;
  const Pin<StatusObject> pinned(status);
  return pinned ? static_cast<linnet_code>(pinned->code) : LINNET_CLOSED;
}

const char* linnet_status_message(const linnet_status* status) { return text_of(status, &StatusObject::message); }
const char* linnet_status_node(const linnet_status* status) { return text_of(status, &StatusObject::node); }
const char* linnet_status_inputs(const linnet_status* status) { return text_of(status, &StatusObject::inputs); }

linnet_status* linnet_status_create(linnet_code code, const char* message) {
  if (code == LINNET_OK) return nullptr;
  return c_api::guarded([&] { return Status(static_cast<Code>(code), message ? message : ""); });
}

const char* linnet_code_name(linnet_code code) { return code_name(static_cast<Code>(code)).data(); }
