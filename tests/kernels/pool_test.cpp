#include "kernels/pool/pool.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "each_isa.h"
#include "noise.h"

namespace linnet {
namespace {

PoolGeometry plane(PoolKind kind, size_t channels, size_t h, size_t w, size_t kernel, size_t stride, ptrdiff_t pad,
                   size_t dilation = 1) {
  PoolGeometry g;
  g.kind = kind;
  g.batch = 2;
  g.channels = channels;
  g.src = {1, h, w};
  g.kernel = {1, kernel, kernel};
  g.stride = {1, stride, stride};
  g.dilation = {1, dilation, dilation};
  g.pad_begin = g.pad_end = {0, pad, pad};
  for (size_t a = 0; a < kSpatialAxes; ++a) {
    const ptrdiff_t room = static_cast<ptrdiff_t>(g.src[a]) + 2 * g.pad_begin[a] -
                           static_cast<ptrdiff_t>((g.kernel[a] - 1) * g.dilation[a]) - 1;
    g.dst[a] = room < 0 ? 0 : static_cast<size_t>(room) / g.stride[a] + 1;
  }
  return g;
}

void check(const PoolGeometry& g, const std::vector<float>& src, bool planes = false) {
  std::vector<float> want(g.batch * g.channels * positions_of(g.dst));
  const auto strides = planes ? channels_first_strides : channels_last_strides;
  pool_plain(g, src.data(), strides(g.channels, g.src), want.data(), strides(g.channels, g.dst), {}, Parallel());
  for_each_isa([&] {
    std::vector<float> got(want.size());
    std::vector<std::byte> scratch(planes ? pool_planes_scratch_size(g) : pool_scratch_size(g));
    (planes ? pool_planes : pool_channels_last)(g, src.data(), got.data(), scratch.data(), Parallel());
    for (size_t i = 0; i < want.size(); ++i) {
      if (std::isnan(want[i])) {
        ASSERT_TRUE(std::isnan(got[i])) << i;
      } else if (g.kind == PoolKind::max || std::isinf(want[i])) {
        ASSERT_EQ(got[i], want[i]) << i;
      } else {
        // Of values up to 1, in runs of 128: the plain form adds in double.
        ASSERT_NEAR(got[i], want[i], 1e-6f) << i;
      }
    }
  });
}

TEST(Pool, WindowsMatchThePlainForm) {
  for (const PoolKind kind : {PoolKind::max, PoolKind::average})
    for (const bool include_pad : {false, true})
      for (const size_t channels : {1u, 3u, 5u, 17u, 40u, 300u})
        for (const size_t kernel : {1u, 2u, 3u})
          for (const size_t stride : {1u, 2u, 5u})
            for (const size_t dilation : {1u, 2u}) {
              PoolGeometry g = plane(kind, channels, 7, 9, kernel, stride, kernel / 2, dilation);
              g.count_include_pad = include_pad;
              check(g, noise(g.batch * channels * 63, 7));
            }
}

TEST(Pool, PlanesMatchThePlainForm) {
  for (const PoolKind kind : {PoolKind::max, PoolKind::average})
    for (const bool include_pad : {false, true})
      for (const size_t width : {1u, 7u, 9u, 16u, 37u})
        for (const size_t kernel : {1u, 2u, 3u})
          for (const size_t stride : {1u, 2u, 3u})
            for (const size_t dilation : {1u, 2u})
              for (const ptrdiff_t pad : {-1, 0, 1, 5}) {
                PoolGeometry g = plane(kind, 3, 7, width, kernel, stride, pad, dilation);
                g.count_include_pad = include_pad;
                ASSERT_TRUE(pool_planes_fits(g));
                check(g, noise(g.batch * 3 * 7 * width, 7), true);
              }
  PoolGeometry g = plane(PoolKind::average, 2, 5, 6, 3, 2, 1);
  g.src = {4, 5, 6};
  g.kernel[0] = g.stride[0] = 2;
  g.pad_end[0] = 1;
  g.dst[0] = 2;
  check(g, noise(2 * 2 * 120, 7), true);
  EXPECT_FALSE(pool_planes_fits(plane(PoolKind::average, 1, 300, 301, 300, 1, 0)));
  std::vector<float> src = noise(2 * 3 * 7 * 37, 7);
  src[12] = src[40] = std::numeric_limits<float>::quiet_NaN();
  src[100] = std::numeric_limits<float>::infinity();
  for (const PoolKind kind : {PoolKind::max, PoolKind::average}) check(plane(kind, 3, 7, 37, 3, 2, 1), src, true);
}

TEST(Pool, AverageOfManyPositionsStaysExact) {
  const PoolGeometry g = plane(PoolKind::average, 40, 300, 300, 300, 1, 0);
  std::vector<float> src = noise(2 * 40 * 300 * 300, 7);
  for (float& x : src) x = x * 0.01f + 0.7f;  // in one go, float loses five digits of their sum
  check(g, src);
  check(g, src, true);
}

TEST(Pool, GlobalAndEmpty) {
  PoolGeometry g = plane(PoolKind::average, 515, 7, 7, 7, 1, 0);
  check(g, noise(2 * 515 * 49, 7));
  g.batch = 0;
  check(g, {});
  check(plane(PoolKind::max, 4, 2, 2, 3, 1, 0), noise(2 * 4 * 4, 7));
  for (const PoolKind kind : {PoolKind::max, PoolKind::average})
    for (const size_t size : {1u, 3u, 5u, 7u, 14u}) {
      std::vector<float> src = noise(2 * 3 * size * size, 7);
      check(plane(kind, 3, size, size, size, 1, 0), src, true);
      src[size * size] = std::numeric_limits<float>::quiet_NaN();
      check(plane(kind, 3, size, size, size, 1, 0), src, true);
    }
}

TEST(Pool, NotANumberLosesAMaximumAndSpoilsAnAverage) {
  for (const PoolKind kind : {PoolKind::max, PoolKind::average}) {
    const PoolGeometry g = plane(kind, 9, 5, 5, 3, 1, 1);
    std::vector<float> src = noise(g.batch * 9 * 25, 7);
    src[9 * 12 + 2] = std::numeric_limits<float>::quiet_NaN();
    src[9 * 7 + 8] = std::numeric_limits<float>::infinity();
    src[9 * 3] = -std::numeric_limits<float>::infinity();
    check(g, src);
  }
}

// One plane of 3 x 3, window 2, padded by one before: worked out by hand from the standard's formulas.
TEST(Pool, PlainForm) {
  PoolGeometry g = plane(PoolKind::max, 1, 3, 3, 2, 2, 0);
  g.batch = 1;
  g.pad_begin = {0, 1, 1};
  g.dst = {1, 2, 2};
  const std::vector<float> src = {1, 8, 3, 4, 5, 6, 9, 2, 7};
  const auto run = [&](PoolIndices indices = {}) {
    std::vector<float> dst(4);
    pool_plain(g, src.data(), channels_first_strides(1, g.src), dst.data(), channels_first_strides(1, g.dst), indices,
               Parallel());
    return dst;
  };
  std::vector<int64_t> indices(4);
  EXPECT_EQ(run({indices.data(), false}), (std::vector<float>{1, 8, 9, 7}));
  EXPECT_EQ(indices, (std::vector<int64_t>{0, 1, 6, 8}));
  run({indices.data(), true});
  EXPECT_EQ(indices, (std::vector<int64_t>{0, 3, 2, 8}));
  g.kind = PoolKind::average;
  EXPECT_EQ(run(), (std::vector<float>{1, 5.5, 6.5, 5}));
  g.count_include_pad = true;
  EXPECT_EQ(run(), (std::vector<float>{0.25, 2.75, 3.25, 5}));
  g.kind = PoolKind::lp;
  EXPECT_FLOAT_EQ(run()[1], std::sqrt(73.0f));
  g.p = 1;
  EXPECT_EQ(run(), (std::vector<float>{1, 11, 13, 20}));
  g.p = 3;
  EXPECT_FLOAT_EQ(run()[1], std::cbrt(539.0f));
}

TEST(Pool, CodesMatchThePlainForm) {
  for_each_isa([] {
    for (const size_t channels : {1, 16, 37})
      for (const ptrdiff_t pad : {0, 1, 3}) {
        const PoolGeometry g = plane(PoolKind::max, channels, 7, 9, 3, 2, pad);
        std::mt19937 random(3);
        std::vector<uint8_t> src(g.batch * positions_of(g.src) * channels);
        for (uint8_t& x : src) x = static_cast<uint8_t>(random());
        const size_t count = g.batch * positions_of(g.dst) * channels;
        std::vector<uint8_t> u(count), s(count), expected_u(count);
        std::vector<int8_t> expected_s(count);
        max_pool_codes(g, false, src.data(), u.data(), Parallel());
        max_pool_codes(g, true, src.data(), s.data(), Parallel());
        pool_plain(g, src.data(), channels_last_strides(channels, g.src), expected_u.data(),
                   channels_last_strides(channels, g.dst), {}, Parallel());
        pool_plain(g, reinterpret_cast<const int8_t*>(src.data()), channels_last_strides(channels, g.src),
                   expected_s.data(), channels_last_strides(channels, g.dst), {}, Parallel());
        ASSERT_EQ(u, expected_u);
        for (size_t i = 0; i < count; ++i) ASSERT_EQ(static_cast<int8_t>(s[i]), expected_s[i]) << i;
      }
  });
}

TEST(Pool, IntegersHaveTheirOwnLeastValue) {
  PoolGeometry g = plane(PoolKind::max, 1, 1, 2, 1, 1, 1);
  g.batch = 1;
  const int8_t src[2] = {-128, -3};
  std::vector<int8_t> dst(positions_of(g.dst), 1);
  std::vector<int64_t> indices(dst.size());
  pool_plain(g, src, channels_first_strides(1, g.src), dst.data(), channels_first_strides(1, g.dst),
             {indices.data(), false}, Parallel());
  EXPECT_EQ(dst, (std::vector<int8_t>{-128, -128, -128, -128, -128, -128, -3, -128, -128, -128, -128, -128}));
  EXPECT_EQ(indices, (std::vector<int64_t>{-1, -1, -1, -1, -1, 0, 1, -1, -1, -1, -1, -1}));
}

}  // namespace
}  // namespace linnet
