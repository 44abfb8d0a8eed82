// The equation of Einsum: which axis of which operand has which label.
#pragma once

#include <string_view>
#include <vector>

#include "base/result.h"

namespace linnet {

// A label of an axis: 0 to 25 for a to z, 26 to 51 for A to Z. Axes that an ellipsis stands for are labelled from
// kEllipsis on, the last axis with the highest number, so that they align from the right.
using Label = uint8_t;
inline constexpr Label kEllipsis = 52;
inline constexpr size_t kMaxEllipsisAxes = 32;
inline constexpr size_t kLabelCount = kEllipsis + kMaxEllipsisAxes;

struct EinsumEquation {
  static constexpr Label kDots = 255;  // where the ellipsis stands

  std::vector<std::vector<Label>> operands;
  std::vector<Label> output;

  // The labels of one term's axes, given how many the ellipsis stands for.
  static std::vector<Label> expand(const std::vector<Label>& term, size_t ellipsis_axes);
};

// Without "->" the output has each label that appears once, in alphabetical order, behind the ellipsis.
Result<EinsumEquation> parse_einsum(std::string_view equation);

}  // namespace linnet
