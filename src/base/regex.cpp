// Thompson's simulation: all states that the text so far can lead to, advanced together.
// https://swtch.com/~rsc/regexp/regexp2.html
#include "base/regex.h"

#include <algorithm>

#include "base/regex_parser.h"
#include "base/unicode.h"

namespace linnet {
namespace {

constexpr size_t kMostInstructions = 100'000;
constexpr int kMostCopies = 1000;
constexpr char32_t kEdge = 0xfffffffe;  // what stands before the first and behind the last code point

// Beyond it, nothing has case.
constexpr char32_t kLastCased = 0x1e943;
// What folds to the same as a pair of upper and lower case, but is neither: the Kelvin sign, the long s, the final
// sigma... https://www.unicode.org/Public/14.0.0/ucd/CaseFolding.txt
constexpr std::pair<char32_t, char32_t> kVariants[] = {
    {0xb5, 0x3bc},    {0x17f, 0x73},    {0x1c5, 0x1c6},  {0x1c8, 0x1c9},  {0x1cb, 0x1cc},  {0x1f2, 0x1f3},
    {0x345, 0x3b9},   {0x3c2, 0x3c3},   {0x3d0, 0x3b2},  {0x3d1, 0x3b8},  {0x3d5, 0x3c6},  {0x3d6, 0x3c0},
    {0x3f0, 0x3ba},   {0x3f1, 0x3c1},   {0x3f4, 0x3b8},  {0x3f5, 0x3b5},  {0x1c80, 0x432}, {0x1c81, 0x434},
    {0x1c82, 0x43e},  {0x1c83, 0x441},  {0x1c84, 0x442}, {0x1c85, 0x442}, {0x1c86, 0x44a}, {0x1c87, 0x463},
    {0x1c88, 0xa64b}, {0x1e9b, 0x1e61}, {0x1fbe, 0x3b9}, {0x2126, 0x3c9}, {0x212a, 0x6b},  {0x212b, 0xe5},
};

bool is_word(char32_t c) noexcept {
  return c < 0x80 && ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || c == '_' || (c >= 'a' && c <= 'z'));
}

}  // namespace

void CodePointSet::add_other_case() {
  const size_t count = ranges_.size();
  for (size_t i = 0; i < count; ++i) {
    const auto [first, last] = ranges_[i];
    for (char32_t c = first; c <= std::min(last, kLastCased); ++c) {
      const char32_t lower = to_lower(to_upper(c));
      for (const char32_t other : {lower, to_lower(c), to_upper(c), to_upper(to_lower(c))})
        if (other != c) ranges_.emplace_back(other, other);
      for (const auto& [variant, folded] : kVariants)
        if (folded == lower) ranges_.emplace_back(variant, variant);
    }
  }
}

void CodePointSet::normalize() {
  std::sort(ranges_.begin(), ranges_.end());
  size_t kept = 0;
  for (const auto& [first, last] : ranges_) {
    if (kept > 0 && first <= ranges_[kept - 1].second + 1) {
      ranges_[kept - 1].second = std::max(ranges_[kept - 1].second, last);
    } else {
      ranges_[kept++] = {first, last};
    }
  }
  ranges_.resize(kept);
}

void CodePointSet::negate() {
  std::vector<Range> others;
  char32_t next = 0;
  for (const auto& [first, last] : ranges_) {
    if (first > next) others.emplace_back(next, first - 1);
    next = last + 1;
  }
  if (next <= 0x10ffff) others.emplace_back(next, 0x10ffff);
  ranges_ = std::move(others);
}

bool CodePointSet::contains(char32_t c) const noexcept {
  const auto range =
      std::upper_bound(ranges_.begin(), ranges_.end(), c, [](char32_t v, const Range& r) { return v < r.first; });
  return range != ranges_.begin() && c <= std::prev(range)->second;
}

// Emits from the end to the start: each part knows what follows it.
class RegexCompiler {
 public:
  explicit RegexCompiler(RegexTree tree) : tree_(std::move(tree)) {}

  Result<Regex> compile() {
    const uint32_t match = emit(Regex::Instruction::match, 0, 0);
    regex_.start_ = part(tree_.root, match);
    if (full_) return invalid_model("the pattern is too large once its repetitions are written out");
    regex_.sets_ = std::move(tree_.sets);
    return std::move(regex_);
  }

 private:
  uint32_t emit(Regex::Instruction::Kind kind, uint32_t next, uint32_t other) {
    if (regex_.program_.size() >= kMostInstructions) {
      full_ = true;
      return 0;
    }
    regex_.program_.push_back({kind, {}, next, other});
    return static_cast<uint32_t>(regex_.program_.size() - 1);
  }

  // The start of the instructions for the node, which lead on to `next`.
  uint32_t part(uint32_t id, uint32_t next) {
    if (full_) return 0;
    const RegexNode& node = tree_.nodes[id];
    switch (node.kind) {
      case RegexNode::empty: return next;
      case RegexNode::member: return emit(Regex::Instruction::set, next, node.set);
      case RegexNode::concat:
        for (size_t i = node.children.size(); i-- > 0;) next = part(node.children[i], next);
        return next;
      case RegexNode::either: {
        uint32_t start = part(node.children.back(), next);
        for (size_t i = node.children.size() - 1; i-- > 0;)
          start = emit(Regex::Instruction::split, part(node.children[i], next), start);
        return start;
      }
      case RegexNode::repeat: return repeat(node, next);
      default: {
        const uint32_t at = emit(Regex::Instruction::assertion, next, 0);
        regex_.program_[at].assertion_kind = static_cast<Regex::Assertion>(node.kind - RegexNode::text_begin);
        return at;
      }
    }
  }

