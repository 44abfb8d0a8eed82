#include "kernels/transpose/transpose.h"

#include <algorithm>
#include <cstring>

#include "base/inline_vector.h"

namespace linnet {
namespace {

// Side of the square that is transposed while both its lines and its columns are in the L1 cache, in bytes.
constexpr size_t kTileBytes = 256;
// The least amount of work that is given to another thread.
constexpr size_t kPieceBytes = size_t{128} << 10;

size_t tile_side(size_t width) noexcept { return std::max<size_t>(kTileBytes / width, 16); }

void copy_runs(const TransposePlan& plan, const std::byte* src, std::byte* dst, const Parallel& parallel) noexcept {
  const size_t run = plan.row.size * plan.width;
  const size_t runs = plan.count / plan.row.size;
  parallel.for_range(runs, grain_for(0.05 * static_cast<double>(run) + 5.0), [&](size_t begin, size_t end, size_t) {
    for (size_t r = begin; r < end;) {
      size_t rest = r;
      size_t from = 0;
      // Runs along the fastest outer axis lie at a constant distance.
      const size_t last = plan.outer.size() - 1;
      for (size_t k = plan.outer.size(); k-- > 0;) {
        from += rest % plan.outer[k].size * plan.outer[k].src_stride;
        rest /= plan.outer[k].size;
      }
      const size_t n = std::min(end - r, plan.outer[last].size - r % plan.outer[last].size);
      for (size_t i = 0; i < n; ++i)
        std::memcpy(dst + (r + i) * run, src + (from + i * plan.outer[last].src_stride) * plan.width, run);
      r += n;
    }
  });
}

void transpose_planes(const TransposePlan& plan, const std::byte* src, std::byte* dst,
                      const Parallel& parallel) noexcept {
  const size_t planes = plan.count / (plan.row.size * plan.column.size);
  // A plane is cut into pieces of whole tiles, which are the units of work: bands of the result's lines, and where a
  // band is long, parts of it.
  const size_t side = tile_side(plan.width);
  const size_t height = std::min(side, plan.row.size);
  const size_t width = std::max(kPieceBytes / (height * plan.width) / side, size_t{1}) * side;
  const size_t bands = (plan.row.size + side - 1) / side;
  const size_t parts = (plan.column.size + width - 1) / width;
  const double ns = 0.08 * static_cast<double>(plan.width * height * std::min(width, plan.column.size)) + 10.0;
  parallel.for_range(planes * bands * parts, grain_for(ns), [&](size_t begin, size_t end, size_t) {
    for (size_t item = begin; item < end; ++item) {
      const size_t left = item % parts * width;
      const size_t top = item / parts % bands * side;
      size_t rest = item / parts / bands;
      size_t from = top * plan.row.src_stride;
      size_t to = top * plan.row.dst_stride;
      for (size_t k = plan.outer.size(); k-- > 0;) {
        const size_t index = rest % plan.outer[k].size;
        rest /= plan.outer[k].size;
        from += index * plan.outer[k].src_stride;
        to += index * plan.outer[k].dst_stride;
      }
      const size_t rows = std::min(side, plan.row.size - top);
      const size_t right = std::min(left + width, plan.column.size);
      for (size_t j = left; j < right; j += side) {
        transpose_plane(plan.width, src + (from + j * plan.column.src_stride) * plan.width, plan.column.src_stride,
                        dst + (to + j) * plan.width, plan.row.dst_stride, rows, std::min(side, right - j));
      }
    }
  });
}

}  // namespace

std::optional<TransposePlan> plan_transpose(std::span<const int64_t> shape, std::span<const size_t> order,
                                            size_t element) {
  TransposePlan plan;
  plan.width = element;
  plan.count = 1;
  InlineVector<size_t, 8> src_strides(shape.size(), 1);
  for (size_t i = shape.size(); i-- > 0;) {
    src_strides[i] = plan.count;
    plan.count *= static_cast<size_t>(shape[i]);
  }
  InlineVector<TransposeAxis, 8> axes;  // of the result, from the slowest
  for (const size_t from : order) {
    const size_t size = static_cast<size_t>(shape[from]);
    if (size == 1) continue;
    if (!axes.empty() && axes.back().src_stride == src_strides[from] * size) {
      axes.back().size *= size;
      axes.back().src_stride = src_strides[from];
    } else {
      axes.push_back({size, src_strides[from], 0});
    }
  }
  if (axes.empty()) axes.push_back({1, 1, 1});
  if (plan.count == 0) return plan;

  // A short run of neighbours that stays together moves as one wider element.
  if (axes.size() > 1 && axes.back().src_stride == 1) {
    const size_t run = axes.back().size * element;
    if (run == 2 || run == 4 || run == 8 || run == 16) {
      for (TransposeAxis& axis : axes) axis.src_stride /= axes.back().size;
      plan.width = run;
      plan.count /= axes.back().size;
      axes.pop_back();
    }
  }
  if (axes.size() > plan.outer.capacity() + 2) return std::nullopt;
  size_t step = 1;
  for (size_t i = axes.size(); i-- > 0;) {
    axes[i].dst_stride = step;
    step *= axes[i].size;
  }
  plan.runs = axes.back().src_stride == 1;
  size_t fast = axes.size() - 1;  // the axis along which the source is contiguous
  while (axes[fast].src_stride != 1) --fast;
  for (size_t i = 0; i < axes.size(); ++i) {
    if (i == fast) {
      plan.row = axes[i];
    } else if (i + 1 == axes.size()) {
      plan.column = axes[i];
    } else {
      plan.outer.push_back(axes[i]);
    }
  }
  return plan;
}

void transpose(const TransposePlan& plan, const void* src, void* dst, const Parallel& parallel) noexcept {
  if (plan.count == 0) return;
  const std::byte* from = static_cast<const std::byte*>(src);
  std::byte* to = static_cast<std::byte*>(dst);
  if (!plan.runs) return transpose_planes(plan, from, to, parallel);
  if (!plan.outer.empty()) return copy_runs(plan, from, to, parallel);
  parallel.for_range(plan.count * plan.width, 256 * 1024,
                     [&](size_t begin, size_t end, size_t) { std::memcpy(to + begin, from + begin, end - begin); });
}

}  // namespace linnet
