#include "ops/einsum_equation.h"

#include <algorithm>
#include <array>

namespace linnet {
namespace {

Result<std::vector<Label>> parse_term(std::string_view text) {
  std::vector<Label> term;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c >= 'a' && c <= 'z') {
      term.push_back(static_cast<Label>(c - 'a'));
    } else if (c >= 'A' && c <= 'Z') {
      term.push_back(static_cast<Label>(c - 'A' + 26));
    } else if (text.substr(i, 3) == "...") {
      LINNET_REQUIRE(std::find(term.begin(), term.end(), EinsumEquation::kDots) == term.end(),
                     invalid_model("the equation's term '", text, "' has two ellipses"));
      term.push_back(EinsumEquation::kDots);
      i += 2;
    } else {
      return invalid_model("the equation's term '", text, "' has the character '", c, "'");
    }
  }
  return term;
}

}  // namespace

std::vector<Label> EinsumEquation::expand(const std::vector<Label>& term, size_t ellipsis_axes) {
  std::vector<Label> labels;
  for (const Label label : term) {
    if (label != kDots) {
      labels.push_back(label);
      continue;
    }
    for (size_t i = 0; i < ellipsis_axes; ++i) labels.push_back(static_cast<Label>(kLabelCount - ellipsis_axes + i));
  }
  return labels;
}

Result<EinsumEquation> parse_einsum(std::string_view equation) {
  std::string text;
  for (const char c : equation)
    if (c != ' ') text += c;
  const size_t arrow = text.find("->");
  const std::string_view left = std::string_view(text).substr(0, arrow);
  EinsumEquation e;
  for (size_t begin = 0; begin <= left.size();) {
    const size_t end = std::min(left.find(',', begin), left.size());
    LINNET_ASSIGN(std::vector<Label> term, parse_term(left.substr(begin, end - begin)));
    e.operands.push_back(std::move(term));
    begin = end + 1;
  }
  std::array<int, 256> uses{};
  for (const std::vector<Label>& term : e.operands)
    for (const Label label : term) ++uses[label];
  if (arrow != std::string::npos) {
    LINNET_ASSIGN(e.output, parse_term(std::string_view(text).substr(arrow + 2)));
    std::array<int, 256> seen{};
    for (const Label label : e.output) {
      LINNET_REQUIRE(++seen[label] == 1, invalid_model("the equation's output repeats a label"));
      LINNET_REQUIRE(uses[label] > 0 || label == EinsumEquation::kDots,
                     invalid_model("the equation's output has a label that no term has"));
    }
    return e;
  }
  if (uses[EinsumEquation::kDots] > 0) e.output.push_back(EinsumEquation::kDots);
  // Capital letters come first, as in ASCII.
  for (Label i = 0; i < 52; ++i) {
    const Label label = static_cast<Label>((i + 26) % 52);
    if (uses[label] == 1) e.output.push_back(label);
  }
  return e;
}

}  // namespace linnet
