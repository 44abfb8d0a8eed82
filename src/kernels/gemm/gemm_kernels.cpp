#include "kernels/gemm/gemm_kernels.h"

#include <type_traits>
#include <utility>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/gemm/gemm_kernels.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/registers-inl.h"

HWY_BEFORE_NAMESPACE();
namespace linnet::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

constexpr size_t kPanel = 16;
using D = hn::CappedTag<float, kPanel>;
using V = hn::Vec<D>;
constexpr size_t kLanes = hn::MaxLanes(D());
constexpr size_t kVectors = kPanel / kLanes;  // of one panel

// Tiles are chosen so that the sums, one column of A or one row of B, and a broadcast fit the registers, and so that
// sums hide the latency of the multiply-add. Few rows read several panels at once, but not many: memory delivers few
// streams faster.
#if HWY_TARGET == HWY_AVX3
constexpr size_t kMaxRows = 12;
constexpr size_t panels_of(size_t rows) { return rows < 4 ? 4 : 2; }
#elif HWY_TARGET == HWY_AVX2
constexpr size_t kMaxRows = 6;
constexpr size_t panels_of(size_t rows) { return rows == 1 ? 4 : rows == 2 ? 3 : rows == 3 ? 2 : 1; }
#else
constexpr size_t kMaxRows = 2;
constexpr size_t panels_of(size_t rows) { return rows == 1 ? 2 : 1; }
#endif
constexpr size_t kMaxPanels = panels_of(1);
// So many k away is what a single tile asks of memory while it multiplies.
constexpr size_t ahead_of(size_t rows) { return kLanes == 16 && rows == 1 ? 24 : 40; }

template <PanelType kType>
using Element = std::conditional_t<kType == PanelType::f32, float, uint16_t>;

HWY_INLINE V load_as_float(std::integral_constant<PanelType, PanelType::f32>, const float* b) {
  return hn::LoadU(D(), b);
}
HWY_INLINE V load_as_float(std::integral_constant<PanelType, PanelType::bf16>, const uint16_t* b) {
  const hn::Rebind<uint16_t, D> narrow;
  return hn::BitCast(D(), hn::ShiftLeft<16>(hn::PromoteTo(hn::RebindToUnsigned<D>(), hn::LoadU(narrow, b))));
}
HWY_INLINE V load_as_float(std::integral_constant<PanelType, PanelType::f16>, const uint16_t* b) {
#if HWY_TARGET <= HWY_AVX2
  const hn::Rebind<hwy::float16_t, D> narrow;
  return hn::PromoteTo(D(), hn::LoadU(narrow, reinterpret_cast<const hwy::float16_t*>(b)));
#else
  // SSE4 has no instruction for it. The exponent's bias goes up by 112, subnormals included, when the bits are taken as
  // a float's and scaled; infinities and NaN keep all bits of their exponent.
  const hn::Rebind<uint16_t, D> narrow;
  const hn::RebindToUnsigned<D> wide;
  const auto bits = hn::PromoteTo(wide, hn::LoadU(narrow, b));
  const auto sign = hn::ShiftLeft<16>(hn::And(bits, hn::Set(wide, 0x8000u)));
  const auto magnitude = hn::And(bits, hn::Set(wide, 0x7fffu));
  const V scaled =
      hn::Mul(hn::BitCast(D(), hn::ShiftLeft<13>(magnitude)), hn::BitCast(D(), hn::Set(wide, 0x77800000u)));
  const auto special = hn::VecFromMask(wide, hn::RebindMask(wide, hn::Ge(scaled, hn::Set(D(), 65536.0f))));
  const auto exponent = hn::And(special, hn::Set(wide, 0x7f800000u));
  return hn::BitCast(D(), hn::Or(hn::Or(hn::BitCast(wide, scaled), exponent), sign));
#endif
}

// The sums of kRows rows of kColumns vectors. Every index is a template argument: an array that a loop indexes would
// stay in memory.
template <size_t kRows, size_t kColumns, PanelType kType>
struct Tile {
  static constexpr size_t kPanels = (kColumns + kVectors - 1) / kVectors;
  V sum[kRows * kColumns];

