#include "base/regex_parser.h"

#include <algorithm>

#include "base/unicode.h"
#include "base/unicode_classes.h"

namespace linnet {
namespace {

constexpr int kMostRepeats = 1000;
constexpr int kMostNesting = 200;

constexpr struct {
  std::string_view name;
  std::string_view ranges;  // pairs of first and last
} kPosixClasses[] = {
    {"alnum", "09AZaz"},
    {"alpha", "AZaz"},
    {"ascii", std::string_view("\0\x7f", 2)},
    {"blank", "\t\t  "},
    {"cntrl", std::string_view("\0\x1f\x7f\x7f", 4)},
    {"digit", "09"},
    {"graph", "!~"},
    {"lower", "az"},
    {"print", " ~"},
    {"punct", "!/:@[`{~"},
    {"space", "\t\r  "},
    {"upper", "AZ"},
    {"word", "09AZaz__"},
    {"xdigit", "09AFaf"},
};

CodePointSet ascii_set(std::string_view pairs) {
  CodePointSet set;
  for (size_t i = 0; i + 1 < pairs.size(); i += 2)
    set.add(static_cast<unsigned char>(pairs[i]), static_cast<unsigned char>(pairs[i + 1]));
  set.normalize();
  return set;
}

class Parser {
 public:
  explicit Parser(std::string_view pattern) : pattern_(pattern) {}

  Result<RegexTree> parse() {
    LINNET_REQUIRE(is_utf8(pattern_), wrong("is no valid UTF-8"));
    LINNET_ASSIGN(tree_.root, alternatives(0));
    LINNET_REQUIRE(at_ == pattern_.size(), wrong("has a ')' without '('"));
    return std::move(tree_);
  }

 private:
  struct Flags {
    bool fold = false, multi_line = false, dot_all = false;
  };

  Status wrong(std::string_view what) const { return invalid_model("the pattern '", pattern_, "' ", what); }
  bool more() const noexcept { return at_ < pattern_.size(); }
  bool sees(std::string_view text) const noexcept { return pattern_.substr(at_).starts_with(text); }
  bool take(std::string_view text) noexcept {
    if (!sees(text)) return false;
    at_ += text.size();
    return true;
  }
  char32_t next() noexcept { return next_code_point(pattern_, at_); }

  uint32_t add(RegexNode node) {
    tree_.nodes.push_back(std::move(node));
    return static_cast<uint32_t>(tree_.nodes.size() - 1);
  }
  uint32_t add_set(CodePointSet set, bool negated) {
    if (flags_.fold) set.add_other_case();
    set.normalize();
    if (negated) set.negate();
    tree_.sets.push_back(std::move(set));
    RegexNode node;
    node.kind = RegexNode::member;
    node.set = static_cast<uint32_t>(tree_.sets.size() - 1);
    return add(std::move(node));
  }
  uint32_t add_literal(char32_t c) {
    CodePointSet set;
    set.add(c, c);
    return add_set(std::move(set), false);
  }
  uint32_t add_kind(RegexNode::Kind kind) {
    RegexNode node;
    node.kind = kind;
    return add(std::move(node));
  }

  // Up to the end or a ')'. Flags that are set inside end with it.
  Result<uint32_t> alternatives(int depth) {
    LINNET_REQUIRE(depth <= kMostNesting, wrong("nests too deeply"));
    const Flags outer = flags_;
    RegexNode either;
    either.kind = RegexNode::either;
    do {
      LINNET_ASSIGN(const uint32_t way, sequence(depth));
      either.children.push_back(way);
    } while (take("|"));
    flags_ = outer;
    return either.children.size() == 1 ? either.children[0] : add(std::move(either));
  }

  Result<uint32_t> sequence(int depth) {
    RegexNode concat;
    concat.kind = RegexNode::concat;
    bool repeated = false;  // the last child; another repetition of it is an error
    while (more() && !sees("|") && !sees(")")) {
      int least = 0, most = 0;
      if (repetition(least, most)) {
        LINNET_REQUIRE(!concat.children.empty(), wrong("repeats nothing"));
        LINNET_REQUIRE(!repeated, wrong("repeats a repetition"));
        LINNET_REQUIRE(least <= kMostRepeats && most <= kMostRepeats && (most < 0 || least <= most),
                       wrong("has a repetition with bad bounds"));
        RegexNode repeat;
        repeat.kind = RegexNode::repeat;
        repeat.children = {concat.children.back()};
        repeat.least = least;
        repeat.most = most;
        concat.children.back() = add(std::move(repeat));
        repeated = true;
        continue;
      }
      repeated = false;
      if (take("\\Q")) {
        while (more() && !take("\\E")) concat.children.push_back(add_literal(next()));
        continue;
      }
      if (take("\\E")) continue;
      LINNET_ASSIGN(const uint32_t atom, one(depth));
      concat.children.push_back(atom);
    }
    return add(std::move(concat));
  }

