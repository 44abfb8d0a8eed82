#include "base/regex.h"

#include <algorithm>
#include <string>

#include "base/unicode.h"

namespace linnet {
namespace {

using Range = Regex::Range;
using Set = Regex::Set;
using Step = Regex::Step;

constexpr char32_t kEnd = kInvalidCodePoint;  // before the first and after the last character
constexpr char32_t kMaxCodePoint = 0x10ffff;
constexpr int kMaxRepeat = 1000;
constexpr int kMaxDepth = 250;
constexpr size_t kMaxProgram = size_t{1} << 16;

bool is_word(char32_t c) noexcept {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

struct NamedClass {
  std::string_view name;
  std::vector<Range> ranges;
};

const std::vector<NamedClass>& named_classes() {
  static const std::vector<NamedClass> classes = {
      {"d", {{'0', '9'}}},
      {"w", {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}},
      {"s", {{'\t', '\n'}, {'\f', '\r'}, {' ', ' '}}},
      {"alnum", {{'0', '9'}, {'A', 'Z'}, {'a', 'z'}}},
      {"alpha", {{'A', 'Z'}, {'a', 'z'}}},
      {"ascii", {{0, 127}}},
      {"blank", {{'\t', '\t'}, {' ', ' '}}},
      {"cntrl", {{0, 31}, {127, 127}}},
      {"digit", {{'0', '9'}}},
      {"graph", {{'!', '~'}}},
      {"lower", {{'a', 'z'}}},
      {"print", {{' ', '~'}}},
      {"punct", {{'!', '/'}, {':', '@'}, {'[', '`'}, {'{', '~'}}},
      {"space", {{'\t', '\r'}, {' ', ' '}}},
      {"upper", {{'A', 'Z'}}},
      {"word", {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}},
      {"xdigit", {{'0', '9'}, {'A', 'F'}, {'a', 'f'}}},
  };
  return classes;
}

// Adds a named class, or what is not in it, to a set. The ranges of a named class are sorted.
bool add_named(Set& set, std::string_view name, bool negated) {
  for (const NamedClass& known : named_classes()) {
    if (known.name != name) continue;
    if (!negated) {
      set.ranges.insert(set.ranges.end(), known.ranges.begin(), known.ranges.end());
      return true;
    }
    char32_t next = 0;
    for (const Range& r : known.ranges) {
      if (r.first > next) set.ranges.push_back({next, r.first - 1});
      next = r.last + 1;
    }
    set.ranges.push_back({next, kMaxCodePoint});
    return true;
  }
  return false;
}

struct Expression {
  enum Kind : uint8_t { empty, set, assertion, sequence, choice, repeat } kind = empty;
  Step step = Step::match;        // of an assertion
  uint32_t index = 0;             // of a set
  int min = 0, max = 0;           // of a repeat; max -1 is without limit
  std::vector<Expression> parts;  // of a sequence, a choice; the one of a repeat
};

struct Flags {
  bool fold = false, dot_all = false, lines = false;
};

class Parser {
 public:
  Parser(std::string_view pattern, std::vector<Set>& sets) : rest_(pattern), sets_(sets) {}

  Result<Expression> parse() {
    Flags flags;
    LINNET_ASSIGN(Expression whole, choice(flags, 0));
    LINNET_REQUIRE(rest_.empty(), wrong("a ')' without '('"));
    return whole;
  }

 private:
  static Status wrong(std::string_view why) { return invalid_model("the regular expression has ", why); }

  bool starts(std::string_view text) const noexcept { return rest_.starts_with(text); }
  bool take(std::string_view text) noexcept {
    if (!starts(text)) return false;
    rest_.remove_prefix(text.size());
    return true;
  }
  Result<char32_t> character() {
    LINNET_REQUIRE(!rest_.empty(), wrong("an end within something"));
    const char32_t c = next_code_point(rest_);
    LINNET_REQUIRE(c != kInvalidCodePoint, wrong("invalid UTF-8"));
    return c;
  }

  Expression of_set(Set set) {
    sets_.push_back(std::move(set));
    Expression e;
    e.kind = Expression::set;
    e.index = static_cast<uint32_t>(sets_.size() - 1);
    return e;
  }
  static Expression assertion(Step step) {
    Expression e;
    e.kind = Expression::assertion;
    e.step = step;
    return e;
  }

  // Flags that a group without name sets last until the end of the group around it.
  Result<Expression> choice(Flags flags, int depth) {
    LINNET_REQUIRE(depth < kMaxDepth, wrong("groups nested too deeply"));
    Expression all;
    all.kind = Expression::choice;
    do {
      LINNET_ASSIGN(Expression part, sequence(flags, depth));
      all.parts.push_back(std::move(part));
    } while (take("|"));
    return all;
  }

  Result<Expression> sequence(Flags& flags, int depth) {
    Expression all;
    all.kind = Expression::sequence;
    while (!rest_.empty() && !starts("|") && !starts(")")) {
      LINNET_REQUIRE(!starts("*") && !starts("+") && !starts("?"), wrong("nothing to repeat"));
      if (take("\\Q")) {
        const size_t before = all.parts.size();
        while (!rest_.empty() && !take("\\E")) {
          LINNET_ASSIGN(const char32_t c, character());
          all.parts.push_back(of_set({{{c, c}}, false, flags.fold}));
        }
        if (all.parts.size() == before) continue;
        LINNET_ASSIGN(Expression part, repeated(std::move(all.parts.back())));
        all.parts.back() = std::move(part);
        continue;
      }
      LINNET_ASSIGN(Expression part, atom(flags, depth));
      LINNET_ASSIGN(part, repeated(std::move(part)));
      all.parts.push_back(std::move(part));
    }
    return all;
  }

  Result<Expression> repeated(Expression part) {
    for (int levels = 0;; ++levels) {
      int min = 0, max = -1;
      if (take("*")) {
      } else if (take("+")) {
        min = 1;
      } else if (take("?")) {
        max = 1;
      } else if (!bounds(min, max)) {
        return part;
      }
      LINNET_REQUIRE(levels == 0, wrong("a repetition of a repetition"));
      LINNET_REQUIRE(min <= kMaxRepeat && max <= kMaxRepeat && (max < 0 || min <= max),
                     wrong("a repetition out of range"));
      take("?");  // what is preferred does not matter to a full match
      Expression e;
      e.kind = Expression::repeat;
      e.min = min;
      e.max = max;
      e.parts.push_back(std::move(part));
      part = std::move(e);
    }
  }

  // {n}, {n,} or {n,m}; anything else in braces is literal.
  bool bounds(int& min, int& max) noexcept {
    std::string_view text = rest_;
    const auto number = [&](int& value) {
      size_t digits = 0;
      for (value = 0; digits < text.size() && text[digits] >= '0' && text[digits] <= '9'; ++digits)
        value = std::min(value * 10 + (text[digits] - '0'), kMaxRepeat + 1);
      text.remove_prefix(digits);
      return digits != 0;
    };
    const auto skip = [&](char c) {
      if (text.empty() || text[0] != c) return false;
      text.remove_prefix(1);
      return true;
    };
    if (!skip('{') || !number(min)) return false;
    max = min;
    if (skip(',') && !number(max)) max = -1;
    if (!skip('}')) return false;
    rest_ = text;
    return true;
  }

  Result<Expression> atom(Flags& flags, int depth) {
    if (take("(")) return group(flags, depth);
    if (take("[")) return bracket(flags);
    if (take(".")) {
      Set set{{}, true, false};
      if (!flags.dot_all) set.ranges.push_back({'\n', '\n'});
      return of_set(std::move(set));
    }
    if (take("^")) return assertion(flags.lines ? Step::line_begin : Step::text_begin);
    if (take("$")) return assertion(flags.lines ? Step::line_end : Step::text_end);
    if (take("\\A")) return assertion(Step::text_begin);
    if (take("\\z")) return assertion(Step::text_end);
    if (take("\\b")) return assertion(Step::word_edge);
    if (take("\\B")) return assertion(Step::no_word_edge);
    Set set;
    set.fold = flags.fold;
    LINNET_TRY(member(set));
    return of_set(std::move(set));
  }

  Result<Expression> group(Flags& flags, int depth) {
    Flags inner = flags;
    if (take("?P<") || take("?<")) {
      const size_t name = rest_.find('>');
      LINNET_REQUIRE(name != rest_.npos && name != 0, wrong("a group with an unfinished name"));
      rest_.remove_prefix(name + 1);
    } else if (take("?")) {
      bool on = true;
      while (!starts(":") && !starts(")")) {
        LINNET_ASSIGN(const char32_t c, character());
        if (c == '-' && on)
          on = false;
        else if (c == 'i')
          inner.fold = on;
        else if (c == 's')
          inner.dot_all = on;
        else if (c == 'm')
          inner.lines = on;
        else if (c != 'U')
          return wrong("an unknown kind of group");
      }
      if (take(")")) {
        flags = inner;
        return Expression();
      }
      take(":");
    }
    LINNET_ASSIGN(Expression whole, choice(inner, depth + 1));
    LINNET_REQUIRE(take(")"), wrong("a '(' without ')'"));
    return whole;
  }

  Result<Expression> bracket(const Flags& flags) {
    Set set{{}, take("^"), flags.fold};
    for (bool first = true; first || !starts("]"); first = false) {
      LINNET_REQUIRE(!rest_.empty(), wrong("a '[' without ']'"));
      if (take("[:")) {
        const bool negated = take("^");
        const size_t end = rest_.find(":]");
        LINNET_REQUIRE(end != rest_.npos && add_named(set, rest_.substr(0, end), negated),
                       wrong("an unknown class in brackets"));
        rest_.remove_prefix(end + 2);
        continue;
      }
      LINNET_TRY(member(set));
      const bool is_range = starts("-") && rest_.size() > 1 && rest_[1] != ']';
      if (!is_range) continue;
      LINNET_REQUIRE(single_, wrong("a range that starts with a class"));
      const char32_t from = set.ranges.back().first;
      set.ranges.pop_back();
      take("-");
      LINNET_TRY(member(set));
      LINNET_REQUIRE(single_ && from <= set.ranges.back().last, wrong("a range that runs backwards"));
      set.ranges.back().first = from;
    }
    take("]");
    return of_set(std::move(set));
  }

  // A character, an escaped one, or a class like \d. `single_` tells which.
  Status member(Set& set) {
    single_ = true;
    LINNET_ASSIGN(char32_t c, character());
    if (c == '\\') {
      LINNET_ASSIGN(c, character());
      const char name = c < 128 ? static_cast<char>(c | 0x20) : '\0';
      if (name == 'd' || name == 'w' || name == 's') {
        single_ = false;
        add_named(set, std::string_view(&name, 1), c != static_cast<unsigned char>(name));
        return {};
      }
      LINNET_ASSIGN(c, escaped(c));
    }
    set.ranges.push_back({c, c});
    return {};
  }

  Result<char32_t> escaped(char32_t c) {
    switch (c) {
      case 'a': return U'\a';
      case 'f': return U'\f';
      case 'n': return U'\n';
      case 'r': return U'\r';
      case 't': return U'\t';
      case 'v': return U'\v';
      case 'x': return hexadecimal();
      default: break;
    }
    if (c == '0' || (c >= '1' && c <= '7' && !rest_.empty() && rest_[0] >= '0' && rest_[0] <= '7')) {
      char32_t value = c - '0';
      for (int i = 0; i < 2 && !rest_.empty() && rest_[0] >= '0' && rest_[0] <= '7'; ++i, rest_.remove_prefix(1))
        value = value * 8 + static_cast<char32_t>(rest_[0] - '0');
      return value;
    }
    if (c == 'p' || c == 'P' || c == 'C')
      return unsupported("the regular expression has \\p or \\C, which is not supported");
    LINNET_REQUIRE(!is_word(c), wrong("an unknown escape"));
    return c;
  }

  Result<char32_t> hexadecimal() {
    const bool braces = take("{");
    char32_t value = 0;
    int digits = 0;
    for (; !rest_.empty() && (braces || digits < 2); ++digits, rest_.remove_prefix(1)) {
      const char c = rest_[0];
      const int digit = c >= '0' && c <= '9'                     ? c - '0'
                        : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
                                                                 : -1;
      if (digit < 0) break;
      value = value * 16 + static_cast<char32_t>(digit);
      LINNET_REQUIRE(value <= kMaxCodePoint, wrong("a code point that is too large"));
    }
    LINNET_REQUIRE(digits > (braces ? 0 : 1) && (!braces || take("}")), wrong("an unfinished \\x"));
    return value;
  }

  std::string_view rest_;
  std::vector<Set>& sets_;
  bool single_ = true;
};

// Appends the instructions of an expression; each goes on to the one behind it. False when there are too many.
bool emit(const Expression& e, std::vector<Regex::Instruction>& out) {
  const auto here = [&] { return static_cast<uint32_t>(out.size()); };
  const auto add = [&](Step step, uint32_t target = 0, uint32_t other = 0) {
    out.push_back({step, target, other});
    return out.size() <= kMaxProgram;
  };
  switch (e.kind) {
    case Expression::empty: return true;
    case Expression::set: return add(Step::set, e.index);
    case Expression::assertion: return add(e.step);
    case Expression::sequence:
      return std::all_of(e.parts.begin(), e.parts.end(), [&](const Expression& part) { return emit(part, out); });
    case Expression::choice: {
      std::vector<uint32_t> ends;
      for (size_t i = 0; i < e.parts.size(); ++i) {
        const uint32_t split = here();
        const bool last = i + 1 == e.parts.size();
        if (!last && !add(Step::split, split + 1)) return false;
        if (!emit(e.parts[i], out)) return false;
        if (last) break;
        ends.push_back(here());
        if (!add(Step::jump)) return false;
        out[split].other = here();
      }
      for (const uint32_t end : ends) out[end].target = here();
      return true;
    }
    case Expression::repeat: {
      for (int i = 0; i < e.min; ++i) {
        const size_t before = out.size();
        if (!emit(e.parts[0], out)) return false;
        if (out.size() == before) return true;  // nothing, however often
      }
      if (e.max < 0) {
        const uint32_t split = here();
        if (!add(Step::split, split + 1) || !emit(e.parts[0], out) || !add(Step::jump, split)) return false;
        out[split].other = here();
        return true;
      }
      std::vector<uint32_t> splits;
      for (int i = e.min; i < e.max; ++i) {
        splits.push_back(here());
        if (!add(Step::split, here() + 1) || !emit(e.parts[0], out)) return false;
      }
      for (const uint32_t split : splits) out[split].other = here();
      return true;
    }
  }
  return true;
}

// Whether an assertion holds between two characters.
bool holds(Step step, char32_t before, char32_t after) noexcept {
  switch (step) {
    case Step::text_begin: return before == kEnd;
    case Step::text_end: return after == kEnd;
    case Step::line_begin: return before == kEnd || before == '\n';
    case Step::line_end: return after == kEnd || after == '\n';
    case Step::word_edge: return is_word(before) != is_word(after);
    case Step::no_word_edge: return is_word(before) == is_word(after);
    default: return false;
  }
}

}  // namespace

bool Regex::Set::contains(char32_t c) const noexcept {
  const auto in_ranges = [&](char32_t x) {
    return std::any_of(ranges.begin(), ranges.end(), [x](const Range& r) { return r.first <= x && x <= r.last; });
  };
  const bool found = in_ranges(c) || (fold && (in_ranges(to_lower(c)) || in_ranges(to_upper(c))));
  return found != negated;
}

Result<Regex> Regex::compile(std::string_view pattern) {
  Regex regex;
  LINNET_ASSIGN(const Expression whole, Parser(pattern, regex.sets_).parse());
  LINNET_REQUIRE(emit(whole, regex.program_), unsupported("the regular expression is too large"));
  regex.program_.push_back({Step::match});
  return regex;
}

bool Regex::full_match(std::string_view text) const {
  // All states that the text read so far can lead to; `seen` holds the position at which each was last entered.
  std::vector<uint32_t> now, next, stack;
  std::vector<size_t> seen(program_.size(), 0);
  size_t position = 0;
  bool matched = false;
  const auto enter = [&](uint32_t start, std::vector<uint32_t>& states, char32_t before, char32_t after) {
    stack.assign(1, start);
    while (!stack.empty()) {
      const uint32_t at = stack.back();
      stack.pop_back();
      if (seen[at] == position + 1) continue;
      seen[at] = position + 1;
      const Instruction& i = program_[at];
      if (i.step == Step::set) {
        states.push_back(at);
      } else if (i.step == Step::jump) {
        stack.push_back(i.target);
      } else if (i.step == Step::split) {
        stack.push_back(i.target);
        stack.push_back(i.other);
      } else if (i.step == Step::match) {
        matched = after == kEnd;
      } else if (holds(i.step, before, after)) {
        stack.push_back(at + 1);
      }
    }
  };
  const auto read = [&text]() -> char32_t { return text.empty() ? kEnd : next_code_point(text); };

  bool last = text.empty();
  char32_t c = read();
  if (!last && c == kInvalidCodePoint) return false;
  enter(0, now, kEnd, c);
  while (!last && !now.empty()) {
    ++position;
    last = text.empty();
    const char32_t after = read();
    if (!last && after == kInvalidCodePoint) return false;
    matched = false;
    next.clear();
    for (const uint32_t at : now)
      if (sets_[program_[at].target].contains(c)) enter(at + 1, next, c, after);
    now.swap(next);
    c = after;
  }
  return last && matched;
}

}  // namespace linnet
