#include "base/json_text.h"

#include <cmath>
#include <cstdio>

#include "base/unicode.h"

namespace linnet {

void append_json(std::string& out, std::string_view text) {
  out += '"';
  while (!text.empty()) {
    const char32_t c = next_code_point(text);
    if (c == '"' || c == '\\') out += '\\';
    if (c < 0x20) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned>(c));
      out += escaped;
    } else {
      append_utf8(out, c == kInvalidCodePoint ? 0xfffd : c);
    }
  }
  out += '"';
}

void append_json(std::string& out, double number) {
  if (!std::isfinite(number)) {
    out += "null";
    return;
  }
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", number);
  out += text;
}

}  // namespace linnet
