#include "kernels/recurrent/cell.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/recurrent/cell.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace linnet::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

// An LSTM of sigmoids and tanh alone, whose gates stay in registers.
void lstm_cell_simd(const CellRow& row) {
  const hn::ScalableTag<float> d;
  static_assert(kUnitBlock % hn::MaxLanes(d) == 0);
  for (size_t unit = row.begin * kUnitBlock; unit < row.end * kUnitBlock; unit += hn::MaxLanes(d)) {
    const size_t first = unit / kUnitBlock * 4 * kUnitBlock + unit % kUnitBlock;
    const auto gate = [&](size_t g) HWY_ATTR {
      const size_t at = first + g * kUnitBlock;
      return hn::Add(hn::LoadU(d, row.x + at), hn::LoadU(d, row.sums + at));
    };
    const auto kept = hn::Mul(vec_sigmoid(d, gate(2)), hn::LoadU(d, row.c_before + unit));
    const auto c = hn::Add(kept, hn::Mul(vec_sigmoid(d, gate(0)), vec_tanh(d, gate(3))));
    hn::StoreU(c, d, row.c + unit);
    hn::StoreU(hn::Mul(vec_sigmoid(d, gate(1)), vec_tanh(d, c)), d, row.h + unit);
  }
}

}  // namespace
}  // namespace linnet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/dispatch.h"