  // Reads *, +, ?, {n}, {n,} or {n,m}, each maybe with a ? that does not matter: the longest match is wanted.
  bool repetition(int& least, int& most) {
    if (take("*")) {
      least = 0, most = -1;
    } else if (take("+")) {
      least = 1, most = -1;
    } else if (take("?")) {
      least = 0, most = 1;
    } else if (sees("{")) {
      const size_t start = at_++;
      if (!number(least)) return at_ = start, false;
      most = least;
      if (take(",")) {
        most = -1;
        if (!sees("}") && !number(most)) return at_ = start, false;
      }
      if (!take("}")) return at_ = start, false;
    } else {
      return false;
    }
    take("?");
    return true;
  }

  bool number(int& value) {
    const size_t start = at_;
    value = 0;
    for (; more() && pattern_[at_] >= '0' && pattern_[at_] <= '9'; ++at_)
      value = std::min(value * 10 + (pattern_[at_] - '0'), kMostRepeats + 1);
    return at_ > start;
  }

  Result<uint32_t> one(int depth) {
    if (take("(")) return group(depth);
    if (take("[")) return bracket();
    if (take(".")) {
      CodePointSet set;
      if (!flags_.dot_all) set.add('\n', '\n');
      set.normalize();
      set.negate();
      tree_.sets.push_back(std::move(set));
      RegexNode node;
      node.kind = RegexNode::member;
      node.set = static_cast<uint32_t>(tree_.sets.size() - 1);
      return add(std::move(node));
    }
    if (take("^")) return add_kind(flags_.multi_line ? RegexNode::line_begin : RegexNode::text_begin);
    if (take("$")) return add_kind(flags_.multi_line ? RegexNode::line_end : RegexNode::text_end);
    if (!sees("\\")) return add_literal(next());
    if (take("\\A")) return add_kind(RegexNode::text_begin);
    if (take("\\z")) return add_kind(RegexNode::text_end);
    if (take("\\b")) return add_kind(RegexNode::word_boundary);
    if (take("\\B")) return add_kind(RegexNode::no_word_boundary);
    CodePointSet set;
    LINNET_ASSIGN(const bool is_class, escaped_class(set));
    if (is_class) return add_set(std::move(set), false);
    LINNET_ASSIGN(const char32_t c, escape());
    return add_literal(c);
  }

  // Behind '('.
  Result<uint32_t> group(int depth) {
    const Flags outer = flags_;
    if (take("?P<") || take("?<")) {
      const size_t start = at_;
      while (more() && (std::isalnum(static_cast<unsigned char>(pattern_[at_])) || pattern_[at_] == '_')) ++at_;
      LINNET_REQUIRE(at_ > start && take(">"), wrong("has a group with a bad name"));
    } else if (take("?")) {
      bool on = true;
      for (;; ++at_) {
        LINNET_REQUIRE(more(), wrong("ends inside of a group"));
        const char c = pattern_[at_];
        if (c == 'i')
          flags_.fold = on;
        else if (c == 'm')
          flags_.multi_line = on;
        else if (c == 's')
          flags_.dot_all = on;
        else if (c == '-' && on)
          on = false;
        else if (c == ':' || c == ')')
          break;
        else if (c != 'U')
          return wrong("has a group with an unknown flag");
      }
      if (take(")")) return add_kind(RegexNode::empty);  // the flags stay, up to the end of the group around
      ++at_;
    }
    LINNET_ASSIGN(const uint32_t inside, alternatives(depth + 1));
    LINNET_REQUIRE(take(")"), wrong("has a '(' without ')'"));
    flags_ = outer;
    return inside;
  }

