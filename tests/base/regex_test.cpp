#include "base/regex.h"

#include <gtest/gtest.h>

#include <string>

#include "base/unicode.h"

namespace linnet {
namespace {

bool matches(std::string_view pattern, std::string_view text) {
  const auto regex = Regex::compile(pattern);
  EXPECT_TRUE(regex.ok()) << pattern << ": " << regex.status().message();
  return regex.ok() && regex->full_match(text);
}

struct Case {
  std::string_view pattern, matching, other;  // texts separated by '|'
};

std::vector<std::string_view> split(std::string_view list) {
  std::vector<std::string_view> texts;
  for (size_t end; (end = list.find('|')) != list.npos; list.remove_prefix(end + 1))
    texts.push_back(list.substr(0, end));
  texts.push_back(list);
  return texts;
}

// What Python's re.fullmatch answers as well, for all but the flags' scope.
TEST(Regex, MatchesWholeTexts) {
  const Case cases[] = {
      {"", "", "a"},
      {"a|bc|", "a|bc|", "b|ab"},
      {"a*b+c?", "b|aabbc|bc", "a|abcc|"},
      {"(ab){2,3}", "abab|ababab", "ab|abababab"},
      {"x{0}y{2}z{1,}", "yyz|yyzz", "xyyz|yz|yy"},
      {"a{,3}", "a{,3}", "aaa"},
      {"[a-c]+[^a-c]", "abcd|a-", "abc|dd"},
      {"[]x-]+", "]x-", "a"},
      {"[\\d\\-_]+", "1-2_3", "a"},
      {"\\w+\\s\\W\\S", "ab1_ ..|a\t!x", "ab1|a .. "},
      {"[[:alpha:]]+[[:^digit:]]", "abx|a.", "ab1|1."},
      {".", "x|\xc3\xa9", "\n|xy|"},
      {"(?s).", "\n", ""},
      {"(?i)straSSe[é]", "STRASSEÉ|strasseé", "strase"},
      {"(?i:a)b", "Ab|ab", "aB"},
      {"(?:a(?i)b)c", "aBc|abc", "abC|Abc"},
      {"(?P<name>a)(b)", "ab", "a"},
      {"^a$", "a", "aa"},
      {"(?m)^a$\n^b$", "a\nb", "ab"},
      {"a\\b.\\B-?", "a-|a -", "aab|a b"},
      {"\\x41\\x{e9}\\101\\.\\n",
       "A\xc3\xa9"
       "A.\n",
       "A"},
      {"\\Qa.b*\\E+", "a.b*|a.b**", "aabb"},
      {"(a*)*b", "aaaab|b", "aaaa"},
      {"(a|b)*abb", "abb|babaabb", "ab"},
      {"[^\\x00-\\x7f]+", "éß", "é1"},
      {"(\\W|^)[\\w.\\-]{0,25}@(yahoo|gmail)\\.com(\\W|$)", "account@gmail.com|a.b@yahoo.com",
       "account@hotmail.com|x@gmail.com1"},
  };
  for (const Case& c : cases) {
    for (const std::string_view text : split(c.matching))
      EXPECT_TRUE(matches(c.pattern, text)) << c.pattern << " on " << text;
    for (const std::string_view text : split(c.other))
      EXPECT_FALSE(matches(c.pattern, text)) << c.pattern << " on " << text;
  }
}

// As RE2 answers.
TEST(Regex, KnowsClassesOfUnicode) {
  EXPECT_TRUE(matches("\\p{Lu}\\p{Ll}+\\pN", "Émile٣"));
  EXPECT_FALSE(matches("\\PL+", "1a"));
  EXPECT_TRUE(matches("\\p{Greek}+", "αβγ"));
  EXPECT_FALSE(matches("\\p{Greek}", "a"));
  EXPECT_TRUE(matches("[^\\pL]+", "12"));
  EXPECT_TRUE(matches("[\\d-z]+", "1-z"));
  EXPECT_TRUE(matches("(?i)k", "\xe2\x84\xaa"));  // the Kelvin sign
  EXPECT_TRUE(matches("(?i)[σ]+", "ςσΣ"));
}

TEST(Regex, FindsTheLeftmostLongestMatch) {
  const auto find = [](std::string_view pattern, std::string_view text, size_t from) {
    return Regex::compile(pattern)->find(text, from);
  };
  using Match = std::pair<size_t, size_t>;
  EXPECT_EQ(find("a|ab", "xabab", 0), Match(1, 3));
  EXPECT_EQ(find("a|ab", "xabab", 2), Match(3, 5));
  EXPECT_EQ(find("b*", "abb", 0), Match(0, 0));
  EXPECT_EQ(find("\\bb+", "abb bb", 1), Match(4, 6));
  EXPECT_EQ(find("a.*c|b", "ab", 0), Match(1, 2));
  EXPECT_EQ(find("z", "abc", 0), std::nullopt);
  EXPECT_EQ(find("é+", "aéé", 0), Match(1, 5));
}

TEST(Regex, RefusesWhatItDoesNotKnow) {
  for (const std::string_view pattern : {"(",
                                         ")",
                                         "[",
                                         "[a",
                                         "a**",
                                         "*",
                                         "a{2,1}",
                                         "a{1001}",
                                         "\\",
                                         "\\y",
                                         "\\1",
                                         "(?=a)",
                                         "(?P<n",
                                         "[b-a]",
                                         "[a-\\d]",
                                         "\\x{110000}",
                                         "\\p{Nothing}",
                                         "[[:nothing:]]",
                                         "\xff",
                                         "(((a{1000}){1000}){1000})"})
    EXPECT_FALSE(Regex::compile(pattern).ok()) << pattern;
  std::string deep(100000, '(');
  EXPECT_FALSE(Regex::compile(deep).ok());
}

TEST(Regex, TakesLinearTime) {
  EXPECT_FALSE(matches("(a?){100}a{100}", std::string(99, 'a')));
  EXPECT_FALSE(Regex::compile("((((){1000}){1000}){1000}){1000}").ok());
  EXPECT_FALSE(matches("(x+x+)+y", std::string(20000, 'x')));
}

TEST(Regex, InvalidTextMatchesNothing) { EXPECT_FALSE(matches(".*", "a\xff")); }

TEST(Unicode, MapsCases) {
  EXPECT_EQ(to_lower("ÀÉÎ ΑΒΓ ЖЗ ǅ Ⅷ A1"), "àéî αβγ жз ǆ ⅷ a1");
  EXPECT_EQ(to_upper("àéî αβγς жз ÿ ⅷ z"), "ÀÉÎ ΑΒΓΣ ЖЗ Ÿ Ⅷ Z");
  EXPECT_EQ(to_upper("a\xff\xc3z"), "A\xff\xc3Z");
}

TEST(Unicode, RefusesInvalidSequences) {
  for (std::string_view text : {"\x80", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\xff"}) {
    const size_t size = text.size();
    EXPECT_EQ(next_code_point(text), kInvalidCodePoint);
    EXPECT_EQ(text.size(), size - 1);
  }
  std::string_view euro = "\xe2\x82\xac!";
  EXPECT_EQ(next_code_point(euro), U'€');
  EXPECT_EQ(euro, "!");
}

}  // namespace
}  // namespace linnet
