#include "base/result.h"

namespace linnet {

std::string_view code_name(Code code) noexcept {
  switch (code) {
    case Code::ok: return "ok";
    case Code::invalid_argument: return "invalid argument";
    case Code::invalid_model: return "invalid model";
    case Code::unsupported: return "not supported";
    case Code::not_found: return "not found";
    case Code::io: return "input/output error";
    case Code::out_of_memory: return "out of memory";
    case Code::cancelled: return "cancelled";
    case Code::deadline_exceeded: return "deadline exceeded";
    case Code::internal: return "internal error";
    case Code::closed: return "closed";
    case Code::callback_failed: return "callback failed";
  }
  return "unknown";
}

Status Status::at_node(std::string_view path, std::string_view inputs) && {
  if (!error_) return {};
  if (error_->node.empty()) {
    error_->node = path;
    error_->inputs = inputs;
  }
  error_->message = concat("node ", path, inputs.empty() ? "" : " with inputs ", inputs, ": ", error_->message);
  return std::move(*this);
}

}  // namespace linnet