  template <size_t... I>
  HWY_INLINE void zero(std::index_sequence<I...>) {
    ((sum[I] = hn::Zero(D())), ...);
  }
  template <size_t... I>
  HWY_INLINE void add(const float* c, size_t ldc, std::index_sequence<I...>) {
    ((sum[I] = hn::Add(sum[I], hn::LoadU(D(), c + I / kColumns * ldc + I % kColumns * kLanes))), ...);
  }
  template <size_t... I>
  HWY_INLINE void store(float* c, size_t ldc, std::index_sequence<I...>) const {
    (hn::StoreU(sum[I], D(), c + I / kColumns * ldc + I % kColumns * kLanes), ...);
  }
  template <size_t... I>
  HWY_INLINE void scale(float alpha, std::index_sequence<I...>) {
    const V factor = hn::Set(D(), alpha);
    ((sum[I] = hn::Mul(sum[I], factor)), ...);
  }
  template <size_t... I>
  HWY_INLINE void add_bias(const float* bias, std::index_sequence<I...>) {
    ((sum[I] = hn::Add(sum[I], hn::LoadU(D(), bias + I % kColumns * kLanes))), ...);
  }
  template <size_t... I>
  HWY_INLINE void add(const float* addend, size_t stride, float beta, std::index_sequence<I...>) {
    const V factor = hn::Set(D(), beta);
    ((sum[I] = hn::MulAdd(factor, hn::LoadU(D(), addend + I / kColumns * stride + I % kColumns * kLanes), sum[I])),
     ...);
  }
  template <size_t... I>
  HWY_INLINE void multiply(const float* factor, size_t stride, std::index_sequence<I...>) {
    ((sum[I] = hn::Mul(sum[I], hn::LoadU(D(), factor + I / kColumns * stride + I % kColumns * kLanes))), ...);
  }
  template <size_t... I>
  HWY_INLINE void clip(float low, float high, std::index_sequence<I...>) {
    const V vlow = hn::Set(D(), low);
    const V vhigh = hn::Set(D(), high);
    ((sum[I] = hn::Min(vhigh, hn::Max(vlow, sum[I]))), ...);
  }

  // One k. Rows of A come in groups of three, which one base and a scaled index address.
  struct Source {
    const float* a[(kRows + 2) / 3];
    size_t lda;
    const Element<kType>* b[kPanels];
    const char* ahead;
    size_t ahead_panel;
    size_t ahead_step;
  };
  template <size_t... A, size_t... P>
  static HWY_INLINE void point(Source& s, const float* a, const Element<kType>* b, size_t panel_stride,
                               std::index_sequence<A...>, std::index_sequence<P...>) {
    ((s.a[A] = a + 3 * A * s.lda), ...);
    ((s.b[P] = b + P * panel_stride), ...);
  }
  template <size_t... P>
  static HWY_INLINE void fetch_ahead(Source& s, std::index_sequence<P...>) {
    (__builtin_prefetch(s.ahead + P * s.ahead_panel), ...);
    s.ahead += s.ahead_step;
  }
  template <size_t kRow>
  static HWY_INLINE V a_at(const Source& s, size_t k) {
    return hn::Set(D(), s.a[kRow / 3][kRow % 3 * s.lda + k]);
  }
  template <size_t kColumn>
  static HWY_INLINE V b_at(const Source& s, size_t offset) {
    return load_as_float(std::integral_constant<PanelType, kType>(),
                         s.b[kColumn / kVectors] + offset + kColumn % kVectors * kLanes);
  }
  template <size_t kRow, size_t... C>
  HWY_INLINE void row_step(V a, const V* b, std::index_sequence<C...>) {
    ((sum[kRow * kColumns + C] = add_product(a, b[C], sum[kRow * kColumns + C])), ...);
  }
  template <size_t kColumn, size_t... R>
  HWY_INLINE void column_step(const V* a, V b, std::index_sequence<R...>) {
    ((sum[R * kColumns + kColumn] = hn::MulAdd(a[R], b, sum[R * kColumns + kColumn])), ...);
  }
  template <size_t... R, size_t... C>
  HWY_INLINE void step(const Source& s, size_t k, size_t offset, std::index_sequence<R...> rows,
                       std::index_sequence<C...> columns) {
    if constexpr (kRows >= kColumns) {
      const V b[kColumns] = {in_register(b_at<C>(s, offset))...};
      (row_step<R>(a_at<R>(s, k), b, columns), ...);
    } else {
      const V a[kRows] = {a_at<R>(s, k)...};
      (column_step<C>(a, b_at<C>(s, offset), rows), ...);
    }
  }
};

