#include "kernels/quant/int_conv.h"

#include <algorithm>
#include <cstring>

#include "kernels/quant/int_block.h"
#include "kernels/quant/int_gemm_format.h"
#include "kernels/quant/packed_check.h"

namespace linnet {
namespace {

constexpr size_t kMostRows = 256;           // of a block
constexpr size_t kSlack = 64;               // behind a copy of the image: quads are read whole
constexpr size_t kBlockBytes = 128 * 1024;  // of input that a block of rows reads anew: in the second-level cache

size_t group_bytes(const IntConv& c) noexcept { return int_gemm_packed_size(c.filter_bytes(), c.filters / c.groups); }

// A kernel of one tap at every position: rows are the input itself.
bool is_product(const IntConv& c) noexcept {
  return c.groups == 1 && c.taps() == 1 && c.src == c.dst && c.stride == SpatialSizes{1, 1, 1} &&
         c.pad == std::array<ptrdiff_t, kSpatialAxes>{};
}

// What the kernel covers: from the first position's first tap to the last one's last.
SpatialSizes covered(const IntConv& c) noexcept {
  SpatialSizes sizes;
  for (size_t a = 0; a < kSpatialAxes; ++a)
    sizes[a] = (std::max<size_t>(c.dst[a], 1) - 1) * c.stride[a] + (c.kernel[a] - 1) * c.dilation[a] + 1;
  return sizes;
}

// The image is copied where the kernel reaches beyond it, and where its bytes cannot be read as they are.
bool copies(const IntConv& c, bool is_signed) noexcept {
  if (is_signed || c.run() % 4 != 0) return true;
  const SpatialSizes sizes = covered(c);
  for (size_t a = 0; a < kSpatialAxes; ++a)
    if (c.pad[a] != 0 || sizes[a] > c.src[a]) return true;
  return false;
}

// One image with what surrounds it, as uint8.
void copy_image(const IntConv& c, const uint8_t* src, bool is_signed, uint8_t zero, uint8_t* to,
                const Parallel& parallel) noexcept {
  const SpatialSizes sizes = covered(c);
  const size_t row = sizes[2] * c.channels;
  // Of a row's columns, those that the image has.
  const auto width = static_cast<ptrdiff_t>(c.src[2]);
  const ptrdiff_t before = std::clamp<ptrdiff_t>(c.pad[2], 0, static_cast<ptrdiff_t>(sizes[2])),
                  first = std::clamp<ptrdiff_t>(-c.pad[2], 0, width);
  const ptrdiff_t inside = std::clamp<ptrdiff_t>(static_cast<ptrdiff_t>(sizes[2]) - before, 0, width - first);
  const auto skipped = static_cast<size_t>(before) * c.channels, copied = static_cast<size_t>(inside) * c.channels;
  parallel.for_range(
      sizes[0] * sizes[1], grain_for(static_cast<double>(row) * 0.05), [&](size_t begin, size_t end, size_t) {
        for (size_t r = begin; r < end; ++r) {
          const ptrdiff_t z = static_cast<ptrdiff_t>(r / sizes[1]) - c.pad[0],
                          y = static_cast<ptrdiff_t>(r % sizes[1]) - c.pad[1];
          uint8_t* line = to + r * row;
          if (z < 0 || y < 0 || z >= static_cast<ptrdiff_t>(c.src[0]) || y >= static_cast<ptrdiff_t>(c.src[1])) {
            std::memset(line, zero, row);
            continue;
          }
          const uint8_t* from = src + ((static_cast<size_t>(z) * c.src[1] + static_cast<size_t>(y)) * c.src[2] +
                                       static_cast<size_t>(first)) *
                                          c.channels;
          std::memset(line, zero, skipped);
          if (is_signed) {
            flip_bytes(from, line + skipped, copied);
          } else {
            std::memcpy(line + skipped, from, copied);
          }
          std::memset(line + skipped + copied, zero, row - skipped - copied);
        }
      });
  std::memset(to + sizes[0] * sizes[1] * row, 0, kSlack);
}

struct Workspace {
  size_t image = 0, table = 0, workers = 0, worker = 0, bytes = 0;

