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
  }
  return "unknown";
}

}  // namespace linnet
