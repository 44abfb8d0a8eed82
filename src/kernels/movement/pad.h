// Filling the surroundings of a block of elements: with a constant, or with elements of the block itself.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/movement/fill.h"

namespace linnet {

enum class PadMode : uint8_t { constant, reflect, edge, wrap };

// Plain data. Axes from the outermost inwards, then runs of `run` elements that are not padded.
struct PadPlan {
  static constexpr size_t kMaxAxes = 12;
  struct Axis {
    int64_t out = 0;     // size of the output
    int64_t before = 0;  // of it, in front of the block
    int64_t block = 0;   // size of the block
    int64_t start = 0;   // of the block within the source's axis
    int64_t step = 0;    // of the source, in runs
  };
  PadMode mode = PadMode::constant;
  size_t axes = 0;
  int64_t rows = 1;  // the product of all axes' output sizes but the last
  int64_t run = 1;
  Axis axis[kMaxAxes];
};

// The element of a block of `size` that stands at place `at`, which may lie outside; -1 for the constant.
inline int64_t pad_source(PadMode mode, int64_t at, int64_t size) noexcept {
  if (at >= 0 && at < size) return at;
  switch (mode) {
    case PadMode::constant: return -1;
    case PadMode::edge: return at < 0 ? 0 : size - 1;
    case PadMode::wrap: {
      const int64_t rest = at % size;
      return rest < 0 ? rest + size : rest;
    }
    case PadMode::reflect: break;
  }
  if (size == 1) return 0;
  const int64_t period = 2 * (size - 1);
  int64_t rest = at % period;
  if (rest < 0) rest += period;
  return rest < size ? rest : period - rest;
}

// Rows [begin, end) of the output, each of axis[axes - 1].out runs. axes > 0.
template <class T>
void pad_rows(const PadPlan& plan, const T* src, T* dst, const T& value, int64_t begin, int64_t end) {
  const PadPlan::Axis& last = plan.axis[plan.axes - 1];
  const int64_t run = plan.run;
  for (int64_t row = begin; row < end; ++row) {
    int64_t rest = row, base = 0;
    bool outside = false;
    for (size_t a = plan.axes - 1; a-- > 0;) {
      const PadPlan::Axis& axis = plan.axis[a];
      const int64_t source = pad_source(plan.mode, rest % axis.out - axis.before, axis.block);
      rest /= axis.out;
      outside |= source < 0;
      base += (axis.start + source) * axis.step;
    }
    T* to = dst + row * last.out * run;
    if (outside) {
      fill_elements(to, value, static_cast<size_t>(last.out * run));
      continue;
    }
    const T* from = src + (base + last.start) * run;
    const auto fringe = [&](int64_t first, int64_t stop) {
      if (plan.mode == PadMode::constant) {
        std::fill_n(to + first * run, (stop - first) * run, value);
        return;
      }
      for (int64_t i = first; i < stop; ++i)
        std::copy_n(from + pad_source(plan.mode, i - last.before, last.block) * run, run, to + i * run);
    };
    fringe(0, last.before);
    std::copy_n(from, last.block * run, to + last.before * run);
    fringe(last.before + last.block, last.out);
  }
}

}  // namespace linnet