  // Nested bounds multiply, even where there is nothing to emit.
  uint32_t repeat(const RegexNode& node, uint32_t next) {
    const int outer = copies_;
    copies_ *= std::max({node.least, node.most, 1});
    if (copies_ > kMostCopies) full_ = true;
    next = repeat_within(node, next);
    copies_ = outer;
    return next;
  }

  uint32_t repeat_within(const RegexNode& node, uint32_t next) {
    if (node.most < 0) {
      const uint32_t loop = emit(Regex::Instruction::split, 0, next);
      const uint32_t body = part(node.children[0], loop);
      if (full_) return 0;
      regex_.program_[loop].next = body;
      next = loop;
    } else {
      const uint32_t end = next;
      for (int i = node.least; i < node.most && !full_; ++i)
        next = emit(Regex::Instruction::split, part(node.children[0], next), end);
    }
    for (int i = 0; i < node.least && !full_; ++i) next = part(node.children[0], next);
    return next;
  }

  RegexTree tree_;
  Regex regex_;
  bool full_ = false;
  int copies_ = 1;  // of the part at hand
};

Result<Regex> Regex::compile(std::string_view pattern) {
  LINNET_ASSIGN(RegexTree tree, parse_regex(pattern));
  return RegexCompiler(std::move(tree)).compile();
}

// The states of one pass over a text.
struct Regex::Run {
  struct State {
    uint32_t at;
    size_t start;  // of the match that the state belongs to
  };
  const Regex& regex;
  std::vector<State> now, then;
  std::vector<uint32_t> marks, open;
  uint32_t mark = 0;
  bool matched = false;
  size_t match_start = 0;

  explicit Run(const Regex& r) : regex(r), marks(r.program_.size(), 0) {}

  // Forgets which instructions the list under construction has.
  void begin_list() {
    ++mark;
    matched = false;
  }

  // Adds what is reachable from `at` without reading on, given the code points on both sides. The first to reach an
  // instruction keeps it, so matches that start earlier must be added earlier.
  void follow(std::vector<State>& list, uint32_t at, size_t start, char32_t before, char32_t behind) {
    open.assign(1, at);
    while (!open.empty()) {
      at = open.back();
      open.pop_back();
      if (marks[at] == mark) continue;
      marks[at] = mark;
      const Instruction& in = regex.program_[at];
      switch (in.kind) {
        case Instruction::set: list.push_back({at, start}); break;
        case Instruction::split:
          open.push_back(in.other);
          open.push_back(in.next);
          break;
        case Instruction::assertion:
          if (holds(in.assertion_kind, before, behind)) open.push_back(in.next);
          break;
        case Instruction::match:
          matched = true;
          match_start = start;
          break;
      }
    }
  }

  static bool holds(Assertion assertion, char32_t before, char32_t behind) noexcept {
    switch (assertion) {
      case Assertion::text_begin: return before == kEdge;
      case Assertion::text_end: return behind == kEdge;
      case Assertion::line_begin: return before == kEdge || before == '\n';
      case Assertion::line_end: return behind == kEdge || behind == '\n';
      case Assertion::word_boundary: return is_word(before) != is_word(behind);
      case Assertion::no_word_boundary: return is_word(before) == is_word(behind);
    }
    return false;
  }
};

bool Regex::full_match(std::string_view text) const {
  Run run(*this);
  size_t at = 0;
  const auto peek = [&](size_t from) { return from < text.size() ? next_code_point(text, from) : kEdge; };
  run.begin_list();
  run.follow(run.now, start_, 0, kEdge, peek(0));
  while (at < text.size() && !run.now.empty()) {
    const char32_t c = next_code_point(text, at);
    const char32_t behind = peek(at);
    run.then.clear();
    run.begin_list();
    for (const Run::State& state : run.now)
      if (sets_[program_[state.at].other].contains(c)) run.follow(run.then, program_[state.at].next, 0, c, behind);
    run.now.swap(run.then);
  }
  return at == text.size() && run.matched;
}

std::optional<std::pair<size_t, size_t>> Regex::find(std::string_view text, size_t from) const {
  Run run(*this);
  std::optional<std::pair<size_t, size_t>> best;
  size_t at = from;
  char32_t before = kEdge;
  for (size_t i = from; i-- > 0;) {  // back to the start of the code point before `from`
    if ((static_cast<unsigned char>(text[i]) & 0xc0) == 0x80 && i > 0) continue;
    before = next_code_point(text, i);
    break;
  }
  const auto peek = [&](size_t i) { return i < text.size() ? next_code_point(text, i) : kEdge; };
  run.begin_list();
  for (;;) {
    if (!best) run.follow(run.now, start_, at, before, peek(at));
    if (run.matched && (!best || run.match_start <= best->first)) best = {run.match_start, at};
    if (at >= text.size() || (run.now.empty() && best)) return best;
    const char32_t c = next_code_point(text, at);
    const char32_t behind = peek(at);
    run.then.clear();
    run.begin_list();
    for (const Run::State& state : run.now) {
      if (best && state.start > best->first) continue;
      if (sets_[program_[state.at].other].contains(c))
        run.follow(run.then, program_[state.at].next, state.start, c, behind);
    }
    run.now.swap(run.then);
    before = c;
  }
}

}  // namespace linnet
