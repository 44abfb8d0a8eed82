// Regular expressions in the syntax of https://github.com/google/re2/wiki/Syntax, over code points of UTF-8, in time
// proportional to text times pattern. Without classes of Unicode properties (\p) and single bytes (\C).
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace linnet {

class Regex {
 public:
  static Result<Regex> compile(std::string_view pattern);

  // Whether the pattern matches the text from its beginning to its end.
  bool full_match(std::string_view text) const;

  struct Range {
    char32_t first, last;
  };
  struct Set {
    std::vector<Range> ranges;
    bool negated = false;
    bool fold = false;  // ignores case
    bool contains(char32_t c) const noexcept;
  };
  enum class Step : uint8_t {
    set,
    split,
    jump,
    text_begin,
    text_end,
    line_begin,
    line_end,
    word_edge,
    no_word_edge,
    match
  };
  struct Instruction {
    Step step;
    uint32_t target = 0;  // a set's index, or where to go on; a split goes to `other` as well
    uint32_t other = 0;
  };

 private:
  std::vector<Set> sets_;
  std::vector<Instruction> program_;
};

}  // namespace linnet