  Workspace(const IntConv& c, bool is_signed, size_t threads) noexcept {
    const size_t quads = c.filter_bytes() / 4, list = round_up(quads * sizeof(uint32_t), 64);
    if (copies(c, is_signed)) bytes = round_up(positions_of(covered(c)) * c.channels + kSlack, 64);
    table = bytes;
    workers = table + list;
    worker = list;
    bytes = workers + threads * worker;
  }
};

}  // namespace

double int_conv_image_bytes(const IntConv& c) noexcept {
  double bytes = static_cast<double>(c.channels), source = bytes;
  for (size_t a = 0; a < kSpatialAxes; ++a) {
    bytes *= static_cast<double>(covered(c)[a]);
    source *= static_cast<double>(c.src[a]);
  }
  return std::max(bytes, source);
}

void int_conv_arrange(const IntConv& c, const void* weights, bool is_signed, void* arranged,
                      const Parallel& parallel) noexcept {
  const size_t channels = c.channels / c.groups, taps = c.taps(), run_taps = c.run_taps(), step = round_up(c.run(), 4);
  parallel.for_range(c.filters, grain_for(static_cast<double>(c.depth())), [&](size_t first, size_t last, size_t) {
    for (size_t f = first; f < last; ++f) {
      const uint8_t* from = static_cast<const uint8_t*>(weights) + f * c.depth();
      uint8_t* to = static_cast<uint8_t*>(arranged) + f * c.filter_bytes();
      if (step != c.run()) std::memset(to, is_signed ? 0 : 128, c.filter_bytes());
      for (size_t t = 0; t < taps; ++t) {
        uint8_t* tap = to + t / run_taps * step + t % run_taps * channels;
        for (size_t i = 0; i < channels; ++i) tap[i] = from[i * taps + t];
      }
    }
  });
}

size_t int_conv_packed_size(const IntConv& c) noexcept { return c.groups * group_bytes(c); }

void int_conv_pack(const IntConv& c, const void* arranged, bool is_signed, std::byte* packed,
                   const Parallel& parallel) noexcept {
  const size_t filters = c.filters / c.groups, depth = c.filter_bytes();
  for (size_t g = 0; g < c.groups; ++g)
    int_gemm_pack({static_cast<const uint8_t*>(arranged) + g * filters * depth, depth, filters, 1, depth, is_signed},
                  packed + g * group_bytes(c), parallel);
}

bool int_conv_valid(std::span<const std::byte> packed, const IntConv& c) noexcept {
  if (packed.size() != int_conv_packed_size(c)) return false;
  for (size_t g = 0; g < c.groups; ++g)
    if (!int_gemm_valid(packed.subspan(g * group_bytes(c), group_bytes(c)), c.filter_bytes(), c.filters / c.groups))
      return false;
  return true;
}

size_t int_conv_scratch_size(const IntConv& c, bool is_signed, size_t threads) noexcept {
  if (is_product(c)) return int_gemm_scratch(c.batch * positions_of(c.dst), c.channels, is_signed);
  return Workspace(c, is_signed, threads).bytes;
}

void int_conv(const IntConv& c, const void* src, const std::byte* packed, const IntGemm& like, std::byte* scratch,
              const Parallel& parallel) noexcept {
  const size_t positions = positions_of(c.dst), filters = c.filters / c.groups, width = element_bytes(like.output);
  if (c.batch * positions == 0 || c.filters == 0) return;
  IntGemm g = like;
  g.m = positions;
  g.n = c.filters;
  g.k = c.depth();
  g.ldc = c.filters;
  if (is_product(c)) {
    g.m = c.batch * positions;
    g.a = src;
    g.lda = g.k;
    g.b = packed;
    int_gemm(g, scratch, parallel);
    return;
  }
  const Workspace workspace(c, like.a_signed, parallel.threads());
  const bool copied = copies(c, like.a_signed);
  const int32_t a_zero = like.a_zero + (like.a_signed ? 128 : 0);
  const SpatialSizes sizes = copied ? covered(c) : c.src;
  const size_t quads = c.filter_bytes() / 4, run = c.run(), run_quads = ceil_div<size_t>(run, 4),
               runs = c.taps() / c.run_taps();
  // Where in the image each quad of a filter is, from the position's first tap.
  auto* table = reinterpret_cast<uint32_t*>(scratch + workspace.table);
  for (size_t r = 0; r < runs; ++r) {
    const size_t tap = r * c.run_taps(), t2 = tap % c.kernel[2], t1 = tap / c.kernel[2] % c.kernel[1],
                 t0 = tap / c.kernel[2] / c.kernel[1];
    const size_t at =
        ((t0 * c.dilation[0] * sizes[1] + t1 * c.dilation[1]) * sizes[2] + t2 * c.dilation[2]) * c.channels;
    for (size_t q = 0; q < run_quads; ++q) table[r * run_quads + q] = static_cast<uint32_t>(at + 4 * q);
  }

  const bool any_zero = any_b_zero(g);
  const size_t panels = ceil_div(filters, kIntPanel);
  const size_t fresh = c.channels / c.groups * std::min(c.stride[2], c.kernel[2]);
  const size_t block = std::clamp<size_t>(kBlockBytes / std::max<size_t>(1, fresh) / 8 * 8, 16, kMostRows);
  const size_t blocks = ceil_div(positions, block);
  const size_t together = panels_together(std::min(block, positions), quads), steps = ceil_div(panels, together);
  const double item_ns =
      static_cast<double>(std::min(block, positions) * c.depth() * kIntPanel * together) / int_products_per_ns() +
      100.0;
  for (size_t n = 0; n < c.batch; ++n) {
    const uint8_t* image = static_cast<const uint8_t*>(src) + n * positions_of(c.src) * c.channels;
    if (copied) {
      auto* copy = reinterpret_cast<uint8_t*>(scratch + workspace.image);
      copy_image(c, image, like.a_signed, static_cast<uint8_t>(a_zero), copy, parallel);
      image = copy;
    }
    parallel.for_range(c.groups * blocks * steps, grain_for(item_ns), [&](size_t begin, size_t end, size_t worker) {
      const uint8_t* rows[kMostRows];
      int32_t row_sums[kMostRows];
      auto* at = reinterpret_cast<uint32_t*>(scratch + workspace.workers + worker * workspace.worker);
      for (size_t item = begin; item < end; ++item) {
        if (parallel.stopped()) return;
        const size_t first = item / steps % blocks * block, group = item / steps / blocks;
        const size_t count = std::min(block, positions - first);
        size_t p = item % steps * together;
        const size_t last = std::min(p + together, panels);
        if (item == begin || p == 0) {
          for (size_t i = 0; i < count; ++i) {
            const size_t x = (first + i) % c.dst[2], y = (first + i) / c.dst[2] % c.dst[1],
                         z = (first + i) / c.dst[2] / c.dst[1];
            rows[i] = image +
                      ((z * c.stride[0] * sizes[1] + y * c.stride[1]) * sizes[2] + x * c.stride[2]) * c.channels +
                      group * (c.channels / c.groups);
            if (!any_zero) continue;
            uint32_t sum = 0;
            for (size_t r = 0; r < runs; ++r) sum += sum_of_bytes(rows[i] + table[r * run_quads], run);
            row_sums[i] = static_cast<int32_t>(sum);
          }
        }
        const std::byte* matrix = packed + group * group_bytes(c);
        const auto* headers = reinterpret_cast<const IntPanelHeader*>(matrix);
        const auto order_of = [&](size_t panel) {
          return reinterpret_cast<const uint32_t*>(matrix + headers[panel].offset + quads * 64);
        };
        const auto block_of = [&](size_t panel, PanelEpilogue& epilogue) {
          const IntPanelHeader& header = headers[panel];
          const size_t column = panel * kIntPanel, columns = std::min(kIntPanel, filters - column),
                       filter = group * filters + column;
          epilogue = panel_epilogue(g, header.sums, filter, columns, a_zero);
          return IntBlock{rows,
                          count,
                          reinterpret_cast<const int8_t*>(matrix + header.offset),
                          at,
                          header.paired,
                          header.singles,
                          quads - header.paired - header.singles,
                          any_zero ? row_sums : nullptr,
                          false,
                          {like.output, like.c_zero, columns, &epilogue},
                          static_cast<std::byte*>(like.c) + ((n * positions + first) * c.filters + filter) * width,
                          c.filters * width,
                          int_panel_to_fetch(matrix, panel + together, panels, count, quads)};
        };
        PanelEpilogue epilogues[2];
        const bool pair = last - p == 2 && panels_together(count, quads) == 2;
        for (; p < last; p += pair ? 2 : 1) {
          const uint32_t* order = order_of(p);
          for (size_t q = 0; q < quads; ++q) at[q] = table[order[q] / 4];
          if (pair) {
            int_block_pair({block_of(p, epilogues[0]), block_of(p + 1, epilogues[1])}, {order, order_of(p + 1)});
          } else {
            int_block(block_of(p, epilogues[0]));
          }
        }
      }
    });
  }
}

}  // namespace linnet
