// Pieces of JSON.
#pragma once

#include <string>
#include <string_view>

namespace linnet {

// A string in quotes. What is no UTF-8 in it becomes U+FFFD.
void append_json(std::string& out, std::string_view text);
// A number; null where it is infinite or none, for which JSON has no words.
void append_json(std::string& out, double number);

}  // namespace linnet
