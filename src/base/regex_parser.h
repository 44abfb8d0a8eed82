// From a pattern to its syntax tree.
#pragma once

#include <string_view>
#include <vector>

#include "base/regex.h"

namespace linnet {

struct RegexNode {
  enum Kind : uint8_t {
    empty,
    member,
    text_begin,
    text_end,
    line_begin,
    line_end,
    word_boundary,
    no_word_boundary,
    concat,
    either,
    repeat
  };
  Kind kind = empty;
  uint32_t set = 0;                // of RegexTree::sets
  std::vector<uint32_t> children;  // of RegexTree::nodes
  int least = 0, most = -1;        // of repeat; -1: without end
};

struct RegexTree {
  std::vector<RegexNode> nodes;
  std::vector<CodePointSet> sets;
  uint32_t root = 0;
};

Result<RegexTree> parse_regex(std::string_view pattern);

}  // namespace linnet
