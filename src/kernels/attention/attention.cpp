#include "kernels/attention/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/checked.h"
#include "kernels/gemm/gemm.h"
#include "kernels/gemm/gemm_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention/attention.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/math-inl.h"
#include "kernels/partial-inl.h"

HWY_BEFORE_NAMESPACE();
namespace linnet::HWY_NAMESPACE {
namespace {

using Floats = hn::ScalableTag<float>;
using Vector = hn::Vec<Floats>;

// f(vector, index, lanes) for x[0, n).
template <class F>
HWY_INLINE void for_vectors(size_t n, F&& f) {
  const size_t lanes = hn::Lanes(Floats());
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) f(i, lanes);
  if (i < n) f(i, n - i);
}

HWY_INLINE Vector load(const float* p, size_t count) {
  const Floats d;
  return count == hn::Lanes(d) ? hn::LoadU(d, p) : load_partial(d, p, count);
}

HWY_INLINE void store(Vector v, float* p, size_t count) {
  const Floats d;
  if (count == hn::Lanes(d)) {
    hn::StoreU(v, d, p);
  } else {
    store_partial(v, d, p, count);
  }
}

void attention_cap(float* x, size_t n, float cap) {
  const Floats d;
  const auto factor = hn::Set(d, cap), inverse = hn::Set(d, 1.0f / cap);
  for_vectors(n, [&](size_t i, size_t count) HWY_ATTR {
    store(hn::Mul(vec_tanh(d, hn::Mul(load(x + i, count), inverse)), factor), x + i, count);
  });
}

void attention_add(float* x, const float* bias, size_t n) {
  for_vectors(n, [&](size_t i, size_t count)
                     HWY_ATTR { store(hn::Add(load(x + i, count), load(bias + i, count)), x + i, count); });
}

float attention_max(const float* x, size_t n) {
  const Floats d;
  auto greatest = hn::Set(d, -std::numeric_limits<float>::infinity());
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) greatest = hn::Max(hn::LoadU(d, x + i), greatest);  // NaN: the second
  float result = hn::GetLane(hn::MaxOfLanes(d, greatest));
  for (; i < n; ++i) result = x[i] > result ? x[i] : result;
  return result;
}

// x = e^(x - greatest); returns the sum.
float attention_exp(float* x, size_t n, float greatest) {
  const Floats d;
  const size_t lanes = hn::Lanes(d);
  const auto less = hn::Set(d, greatest);
  auto sum = hn::Zero(d);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const auto y = vec_exp(d, hn::Sub(hn::LoadU(d, x + i), less));
    hn::StoreU(y, d, x + i);
    sum = hn::Add(sum, y);
  }
  if (i < n) {
    const auto y = hn::IfThenElseZero(hn::FirstN(d, n - i), vec_exp(d, hn::Sub(load_partial(d, x + i, n - i), less)));
    store_partial(y, d, x + i, n - i);
    sum = hn::Add(sum, y);
  }
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

void attention_scale(float* x, size_t n, float factor) {
  const auto by = hn::Set(Floats(), factor);
  for_vectors(n, [&](size_t i, size_t count) HWY_ATTR { store(hn::Mul(load(x + i, count), by), x + i, count); });
}

}  // namespace
}  // namespace linnet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/dispatch.h"

