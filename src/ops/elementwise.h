// Functions of elements by the names of the operators that compute them: what linnet.Elementwise is made of.
#pragma once

#include <optional>
#include <string_view>

#include "kernels/elementwise/chain.h"

namespace linnet {

struct UnaryFunction {
  std::string_view name;
  UnaryFn fn;
  bool integers = false;  // besides float types
  std::string_view alpha = {};
  float alpha_default = 0.0f;
  std::string_view beta = {};
  float beta_default = 0.0f;
};
// Those of one number with float parameters; Clip, the forms of Gelu and Rsqrt, too. Nullptr for others.
const UnaryFunction* unary_function(std::string_view name) noexcept;

struct ElementwiseFunction {
  ChainKind kind = ChainKind::unary;
  uint8_t fn = 0;
};
constexpr size_t operand_count(ChainKind kind) noexcept {
  if (kind == ChainKind::select) return 3;
  return kind == ChainKind::unary || kind == ChainKind::negate || kind == ChainKind::cast ? 1 : 2;
}
// A step of linnet.Elementwise. Nothing where there is no such function.
std::optional<ElementwiseFunction> elementwise_function(std::string_view name) noexcept;

}  // namespace linnet