struct TileArgs {
  const GemmBlock* block;
  const float* a;
  const char* b;
  const char* ahead;  // what to fetch into the cache meanwhile
  size_t ahead_step;  // bytes of it at each k, in each panel
  const float* sums;  // of what comes before, or null
  size_t ld_sums;
  float* c;
  size_t ldc;
  const float* bias;
  const float* addend;
  size_t ld_addend;
};

template <size_t kRows, size_t kColumns, PanelType kType>
void run_tile(const TileArgs& t) {
  using T = Tile<kRows, kColumns, kType>;
  constexpr auto kAll = std::make_index_sequence<kRows * kColumns>();
  constexpr auto kRowIndices = std::make_index_sequence<kRows>();
  constexpr auto kPanelIndices = std::make_index_sequence<T::kPanels>();
  constexpr auto kColumnIndices = std::make_index_sequence<kColumns>();
  const GemmBlock& block = *t.block;
  T tile;
  tile.zero(kAll);

  typename T::Source s;
  s.lda = block.lda;
  T::point(s, t.a, reinterpret_cast<const Element<kType>*>(t.b), block.panel_stride,
           std::make_index_sequence<(kRows + 2) / 3>(), kPanelIndices);
  s.ahead = t.ahead;
  s.ahead_panel = block.panel_stride * sizeof(Element<kType>);
  s.ahead_step = t.ahead_step;
  size_t k = 0;
  size_t offset = 0;
  HWY_ALIGN float totals[kRows * kColumns * kLanes];
  const float* before = t.sums;  // of the chains before this one, or null
  size_t before_stride = t.ld_sums;
  for (;;) {
    const size_t end = HWY_MIN(block.k, k + kGemmChain);
    for (; k + 4 <= end; k += 4) {
      tile.step(s, k, offset, kRowIndices, kColumnIndices);
      T::fetch_ahead(s, kPanelIndices);
      tile.step(s, k + 1, offset += block.k_stride, kRowIndices, kColumnIndices);
      T::fetch_ahead(s, kPanelIndices);
      tile.step(s, k + 2, offset += block.k_stride, kRowIndices, kColumnIndices);
      T::fetch_ahead(s, kPanelIndices);
      tile.step(s, k + 3, offset += block.k_stride, kRowIndices, kColumnIndices);
      T::fetch_ahead(s, kPanelIndices);
      offset += block.k_stride;
    }
    for (; k < end; ++k, offset += block.k_stride) tile.step(s, k, offset, kRowIndices, kColumnIndices);
    if (before) tile.add(before, before_stride, kAll);
    if (k == block.k) break;
    tile.store(totals, kColumns * kLanes, kAll);
    tile.zero(kAll);
    before = totals;
    before_stride = kColumns * kLanes;
  }

  if (block.finish) {
    if (block.alpha != 1.0f) tile.scale(block.alpha, kAll);
    if (t.bias) tile.add_bias(t.bias, kAll);
    if (t.addend && block.multiplies) {
      tile.multiply(t.addend, t.ld_addend, kAll);
    } else if (t.addend) {
      tile.add(t.addend, t.ld_addend, block.beta, kAll);
    }
  }
  tile.store(t.c, t.ldc, kAll);
  if (block.finish && block.activation.kind != Activation::none)
    activate_block(block.activation, t.c, t.ldc, kRows, kColumns * kLanes);
}

using TileFunction = void (*)(const TileArgs&);

struct Choice {
  TileFunction function;
  size_t columns;
};

template <size_t kRows, size_t kColumns, PanelType kType>
constexpr Choice choice_of() {
  return {run_tile<kRows, kColumns, kType>, kColumns * kLanes};
}

// The tile of that many rows that reads the most panels, but not more than there are whole ones; for less than a panel,
// the narrowest that is wide enough.
template <size_t kRows, PanelType kType>
Choice tile_of(size_t columns) {
  constexpr size_t kMost = panels_of(kRows);
  if constexpr (kMost >= 4) {
    if (columns >= 4 * kPanel) return choice_of<kRows, 4 * kVectors, kType>();
  }
  if constexpr (kMost == 3) {
    if (columns >= 3 * kPanel) return choice_of<kRows, 3 * kVectors, kType>();
  }
  if constexpr (kMost >= 2) {
    if (columns >= 2 * kPanel) return choice_of<kRows, 2 * kVectors, kType>();
  }
  if constexpr (kVectors == 4) {
    if (columns <= kLanes) return choice_of<kRows, 1, kType>();
  }
  if constexpr (kVectors >= 2) {
    if (columns <= kPanel / 2) return choice_of<kRows, kVectors / 2, kType>();
  }
  return choice_of<kRows, kVectors, kType>();
}

