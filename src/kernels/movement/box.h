// A copy between two strided places: what Slice, Expand, Tile, Concat, Split and their like come down to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "base/parallel.h"

namespace linnet {

// Axes from the outermost inwards, then a run of elements that lie side by side on both sides. Steps count elements:
// 0 repeats, a negative one walks backwards. Plain data.
struct Box {
  static constexpr size_t kMaxAxes = 12;

  size_t axes = 0;
  size_t items = 1;  // the product of the axes' sizes
  size_t run = 1;
  int64_t src_offset = 0;
  int64_t dst_offset = 0;
  int64_t size[kMaxAxes];
  int64_t src_step[kMaxAxes];
  int64_t dst_step[kMaxAxes];

  // One run of adjacent elements.
  bool contiguous() const noexcept { return axes == 0; }
};

// Merges axes that one step can walk. Nothing when more than kMaxAxes are left. The product of the sizes fits into 63
// bits.
std::optional<Box> make_box(std::span<const int64_t> sizes, std::span<const int64_t> src_steps,
                            std::span<const int64_t> dst_steps) noexcept;

// `width` is the size of an element in bytes. Neither place need be aligned; they do not overlap.
void copy_box(const Box& box, size_t width, const void* src, void* dst, const Parallel& parallel) noexcept;
void copy_box(const Box& box, const std::string* src, std::string* dst);

}  // namespace linnet
