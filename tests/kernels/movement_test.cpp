// Copies, gathers and selections against loops over every element.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "gtest/gtest.h"
#include "kernels/fft/fft.h"
#include "kernels/movement/box.h"
#include "kernels/movement/gather.h"
#include "kernels/movement/pad.h"
#include "kernels/movement/topk.h"
#include "kernels/random/philox.h"
#include "split_parallel.h"

namespace linnet {
namespace {

using Numbers = std::vector<int64_t>;

// Visits every coordinate of a box of these sizes.
template <class F>
void for_each(const Numbers& sizes, F f) {
  Numbers at(sizes.size(), 0);
  const int64_t count = std::accumulate(sizes.begin(), sizes.end(), int64_t{1}, std::multiplies<>());
  for (int64_t i = 0; i < count; ++i) {
    f(at);
    for (size_t a = sizes.size(); a-- > 0;) {
      if (++at[a] < sizes[a]) break;
      at[a] = 0;
    }
  }
}

TEST(Box, CopiesLikeALoopOverElements) {
  std::mt19937 random(1);
  const auto draw = [&](int low, int high) { return std::uniform_int_distribution<int64_t>(low, high)(random); };
  for (int round = 0; round < 400; ++round) {
    const size_t rank = static_cast<size_t>(draw(0, 5));
    Numbers sizes(rank), src_steps(rank), dst_steps(rank);
    int64_t from = 0, to = 0, src_span = 1, dst_span = 1;
    for (size_t a = rank; a-- > 0;) {
      sizes[a] = draw(draw(0, 9) ? 1 : 0, 7);
      // Mostly dense, sometimes with gaps, repeated or backwards.
      const int64_t gap = draw(0, 3) ? 1 : draw(1, 3);
      const int64_t kind = draw(0, 5);
      src_steps[a] = kind == 0 ? 0 : kind == 1 ? -src_span * gap : src_span * gap;
      dst_steps[a] = dst_span * (draw(0, 3) ? 1 : 2);
      if (kind == 1) from += (std::max<int64_t>(sizes[a], 1) - 1) * src_span * gap;
      src_span *= std::max<int64_t>(sizes[a], 1) * gap;
      dst_span = dst_steps[a] * std::max<int64_t>(sizes[a], 1);
    }
    to = draw(0, 3);
    auto box = make_box(sizes, src_steps, dst_steps);
    ASSERT_TRUE(box);
    box->src_offset = from;
    box->dst_offset = to;
    for (const size_t width : {1, 2, 3, 4, 8, 16}) {
      std::vector<uint8_t> src(static_cast<size_t>(src_span) * width + 1),
          want(static_cast<size_t>(dst_span + 3) * width + 1, 0), got = want;
      for (auto& b : src) b = static_cast<uint8_t>(random());
      for_each(sizes, [&](const Numbers& at) {
        int64_t s = from, d = to;
        for (size_t a = 0; a < rank; ++a) {
          s += at[a] * src_steps[a];
          d += at[a] * dst_steps[a];
        }
        std::copy_n(&src[1 + static_cast<size_t>(s) * width], width, &want[1 + static_cast<size_t>(d) * width]);
      });
      copy_box(*box, width, src.data() + 1, got.data() + 1, SplitParallel(3));
      ASSERT_EQ(got, want) << "round " << round << " width " << width;
    }
  }
}

TEST(Box, LongRunsAreSplitAndShortOnesMerged) {
  const auto merged = make_box(Numbers{3, 4, 5}, Numbers{20, 5, 1}, Numbers{20, 5, 1});
  ASSERT_TRUE(merged);
  EXPECT_TRUE(merged->contiguous());
  EXPECT_EQ(merged->run, 60u);
  const Numbers many(Box::kMaxAxes + 1, 2);
  Numbers steps(many.size()), packed(many.size());
  for (size_t a = 0; a < many.size(); ++a) {
    steps[a] = int64_t{3} << (2 * (many.size() - 1 - a));
    packed[a] = int64_t{1} << (many.size() - 1 - a);
  }
  EXPECT_FALSE(make_box(many, steps, packed));
  std::vector<uint8_t> src(1'000'003), dst(src.size());
  for (size_t i = 0; i < src.size(); ++i) src[i] = static_cast<uint8_t>(i * 7 / 5);
  const auto run = make_box(Numbers{static_cast<int64_t>(src.size())}, Numbers{1}, Numbers{1});
  copy_box(*run, 1, src.data(), dst.data(), SplitParallel(3));
  EXPECT_EQ(src, dst);
}

TEST(Gather, PicksRuns) {
  std::mt19937 random(2);
  for (const size_t unit : {1, 2, 3, 4, 7, 8, 16, 40}) {
    const GatherSizes sizes{3, 11, 17, unit};
    std::vector<uint8_t> src(sizes.outer * sizes.size * unit), dst(sizes.outer * sizes.indices * unit), want = dst;
    for (auto& b : src) b = static_cast<uint8_t>(random());
    std::vector<int64_t> indices(sizes.indices);
    for (auto& i : indices) i = static_cast<int64_t>(random() % 22) - 11;
    const std::vector<int32_t> narrow(indices.begin(), indices.end());
    EXPECT_FALSE(bad_index(indices, sizes.size));
    for (size_t o = 0; o < sizes.outer; ++o)
      for (size_t k = 0; k < sizes.indices; ++k)
        std::copy_n(&src[(o * 11 + static_cast<size_t>((indices[k] + 11) % 11)) * unit], unit,
                    &want[(o * 17 + k) * unit]);
    gather(sizes, indices.data(), src.data(), dst.data(), SplitParallel(4));
    EXPECT_EQ(dst, want) << unit;
    std::fill(dst.begin(), dst.end(), uint8_t{0});
    gather(sizes, narrow.data(), src.data(), dst.data(), Parallel());
    EXPECT_EQ(dst, want) << unit;
  }
  EXPECT_EQ(bad_index(std::vector<int64_t>{0, -12, 3}, 11), -12);
  EXPECT_EQ(bad_index(std::vector<int32_t>{0, 11}, 11), 11);
}

TEST(Pad, SourcesOutsideTheBlock) {
  const auto row = [](PadMode mode, int64_t size) {
    Numbers places;
    for (int64_t at = -4; at < size + 4; ++at) places.push_back(pad_source(mode, at, size));
    return places;
  };
  EXPECT_EQ(row(PadMode::constant, 2), (Numbers{-1, -1, -1, -1, 0, 1, -1, -1, -1, -1}));
  EXPECT_EQ(row(PadMode::edge, 2), (Numbers{0, 0, 0, 0, 0, 1, 1, 1, 1, 1}));
  EXPECT_EQ(row(PadMode::wrap, 3), (Numbers{2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0}));
  EXPECT_EQ(row(PadMode::reflect, 3), (Numbers{0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2}));
  EXPECT_EQ(row(PadMode::reflect, 1), (Numbers{0, 0, 0, 0, 0, 0, 0, 0, 0}));
}

template <class T>
void check_top_k(std::mt19937& random, size_t n, size_t k, bool largest, int range) {
  constexpr int64_t kStep = 2;
  std::vector<T> src(n * kStep);
  for (T& v : src) v = static_cast<T>(static_cast<int>(random() % static_cast<unsigned>(range)) - range / 2);
  Numbers order(n);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    const T x = src[static_cast<size_t>(a * kStep)], y = src[static_cast<size_t>(b * kStep)];
    return largest ? x > y : x < y;
  });
  order.resize(k);
  std::vector<T> values(k);
  Numbers places(k);
  std::vector<Ranked> scratch(n);
  top_k(src.data(), kStep, n, k, largest, values.data(), places.data(), 1, scratch.data());
  EXPECT_EQ(places, order);
  for (size_t i = 0; i < k; ++i) EXPECT_EQ(values[i], src[static_cast<size_t>(order[i] * kStep)]);
}