namespace linnet {
namespace {

void attention_cap_reference(float* x, size_t n, float cap) {
  for (size_t i = 0; i < n; ++i) x[i] = static_cast<float>(std::tanh(static_cast<double>(x[i]) / cap) * cap);
}
void attention_add_reference(float* x, const float* bias, size_t n) {
  for (size_t i = 0; i < n; ++i) x[i] += bias[i];
}
float attention_max_reference(const float* x, size_t n) {
  float greatest = -std::numeric_limits<float>::infinity();
  for (size_t i = 0; i < n; ++i) greatest = x[i] > greatest ? x[i] : greatest;
  return greatest;
}
float attention_exp_reference(float* x, size_t n, float greatest) {
  double sum = 0;
  for (size_t i = 0; i < n; ++i) {
    x[i] = static_cast<float>(std::exp(static_cast<double>(x[i]) - greatest));
    sum += x[i];
  }
  return static_cast<float>(sum);
}
void attention_scale_reference(float* x, size_t n, float factor) {
  for (size_t i = 0; i < n; ++i) x[i] *= factor;
}

struct RowKernels {
  void (*cap)(float*, size_t, float);
  void (*add)(float*, const float*, size_t);
  float (*max)(const float*, size_t);
  float (*exp)(float*, size_t, float);
  void (*scale)(float*, size_t, float);
};

RowKernels row_kernels() noexcept {
  return {
      LINNET_DISPATCH(attention_cap, attention_cap_reference), LINNET_DISPATCH(attention_add, attention_add_reference),
      LINNET_DISPATCH(attention_max, attention_max_reference), LINNET_DISPATCH(attention_exp, attention_exp_reference),
      LINNET_DISPATCH(attention_scale, attention_scale_reference)};
}

constexpr size_t kScoreBytes = 128 * 1024;  // scores of a block of rows: within the second-level cache
constexpr size_t kBlockRows = 48;
constexpr size_t kFarRow = 256, kFarRows = 24;
constexpr size_t kPackRows = 4;  // rows for each head of k at which packing pays

// How the work is cut; depends on sizes only, never on threads.
struct Cut {
  size_t group;         // heads that share a head of k
  bool rows_are_heads;  // one row a head: the heads of a group are the rows of an item
  size_t item_rows;     // rows of one head (or heads of one group) together
  size_t block;         // rows of an item
  size_t blocks;        // items of a head or group
  size_t items;
  size_t score_stride;
  bool pack_k, pack_v;
  size_t k_bytes, v_bytes;  // of one packed head
};

Cut cut_of(const AttentionArgs& a) noexcept {
  Cut c{};
  c.group = a.heads / a.kv_heads;
  c.rows_are_heads = a.rows == 1;
  c.item_rows = c.rows_are_heads ? c.group : a.rows;
  c.score_stride = round_up(a.columns, kPanelWidth);
  const size_t fitting = kScoreBytes / sizeof(float) / std::max<size_t>(c.score_stride, 1) / 6 * 6;
  c.block = std::min(c.item_rows, std::clamp<size_t>(fitting, 6, kBlockRows));
  c.blocks = ceil_div(c.item_rows, std::max<size_t>(c.block, 1));
  c.items = a.batch * (c.rows_are_heads ? a.kv_heads : a.heads) * c.blocks;
  c.pack_k = a.rows * c.group >= kPackRows;
  // Rows far apart cost a page each: many queries pay for a copy.
  c.pack_v = a.v_head_size % kPanelWidth != 0 || (a.v_strides.row >= kFarRow && a.rows * c.group >= kFarRows);
  c.k_bytes = c.pack_k ? round_up(packed_b_size(a.head_size, a.columns), 64) : 0;
  c.v_bytes = c.pack_v ? round_up(packed_b_size(a.columns, a.v_head_size), 64) : 0;
  return c;
}

bool is_empty(const AttentionArgs& a) noexcept { return a.batch == 0 || a.heads == 0 || a.rows == 0; }

}  // namespace

size_t attention_scratch_size(const AttentionArgs& a, size_t threads) noexcept {
  if (is_empty(a)) return 0;
  const Cut c = cut_of(a);
  return a.batch * a.kv_heads * (c.k_bytes + c.v_bytes) + threads * c.block * c.score_stride * sizeof(float);
}

void attention(const AttentionArgs& a, std::byte* scratch, const Parallel& parallel) noexcept {
  if (is_empty(a)) return;
  const Cut cut = cut_of(a);
  const size_t kv_items = a.batch * a.kv_heads;
  std::byte* packed_k = scratch;
  std::byte* packed_v = packed_k + kv_items * cut.k_bytes;
  auto* all_scores = reinterpret_cast<float*>(packed_v + kv_items * cut.v_bytes);
  const auto k_of = [&](size_t b, size_t h) { return a.k + b * a.k_strides.batch + h * a.k_strides.head; };
  const auto v_of = [&](size_t b, size_t h) { return a.v + b * a.v_strides.batch + h * a.v_strides.head; };

  // Of a cache that is larger than what it holds, only the used columns are packed.
  size_t used = a.columns;
  if (a.lengths && !a.scores) {
    const int64_t longest = *std::max_element(a.lengths, a.lengths + a.batch);
    used = static_cast<size_t>(std::clamp<int64_t>(longest, 0, static_cast<int64_t>(a.columns)));
  }
  if (cut.pack_k || cut.pack_v) {
    const Parallel serial;
    parallel.for_range(kv_items, grain_for(static_cast<double>(a.columns * a.head_size) * 0.3),
                       [&](size_t first, size_t last, size_t) {
                         for (size_t i = first; i < last; ++i) {
                           const size_t b = i / a.kv_heads, h = i % a.kv_heads;
                           if (cut.pack_k)
                             pack_b(k_of(b, h), a.head_size, used, a.k_strides.row, true,
                                    reinterpret_cast<float*>(packed_k + i * cut.k_bytes), serial);
                           if (cut.pack_v)
                             pack_b(v_of(b, h), used, a.v_head_size, a.v_strides.row, false,
                                    reinterpret_cast<float*>(packed_v + i * cut.v_bytes), serial);
                         }
                       });
  }

  const GemmKernels gemm = gemm_kernels();
  const RowKernels rows_kernels = row_kernels();
  const double item_ns = static_cast<double>(cut.block * a.columns * (a.head_size + a.v_head_size + 8)) * 0.03 + 100.0;
  parallel.for_range(cut.items, grain_for(item_ns), [&](size_t first, size_t last, size_t worker) {
    float* const scores = all_scores + worker * cut.block * cut.score_stride;
    for (size_t item = first; item < last; ++item) {
      if (parallel.stopped()) return;
      const size_t block = item % cut.blocks, of = item / cut.blocks;
      const size_t heads = cut.rows_are_heads ? a.kv_heads : a.heads;
      const size_t b = of / heads;
      const size_t kv_head = cut.rows_are_heads ? of % heads : of % heads / cut.group;
      const size_t row0 = block * cut.block, count = std::min(cut.block, cut.item_rows - row0);
      // Row i of the item: row_of(i) of head_of(i).
      const size_t head0 = cut.rows_are_heads ? kv_head * cut.group + row0 : of % heads;
      const size_t position0 = cut.rows_are_heads ? 0 : row0;
      const auto head_of = [&](size_t i) { return cut.rows_are_heads ? head0 + i : head0; };
      const auto position_of = [&](size_t i) { return cut.rows_are_heads ? 0 : position0 + i; };
      const auto step = [&](const HeadStrides& s) { return cut.rows_are_heads ? s.head : s.row; };
      const auto at = [&](const HeadStrides& s) { return b * s.batch + head0 * s.head + position0 * s.row; };

      // The columns [low, high) that each row sees.
      const auto limit = static_cast<int64_t>(a.bias ? std::min(a.columns, a.bias_columns) : a.columns);
      const int64_t length = a.lengths ? std::clamp<int64_t>(a.lengths[b], 0, limit) : limit;
      const int64_t offset = a.offsets ? a.offsets[b] : a.offset;
      const auto high_of = [&](size_t i) {
        return a.causal ? std::clamp<int64_t>(static_cast<int64_t>(position_of(i)) + offset + 1, 0, length) : length;
      };
      const auto low_of = [&](size_t i) {
        return a.window > 0
                   ? std::clamp<int64_t>(static_cast<int64_t>(position_of(i)) + offset - a.window + 1, 0, high_of(i))
                   : 0;
      };
      const auto seen = static_cast<size_t>(high_of(count - 1));
      const size_t columns = a.scores ? a.columns : seen;

      const float* q = a.q + at(a.q_strides);
      if (cut.pack_k) {
        GemmBlock g;
        g.rows = count;
        g.columns = columns;
        g.k = a.head_size;
        g.a = q;
        g.lda = step(a.q_strides);
        g.b = reinterpret_cast<const float*>(packed_k + (b * a.kv_heads + kv_head) * cut.k_bytes);
        g.panel_stride = a.head_size * kPanelWidth;
        g.k_stride = kPanelWidth;
        g.c = scores;
        g.ldc = cut.score_stride;
        g.finish = true;
        g.alpha = a.scale;
        if (columns) gemm.block(g);
      } else {
        for (size_t i = 0; i < count; ++i) {
          gemm.dots(q + i * step(a.q_strides), k_of(b, kv_head), a.k_strides.row, columns, a.head_size,
                    scores + i * cut.score_stride);
          rows_kernels.scale(scores + i * cut.score_stride, columns, a.scale);
        }
      }

      float* out = a.out + at(a.out_strides);
      float inverse[kBlockRows];
      for (size_t i = 0; i < count; ++i) {
        float* row = scores + i * cut.score_stride;
        const auto low = static_cast<size_t>(low_of(i)), high = static_cast<size_t>(high_of(i));
        float* kept =
            a.scores ? a.scores + ((b * a.heads + head_of(i)) * a.rows + position_of(i)) * a.columns : nullptr;
        const auto keep = [&](AttentionScores kind) {
          if (kept && a.scores_kind == kind) std::copy_n(row, a.columns, kept);
        };
        keep(AttentionScores::scaled);
        if (a.softcap != 0.0f) rows_kernels.cap(row, columns, a.softcap);
        keep(AttentionScores::capped);
        if (a.bias)
          rows_kernels.add(row + low,
                           a.bias + b * a.bias_strides.batch + head_of(i) * a.bias_strides.head +
                               position_of(i) * a.bias_strides.row + low,
                           high - low);
        if (kept && a.scores_kind == AttentionScores::biased) {
          std::fill(row, row + low, -std::numeric_limits<float>::infinity());
          std::fill(row + high, row + columns, -std::numeric_limits<float>::infinity());
          keep(AttentionScores::biased);
        }
        float greatest = rows_kernels.max(row + low, high - low);
        const bool sink = a.sinks || a.zero_sink;
        const float sink_score = a.sinks ? a.sinks[head_of(i)] : 0.0f;
        if (sink) greatest = std::max(greatest, sink_score);
        float sum = 0.0f;
        if (greatest == -std::numeric_limits<float>::infinity()) {
          std::fill(row + low, row + high, 0.0f);
        } else {
          sum = rows_kernels.exp(row + low, high - low, greatest);
          if (sink) sum += std::exp(sink_score - greatest);
        }
        std::fill(row, row + low, 0.0f);
        std::fill(row + high, row + std::max(columns, high), 0.0f);
        // The division by the sum waits until after the product, unless the scores are wanted.
        inverse[i] = sum == 0.0f ? 0.0f : 1.0f / sum;
        if (kept && a.scores_kind == AttentionScores::softmax) {
          rows_kernels.scale(row, columns, inverse[i]);
          inverse[i] = 1.0f;
          keep(AttentionScores::softmax);
        }
      }

      GemmBlock g;
      g.rows = count;
      g.columns = a.v_head_size;
      g.k = seen;
      g.a = scores;
      g.lda = cut.score_stride;
      if (cut.pack_v) {
        g.b = reinterpret_cast<const float*>(packed_v + (b * a.kv_heads + kv_head) * cut.v_bytes);
        g.panel_stride = used * kPanelWidth;
        g.k_stride = kPanelWidth;
      } else {
        g.b = v_of(b, kv_head);
        g.panel_stride = kPanelWidth;
        g.k_stride = a.v_strides.row;
      }
      g.c = out;
      g.ldc = step(a.out_strides);
      g.finish = true;
      if (g.columns) gemm.block(g);
      for (size_t i = 0; i < count; ++i) rows_kernels.scale(out + i * step(a.out_strides), a.v_head_size, inverse[i]);
    }
  });
}

}  // namespace linnet
#endif
