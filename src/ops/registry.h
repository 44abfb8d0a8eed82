// Finds operators. The list is explicit (op_list.inc): self-registering globals vanish from static libraries.
#pragma once

#include <span>

#include "ops/op.h"

namespace linnet {

std::span<const OpDef* const> all_ops() noexcept;
// The operator of this name, or nullptr. "ai.onnx" and "" are one domain.
const OpDef* find_op(std::string_view domain, std::string_view name) noexcept;
// The node's operator, a custom one included, or nullptr.
const OpDef* find_op(const Node& node) noexcept;
// The node's operator: arity checked, attributes read and validated. Errors do not name the node; the caller does.
Result<std::unique_ptr<Op>> create_op(const Node& node);

}  // namespace linnet
