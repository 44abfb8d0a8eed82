// Sequences as operators see them: types at load, elements at run.
#pragma once

#include "ops/op.h"

namespace linnet {

// The type of a sequence of tensors of one element type.
ValueInfo sequence_info(DType dtype);
// The type of a sequence whose elements have the given type.
ValueInfo sequence_info(const ValueInfo& element);
// The type of the elements, without shapes: the elements of a sequence may differ in them.
ValueInfo element_info(const ValueInfo& sequence);

// The sequence that input i holds, or an error naming the input.
Result<const Sequence*> sequence_input(const RunContext& context, size_t i);
// A value that stays valid after the step: tensors are copied, the rest is shared.
Result<Value> keep(RunContext& context, const Value& value);
// Writes a value to output o, which infer left without a shape: tensors are copied into memory of the executor's.
Status write_value(RunContext& context, size_t o, const Value& value);
// The position that a scalar integer input names, negative ones counted from the end, in [0, count).
Result<size_t> position_input(const RunContext& context, size_t i, size_t count);

}  // namespace linnet
