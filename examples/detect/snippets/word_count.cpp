#include <algorithm>
#include <iostream>
#include <map>
#include <string>
#include <vector>

namespace text {

std::map<std::string, int> count_words(std::istream& in) {
  std::map<std::string, int> counts;
  for (std::string word; in >> word;) ++counts[word];
  return counts;
}

}  // namespace text

int main() {
  const auto counts = text::count_words(std::cin);
  std::vector<std::pair<std::string, int>> sorted(counts.begin(), counts.end());
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  for (const auto& [word, count] : sorted) std::cout << count << '\t' << word << '\n';
}
