#include "kernels/elementwise/broadcast.h"

#include <algorithm>

#include "base/inline_vector.h"

namespace linnet {
namespace {

// Rows longer than this are cut, so that a few long rows still spread over threads.
constexpr size_t kMaxColumns = 32768;

bool mergeable(const BroadcastAxis& slow, const BroadcastAxis& fast, size_t operands) noexcept {
  for (size_t k = 0; k < operands; ++k)
    if (slow.stride[k] != fast.stride[k] * fast.size) return false;
  return true;
}

// Offsets of row `r`, counted over outer axes and rows.
void seek(const BroadcastPlan& plan, size_t r, BroadcastBlock& block) noexcept {
  size_t row = r % plan.row.size;
  size_t rest = r / plan.row.size;
  for (size_t k = 0; k < kMaxBroadcastOperands; ++k) block.src[k] = row * plan.row.stride[k];
  for (size_t i = plan.outer.size(); i-- > 0;) {
    const BroadcastAxis& axis = plan.outer[i];
    const size_t index = rest % axis.size;
    rest /= axis.size;
    for (size_t k = 0; k < kMaxBroadcastOperands; ++k) block.src[k] += index * axis.stride[k];
  }
}

template <class T>
void copy_rows(const BroadcastPlan& plan, const T* src, size_t begin, size_t count, T* dst) noexcept {
  const size_t columns = plan.column.size;
  size_t row = begin / columns, first = begin % columns;
  while (count != 0) {
    BroadcastBlock block;
    seek(plan, row, block);
    const T* from = src + block.src[0];
    for (size_t left = plan.row.size - row % plan.row.size; left != 0 && count != 0; --left, ++row) {
      const size_t n = std::min(columns - first, count);
      if (plan.column.stride[0] == 0) {
        const T element = *from;
        for (size_t i = 0; i < n; ++i) dst[i] = element;
      } else {
        for (size_t i = 0; i < n; ++i) dst[i] = from[first + i];
      }
      from += plan.row.stride[0];
      dst += n;
      count -= n;
      first = 0;
    }
  }
}

}  // namespace

std::optional<BroadcastPlan> plan_broadcast(std::span<const int64_t> result,
                                            std::span<const std::span<const int64_t>> shapes) {
  BroadcastPlan plan;
  plan.count = 1;
  for (const int64_t size : result) plan.count *= static_cast<size_t>(size);

  InlineVector<BroadcastAxis, 8> axes;  // from the fastest
  size_t dense[kMaxBroadcastOperands] = {1, 1, 1};
  for (size_t back = 1; back <= result.size(); ++back) {
    BroadcastAxis axis;
    axis.size = static_cast<size_t>(result[result.size() - back]);
    for (size_t k = 0; k < shapes.size(); ++k) {
      if (back > shapes[k].size()) continue;
      const size_t size = static_cast<size_t>(shapes[k][shapes[k].size() - back]);
      axis.stride[k] = size == 1 ? 0 : dense[k];
      dense[k] *= size;
    }
    if (axis.size == 1) continue;
    if (!axes.empty() && mergeable(axis, axes.back(), shapes.size())) {
      axes.back().size *= axis.size;
    } else {
      axes.push_back(axis);
    }
  }
  if (axes.empty()) axes.push_back({1, {1, 1, 1}});
  if (axes.size() > plan.outer.capacity() + 2) return std::nullopt;
  plan.column = axes[0];
  if (axes.size() > 1) plan.row = axes[1];
  for (size_t i = axes.size(); i-- > 2;) plan.outer.push_back(axes[i]);
  return plan;
}

void for_each_block(const BroadcastPlan& plan, double item_ns, const Parallel& parallel, BroadcastBody body) noexcept {
  if (plan.count == 0) return;
  const size_t columns = plan.column.size;
  BroadcastBlock whole;
  std::copy_n(plan.row.stride, kMaxBroadcastOperands, whole.row_stride);
  std::copy_n(plan.column.stride, kMaxBroadcastOperands, whole.stride);

  if (plan.outer.empty() && plan.count <= grain_for(item_ns + 1.0)) {  // one block that no thread would share
    whole.rows = plan.row.size;
    whole.columns = columns;
    return body(whole);
  }
  const size_t rows = plan.rows();
  const size_t pieces = (columns + kMaxColumns - 1) / kMaxColumns;  // of a row
  if (pieces > 1) {
    parallel.for_range(rows * pieces, 1, [&](size_t begin, size_t end, size_t) {
      for (size_t i = begin; i < end; ++i) {
        BroadcastBlock block = whole;
        seek(plan, i / pieces, block);
        const size_t first = i % pieces * kMaxColumns;
        block.dst = i / pieces * columns + first;
        for (size_t k = 0; k < kMaxBroadcastOperands; ++k) block.src[k] += first * block.stride[k];
        block.rows = 1;
        block.columns = std::min(kMaxColumns, columns - first);
        body(block);
      }
    });
    return;
  }
  parallel.for_range(rows, grain_for(item_ns * static_cast<double>(columns) + 2.0),
                     [&](size_t begin, size_t end, size_t) {
                       BroadcastBlock block = whole;
                       block.columns = columns;
                       for (size_t r = begin; r < end; r += block.rows) {
                         seek(plan, r, block);
                         block.dst = r * columns;
                         block.rows = std::min(end - r, plan.row.size - r % plan.row.size);
                         body(block);
                       }
                     });
}

BroadcastView broadcast_view(const BroadcastPlan& plan, size_t width, const std::byte* src, size_t begin, size_t rows,
                             size_t columns, std::byte* strip) noexcept {
  const size_t whole = plan.column.size, row = begin / whole, first = begin % whole, count = rows * columns;
  const bool one_row = first + count <= whole;
  if (one_row || (columns == whole && rows <= plan.row.size - row % plan.row.size)) {
    BroadcastBlock block;
    seek(plan, row, block);
    const size_t stride = plan.column.stride[0];
    return {src + (block.src[0] + first * stride) * width, one_row ? columns * stride : plan.row.stride[0], stride};
  }
  const auto copy = [&]<class T>(T* dst) { copy_rows(plan, reinterpret_cast<const T*>(src), begin, count, dst); };
  switch (width) {
    case 1: copy(reinterpret_cast<uint8_t*>(strip)); break;
    case 2: copy(reinterpret_cast<uint16_t*>(strip)); break;
    case 4: copy(reinterpret_cast<uint32_t*>(strip)); break;
    default: copy(reinterpret_cast<uint64_t*>(strip)); break;
  }
  return {strip, columns, 1};
}

}  // namespace linnet
