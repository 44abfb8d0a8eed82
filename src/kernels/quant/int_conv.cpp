#include "kernels/quant/int_conv.h"

#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "kernels/quant/packed_check.h"

namespace linnet {
namespace {

constexpr size_t kBlockBytes = 128 * 1024;  // gathered rows of a block: within the second-level cache

IntMatrix group_matrix(const IntConv& c, const void* weights, bool is_signed, size_t group) noexcept {
  const size_t filters = c.filters / c.groups, depth = c.depth();
  return {static_cast<const uint8_t*>(weights) + group * filters * depth, depth, filters, 1, depth, is_signed};
}

// The table of offsets in front of the groups' packed weights.
size_t table_bytes(const IntConv& c) noexcept { return round_up(c.groups * sizeof(uint64_t), 64); }

size_t block_positions(const IntConv& c) noexcept {
  return std::min(positions_of(c.dst), std::max<size_t>(6, kBlockBytes / std::max<size_t>(1, c.depth()) / 6 * 6));
}

// A kernel of one tap at every position: rows are the input itself.
bool is_product(const IntConv& c) noexcept {
  return c.groups == 1 && c.taps() == 1 && c.src == c.dst && c.stride == SpatialSizes{1, 1, 1} &&
         c.pad == std::array<ptrdiff_t, kSpatialAxes>{};
}

// The taps of one position along the last axis, from `src`, the row of the input that they fall on (null: none).
void gather_row(const IntConv& c, const uint8_t* src, ptrdiff_t first, uint8_t zero, uint8_t* to) noexcept {
  const size_t run = c.channels / c.groups, taps = c.kernel[2];
  const auto width = static_cast<ptrdiff_t>(c.src[2]), step = static_cast<ptrdiff_t>(c.dilation[2]);
  if (!src) {
    std::memset(to, zero, taps * run);
  } else if (c.groups == 1 && step == 1) {  // neighbours in memory
    const ptrdiff_t last = first + static_cast<ptrdiff_t>(taps);
    const auto before = static_cast<size_t>(std::clamp<ptrdiff_t>(-first, 0, static_cast<ptrdiff_t>(taps)));
    const auto behind =
        static_cast<size_t>(std::clamp<ptrdiff_t>(last - width, 0, static_cast<ptrdiff_t>(taps - before)));
    const size_t inside = taps - before - behind;
    if (before) std::memset(to, zero, before * run);
    if (inside)
      std::memcpy(to + before * run, src + (first + static_cast<ptrdiff_t>(before)) * static_cast<ptrdiff_t>(run),
                  inside * run);
    if (behind) std::memset(to + (before + inside) * run, zero, behind * run);
  } else {
    for (size_t t = 0; t < taps; ++t, to += run) {
      const ptrdiff_t x = first + static_cast<ptrdiff_t>(t) * step;
      if (x >= 0 && x < width) {
        std::memcpy(to, src + x * static_cast<ptrdiff_t>(c.channels), run);
      } else {
        std::memset(to, zero, run);
      }
    }
  }
}

void gather(const IntConv& c, const uint8_t* src, size_t group, size_t first, size_t count, uint8_t zero,
            uint8_t* rows) noexcept {
  const size_t run = c.channels / c.groups, row_bytes = c.src[2] * c.channels;
  src += group * run;
  for (size_t i = 0; i < count; ++i) {
    const size_t position = first + i;
    const auto start = [&](size_t axis, size_t at) {
      return static_cast<ptrdiff_t>(at * c.stride[axis]) - c.pad[axis];
    };
    const ptrdiff_t z = start(0, position / (c.dst[1] * c.dst[2])), y = start(1, position / c.dst[2] % c.dst[1]),
                    x = start(2, position % c.dst[2]);
    for (size_t t0 = 0; t0 < c.kernel[0]; ++t0)
      for (size_t t1 = 0; t1 < c.kernel[1]; ++t1, rows += c.kernel[2] * run) {
        const ptrdiff_t at0 = z + static_cast<ptrdiff_t>(t0 * c.dilation[0]),
                        at1 = y + static_cast<ptrdiff_t>(t1 * c.dilation[1]);
        const bool inside =
            at0 >= 0 && at0 < static_cast<ptrdiff_t>(c.src[0]) && at1 >= 0 && at1 < static_cast<ptrdiff_t>(c.src[1]);
        const size_t row = inside ? static_cast<size_t>(at0) * c.src[1] + static_cast<size_t>(at1) : 0;
        gather_row(c, inside ? src + row * row_bytes : nullptr, x, zero, rows);
      }
  }
}

}  // namespace

size_t int_conv_packed_size(const IntConv& c, const void* weights, bool is_signed) noexcept {
  size_t bytes = table_bytes(c);
  for (size_t g = 0; g < c.groups; ++g) bytes += int_gemm_packed_size(group_matrix(c, weights, is_signed, g));
  return bytes;
}

size_t int_conv_packed_size_limit(const IntConv& c) noexcept {
  return table_bytes(c) + c.groups * int_gemm_packed_size_limit(c.depth(), c.filters / c.groups);
}

void int_conv_pack(const IntConv& c, const void* weights, bool is_signed, std::byte* packed) noexcept {
  auto* offsets = reinterpret_cast<uint64_t*>(packed);
  size_t at = table_bytes(c);
  for (size_t g = 0; g < c.groups; ++g) {
    const IntMatrix matrix = group_matrix(c, weights, is_signed, g);
    offsets[g] = at;
    int_gemm_pack(matrix, packed + at);
    at += int_gemm_packed_size(matrix);
  }
}

bool int_conv_valid(std::span<const std::byte> packed, const IntConv& c) noexcept {
  if (packed.size() < table_bytes(c)) return false;
  for (size_t g = 0; g < c.groups; ++g) {
    uint64_t offset;
    std::memcpy(&offset, packed.data() + g * sizeof offset, sizeof offset);
    if (offset > packed.size() || offset % 64 != 0) return false;
    if (!int_gemm_valid(packed.subspan(static_cast<size_t>(offset)), c.depth(), c.filters / c.groups)) return false;
  }
  return true;
}

size_t int_conv_scratch_size(const IntConv& c, size_t threads) noexcept {
  if (is_product(c)) return int_gemm_scratch(c.batch * positions_of(c.dst), c.filters);
  const size_t block = block_positions(c);
  return threads * (round_up(block * c.depth(), 64) + int_gemm_scratch(block, c.filters));
}

void int_conv(const IntConv& c, const void* src, const std::byte* packed, const IntGemm& like, std::byte* scratch,
              const Parallel& parallel) noexcept {
  const size_t positions = positions_of(c.dst);
  if (c.batch * positions == 0 || c.filters == 0) return;
  const auto* offsets = reinterpret_cast<const uint64_t*>(packed);
  const size_t filters = c.filters / c.groups,
               width = like.output == IntOutput::i32 || like.output == IntOutput::f32 ? 4 : 1;
  const auto product_of = [&](size_t group) {
    IntGemm g = like;
    g.n = filters;
    g.k = g.lda = c.depth();
    g.b = packed + offsets[group];
    g.ldc = c.filters;
    const size_t skip = group * filters;
    if (g.b_zero_by_column) g.b_zero += skip;
    if (g.bias) g.bias += skip;
    if (g.scale_by_column) g.scale += skip;
    if (g.float_bias) g.float_bias += skip;
    g.c = static_cast<std::byte*>(like.c) + skip * width;
    return g;
  };
  if (is_product(c)) {
    IntGemm g = product_of(0);
    g.m = c.batch * positions;
    g.a = src;
    int_gemm(g, scratch, parallel);
    return;
  }
  const size_t block = block_positions(c), blocks = ceil_div(positions, block);
  const size_t row_bytes = round_up(block * c.depth(), 64),
               worker_bytes = row_bytes + int_gemm_scratch(block, c.filters);
  const double item_ns = static_cast<double>(block * c.depth()) * (0.1 + static_cast<double>(filters) * 0.015) + 200.0;
  parallel.for_range(c.batch * c.groups * blocks, grain_for(item_ns), [&](size_t begin, size_t end, size_t worker) {
    const Parallel serial;
    auto* rows = reinterpret_cast<uint8_t*>(scratch + worker * worker_bytes);
    for (size_t item = begin; item < end; ++item) {
      if (parallel.stopped()) return;
      const size_t first = item % blocks * block, group = item / blocks % c.groups, image = item / blocks / c.groups;
      const size_t count = std::min(block, positions - first);
      gather(c, static_cast<const uint8_t*>(src) + image * positions_of(c.src) * c.channels, group, first, count,
             static_cast<uint8_t>(like.a_zero), rows);
      IntGemm g = product_of(group);
      g.m = count;
      g.a = rows;
      g.c = static_cast<std::byte*>(g.c) + (image * positions + first) * c.filters * width;
      int_gemm(g, scratch + worker * worker_bytes + row_bytes, serial);
    }
  });
}

}  // namespace linnet