TEST(TopK, SelectsLikeAStableSort) {
  std::mt19937 random(3);
  for (const auto& [n, k] : {std::pair<size_t, size_t>{1, 1}, {7, 7}, {50, 3}, {50, 30}, {1000, 1}, {1000, 999}})
    for (const bool largest : {true, false})
      for (const int range : {3, 100000}) {
        check_top_k<float>(random, n, k, largest, range);
        check_top_k<double>(random, n, k, largest, range);
        check_top_k<int64_t>(random, n, k, largest, range);
        check_top_k<int32_t>(random, n, k, largest, range);
        check_top_k<int8_t>(random, n, k, largest, 100);
      }
}

TEST(Fft, AgreesWithTheSum) {
  std::mt19937 random(4);
  std::normal_distribution<double> normal;
  for (const size_t n : {1, 2, 3, 4, 5, 6, 8, 9, 12, 15, 16, 30, 31, 32, 35, 37, 60, 74, 97, 121, 128, 134, 400, 509}) {
    std::vector<Complex> signal(n), tables(fft_table_size(n)), scratch(fft_scratch_size(n));
    for (Complex& c : signal) c = {normal(random), normal(random)};
    const FftPlan plan = make_fft(n, tables.data(), scratch.data());
    for (const bool inverse : {false, true}) {
      std::vector<Complex> got = signal;
      fft(plan, inverse, got.data(), scratch.data());
      for (size_t k = 0; k < n; ++k) {
        Complex want = 0;
        for (size_t i = 0; i < n; ++i)
          want += signal[i] * std::polar(1.0, (inverse ? 2 : -2) * 3.14159265358979323846 *
                                                  static_cast<double>(i * k % n) / static_cast<double>(n));
        EXPECT_NEAR(std::abs(got[k] - want), 0.0, 1e-12 * static_cast<double>(n)) << n << " " << k;
      }
    }
  }
}

// The known answer that accompanies the paper's code.
TEST(Philox, KnownAnswer) {
  EXPECT_EQ(Philox(0).block(0), (std::array<uint32_t, 4>{0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u}));
  EXPECT_EQ(Philox(5).uniform(6), Philox(5).uniform_pair(3).first);
  EXPECT_EQ(Philox(5).uniform(7), Philox(5).uniform_pair(3).second);
}

}  // namespace
}  // namespace linnet
