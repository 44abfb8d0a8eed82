// Elementwise kernels, reductions and normalisations give the same bits however their ranges are split.
#include <cstring>
#include <vector>

#include "kernels/each_isa.h"
#include "kernels/elementwise/binary.h"
#include "kernels/elementwise/cast.h"
#include "kernels/elementwise/unary.h"
#include "kernels/norm/norm.h"
#include "kernels/pool/pool.h"
#include "kernels/reduce/reduce.h"
#include "kernels/softmax/softmax.h"
#include "kernels/split_parallel.h"
#include "kernels/transpose/transpose.h"

namespace linnet {
namespace {

constexpr size_t kRows = 37, kColumns = 1029;
constexpr int64_t kShape[] = {static_cast<int64_t>(kRows), static_cast<int64_t>(kColumns)};

std::vector<float> numbers() {
  std::vector<float> v(kRows * kColumns);
  uint32_t seed = 7;
  for (float& x : v) {
    seed = seed * 1664525u + 1013904223u;
    x = static_cast<float>(seed >> 8) / 4194304.0f - 2.0f;
  }
  return v;
}

// `kernel(src, dst, parallel)` writes at most kRows x kColumns floats.
template <class Kernel>
void expect_same_bits(const char* name, Kernel kernel) {
  const std::vector<float> src = numbers();
  for_each_isa([&] {
    std::vector<float> serial(src.size(), -1.0f);
    kernel(src.data(), serial.data(), Parallel());
    for (const size_t threads : {2u, 3u, 16u}) {
      std::vector<float> split(src.size(), -1.0f);
      kernel(src.data(), split.data(), SplitParallel(threads));
      EXPECT_EQ(std::memcmp(serial.data(), split.data(), src.size() * sizeof(float)), 0) << name << " " << threads;
    }
  });
}

TEST(Split, Reductions) {
  for (const bool rows : {false, true}) {
    const bool reduce_axis[] = {!rows, rows};
    const ReducePlan plan = plan_reduce(kShape, reduce_axis).value();
    for (int fn = 0; fn <= static_cast<int>(ReduceFn::log_sum_exp); ++fn)
      expect_same_bits("reduce", [&](const float* src, float* dst, const Parallel& parallel) {
        reduce(static_cast<ReduceFn>(fn), plan, src, dst, parallel);
      });
  }
}

TEST(Split, ShortRows) {
  const int64_t shape[] = {static_cast<int64_t>(kRows * kColumns / 7), 7};
  const bool last[] = {false, true};
  const ReducePlan plan = plan_reduce(shape, last).value();
  for (const ReduceFn fn : {ReduceFn::mean, ReduceFn::max, ReduceFn::log_sum_exp})
    expect_same_bits("reduce", [&](const float* src, float* dst, const Parallel& parallel) {
      reduce(fn, plan, src, dst, parallel);
    });
}

TEST(Split, PooledPlanes) {
  for (const PoolKind kind : {PoolKind::max, PoolKind::average}) {
    PoolGeometry g;
    g.kind = kind;
    g.channels = kRows;
    g.src = {1, 21, kColumns / 21};
    g.kernel = {1, 3, 3};
    g.stride = {1, 2, 2};
    g.pad_begin = g.pad_end = {0, 1, 1};
    g.dst = {1, 11, 25};
    expect_same_bits("pool_planes", [&](const float* src, float* dst, const Parallel& parallel) {
      std::vector<std::byte> scratch(pool_planes_scratch_size(g) * parallel.threads());
      pool_planes(g, src, dst, scratch.data(), parallel);
    });
  }
}

TEST(Split, Rows) {
  for (const bool log : {false, true}) {
    expect_same_bits("softmax of rows", [&](const float* src, float* dst, const Parallel& parallel) {
      softmax(log, {kRows, kColumns, 1}, src, dst, parallel);
    });
    expect_same_bits("softmax of columns", [&](const float* src, float* dst, const Parallel& parallel) {
      softmax(log, {kRows, kColumns / 3, 3}, src, dst, parallel);
    });
  }
  expect_same_bits("layer_norm", [](const float* src, float* dst, const Parallel& parallel) {
    layer_norm({.rows = kRows, .n = kColumns, .src = src, .scale = src, .shift = src, .dst = dst}, parallel);
  });
  expect_same_bits("channel_norm", [](const float* src, float* dst, const Parallel& parallel) {
    channel_norm({kRows, 3, kColumns / 3, 3, 1e-5f, src, src, src, dst}, parallel);
  });
}

TEST(Split, Elements) {
  for (int fn = 0; fn <= static_cast<int>(UnaryFn::clip); ++fn)
    expect_same_bits("unary", [&](const float* src, float* dst, const Parallel& parallel) {
      unary(static_cast<UnaryFn>(fn), {0.5f, 0.75f}, src, dst, kRows * kColumns, parallel);
    });
  const int64_t row[] = {1, kShape[1]};
  const int64_t column[] = {kShape[0], 1};
  for (const std::span<const int64_t> other :
       {std::span<const int64_t>(kShape), std::span<const int64_t>(row), std::span<const int64_t>(column)}) {
    const std::span<const int64_t> shapes[] = {kShape, other};
    const BroadcastPlan plan = plan_broadcast(kShape, shapes).value();
    for (const BinaryFn fn : {BinaryFn::add, BinaryFn::div, BinaryFn::max, BinaryFn::prelu, BinaryFn::fmod})
      expect_same_bits("binary", [&](const float* src, float* dst, const Parallel& parallel) {
        binary(fn, plan, src, src, dst, parallel);
      });
  }
  expect_same_bits("cast", [](const float* src, float* dst, const Parallel& parallel) {
    cast(NumberType::f32, src, NumberType::f16, dst, kRows * kColumns, {}, parallel);
  });
}

TEST(Split, Transpose) {
  const size_t order[] = {1, 0};
  const TransposePlan plan = plan_transpose(kShape, order, 4).value();
  expect_same_bits("transpose", [&](const float* src, float* dst, const Parallel& parallel) {
    transpose(plan, src, dst, parallel);
  });
}

}  // namespace
}  // namespace linnet
