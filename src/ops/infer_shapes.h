// Shape rules that several operators share.
#pragma once

#include "ops/op.h"

namespace linnet {

// Multidirectional broadcasting (https://onnx.ai/onnx/repo-docs/Broadcasting.html). Fails when two known sizes
// contradict.
Result<SymShape> broadcast_shapes(const SymShape& a, const SymShape& b, SymbolTable& symbols);
// The broadcast shape of several inputs; nothing in the result when one of them has no rank.
Result<std::optional<SymShape>> broadcast_inputs(const InferContext& context, size_t first, size_t last);

// Output 0 has the dtype and shape of input 0.
Status infer_same_as_input(InferContext& context);

// The axis in [0, rank), or an error naming it.
Result<size_t> checked_axis(int64_t axis, size_t rank);
// Axes in [0, rank), no two the same.
Result<InlineVector<size_t, 8>> checked_axes(std::span<const int64_t> axes, size_t rank);

}  // namespace linnet