template <PanelType kType, size_t... R>
Choice tile_of(size_t rows, size_t columns, std::index_sequence<R...>) {
  Choice choice{};
  static_cast<void>(((rows == R + 1 && (choice = tile_of<R + 1, kType>(columns), true)) || ...));
  return choice;
}
Choice tile_of(PanelType type, size_t rows, size_t columns) {
  constexpr auto kAll = std::make_index_sequence<kMaxRows>();
  switch (type) {
    case PanelType::f16: return tile_of<PanelType::f16>(rows, columns, kAll);
    case PanelType::bf16: return tile_of<PanelType::bf16>(rows, columns, kAll);
    default: return tile_of<PanelType::f32>(rows, columns, kAll);
  }
}

void copy_rows(const float* src, size_t src_stride, float* dst, size_t dst_stride, size_t rows, size_t columns) {
  for (size_t i = 0; i < rows; ++i)
    for (size_t j = 0; j < columns; ++j) dst[i * dst_stride + j] = src[i * src_stride + j];
}

// A tile that is wider than what is left of c: it goes through buffers of its own width and more.
HWY_NOINLINE void run_edge_tile(TileFunction function, TileArgs t, size_t rows, size_t columns) {
  HWY_ALIGN float c[kMaxRows * kPanel];
  HWY_ALIGN float sums[kMaxRows * kPanel];
  HWY_ALIGN float addend[kMaxRows * kPanel];
  HWY_ALIGN float bias[kPanel] = {};
  if (t.sums) {
    for (float& v : sums) v = 0.0f;
    copy_rows(t.sums, t.ld_sums, sums, kPanel, rows, columns);
    t.sums = sums;
    t.ld_sums = kPanel;
  }
  if (t.bias) {
    copy_rows(t.bias, 0, bias, 0, 1, columns);
    t.bias = bias;
  }
  if (t.addend) {
    for (float& v : addend) v = 0.0f;
    copy_rows(t.addend, t.ld_addend, addend, kPanel, rows, columns);
    t.addend = addend;
    t.ld_addend = kPanel;
  }
  float* const dst = t.c;
  const size_t ldc = t.ldc;
  t.c = c;
  t.ldc = kPanel;
  function(t);
  copy_rows(c, kPanel, dst, ldc, rows, columns);
}

void block(const GemmBlock& g) {
  // Tiles of nearly equal height, so that the last one is not a sliver.
  const size_t tiles = (g.rows + kMaxRows - 1) / kMaxRows;
  const size_t height = g.rows / tiles;
  const size_t higher = g.rows % tiles;  // so many have one row more
  const size_t group = panels_of(height);
  // Several tiles: they share the fetching of the next panels. One: it fetches its own, some lines ahead.
  const size_t element = g.type == PanelType::f32 ? sizeof(float) : sizeof(uint16_t);
  const size_t ahead = element * (tiles > 1 ? group * g.panel_stride : ahead_of(height) * g.k_stride);
  const size_t row_bytes = kPanel * element;
  const size_t ahead_step = tiles > 1 ? (tiles < row_bytes ? row_bytes / tiles : 1) : g.k_stride * element;
  const size_t width = group * kPanel;
  const Choice whole[] = {tile_of(g.type, height, width), tile_of(g.type, HWY_MIN(height + 1, kMaxRows), width)};
  for (size_t first = 0; first < g.columns; first += width) {
    const size_t end = HWY_MIN(g.columns, first + width);
    size_t row = 0;
    for (size_t i = 0; i < tiles; ++i) {
      const size_t rows = height + (i < higher ? 1 : 0);
      for (size_t column = first; column < end;) {
        const size_t left = end - column;
        const Choice tile = left == width ? whole[rows - height] : tile_of(g.type, rows, left);
        TileArgs t;
        t.block = &g;
        t.a = g.a + row * g.lda;
        t.b = static_cast<const char*>(g.b) + column / kPanel * g.panel_stride * element;
        t.ahead = t.b + ahead + i * (g.k * ahead_step);
        t.ahead_step = ahead_step;
        t.sums = g.sums ? g.sums + row * g.ld_sums + column : nullptr;
        t.ld_sums = g.ld_sums;
        t.c = g.c + row * g.ldc + column;
        t.ldc = g.ldc;
        t.bias = g.bias ? g.bias + column : nullptr;
        t.addend = g.addend ? g.addend + row * g.ld_addend + column : nullptr;
        t.ld_addend = g.ld_addend;
        if (tile.columns <= left) {
          tile.function(t);
        } else {
          run_edge_tile(tile.function, t, rows, left);
        }
        column += tile.columns;
      }
      row += rows;
    }
  }
}

