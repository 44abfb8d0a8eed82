// Multidirectional broadcasting (https://onnx.ai/onnx/repo-docs/Broadcasting.html) of two or three operands, resolved
// once per shape: sizes and strides with neighbouring axes merged, so that most cases become one or two axes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/fixed_vector.h"
#include "base/parallel.h"

namespace linnet {

inline constexpr size_t kMaxBroadcastOperands = 3;

struct BroadcastAxis {
  size_t size = 1;
  size_t stride[kMaxBroadcastOperands] = {};  // in elements; 0 where the operand repeats
};

struct BroadcastPlan {
  size_t count = 0;                      // elements of the result
  FixedVector<BroadcastAxis, 14> outer;  // from the slowest; rows and columns are not among them
  BroadcastAxis row;                     // the two fastest axes
  BroadcastAxis column;

  size_t rows() const noexcept { return column.size == 0 ? 0 : count / column.size; }
};

// `shapes` are right-aligned against `result`, each size equal to the result's or 1. The caller has checked that, and
// that the result's count fits into size_t. Nothing when more than 16 axes remain after merging.
std::optional<BroadcastPlan> plan_broadcast(std::span<const int64_t> result,
                                            std::span<const std::span<const int64_t>> shapes);

// A block of the result: `rows` rows of `columns` elements whose first elements stand at these offsets. Rows of the
// result are contiguous and follow each other.
struct BroadcastBlock {
  size_t dst = 0;
  size_t src[kMaxBroadcastOperands] = {};
  size_t rows = 0;
  size_t columns = 0;
  size_t row_stride[kMaxBroadcastOperands] = {};
  size_t stride[kMaxBroadcastOperands] = {};  // 0 or 1 within a row, unless an operand's layout is not dense
};

// Calls `body` for blocks that cover the result once, over threads. `item_ns` is the cost of an element.
using BroadcastBody = FunctionRef<void(const BroadcastBlock&)>;
void for_each_block(const BroadcastPlan& plan, double item_ns, const Parallel& parallel, BroadcastBody body) noexcept;

// Rows of elements `stride` (1 or 0) apart; `row_stride` from one row to the next.
struct BroadcastView {
  const std::byte* data = nullptr;
  size_t row_stride = 0;
  size_t stride = 1;
};
// The elements of the result from `begin` on, `rows` of `columns`, as they stand in the plan's only operand of elements
// of `width` 1, 2, 4 or 8 bytes: in place where they are such rows, else copied to `strip`. They begin a row of the
// plan's, or are part of one.
BroadcastView broadcast_view(const BroadcastPlan& plan, size_t width, const std::byte* src, size_t begin, size_t rows,
                             size_t columns, std::byte* strip) noexcept;

}  // namespace linnet
