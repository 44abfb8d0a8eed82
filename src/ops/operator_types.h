// What each operator declares of element types and kernels: checked when a model loads, listed by `linnet inspect
// --operators` and docs/operators.md.
#pragma once

#include <span>

#include "ops/element_types.h"

namespace linnet {

struct OperatorTypes {
  static constexpr uint8_t kOutput = 255;
  std::string_view domain, name;
  // Which input `types` speaks of (of what it holds, for a sequence or optional); kOutput for output 0. What else an
  // operator asks of its inputs' types, its infer checks.
  uint8_t typed;
  bool simd;  // its family has vector kernels; what they do not serve goes through plain code
  TypeSet types;
};

// By domain, then by name.
std::span<const OperatorTypes> all_operator_types() noexcept;
// Nullptr where the operator declares nothing.
const OperatorTypes* types_of(std::string_view domain, std::string_view name) noexcept;

// Fails where a node has another type than is declared: before its inference, and after it.
Status check_inputs(const OperatorTypes& declared, std::span<const ValueInfo* const> inputs);
Status check_outputs(const OperatorTypes& declared, std::span<ValueInfo* const> outputs);

}  // namespace linnet