// kRows dot products with two sums each: the order of a sum is the same for any kRows.
template <size_t kRows>
HWY_INLINE void dot_rows(const float* x, const float* rows, size_t row_stride, size_t k, float* out) {
  const D d;
  V even[kRows];
  V odd[kRows];
  for (size_t r = 0; r < kRows; ++r) even[r] = odd[r] = hn::Zero(d);
  size_t i = 0;
  for (; i + 2 * kLanes <= k; i += 2 * kLanes) {
    const V x0 = in_register(hn::LoadU(d, x + i));
    const V x1 = in_register(hn::LoadU(d, x + i + kLanes));
    for (size_t r = 0; r < kRows; ++r) {
      const float* row = rows + r * row_stride + i;
      even[r] = hn::MulAdd(x0, hn::LoadU(d, row), even[r]);
      odd[r] = hn::MulAdd(x1, hn::LoadU(d, row + kLanes), odd[r]);
    }
  }
  for (size_t r = 0; r < kRows; ++r) {
    float sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(even[r], odd[r])));
    for (size_t j = i; j < k; ++j) sum += x[j] * rows[r * row_stride + j];
    out[r] = sum;
  }
}

void dots(const float* x, const float* rows, size_t row_stride, size_t count, size_t k, float* out) {
  size_t i = 0;
  for (; i + 4 <= count; i += 4) dot_rows<4>(x, rows + i * row_stride, row_stride, k, out + i);
  for (; i < count; ++i) dot_rows<1>(x, rows + i * row_stride, row_stride, k, out + i);
}

void transpose(const float* src, size_t src_stride, size_t rows, size_t columns, float* dst, size_t dst_stride) {
  const hn::FixedTag<float, 4> d;
  const hn::Repartition<uint64_t, decltype(d)> d64;
  size_t i = 0;
  for (; i + 4 <= rows; i += 4) {
    size_t j = 0;
    for (; j + 4 <= columns; j += 4) {
      const float* s = src + j * src_stride + i;
      const auto r0 = hn::LoadU(d, s);
      const auto r1 = hn::LoadU(d, s + src_stride);
      const auto r2 = hn::LoadU(d, s + 2 * src_stride);
      const auto r3 = hn::LoadU(d, s + 3 * src_stride);
      const auto low01 = hn::BitCast(d64, hn::InterleaveLower(d, r0, r1));
      const auto low23 = hn::BitCast(d64, hn::InterleaveLower(d, r2, r3));
      const auto high01 = hn::BitCast(d64, hn::InterleaveUpper(d, r0, r1));
      const auto high23 = hn::BitCast(d64, hn::InterleaveUpper(d, r2, r3));
      float* t = dst + i * dst_stride + j;
      hn::StoreU(hn::BitCast(d, hn::InterleaveLower(d64, low01, low23)), d, t);
      hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(d64, low01, low23)), d, t + dst_stride);
      hn::StoreU(hn::BitCast(d, hn::InterleaveLower(d64, high01, high23)), d, t + 2 * dst_stride);
      hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(d64, high01, high23)), d, t + 3 * dst_stride);
    }
    for (; j < columns; ++j)
      for (size_t r = i; r < i + 4; ++r)
        __builtin_memcpy(dst + r * dst_stride + j, src + j * src_stride + r, sizeof *dst);
  }
  for (; i < rows; ++i)
    for (size_t j = 0; j < columns; ++j)
      __builtin_memcpy(dst + i * dst_stride + j, src + j * src_stride + i, sizeof *dst);
}

}  // namespace

GemmKernels gemm_kernels() { return {kMaxRows, kMaxPanels, kLanes, true, block, dots, transpose}; }

}  // namespace linnet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/dispatch.h"

namespace linnet {

GemmKernels gemm_kernels() noexcept { return LINNET_DISPATCH(gemm_kernels, gemm_kernels_reference)(); }

}  // namespace linnet
#endif
