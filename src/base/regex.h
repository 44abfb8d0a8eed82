// Regular expressions in RE2's syntax, matched in time linear in the text whatever the pattern.
// https://github.com/google/re2/wiki/Syntax; not supported: \C, and classes by script but Latin, Greek, Cyrillic, Han,
// Hiragana, Katakana, Hangul, Arabic, Hebrew and Thai.
#pragma once

#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace linnet {

// A set of code points: sorted ranges that neither touch nor overlap, both ends included.
class CodePointSet {
 public:
  using Range = std::pair<char32_t, char32_t>;
  void add(char32_t first, char32_t last) { ranges_.emplace_back(first, last); }
  void add(const CodePointSet& other) { ranges_.insert(ranges_.end(), other.ranges_.begin(), other.ranges_.end()); }
  void add_other_case();  // of every member
  void normalize();       // after the last add
  void negate();          // of a normalized set
  bool contains(char32_t c) const noexcept;
  const std::vector<Range>& ranges() const noexcept { return ranges_; }

 private:
  std::vector<Range> ranges_;
};

class Regex {
 public:
  // Fails with a sentence about the pattern.
  static Result<Regex> compile(std::string_view pattern);

  bool full_match(std::string_view text) const;
  // The leftmost match that starts at or behind `from`, and of those the longest: its start and end in bytes.
  std::optional<std::pair<size_t, size_t>> find(std::string_view text, size_t from) const;

 private:
  friend class RegexCompiler;
  enum class Assertion : uint8_t { text_begin, text_end, line_begin, line_end, word_boundary, no_word_boundary };
  struct Instruction {
    enum Kind : uint8_t { set, split, assertion, match } kind;
    Assertion assertion_kind{};
    uint32_t next = 0;   // all but match
    uint32_t other = 0;  // split: the second way; set: the index of the set
  };
  struct Run;

  std::vector<Instruction> program_;
  std::vector<CodePointSet> sets_;
  uint32_t start_ = 0;
};

}  // namespace linnet