  // Behind '['.
  Result<uint32_t> bracket() {
    const bool negated = take("^");
    CodePointSet set;
    for (bool first = true; first || !sees("]"); first = false) {
      LINNET_REQUIRE(more(), wrong("has a '[' without ']'"));
      if (sees("[:")) {
        const size_t end = pattern_.find(":]", at_ + 2);
        if (end != std::string_view::npos) {
          std::string_view name = pattern_.substr(at_ + 2, end - at_ - 2);
          const bool other = name.starts_with('^');
          if (other) name.remove_prefix(1);
          const auto* known = std::find_if(std::begin(kPosixClasses), std::end(kPosixClasses),
                                           [&](const auto& c) { return c.name == name; });
          LINNET_REQUIRE(known != std::end(kPosixClasses), wrong("names an unknown class of characters"));
          CodePointSet posix = ascii_set(known->ranges);
          if (other) posix.negate();
          set.add(posix);
          at_ = end + 2;
          continue;
        }
      }
      LINNET_ASSIGN(const bool is_class, escaped_class(set));
      if (is_class) continue;
      LINNET_ASSIGN(const char32_t low, bracket_end());
      char32_t high = low;
      if (sees("-") && !sees("-]")) {
        ++at_;
        LINNET_REQUIRE(more(), wrong("has a '[' without ']'"));
        LINNET_ASSIGN(high, bracket_end());
        LINNET_REQUIRE(low <= high, wrong("has a range of characters that runs backwards"));
      }
      set.add(low, high);
    }
    ++at_;
    return add_set(std::move(set), negated);
  }

  Result<char32_t> bracket_end() {
    if (sees("\\")) return escape();
    return next();
  }

  // Reads \d, \pN and their like into the set; false when something else comes.
  Result<bool> escaped_class(CodePointSet& set) {
    if (!sees("\\") || at_ + 1 >= pattern_.size()) return false;
    const char letter = pattern_[at_ + 1];
    CodePointSet found;
    bool negated = letter >= 'A' && letter <= 'Z';
    switch (letter) {
      case 'd':
      case 'D': found = ascii_set("09"); break;
      case 's':
      case 'S': found = ascii_set("\t\n\f\r  "); break;
      case 'w':
      case 'W': found = ascii_set("09AZaz__"); break;
      case 'p':
      case 'P': {
        std::string_view name = pattern_.substr(at_ + 2, 1);
        size_t length = 1;
        if (name == "{") {
          const size_t end = pattern_.find('}', at_);
          LINNET_REQUIRE(end != std::string_view::npos, wrong("has a '\\p{' without '}'"));
          name = pattern_.substr(at_ + 3, end - at_ - 3);
          length = end - at_ - 1;
        }
        if (name.starts_with('^')) {
          negated = !negated;
          name.remove_prefix(1);
        }
        LINNET_REQUIRE(add_unicode_class(name, found), wrong("names a class of characters that is not known"));
        at_ += length;
        break;
      }
      default: return false;
    }
    at_ += 2;
    found.normalize();
    if (negated) found.negate();
    set.add(found);
    return true;
  }

  // One escaped character.
  Result<char32_t> escape() {
    ++at_;
    LINNET_REQUIRE(more(), wrong("ends with '\\'"));
    const char32_t c = next();
    constexpr std::string_view kNames = "afnrtv", kMeanings = "\a\f\n\r\t\v";
    if (c < 0x80) {
      if (const size_t i = kNames.find(static_cast<char>(c)); i != std::string_view::npos)
        return char32_t(kMeanings[i]);
    }
    if (c == 'x') return hexadecimal();
    const auto octal = [&] { return more() && pattern_[at_] >= '0' && pattern_[at_] <= '7'; };
    if (c == '0' || (c >= '1' && c <= '7' && octal())) {
      char32_t value = c - '0';
      for (int digits = c == '0' ? 0 : 1; digits < (c == '0' ? 2 : 3) && octal(); ++digits)
        value = value * 8 + static_cast<char32_t>(pattern_[at_++] - '0');
      return value;
    }
    const bool letter = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    LINNET_REQUIRE(!letter, wrong("has an escape that is not known"));
    return c;
  }

  // Behind \x.
  Result<char32_t> hexadecimal() {
    const bool braces = take("{");
    char32_t value = 0;
    size_t digits = 0;
    for (; more() && std::isxdigit(static_cast<unsigned char>(pattern_[at_])) && (braces || digits < 2);
         ++digits, ++at_) {
      const char d = static_cast<char>(pattern_[at_] | 0x20);
      value = value * 16 + static_cast<char32_t>(d <= '9' ? (d & 0xf) : d - 'a' + 10);
      LINNET_REQUIRE(value <= 0x10ffff, wrong("names a character beyond Unicode"));
    }
    LINNET_REQUIRE(digits > 0 && (braces ? take("}") : digits == 2), wrong("has a bad '\\x'"));
    return value;
  }

  std::string_view pattern_;
  size_t at_ = 0;
  Flags flags_;
  RegexTree tree_;
};

}  // namespace

Result<RegexTree> parse_regex(std::string_view pattern) { return Parser(pattern).parse(); }

}  // namespace linnet
