// UTF-8 to and from code points: https://www.rfc-editor.org/rfc/rfc3629
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace linnet::cli {

// Surrogates and numbers past U+10FFFF become U+FFFD.
void append_utf8(std::string& text, uint32_t code_point);

// Nothing when the bytes are not valid UTF-8.
std::optional<std::u32string> decode_utf8(std::string_view text);

}  // namespace linnet::cli
