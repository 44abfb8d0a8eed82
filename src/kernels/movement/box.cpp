#include "kernels/movement/box.h"

#include <algorithm>
#include <cstring>

#include "kernels/movement/fill.h"

namespace linnet {
namespace {

constexpr size_t kPieceBytes = size_t{1} << 16;  // what one thread copies at a time

struct alignas(16) Bits128 {
  uint64_t low, high;
};

// `count` elements with steps in bytes.
template <class T>
void copy_row(const std::byte* src, int64_t src_step, std::byte* dst, int64_t dst_step, size_t count) noexcept {
  T value;
  if (src_step == 0) {
    std::memcpy(&value, src, sizeof(T));
    if (dst_step == static_cast<int64_t>(sizeof(T))) return fill_elements(dst, value, count);
    for (size_t i = 0; i < count; ++i, dst += dst_step) std::memcpy(dst, &value, sizeof(T));
    return;
  }
  for (size_t i = 0; i < count; ++i, src += src_step, dst += dst_step) {
    std::memcpy(&value, src, sizeof(T));
    std::memcpy(dst, &value, sizeof(T));
  }
}

// Runs of 16 to 128 bytes, for which calling memcpy costs more than the copy: whole vectors, the last one overlapping.
void copy_short_runs(const std::byte* src, int64_t src_step, std::byte* dst, int64_t dst_step, size_t count,
                     size_t bytes) noexcept {
  for (size_t i = 0; i < count; ++i, src += src_step, dst += dst_step) {
    Bits128 last;
    std::memcpy(&last, src + bytes - sizeof(last), sizeof(last));
    for (size_t b = 0; b + sizeof(last) < bytes; b += sizeof(last)) {
      Bits128 part;
      std::memcpy(&part, src + b, sizeof(part));
      std::memcpy(dst + b, &part, sizeof(part));
    }
    std::memcpy(dst + bytes - sizeof(last), &last, sizeof(last));
  }
}

// Calls row(src, dst, count) with offsets in elements, for pieces of the innermost axis that make up items [begin,
// end).
template <class Row>
void walk(const Box& box, size_t begin, size_t end, Row row) {
  int64_t at[Box::kMaxAxes] = {};
  int64_t src = box.src_offset, dst = box.dst_offset;
  if (begin) {
    size_t rest = begin;
    for (size_t a = box.axes; a-- > 0;) {
      at[a] = static_cast<int64_t>(rest % static_cast<size_t>(box.size[a]));
      rest /= static_cast<size_t>(box.size[a]);
      src += at[a] * box.src_step[a];
      dst += at[a] * box.dst_step[a];
    }
  }
  const size_t last = box.axes - 1;
  while (begin < end) {
    const size_t count = std::min(end - begin, static_cast<size_t>(box.size[last] - at[last]));
    row(src, dst, count);
    begin += count;
    src -= at[last] * box.src_step[last];
    dst -= at[last] * box.dst_step[last];
    at[last] = 0;
    for (size_t a = last; a-- > 0;) {
      src += box.src_step[a];
      dst += box.dst_step[a];
      if (++at[a] < box.size[a]) break;
      src -= box.size[a] * box.src_step[a];
      dst -= box.size[a] * box.dst_step[a];
      at[a] = 0;
    }
  }
}

void copy_run(const std::byte* src, std::byte* dst, size_t bytes, const Parallel& parallel) noexcept {
  if (bytes == 0) return;
  if (bytes <= kPieceBytes) {
    std::memcpy(dst, src, bytes);
    return;
  }
  parallel.for_range((bytes + kPieceBytes - 1) / kPieceBytes, 1, [&](size_t begin, size_t end, size_t) {
    const size_t first = begin * kPieceBytes;
    std::memcpy(dst + first, src + first, std::min(end * kPieceBytes, bytes) - first);
  });
}

}  // namespace

std::optional<Box> make_box(std::span<const int64_t> sizes, std::span<const int64_t> src_steps,
                            std::span<const int64_t> dst_steps) noexcept {
  Box box;
  // Built from the innermost axis outwards, then turned round.
  for (size_t i = sizes.size(); i-- > 0;) {
    if (sizes[i] == 1) continue;
    if (sizes[i] == 0) {
      Box empty;
      empty.run = 0;
      return empty;
    }
    if (box.axes) {
      const size_t inner = box.axes - 1;
      if (src_steps[i] == box.size[inner] * box.src_step[inner] &&
          dst_steps[i] == box.size[inner] * box.dst_step[inner]) {
        box.size[inner] *= sizes[i];
        continue;
      }
    }
    if (box.axes == Box::kMaxAxes) return std::nullopt;
    box.size[box.axes] = sizes[i];
    box.src_step[box.axes] = src_steps[i];
    box.dst_step[box.axes] = dst_steps[i];
    ++box.axes;
  }
  std::reverse(box.size, box.size + box.axes);
  std::reverse(box.src_step, box.src_step + box.axes);
  std::reverse(box.dst_step, box.dst_step + box.axes);
  if (box.axes && box.src_step[box.axes - 1] == 1 && box.dst_step[box.axes - 1] == 1) {
    --box.axes;
    box.run = static_cast<size_t>(box.size[box.axes]);
  }
  for (size_t a = 0; a < box.axes; ++a) box.items *= static_cast<size_t>(box.size[a]);
  return box;
}

void copy_box(const Box& box, size_t width, const void* from, void* to, const Parallel& parallel) noexcept {
  const auto* src = static_cast<const std::byte*>(from);
  auto* dst = static_cast<std::byte*>(to);
  const size_t unit = box.run * width;
  if (unit == 0) return;
  const int64_t w = static_cast<int64_t>(width);
  if (box.contiguous()) {
    copy_run(src + box.src_offset * w, dst + box.dst_offset * w, unit, parallel);
    return;
  }
  const int64_t src_step = box.src_step[box.axes - 1] * w, dst_step = box.dst_step[box.axes - 1] * w;
  if (box.items < parallel.threads() && unit > kPieceBytes) {  // a few long runs
    walk(box, 0, box.items, [&](int64_t s, int64_t d, size_t count) {
      for (size_t i = 0; i < count; ++i)
        copy_run(src + s * w + static_cast<int64_t>(i) * src_step, dst + d * w + static_cast<int64_t>(i) * dst_step,
                 unit, parallel);
    });
    return;
  }
  // An element that does not lie beside its neighbour costs more than its bytes.
  const size_t grain = std::max<size_t>(kPieceBytes / std::max<size_t>(unit, 8), 1);
  parallel.for_range(box.items, grain, [&](size_t begin, size_t end, size_t) {
    walk(box, begin, end, [&](int64_t s, int64_t d, size_t count) {
      const std::byte* p = src + s * w;
      std::byte* q = dst + d * w;
      switch (unit) {
        case 1: return copy_row<uint8_t>(p, src_step, q, dst_step, count);
        case 2: return copy_row<uint16_t>(p, src_step, q, dst_step, count);
        case 4: return copy_row<uint32_t>(p, src_step, q, dst_step, count);
        case 8: return copy_row<uint64_t>(p, src_step, q, dst_step, count);
        case 16: return copy_row<Bits128>(p, src_step, q, dst_step, count);
        default:
          if (unit > 16 && unit <= 128) return copy_short_runs(p, src_step, q, dst_step, count, unit);
          for (size_t i = 0; i < count; ++i, p += src_step, q += dst_step) std::memcpy(q, p, unit);
      }
    });
  });
}

void copy_box(const Box& box, const std::string* src, std::string* dst) {
  if (box.contiguous()) {
    std::copy_n(src + box.src_offset, box.run, dst + box.dst_offset);
    return;
  }
  walk(box, 0, box.items, [&](int64_t s, int64_t d, size_t count) {
    for (size_t i = 0; i < count; ++i, s += box.src_step[box.axes - 1], d += box.dst_step[box.axes - 1])
      std::copy_n(src + s, box.run, dst + d);
  });
}

}  // namespace linnet
