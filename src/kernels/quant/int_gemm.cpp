#include "kernels/quant/int_gemm.h"

#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "kernels/quant/int_block.h"
#include "kernels/quant/int_gemm_format.h"

namespace linnet {
namespace {

constexpr size_t kMostRows = 256;  // of a block

// Quads are read whole, and as uint8.
bool copies_a(size_t k, bool a_signed) noexcept { return a_signed || k % 4 != 0; }

}  // namespace

PanelEpilogue panel_epilogue(const IntGemm& g, const int32_t* sums, size_t column, size_t columns, int32_t a_zero,
                             bool balanced) noexcept {
  PanelEpilogue e{};
  const int32_t less = g.b_signed ? 0 : 128;
  const auto fill = [&](auto* to, const auto* from, bool by_column, auto otherwise) {
    if (!from || !by_column) {
      std::fill_n(to, columns, from ? *from : otherwise);
    } else {
      std::copy_n(from + column, columns, to);
    }
  };
  fill(e.b_zero, g.b_zero, g.b_zero_by_column, 0);
  fill(e.add, g.bias, true, 0);
  fill(e.scale, g.scale, g.scale_by_column, 1.0f);
  fill(e.bias, g.float_bias, true, 0.0f);
  for (size_t c = 0; c < kIntPanel; ++c) e.b_zero[c] -= less;
  if (sums) add_zero_points(e, sums, g.k, a_zero, balanced);
  return e;
}

bool any_b_zero(const IntGemm& g) noexcept {
  if (!g.b_zero) return !g.b_signed;
  for (size_t n = 0; n < g.n; ++n)
    if (g.b_zero[g.b_zero_by_column ? n : 0] != (g.b_signed ? 0 : 128)) return true;
  return false;
}

size_t int_gemm_scratch(size_t m, size_t k, bool a_signed) noexcept {
  return round_up(m * sizeof(int32_t), 64) + (copies_a(k, a_signed) ? round_up(m * round_up(k, 4), 64) : 0);
}

void int_gemm(const IntGemm& g, std::byte* scratch, const Parallel& parallel) noexcept {
  int_gemm_group({&g, 1}, scratch, parallel);
}

void int_gemm_group(std::span<const IntGemm> products, std::byte* scratch, const Parallel& parallel) noexcept {
  if (products.empty() || products[0].m == 0) return;
  const IntGemm& all = products[0];
  const auto* a = static_cast<const uint8_t*>(all.a);
  const int32_t a_zero = all.a_zero + (all.a_signed ? 128 : 0);
  const size_t quads = ceil_div<size_t>(all.k, 4);
  size_t lda = all.lda;

  auto* row_sums = reinterpret_cast<int32_t*>(scratch);
  const bool any_zero = std::any_of(products.begin(), products.end(), any_b_zero),
             copies = copies_a(all.k, all.a_signed);
  if (any_zero || copies) {
    auto* copy = reinterpret_cast<uint8_t*>(scratch + round_up(all.m * sizeof(int32_t), 64));
    const size_t step = round_up(all.k, 4);
    parallel.for_range(all.m, grain_for(static_cast<double>(all.k) * 0.1), [&](size_t first, size_t last, size_t) {
      for (size_t m = first; m < last; ++m) {
        const uint8_t* row = a + m * all.lda;
        if (copies) {
          uint8_t* to = copy + m * step;
          if (all.a_signed) {
            flip_bytes(row, to, all.k);
          } else {
            std::memcpy(to, row, all.k);
          }
          std::memset(to + all.k, 0, step - all.k);
          row = to;
        }
        row_sums[m] = any_zero ? static_cast<int32_t>(sum_of_bytes(row, all.k)) : 0;
      }
    });
    if (copies) a = copy, lda = step;
  }

  // An item is one panel or two, and a block of rows that stays in the second-level cache.
  const size_t block = std::clamp<size_t>(262144 / (all.k + 1) / 8 * 8, 8, kMostRows);
  const size_t blocks = ceil_div(all.m, block), together = panels_together(std::min(block, all.m), quads);
  const auto steps_of = [&](const IntGemm& g) { return ceil_div(ceil_div(g.n, kIntPanel), together); };
  size_t steps = 0;
  for (const IntGemm& g : products) steps += steps_of(g);
  const double item_ns =
      static_cast<double>(std::min(block, all.m) * all.k * kIntPanel * together) / int_products_per_ns() + 50.0;
  parallel.for_range(steps * blocks, grain_for(item_ns), [&](size_t first, size_t last, size_t) {
    const uint8_t* rows[kMostRows];
    size_t begin = 0, count = 0;
    const auto take_rows = [&](size_t from) {
      begin = from;
      count = std::min(all.m - begin, block);
      for (size_t m = 0; m < count; ++m) rows[m] = a + (begin + m) * lda;
    };
    const IntGemm* product = products.data();
    size_t step = first % steps, own = steps_of(*product);  // of the product
    for (; step >= own; own = steps_of(*++product)) step -= own;
    take_rows(first / steps * block);
    for (size_t item = first; item < last; ++item, ++step) {
      if (parallel.stopped()) return;
      while (step == own) {
        step = 0;
        if (++product == products.data() + products.size()) {
          product = products.data();
          take_rows(begin + block);
        }
        own = steps_of(*product);
      }
      const IntGemm& g = *product;
      const auto* headers = reinterpret_cast<const IntPanelHeader*>(g.b);
      const size_t width = element_bytes(g.output), end = std::min((step + 1) * together, ceil_div(g.n, kIntPanel));
      size_t p = step * together;
      const auto order_of = [&](size_t panel) {
        return reinterpret_cast<const uint32_t*>(g.b + headers[panel].offset + quads * 64);
      };
      const auto block_of = [&](size_t panel, PanelEpilogue& epilogue) {
        const IntPanelHeader& header = headers[panel];
        const size_t column = panel * kIntPanel, columns = std::min(kIntPanel, g.n - column);
        const bool balanced = header.balanced != 0 && count <= balanced_rows();
        epilogue = panel_epilogue(g, header.sums, column, columns, a_zero, balanced);
        return IntBlock{rows,
                        count,
                        reinterpret_cast<const int8_t*>(g.b + header.offset),
                        order_of(panel),
                        header.paired,
                        header.singles,
                        quads - header.paired - header.singles,
                        any_zero ? row_sums + begin : nullptr,
                        balanced,
                        {g.output, g.c_zero, columns, &epilogue},
                        static_cast<std::byte*>(g.c) + (begin * g.ldc + column) * width,
                        g.ldc * width,
                        int_panel_to_fetch(g.b, panel + together, ceil_div(g.n, kIntPanel), count, quads)};
      };
      PanelEpilogue epilogues[2];
      if (end - p == 2 && panels_together(count, quads) == 2) {
        int_block_pair({block_of(p, epilogues[0]), block_of(p + 1, epilogues[1])}, {order_of(p), order_of(p + 1)});
        continue;
      }
      for (; p < end; ++p) int_block(block_of(p, epilogues[0]));
    }
  });
}

void int_gemm_finish(const IntGemm& g, const float* sums, const Parallel& parallel) noexcept {
  constexpr size_t kRows = 32;  // that stay in the first-level cache while the panels pass
  const size_t panels = ceil_div(g.n, kIntPanel), blocks = ceil_div(g.m, kRows), width = element_bytes(g.output);
  parallel.for_range(blocks, grain_for(static_cast<double>(kRows * g.n) * 0.5), [&](size_t first, size_t last, size_t) {
    alignas(64) int32_t whole[kRows * kIntPanel] = {};
    for (size_t block = first; block < last; ++block)
      for (size_t p = 0; p < panels; ++p) {
        const size_t m = block * kRows, column = p * kIntPanel, columns = std::min(kIntPanel, g.n - column);
        const size_t count = std::min(kRows, g.m - m);
        for (size_t r = 0; r < count; ++r)
          for (size_t c = 0; c < columns; ++c)
            whole[r * kIntPanel + c] = static_cast<int32_t>(sums[(m + r) * g.n + column + c]);
        const PanelEpilogue epilogue = panel_epilogue(g, nullptr, column, columns, 0);
        int_store({g.output, g.c_zero, columns, &epilogue}, whole, count,
                  static_cast<std::byte*>(g.c) + (m * g.ldc + column) * width, g.ldc * width);
      }
  });
}

}  // namespace linnet
