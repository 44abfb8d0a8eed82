#include "kernels/attention/linear_attention.h"

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention/linear_attention.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/partial-inl.h"

#ifndef LINNET_KERNELS_LINEAR_ATTENTION_BLOCK
#define LINNET_KERNELS_LINEAR_ATTENTION_BLOCK
namespace linnet {
namespace {

// Columns of a state that one worker takes: sums over its rows stay in the first-level cache.
constexpr size_t kColumns = 64;

// Columns [first, first + count) of one head's state.
struct Block {
  const LinearAttentionArgs* args;
  size_t b, head, first, count;

  size_t k_row(size_t row) const {
    return (row * args->k_heads + head * args->k_heads / args->kv_heads) * args->k_size;
  }
  // Outputs that this state gives for one token, and the heads of the queries that ask for them.
  size_t reads() const { return args->q_heads > args->kv_heads ? args->q_heads / args->kv_heads : 1; }
  size_t q_row(size_t row, size_t i) const {
    return (row * args->q_heads + (head * reads() + i) * args->q_heads / (reads() * args->kv_heads)) * args->k_size;
  }
  size_t out_row(size_t row, size_t i) const { return ((row * args->kv_heads + head) * reads() + i) * args->v_size; }
};

}  // namespace
}  // namespace linnet
#endif

HWY_BEFORE_NAMESPACE();
namespace linnet::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

// dst = a dst, and dst += b src.
HWY_INLINE void scale_row(float a, float* dst, size_t n) {
  const D d;
  const V va = hn::Set(d, a);
  size_t i = 0;
  for (; i + hn::Lanes(d) <= n; i += hn::Lanes(d)) hn::StoreU(hn::Mul(va, hn::LoadU(d, dst + i)), d, dst + i);
  if (i < n) store_partial(hn::Mul(va, load_partial(d, dst + i, n - i)), d, dst + i, n - i);
}
HWY_INLINE void add_row(float b, const float* src, float* dst, size_t n) {
  const D d;
  const V vb = hn::Set(d, b);
  size_t i = 0;
  for (; i + hn::Lanes(d) <= n; i += hn::Lanes(d))
    hn::StoreU(hn::MulAdd(vb, hn::LoadU(d, src + i), hn::LoadU(d, dst + i)), d, dst + i);
  if (i < n)
    store_partial(hn::MulAdd(vb, load_partial(d, src + i, n - i), load_partial(d, dst + i, n - i)), d, dst + i, n - i);
}

}  // namespace

void linear_attention_simd(const Block& block) {
  const LinearAttentionArgs& a = *block.args;
  const size_t n = block.count;
  float* state = a.state + (block.b * a.kv_heads + block.head) * a.k_size * a.v_size + block.first;
  float delta[kColumns];
  for (size_t t = 0; t < a.steps; ++t) {
    const size_t row = block.b * a.steps + t;
    const float* k = a.k + block.k_row(row);
    const float* v = a.v + (row * a.kv_heads + block.head) * a.v_size + block.first;
    const float* decay = a.decay ? a.decay + (row * a.kv_heads + block.head) * a.decay_size : nullptr;
    const float common = decay && a.decay_size == 1 ? std::exp(*decay) : 1.0f;
    std::copy_n(v, n, delta);
    for (size_t i = 0; i < a.k_size; ++i) {
      if (decay) scale_row(a.decay_size == 1 ? common : std::exp(decay[i]), state + i * a.v_size, n);
      if (a.beta) add_row(-k[i], state + i * a.v_size, delta, n);
    }
    if (a.beta) scale_row(a.beta[row * a.beta_heads + (a.beta_heads == 1 ? 0 : block.head)], delta, n);
    for (size_t i = 0; i < a.k_size; ++i) add_row(k[i], delta, state + i * a.v_size, n);
    for (size_t r = 0; r < block.reads(); ++r) {
      const float* q = a.q + block.q_row(row, r);
      float* out = a.out + block.out_row(row, r) + block.first;
      std::fill_n(out, n, 0.0f);
      for (size_t i = 0; i < a.k_size; ++i) add_row(q[i] * a.scale, state + i * a.v_size, out, n);
    }
  }
}

}  // namespace linnet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/dispatch.h"

namespace linnet {
namespace {

// The definition, a column at a time.
void linear_attention_reference(const Block& block) {
  const LinearAttentionArgs& a = *block.args;
  for (size_t j = block.first; j < block.first + block.count; ++j) {
    float* state = a.state + (block.b * a.kv_heads + block.head) * a.k_size * a.v_size + j;
    for (size_t t = 0; t < a.steps; ++t) {
      const size_t row = block.b * a.steps + t, kv = row * a.kv_heads + block.head;
      const float* k = a.k + block.k_row(row);
      double delta = a.v[kv * a.v_size + j];
      for (size_t i = 0; i < a.k_size; ++i) {
        if (a.decay) state[i * a.v_size] *= std::exp(a.decay[kv * a.decay_size + (a.decay_size == 1 ? 0 : i)]);
        if (a.beta) delta -= static_cast<double>(k[i]) * state[i * a.v_size];
      }
      if (a.beta) delta *= a.beta[row * a.beta_heads + (a.beta_heads == 1 ? 0 : block.head)];
      for (size_t i = 0; i < a.k_size; ++i) state[i * a.v_size] += static_cast<float>(k[i] * delta);
      for (size_t r = 0; r < block.reads(); ++r) {
        const float* q = a.q + block.q_row(row, r);
        double sum = 0;
        for (size_t i = 0; i < a.k_size; ++i) sum += static_cast<double>(q[i]) * state[i * a.v_size];
        a.out[block.out_row(row, r) + j] = static_cast<float>(sum * a.scale);
      }
    }
  }
}

}  // namespace

void linear_attention(const LinearAttentionArgs& args, const Parallel& parallel) noexcept {
  const size_t blocks = (args.v_size + kColumns - 1) / kColumns;
  const double cost = static_cast<double>(args.steps * args.k_size) * 20.0;
  parallel.for_range(args.batch * args.kv_heads * blocks, grain_for(cost), [&](size_t begin, size_t end, size_t) {
    for (size_t item = begin; item < end && !parallel.stopped(); ++item) {
      Block block{&args, item / blocks / args.kv_heads, item / blocks % args.kv_heads, item % blocks * kColumns, 0};
      block.count = std::min(kColumns, args.v_size - block.first);
      const size_t at = (block.b * args.kv_heads + block.head) * args.k_size * args.v_size + block.first;
      for (size_t i = 0; i < args.k_size; ++i) {
        float* row = args.state + at + i * args.v_size;
        if (args.past) {
          std::copy_n(args.past + at + i * args.v_size, block.count, row);
        } else {
          std::fill_n(row, block.count, 0.0f);
        }
      }
      LINNET_DISPATCH(linear_attention_simd, linear_attention_reference)(block);
    }
  });
}

}  // namespace linnet
#endif