namespace linnet {
namespace {

constexpr size_t kChunkBlocks = 4;  // gathered at a time, so that an activation's call is worth its cost
constexpr size_t kChunk = kChunkBlocks * kUnitBlock;

// Applies f(i) to whole blocks: the constant length lets the compiler use vectors.
template <class F>
inline void for_units(size_t count, F&& f) {
  for (size_t block = 0; block < count; block += kUnitBlock)
    for (size_t i = block; i < block + kUnitBlock; ++i) f(i);
}

// out = x + sums for one gate of blocks [begin, end).
void gather(const CellRow& row, size_t begin, size_t end, size_t gate, float* out) {
  for (size_t block = begin; block < end; ++block, out += kUnitBlock) {
    const size_t offset = gate_offset(row.args->cell, row.blocks, block, gate);
    const float* x = row.x + offset;
    const float* sums = row.sums + offset;
    for (size_t i = 0; i < kUnitBlock; ++i) out[i] = x[i] + sums[i];
  }
}

void activate(const GateActivation& a, float* values, size_t count) {
  if (a.in_scale != 1.0f) for_units(count, [&](size_t i) { values[i] *= a.in_scale; });
  if (a.has_fn) unary_range(a.fn, a.params, values, values, count);
  if (a.out_scale != 1.0f || a.out_shift != 0.0f)
    for_units(count, [&](size_t i) { values[i] = values[i] * a.out_scale + a.out_shift; });
}

void clip_and_activate(const CellRow& row, const GateActivation& a, float* values, size_t count) {
  const float clip = row.args->clip;
  if (clip != std::numeric_limits<float>::infinity())
    for_units(count, [&](size_t i) { values[i] = values[i] > clip ? clip : values[i] < -clip ? -clip : values[i]; });
  activate(a, values, count);
}

template <class F>
inline void for_chunks(const CellRow& row, F&& f) {
  for (size_t block = row.begin; block < row.end; block += kChunkBlocks) {
    const size_t end = std::min(row.end, block + kChunkBlocks);
    f(block, end, block * kUnitBlock, (end - block) * kUnitBlock);
  }
}

bool is_plain(const GateActivation& a, UnaryFn fn) {
  return a.has_fn && a.fn == fn && a.in_scale == 1.0f && a.out_scale == 1.0f && a.out_shift == 0.0f;
}

bool is_plain_lstm(const CellRow& row) {
  const RecurrentArgs& a = *row.args;
  return !row.peepholes && !a.input_forget && a.clip == std::numeric_limits<float>::infinity() &&
         is_plain(a.activations[0], UnaryFn::sigmoid) && is_plain(a.activations[1], UnaryFn::tanh) &&
         is_plain(a.activations[2], UnaryFn::tanh);
}

void any_lstm_cell(const CellRow& row) {
  const RecurrentArgs& args = *row.args;
  const size_t padded = row.blocks * kUnitBlock;
  for_chunks(row, [&](size_t begin, size_t end, size_t unit, size_t count) {
    float in[kChunk], out[kChunk], forget[kChunk], candidate[kChunk];
    gather(row, begin, end, 0, in);
    gather(row, begin, end, 1, out);
    gather(row, begin, end, 3, candidate);
    const float* c_before = row.c_before + unit;
    const float* peephole = row.peepholes ? row.peepholes + unit : nullptr;
    if (peephole) for_units(count, [&](size_t i) { in[i] += peephole[i] * c_before[i]; });
    clip_and_activate(row, args.activations[0], in, count);
    if (args.input_forget) {
      for_units(count, [&](size_t i) { forget[i] = 1.0f - in[i]; });
    } else {
      gather(row, begin, end, 2, forget);
      if (peephole) for_units(count, [&](size_t i) { forget[i] += peephole[2 * padded + i] * c_before[i]; });
      clip_and_activate(row, args.activations[0], forget, count);
    }
    clip_and_activate(row, args.activations[1], candidate, count);
    float* c = row.c + unit;
    for_units(count, [&](size_t i) { c[i] = forget[i] * c_before[i] + in[i] * candidate[i]; });
    if (peephole) for_units(count, [&](size_t i) { out[i] += peephole[padded + i] * c[i]; });
    clip_and_activate(row, args.activations[0], out, count);
    float* h = row.h + unit;
    for_units(count, [&](size_t i) { h[i] = c[i]; });
    activate(args.activations[2], h, count);
    for_units(count, [&](size_t i) { h[i] *= out[i]; });
  });
}

}  // namespace

void rnn_cell(const CellRow& row) noexcept {
  for_chunks(row, [&](size_t begin, size_t end, size_t unit, size_t count) {
    gather(row, begin, end, 0, row.h + unit);
    clip_and_activate(row, row.args->activations[0], row.h + unit, count);
  });
}

void lstm_cell(const CellRow& row) noexcept {
  is_plain_lstm(row) ? LINNET_DISPATCH(lstm_cell_simd, any_lstm_cell)(row) : any_lstm_cell(row);
}

void gru_gates(const CellRow& row) noexcept {
  for_chunks(row, [&](size_t begin, size_t end, size_t unit, size_t count) {
    float gate[kChunk];
    for (size_t g = 0; g < 2; ++g) {
      gather(row, begin, end, g, gate);
      clip_and_activate(row, row.args->activations[0], gate, count);
      for (size_t block = begin; block < end; ++block)
        std::copy_n(gate + (block - begin) * kUnitBlock, kUnitBlock,
                    row.sums + gate_offset(CellKind::gru, row.blocks, block, g));
    }
    if (row.reset) {
      const float* h = row.h_before + unit;
      float* reset = row.reset + unit;
      for_units(count, [&](size_t i) { reset[i] = gate[i] * h[i]; });
    }
  });
}

void gru_cell(const CellRow& row) noexcept {
  for_chunks(row, [&](size_t begin, size_t end, size_t unit, size_t count) {
    float candidate[kChunk];
    for (size_t block = begin; block < end; ++block) {
      const size_t offset = gate_offset(CellKind::gru, row.blocks, block, 2);
      const float* x = row.x + offset;
      const float* sums = row.sums + offset;
      const float* r = row.sums + gate_offset(CellKind::gru, row.blocks, block, 1);
      const float* bias = row.bias_r + block * kUnitBlock;
      float* to = candidate + (block - begin) * kUnitBlock;
      if (row.args->linear_before_reset) {
        for (size_t i = 0; i < kUnitBlock; ++i) to[i] = x[i] + r[i] * (sums[i] + bias[i]);
      } else {
        for (size_t i = 0; i < kUnitBlock; ++i) to[i] = x[i] + sums[i];
      }
    }
    clip_and_activate(row, row.args->activations[1], candidate, count);
    for (size_t block = begin; block < end; ++block) {
      const float* z = row.sums + gate_offset(CellKind::gru, row.blocks, block, 0);
      const float* g = candidate + (block - begin) * kUnitBlock;
      const size_t at = unit + (block - begin) * kUnitBlock;
      const float* before = row.h_before + at;
      float* h = row.h + at;
      for (size_t i = 0; i < kUnitBlock; ++i) h[i] = (1.0f - z[i]) * g[i] + z[i] * before[i];
    }
  });
}

}  // namespace linnet
#endif
