#include "kernels/conv/planes.h"

#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "kernels/conv/conv_phase.h"
#include "kernels/conv/planes_tile.h"

namespace linnet {
namespace {

constexpr size_t kAlignment = 64;
// Floats of the source that an item copies, where one output position does not need more: they stay in a core's L2.
constexpr size_t kWindowFloats = size_t{32} << 10;

// How the output is cut into items, windows of rows and columns, and how the source of a window lies in scratch:
// [channel][tap of axis 0][row][column]. Where an axis is dilated each tap has a part of its own, else they share one.
struct Plan {
  size_t rows = 1, columns = 1;          // output positions of a window
  size_t src_rows = 1, src_columns = 1;  // of a plane
  size_t row_parts = 1, column_parts = 1;
  size_t planes = 1;
  size_t depth = 1;

  Plan(const ConvGeometry& g, const ConvPhase& phase, size_t threads) noexcept {
    const auto& [a0, a1, a2] = phase.axis;
    planes = g.channels * a0.taps;
    depth = planes * a1.taps * a2.taps;
    row_parts = a1.delta_step == 1 ? 1 : a1.taps;
    column_parts = a2.delta_step == 1 ? 1 : a2.taps;
    const size_t row_span = row_parts == 1 ? a1.taps : 1, column_span = column_parts == 1 ? a2.taps : 1;
    const auto fitting = [](size_t floats, size_t parts, size_t span, const ConvAxisPhase& axis) {
      const size_t length = floats / parts;
      return std::clamp<size_t>(length < span ? 1 : (length - span) / axis.advance + 1, 1, axis.count);
    };
    columns = fitting(kWindowFloats / (planes * row_span * row_parts), column_parts, column_span, a2);
    src_columns = column_parts * ((columns - 1) * a2.advance + column_span);
    rows = fitting(kWindowFloats / (planes * src_columns), row_parts, row_span, a1);
    // Enough windows for all threads, unless their rows then share little.
    const size_t others = std::max<size_t>(1, g.batch * a0.count * ceil_div(a2.count, columns));
    const size_t wanted = threads == 1 ? 1 : ceil_div(4 * threads, others);
    rows = std::max(std::min<size_t>(rows, 4), std::min(rows, ceil_div(a1.count, wanted)));
    src_rows = row_parts * ((rows - 1) * a1.advance + row_span);
    const size_t windows = others * std::max<size_t>(1, ceil_div(a1.count, rows));
    if (windows < threads) {
      columns = ceil_div(columns, ceil_div(threads, windows));
      src_columns = column_parts * ((columns - 1) * a2.advance + column_span);
    }
  }

