#include "kernels/gemm/gemm.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "base/checked.h"
#include "base/half.h"
#include "kernels/gemm/gemm_kernels.h"

namespace linnet {
namespace {

// A block of A of so many rows stays in the second-level cache, beside one panel of B, while all panels pass.
constexpr size_t kBlockRows = 128;
constexpr size_t kBlockFloats = 48 * 1024;
constexpr size_t kMaxDepth = 4 * kGemmChain;
// Rows of packed A are this much longer than their content: a stride of a power of two would crowd a few cache sets.
constexpr size_t kRowPadding = 16;
// B in rows is read where it is for so few rows: packing would cost more than it saves.
constexpr size_t kUnpackedRows = 12;
// B in columns is multiplied by dot products for so few rows.
constexpr size_t kDotRows = 2;
// Panels between two looks at `stopped`, and whose sums wait in scratch when c cannot hold them.
constexpr size_t kPanelRun = 16;
constexpr size_t kDotChunk = 32;

struct Range {
  size_t begin;
  size_t end;
};

enum class Form { panels, unpacked, packed_now, dots };

Form form_of(const GemmArgs& g) {
  if (g.n == 1 || (g.b_form == BForm::columns && g.m <= kDotRows)) return Form::dots;
  if (is_packed(g.b_form)) return Form::panels;
  return g.b_form == BForm::rows && g.m <= kUnpackedRows ? Form::unpacked : Form::packed_now;
}

// Rows that are a multiple of 4 KB apart fight for the same cache sets.
bool packs_a(const GemmArgs& g, Form form) {
  if (form == Form::dots) return false;
  return g.a_transposed || (g.lda % 1024 == 0 && g.m >= 64 && g.n >= 128);
}

size_t block_rows(const GemmArgs& g) { return std::min(g.m, kBlockRows); }

bool splits_k(const GemmArgs& g, const GemmKernels& kernels) { return kernels.splits_k && g.m > kernels.row_tile; }

// Floats of k in a pass; all of them, or a multiple of the chain, so that no sum depends on it.
size_t depth(const GemmArgs& g, const GemmKernels& kernels, size_t rows) {
  if (!splits_k(g, kernels)) return g.k;
  const size_t most = std::clamp(kBlockFloats / (rows + kPanelWidth), kGemmChain, kMaxDepth);
  const size_t pieces = ceil_div(g.k, most);
  if (pieces <= 1) return g.k;
  return std::max(kGemmChain, (ceil_div(g.k, pieces) + kGemmChain / 2) / kGemmChain * kGemmChain);
}

// Floats of scratch, in the order in which they are laid out: what all workers read, then each worker's own.
struct Scratch {
  size_t shared = 0;
  size_t worker = 0;
  size_t sums = 0;  // of which for sums that wait for the next range of k
};

size_t sums_stride(const GemmArgs& g) { return std::min(ceil_div(g.n, kPanelWidth), kPanelRun) * kPanelWidth; }

Scratch scratch_of(const GemmArgs& g) {
  const Form form = form_of(g);
  Scratch s;
  if (form == Form::packed_now) s.shared = packed_b_size(g.k, g.n) / sizeof(float);
  if (form == Form::unpacked && g.n % kPanelWidth != 0) s.shared = g.k * kPanelWidth;
  if (form == Form::dots) s.shared = (g.n == 1 ? round_up(g.k, kPanelWidth) : 0) + (g.a_transposed ? g.m * g.k : 0);
  if (form == Form::dots) return s;
  const size_t deepest = splits_k(g, gemm_kernels()) ? std::min(g.k, kMaxDepth) : g.k;
  s.sums = splits_k(g, gemm_kernels()) && g.k > kGemmChain ? block_rows(g) * sums_stride(g) : 0;
  s.worker = s.sums;
  if (packs_a(g, form)) s.worker += round_up(block_rows(g) * (deepest + kRowPadding), kPanelWidth);
  return s;
}

GemmBlock block_of(const GemmArgs& g) {
  GemmBlock t;
  t.ldc = g.ldc;
  t.alpha = g.alpha;
  t.ld_addend = g.ld_addend;
  t.beta = g.beta;
  t.multiplies = g.multiplies;
  t.activation = g.activation;
  t.type = g.b_form == BForm::packed_f16    ? PanelType::f16
           : g.b_form == BForm::packed_bf16 ? PanelType::bf16
                                            : PanelType::f32;
  return t;
}

// The part of c that `rows` and `columns` select, and what is added to it.
void place(GemmBlock& t, const GemmArgs& g, Range rows, Range columns) {
  t.rows = rows.end - rows.begin;
  t.columns = columns.end - columns.begin;
  t.c = g.c + rows.begin * g.ldc + columns.begin;
  t.bias = g.bias ? g.bias + columns.begin : nullptr;
  t.addend = g.addend ? g.addend + rows.begin * g.ld_addend + columns.begin : nullptr;
}

void pack_a(const GemmArgs& g, const GemmKernels& kernels, Range rows, Range ks, float* dst, size_t stride) {
  if (g.a_transposed) {
    kernels.transpose(g.a + ks.begin * g.lda + rows.begin, g.lda, rows.end - rows.begin, ks.end - ks.begin, dst,
                      stride);
    return;
  }
  for (size_t i = rows.begin; i < rows.end; ++i, dst += stride)
    std::memcpy(dst, g.a + i * g.lda + ks.begin, (ks.end - ks.begin) * sizeof(float));
}

// B as panels: `full` whole ones, and the last, partial one elsewhere if `tail` is set.
struct Panels {
  const void* data;
  size_t panel_stride;
  size_t k_stride;
  const float* tail;
};

void transpose(const GemmKernels& kernels, const float* src, size_t src_stride, size_t rows, size_t columns,
               float* dst) {
  kernels.transpose(src, src_stride, rows, columns, dst, kPanelWidth);
}
void transpose(const GemmKernels&, const uint16_t* src, size_t src_stride, size_t rows, size_t columns, uint16_t* dst) {
  for (size_t i = 0; i < rows; ++i)
    for (size_t j = 0; j < columns; ++j) std::memcpy(dst + i * kPanelWidth + j, src + j * src_stride + i, sizeof *dst);
}

template <class T>
void pack_panels(const T* src, size_t k, size_t n, size_t stride, bool transposed, Range panels,
                 const GemmKernels& kernels, T* dst) {
  constexpr size_t kStrip = 64;  // of k: rows are read in runs, and few pages are written at a time
  for (size_t k0 = 0; k0 < k; k0 += kStrip) {
    const size_t depth = std::min(kStrip, k - k0);
    for (size_t p = panels.begin; p < panels.end; ++p) {
      const size_t column = p * kPanelWidth;
      const size_t width = std::min(kPanelWidth, n - column);
      T* panel = dst + (p * k + k0) * kPanelWidth;
      if (width < kPanelWidth) std::fill_n(panel, depth * kPanelWidth, T{});
      if (transposed) {
        transpose(kernels, src + column * stride + k0, stride, depth, width, panel);
      } else if (width == kPanelWidth) {
        for (size_t i = 0; i < depth; ++i)
          std::memcpy(panel + i * kPanelWidth, src + (k0 + i) * stride + column, kPanelWidth * sizeof(T));
      } else {
        for (size_t i = 0; i < depth; ++i)
          std::memcpy(panel + i * kPanelWidth, src + (k0 + i) * stride + column, width * sizeof(T));
      }
    }
  }
}

template <class T>
void pack_all_panels(const T* src, size_t k, size_t n, size_t stride, bool transposed, T* dst,
                     const Parallel& parallel) {
  const GemmKernels kernels = gemm_kernels();
  const size_t panels = ceil_div(n, kPanelWidth);
  parallel.for_range(panels, grain_for(static_cast<double>(k) * 5.0), [&](size_t begin, size_t end, size_t) {
    pack_panels(src, k, n, stride, transposed, {begin, end}, kernels, dst);
  });
}

// Rows `rows` and panels `panels` of c, by one thread.
void run_rows(const GemmArgs& g, const GemmKernels& kernels, const Panels& b, Range rows, Range panels, float* sums,
              float* a_scratch, const Parallel& parallel) {
  const size_t kc = depth(g, kernels, rows.end - rows.begin);
  // Sums wait in c for the next range of k, unless c holds the addend.
  const bool apart = kc < g.k && g.addend && g.addend == g.c;
  GemmBlock t = block_of(g);
  t.panel_stride = b.panel_stride;
  const auto multiply = [&](Range ks, Range run) {
    t.k = ks.end - ks.begin;
    t.finish = ks.end == g.k;
    place(t, g, rows, {run.begin * kPanelWidth, std::min(g.n, run.end * kPanelWidth)});
    float* const c = t.c;
    if (apart) {
      t.sums = sums;
      t.ld_sums = sums_stride(g);
      if (!t.finish) t.c = sums;
    } else {
      t.sums = t.c;
      t.ld_sums = g.ldc;
    }
    t.ldc = t.c == c ? g.ldc : t.ld_sums;
    if (ks.begin == 0) t.sums = nullptr;
    t.b = static_cast<const char*>(b.data) + (run.begin * b.panel_stride + ks.begin * b.k_stride) * b_element(g.b_form);
    t.k_stride = b.k_stride;
    if (b.tail && t.columns < kPanelWidth) {
      t.b = b.tail + ks.begin * kPanelWidth;
      t.k_stride = kPanelWidth;
    }
    kernels.block(t);
  };
  const auto take_a = [&](Range ks) {
    t.lda = g.lda;
    t.a = g.a + rows.begin * g.lda + ks.begin;
    if (!a_scratch) return;
    t.lda = ks.end - ks.begin + kRowPadding;
    t.a = a_scratch;
    pack_a(g, kernels, rows, ks, a_scratch, t.lda);
  };
  const auto for_runs = [&](auto&& body) {
    for (size_t p = panels.begin; p < panels.end && !parallel.stopped();) {
      size_t end = std::min(panels.end, p + kPanelRun);
      // A tail that is elsewhere goes alone.
      if (b.tail && end * kPanelWidth > g.n && end - p > 1) --end;
      body(Range{p, end});
      p = end;
    }
  };
  const auto for_depths = [&](auto&& body) {
    for (size_t k = 0; k == 0 || k < g.k; k += std::max<size_t>(1, kc)) body(Range{k, std::min(g.k, k + kc)});
  };
  if (apart) {
    for_runs([&](Range run) {
      for_depths([&](Range ks) {
        take_a(ks);
        multiply(ks, run);
      });
    });
  } else {
    for_depths([&](Range ks) {
      take_a(ks);
      for_runs([&](Range run) { multiply(ks, run); });
    });
  }
}

// How c is cut into independent parts.
struct Grid {
  size_t row_parts;
  size_t rows;  // of a part
  size_t column_parts;
  size_t panels;  // of a part
};

Grid grid_of(const GemmArgs& g, const GemmKernels& kernels, size_t threads) {
  const size_t panels = ceil_div(g.n, kPanelWidth);
  Grid grid{};
  // Columns first: each thread then reads its own part of B only. Few columns: rows.
  const size_t least = g.m <= 2 * kernels.row_tile ? 2 : 8;
  grid.column_parts = panels >= least * threads ? threads : 1;
  grid.panels = ceil_div(panels, grid.column_parts);
  if (grid.panels >= 2 * kernels.panel_group)
    grid.panels = ceil_div(grid.panels, kernels.panel_group) * kernels.panel_group;
  grid.column_parts = ceil_div(panels, grid.panels);
  grid.row_parts = ceil_div(g.m, kBlockRows);
  if (grid.column_parts < threads && g.m >= threads * kernels.row_tile)
    grid.row_parts = ceil_div(grid.row_parts, threads) * threads;
  const size_t tiles = ceil_div(g.m, kernels.row_tile);
  grid.rows = std::min(block_rows(g), ceil_div(tiles, grid.row_parts) * kernels.row_tile);
  grid.row_parts = ceil_div(g.m, grid.rows);
  return grid;
}

// Nanoseconds of so many multiply-adds that read so many floats of B, roughly.
double cost_ns(size_t m, size_t n, size_t k) {
  return static_cast<double>(n) * static_cast<double>(k) * std::max(0.02 * static_cast<double>(m), 0.1);
}

// n == 1, or few rows times B in columns.
void run_dots(const GemmArgs& g, const GemmKernels& kernels, float* scratch, const Parallel& parallel) {
  const float* const floats = static_cast<const float*>(g.b);
  const float* column = floats;
  if (g.n == 1) {
    const size_t step = is_packed(g.b_form) ? kPanelWidth : g.b_form == BForm::rows ? g.ldb : 1;
    if (step != 1) {
      const auto gather = [&](const auto* from) {
        for (size_t i = 0; i < g.k; ++i) scratch[i] = from[i * step];
      };
      if (g.b_form == BForm::packed_f16) {
        gather(static_cast<const f16*>(g.b));
      } else if (g.b_form == BForm::packed_bf16) {
        gather(static_cast<const bf16*>(g.b));
      } else {
        gather(floats);
      }
      column = scratch;
    }
    scratch += round_up(g.k, kPanelWidth);
  }
  const float* a = g.a;
  size_t lda = g.lda;
  if (g.a_transposed) {
    kernels.transpose(g.a, g.lda, g.m, g.k, scratch, g.k);
    a = scratch;
    lda = g.k;
  }
  // Sums go through a buffer: c may be the addend, which the epilogue still reads.
  const size_t count = g.n == 1 ? g.m : g.n;
  parallel.for_range(
      ceil_div(count, kDotChunk), grain_for(cost_ns(1, kDotChunk, g.k)), [&](size_t begin, size_t end, size_t) {
        for (size_t chunk = begin; chunk < end && !parallel.stopped(); ++chunk) {
          const Range part{chunk * kDotChunk, std::min(count, (chunk + 1) * kDotChunk)};
          const Range all{0, g.n == 1 ? g.n : g.m};
          float sums[kDotRows * kDotChunk];
          GemmBlock t = block_of(g);
          if (g.n == 1) {
            place(t, g, part, all);
            t.ldc = 1;
            kernels.dots(column, a + part.begin * lda, lda, t.rows, g.k, sums);
          } else {
            place(t, g, all, part);
            t.ldc = kDotChunk;
            for (size_t i = 0; i < g.m; ++i)
              kernels.dots(a + i * lda, floats + part.begin * g.ldb, g.ldb, t.columns, g.k, sums + i * kDotChunk);
          }
          float* const c = t.c;
          t.c = sums;
          t.sums = sums;
          t.ld_sums = t.ldc;
          t.finish = true;
          kernels.block(t);
          for (size_t i = 0; i < t.rows; ++i) std::copy_n(sums + i * t.ldc, t.columns, c + i * g.ldc);
        }
      });
}

void run(const GemmArgs& g, float* scratch, const Parallel& parallel) {
  if (g.m == 0 || g.n == 0) return;
  const GemmKernels kernels = gemm_kernels();
  const Form form = form_of(g);
  const Scratch sizes = scratch_of(g);
  if (form == Form::dots) return run_dots(g, kernels, scratch, parallel);

  Panels b{g.b, g.k * kPanelWidth, kPanelWidth, nullptr};
  if (form == Form::packed_now) {
    pack_b(static_cast<const float*>(g.b), g.k, g.n, g.ldb, g.b_form == BForm::columns, scratch, parallel);
    b.data = scratch;
  } else if (form == Form::unpacked) {
    b.panel_stride = kPanelWidth;
    b.k_stride = g.ldb;
    if (g.n % kernels.column_unit != 0) {
      const size_t column = g.n / kPanelWidth * kPanelWidth;
      pack_panels(static_cast<const float*>(g.b) + column, g.k, g.n - column, g.ldb, false, {0, 1}, kernels, scratch);
      b.tail = scratch;
    }
  }

  float* const workers = scratch + sizes.shared;
  const bool packs = packs_a(g, form);
  const Grid grid = grid_of(g, kernels, parallel.threads());
  const size_t panels = ceil_div(g.n, kPanelWidth);
  const double part_ns = cost_ns(grid.rows, std::min(g.n, grid.panels * kPanelWidth), g.k);
  parallel.for_range(grid.row_parts * grid.column_parts, grain_for(part_ns),
                     [&](size_t begin, size_t end, size_t worker) {
                       for (size_t part = begin; part < end; ++part) {
                         const size_t row = part % grid.row_parts * grid.rows;
                         const size_t panel = part / grid.row_parts * grid.panels;
                         run_rows(g, kernels, b, {row, std::min(g.m, row + grid.rows)},
                                  {panel, std::min(panels, panel + grid.panels)}, workers + worker * sizes.worker,
                                  packs ? workers + worker * sizes.worker + sizes.sums : nullptr, parallel);
                       }
                     });
}

// Bytes, or the greatest size_t.
size_t scratch_bytes(const Scratch& s, size_t threads) {
  const auto workers = checked_mul(s.worker, threads);
  const auto floats = workers ? checked_add(*workers, s.shared) : std::nullopt;
  const auto bytes = floats ? checked_mul(*floats, sizeof(float)) : std::nullopt;
  return bytes.value_or(std::numeric_limits<size_t>::max());
}

}  // namespace

BForm narrowest_form(const float* values, size_t count) noexcept {
  // Exponents of f16's normal numbers are 113 to 142 in a float; subnormal ones keep fewer bits with each step down.
  const auto fits_f16 = [](uint32_t bits) {
    const uint32_t exponent = bits >> 23 & 0xffu;
    if (exponent < 103) return (bits & 0x7fffffffu) == 0;
    return exponent <= 142 && (bits & ((uint32_t{1} << (exponent >= 113 ? 13 : 126 - exponent)) - 1)) == 0;
  };
  bool f16_fits = true, bf16_fits = true;
  for (size_t i = 0; i < count && (f16_fits || bf16_fits); ++i) {
    uint32_t bits;
    std::memcpy(&bits, values + i, sizeof bits);
    bf16_fits = bf16_fits && (bits & 0xffffu) == 0;
    f16_fits = f16_fits && fits_f16(bits);
  }
  return bf16_fits ? BForm::packed_bf16 : f16_fits ? BForm::packed_f16 : BForm::packed;
}

size_t packed_b_size(size_t k, size_t n, BForm form) noexcept {
  const auto elements = checked_mul(ceil_div(n, kPanelWidth) * kPanelWidth, k);
  const auto bytes = elements ? checked_mul(*elements, b_element(form)) : std::nullopt;
  return bytes.value_or(std::numeric_limits<size_t>::max());
}

void pack_b(const float* src, size_t k, size_t n, size_t stride, bool transposed, float* dst,
            const Parallel& parallel) noexcept {
  pack_all_panels(src, k, n, stride, transposed, dst, parallel);
}

void pack_b_halves(const uint16_t* src, size_t k, size_t n, size_t stride, bool transposed, uint16_t* dst,
                   const Parallel& parallel) noexcept {
  pack_all_panels(src, k, n, stride, transposed, dst, parallel);
}

size_t gemm_scratch_size(const GemmArgs& args, size_t threads) noexcept {
  return scratch_bytes(scratch_of(args), threads);
}

void gemm(const GemmArgs& args, const Parallel& parallel) noexcept { run(args, args.scratch, parallel); }

size_t gemm_group_scratch_size(std::span<const GemmArgs> products, size_t threads) noexcept {
  size_t most = 0;
  for (const GemmArgs& g : products) most = std::max(most, gemm_scratch_size(g, threads));
  return most;
}

void gemm_group(std::span<const GemmArgs> products, float* scratch, const Parallel& parallel) noexcept {
  if (products.empty()) return;
  const bool in_panels =
      std::all_of(products.begin(), products.end(), [](const GemmArgs& g) { return form_of(g) == Form::panels; });
  if (!in_panels) {
    for (const GemmArgs& g : products) run(g, scratch, parallel);
    return;
  }
  const GemmKernels kernels = gemm_kernels();
  GemmArgs all = products[0];
  all.n = 0;
  size_t worker_floats = 0;
  for (const GemmArgs& g : products) {
    all.n += round_up(g.n, kPanelWidth);
    worker_floats = std::max(worker_floats, scratch_of(g).worker);
  }
  if (all.m == 0) return;
  const Grid grid = grid_of(all, kernels, parallel.threads());
  parallel.for_range(grid.row_parts * grid.column_parts,
                     grain_for(cost_ns(grid.rows, grid.panels * kPanelWidth, all.k)),
                     [&](size_t begin, size_t end, size_t worker) {
                       float* const own = scratch + worker * worker_floats;
                       for (size_t part = begin; part < end; ++part) {
                         const size_t row = part % grid.row_parts * grid.rows, column = part / grid.row_parts;
                         for (const GemmArgs& g : products) {
                           const size_t panels = ceil_div(g.n, kPanelWidth);
                           size_t each = ceil_div(panels, grid.column_parts);
                           if (each >= 2 * kernels.panel_group) each = round_up(each, kernels.panel_group);
                           const Range range{std::min(panels, column * each), std::min(panels, (column + 1) * each)};
                           if (range.begin == range.end) continue;
                           const Panels b{g.b, g.k * kPanelWidth, kPanelWidth, nullptr};
                           run_rows(g, kernels, b, {row, std::min(g.m, row + grid.rows)}, range, own,
                                    packs_a(g, Form::panels) ? own + scratch_of(g).sums : nullptr, parallel);
                         }
                       }
                     });
}

size_t batched_gemm_scratch_size(const GemmArgs& args, size_t threads) noexcept {
  const Scratch s = scratch_of(args);
  return scratch_bytes({0, s.shared + s.worker}, threads);
}

void batched_gemm(const GemmArgs& first, const GemmBatch& batch, const Parallel& parallel) noexcept {
  const size_t count = batch.outer * batch.inner;
  const auto item = [&](size_t index) {
    const size_t i = index / batch.inner;
    const size_t j = index % batch.inner;
    GemmArgs g = first;
    g.a += i * batch.a.outer + j * batch.a.inner;
    g.b = b_at(first, i * batch.b.outer + j * batch.b.inner);
    g.c += i * batch.c.outer + j * batch.c.inner;
    if (g.addend) g.addend += i * batch.addend.outer + j * batch.addend.inner;
    return g;
  };
  // A few large products: each uses all threads. Otherwise each thread takes whole products.
  const size_t threads = parallel.threads();
  const double ns = cost_ns(first.m, first.n, first.k);
  const bool uneven = count % threads != 0 && count < 4 * threads;
  if (uneven && ns > 30'000.0) {
    for (size_t i = 0; i < count && !parallel.stopped(); ++i) run(item(i), first.scratch, parallel);
    return;
  }
  const Scratch sizes = scratch_of(first);
  const Parallel serial;
  parallel.for_range(count, grain_for(ns), [&](size_t begin, size_t end, size_t worker) {
    float* const scratch = first.scratch + worker * (sizes.shared + sizes.worker);
    for (size_t i = begin; i < end && !parallel.stopped(); ++i) run(item(i), scratch, serial);
  });
}

}  // namespace linnet
