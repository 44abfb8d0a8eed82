// Text for people: on a terminal, and harmless there whatever a model's names contain.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace linnet::cli {

// Control characters and line ends, which could move a terminal's cursor, become '?'.
std::string printable(std::string_view text);

// Shows one line on stderr in place of the last, where stderr is a terminal; else does nothing.
void show_progress(std::string_view line);
void clear_progress();

// "12.3 MB".
std::string bytes_text(uint64_t bytes);
// Milliseconds with three digits or more, also of runs that take less than one of them.
std::string ms_text(double ms);
// printf's "%.*f".
std::string fixed(double value, int digits);

// Columns as wide as their widest cell, indented by two; numbers to the right where `right` says so for the column.
std::string table(const std::vector<std::vector<std::string>>& rows, const std::vector<bool>& right = {});

}  // namespace linnet::cli