  size_t window_floats() const noexcept { return planes * src_rows * src_columns; }
  size_t worker_size() const noexcept {
    return round_up(depth * sizeof(size_t), kAlignment) + round_up(window_floats() * sizeof(float), kAlignment);
  }
};

void fill_offsets(const Plan& plan, const ConvPhase& phase, size_t* to) noexcept {
  const auto& [a0, a1, a2] = phase.axis;
  const size_t row = plan.row_parts == 1 ? 1 : plan.src_rows / plan.row_parts;
  const size_t column = plan.column_parts == 1 ? 1 : plan.src_columns / plan.column_parts;
  for (size_t plane = 0; plane < plan.planes; ++plane)
    for (size_t t1 = 0; t1 < a1.taps; ++t1)
      for (size_t t2 = 0; t2 < a2.taps; ++t2)
        *to++ = (plane * plan.src_rows + t1 * row) * plan.src_columns + t2 * column;
}

// `count` pixels from `start` on of a row of `size`, with zeros where they lie outside.
void copy_pixels(const float* row, size_t size, ptrdiff_t start, size_t count, float* to) noexcept {
  const ptrdiff_t end = start + static_cast<ptrdiff_t>(count);
  const ptrdiff_t first = std::clamp<ptrdiff_t>(start, 0, static_cast<ptrdiff_t>(size));
  const ptrdiff_t last = std::clamp<ptrdiff_t>(end, first, static_cast<ptrdiff_t>(size));
  if (first == last) return static_cast<void>(std::fill_n(to, count, 0.0f));
  std::fill_n(to, static_cast<size_t>(first - start), 0.0f);
  std::memcpy(to + (first - start), row + first, static_cast<size_t>(last - first) * sizeof(float));
  std::fill_n(to + (last - start), static_cast<size_t>(end - last), 0.0f);
}

// The source of the window whose first output position is (o0, o1, o2).
void copy_window(const ConvGeometry& g, const ConvPhase& phase, const Plan& plan, const float* image, size_t o0,
                 size_t o1, size_t o2, float* to) noexcept {
  const auto& [a0, a1, a2] = phase.axis;
  const size_t part_rows = plan.src_rows / plan.row_parts, part_columns = plan.src_columns / plan.column_parts;
  for (size_t c = 0; c < g.channels; ++c)
    for (size_t t0 = 0; t0 < a0.taps; ++t0) {
      const ptrdiff_t i0 = a0.source(o0, t0);
      for (size_t r = 0; r < plan.src_rows; ++r, to += plan.src_columns) {
        const ptrdiff_t i1 = a1.source(o1, r / part_rows) + static_cast<ptrdiff_t>(r % part_rows);
        if (!is_inside(i0, g.src[0]) || !is_inside(i1, g.src[1])) {
          std::fill_n(to, plan.src_columns, 0.0f);
          continue;
        }
        const float* row =
            image + ((c * g.src[0] + static_cast<size_t>(i0)) * g.src[1] + static_cast<size_t>(i1)) * g.src[2];
        for (size_t part = 0; part < plan.column_parts; ++part)
          copy_pixels(row, g.src[2], a2.source(o2, part), part_columns, to + part * part_columns);
      }
    }
}

}  // namespace

size_t planes_scratch_size(const ConvGeometry& g, size_t threads) noexcept {
  return threads * Plan(g, conv_phase(g, 0), 1).worker_size();
}

void planes_conv(const ConvGeometry& g, const float* src, const float* packed, const ConvEpilogue& epilogue, float* dst,
                 std::byte* scratch, const Parallel& parallel) noexcept {
  const ConvPhase phase = conv_phase(g, 0);
  const auto& [a0, a1, a2] = phase.axis;
  const Plan plan(g, phase, parallel.threads());
  const size_t row_windows = ceil_div(a1.count, plan.rows), column_windows = ceil_div(a2.count, plan.columns);
  const double item_ns = static_cast<double>(plan.rows * plan.columns * plan.depth * g.filters) / 40.0;
  parallel.for_range(g.batch * a0.count * row_windows * column_windows, grain_for(item_ns),
                     [&](size_t begin, size_t end, size_t worker) {
                       std::byte* const memory = scratch + worker * plan.worker_size();
                       size_t* const offsets = reinterpret_cast<size_t*>(memory);
                       float* const window =
                           reinterpret_cast<float*>(memory + round_up(plan.depth * sizeof(size_t), kAlignment));
                       fill_offsets(plan, phase, offsets);
                       for (size_t item = begin; item < end; ++item) {
                         if (parallel.stopped()) return;
                         const size_t o2 = item % column_windows * plan.columns;
                         const size_t o1 = item / column_windows % row_windows * plan.rows;
                         const size_t o0 = item / column_windows / row_windows % a0.count;
                         const size_t n = item / column_windows / row_windows / a0.count;
                         copy_window(g, phase, plan, src + n * g.channels * positions_of(g.src), o0, o1, o2, window);
                         const size_t at = (((n * g.dst[0] + o0) * g.dst[1] + o1) * g.dst[2] + o2) * g.filters;
                         PlanesTile tile{};
                         tile.src = window;
                         tile.offsets = offsets;
                         tile.depth = plan.depth;
                         tile.rows = std::min(plan.rows, a1.count - o1);
                         tile.columns = std::min(plan.columns, a2.count - o2);
                         tile.row_step = a1.advance * plan.src_columns;
                         tile.column_step = a2.advance;
                         tile.weights = packed;
                         tile.filters = g.filters;
                         tile.dst = dst + at;
                         tile.residual = epilogue.residual ? epilogue.residual + at : nullptr;
                         tile.dst_row_step = g.dst[2] * g.filters;
                         tile.bias = epilogue.bias;
                         tile.activation = epilogue.activation;
                         planes_tile(tile);
                       }
                     });
}

}  // namespace linnet
