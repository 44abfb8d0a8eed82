// UTF-8 and case.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace linnet {

inline constexpr char32_t kInvalidCodePoint = 0xffffffff;

// The code point at `at`, which moves behind it; kInvalidCodePoint and one byte where the bytes are no UTF-8.
char32_t next_code_point(std::string_view text, size_t& at) noexcept;
void append_utf8(std::string& out, char32_t c);
// The number of code points, or nothing (-1) where the bytes are no UTF-8.
int64_t count_code_points(std::string_view text) noexcept;

// Unicode's simple mappings: one code point to one, whatever the language.
char32_t to_lower(char32_t c) noexcept;
char32_t to_upper(char32_t c) noexcept;

}  // namespace linnet
