// UTF-8 and the simple (one to one) case mappings of Unicode 14.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace linnet {

// What next_code_point returns for a byte that no valid UTF-8 sequence starts at.
inline constexpr char32_t kInvalidCodePoint = 0xffffffff;

// Takes one code point, or one invalid byte, off the front of a text that is not empty.
char32_t next_code_point(std::string_view& text) noexcept;
// The same at a position, which moves behind it.
char32_t next_code_point(std::string_view text, size_t& at) noexcept;
bool is_utf8(std::string_view text) noexcept;
void append_utf8(std::string& text, char32_t code_point);
int64_t count_code_points(std::string_view text) noexcept;  // each invalid byte counts as one

char32_t to_lower(char32_t code_point) noexcept;
char32_t to_upper(char32_t code_point) noexcept;
// Invalid bytes stay as they are.
std::string to_lower(std::string_view text);
std::string to_upper(std::string_view text);

}  // namespace linnet
