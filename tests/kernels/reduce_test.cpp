#include "kernels/reduce/reduce.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <vector>

#include "kernels/each_isa.h"

namespace linnet {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

struct Case {
  std::vector<int64_t> shape;
  std::vector<int> axes;
};

const Case kCases[] = {
    {{7}, {0}},
    {{1000}, {0}},
    {{5, 37}, {1}},
    {{5, 37}, {0}},
    {{5, 37}, {0, 1}},
    {{3, 4, 5, 6}, {1, 3}},
    {{3, 4, 5, 6}, {0, 2}},
    {{3, 4, 5, 6}, {2}},
    {{2, 700, 70}, {1}},
    {{2, 3, 2, 3, 2, 3}, {0, 2, 4}},
    {{2, 3, 2, 3, 2, 3}, {1, 3, 5}},
    {{4, 1, 5}, {1}},
    {{6, 9}, {}},
    {{}, {}},
    {{20000}, {0}},
    {{3, 64}, {0}},
    {{150, 4}, {1}},
    {{2, 35, 32}, {2}},
    {{65, 33}, {1}},
};

ReducePlan plan_of(const Case& c) {
  const auto reduce = std::make_unique<bool[]>(c.shape.size() + 1);
  for (const int axis : c.axes) reduce[static_cast<size_t>(axis)] = true;
  return plan_reduce(c.shape, std::span<const bool>(reduce.get(), c.shape.size())).value();
}

// The numbers behind each output, in order, from the definition.
std::vector<std::vector<double>> groups_of(const Case& c, const std::vector<float>& src) {
  std::vector<std::vector<double>> groups;
  for (size_t i = 0; i < src.size(); ++i) {
    size_t rest = i, output = 0, step = 1;
    for (size_t axis = c.shape.size(); axis-- > 0;) {
      const size_t size = static_cast<size_t>(c.shape[axis]);
      const size_t index = rest % size;
      rest /= size;
      if (std::find(c.axes.begin(), c.axes.end(), static_cast<int>(axis)) != c.axes.end()) continue;
      output += index * step;
      step *= size;
    }
    if (groups.size() <= output) groups.resize(output + 1);
    groups[output].push_back(static_cast<double>(src[i]));
  }
  return groups;
}

double expected_of(ReduceFn fn, const std::vector<double>& numbers) {
  double sum = 0, squares = 0, absolute = 0, product = 1, exponentials = 0, max = -HUGE_VAL, min = HUGE_VAL;
  for (const double x : numbers) {
    sum += x;
    squares += x * x;
    absolute += std::fabs(x);
    product *= x;
    exponentials += std::exp(x);
    max = std::max(max, x);
    min = std::min(min, x);
  }
  switch (fn) {
    case ReduceFn::sum: return sum;
    case ReduceFn::mean: return sum / static_cast<double>(numbers.size());
    case ReduceFn::max: return max;
    case ReduceFn::min: return min;
    case ReduceFn::prod: return product;
    case ReduceFn::sum_square: return squares;
    case ReduceFn::l1: return absolute;
    case ReduceFn::l2: return std::sqrt(squares);
    case ReduceFn::log_sum: return std::log(sum);
    case ReduceFn::log_sum_exp: return std::log(exponentials);
  }
  return 0;
}

TEST(Reduce, FloatMatchesDouble) {
  for_each_isa([] {
    for (const Case& c : kCases) {
      size_t count = 1;
      for (const int64_t size : c.shape) count *= static_cast<size_t>(size);
      std::vector<float> src(count);
      for (size_t i = 0; i < count; ++i) src[i] = 0.9f + static_cast<float>((i * 7919) % 101) * 0.002f;
      const ReducePlan plan = plan_of(c);
      const auto groups = groups_of(c, src);
      ASSERT_EQ(plan.outputs, groups.size());
      for (int fn = 0; fn <= static_cast<int>(ReduceFn::log_sum_exp); ++fn) {
        std::vector<float> dst(plan.outputs + 1, -7.0f);
        reduce(static_cast<ReduceFn>(fn), plan, src.data(), dst.data(), Parallel());
        EXPECT_EQ(dst.back(), -7.0f);
        for (size_t o = 0; o < plan.outputs; ++o) {
          const double expected = expected_of(static_cast<ReduceFn>(fn), groups[o]);
          ASSERT_NEAR(static_cast<double>(dst[o]), expected, 1e-6 + 3e-6 * std::fabs(expected))
              << "fn " << fn << " output " << o << " case " << &c - kCases;
        }
      }
    }
  });
}

TEST(Reduce, Specials) {
  for_each_isa([] {
    for (const size_t n : {3u, 40u}) {
      for (size_t at = 0; at < n; ++at) {
        std::vector<float> src(n, 1.0f);
        src[at] = kNaN;
        const Case row{{static_cast<int64_t>(n)}, {0}};
        const Case column{{static_cast<int64_t>(n), 1, 1}, {0}};
        for (const Case& c : {row, column})
          for (const ReduceFn fn : {ReduceFn::max, ReduceFn::min, ReduceFn::sum, ReduceFn::log_sum_exp}) {
            float dst = 0.0f;
            reduce(fn, plan_of(c), src.data(), &dst, Parallel());
            EXPECT_TRUE(std::isnan(dst)) << n << " " << at << " " << static_cast<int>(fn);
          }
      }
    }
    const std::vector<float> low(9, -kInf);
    float dst = 0.0f;
    reduce(ReduceFn::log_sum_exp, plan_of({{9}, {0}}), low.data(), &dst, Parallel());
    EXPECT_EQ(dst, -kInf);
    reduce(ReduceFn::max, plan_of({{9}, {0}}), low.data(), &dst, Parallel());
    EXPECT_EQ(dst, -kInf);
    const float big[] = {200.0f, 201.0f};
    reduce(ReduceFn::log_sum_exp, plan_of({{2}, {0}}), big, &dst, Parallel());
    EXPECT_NEAR(dst, 201.31326f, 1e-4f);
    // A NaN in one column of a plane stays there.
    float plane[40];
    std::fill(plane, plane + 40, 2.0f);
    plane[3] = kNaN;
    float out[20];
    reduce(ReduceFn::max, plan_of({{2, 20}, {0}}), plane, out, Parallel());
    EXPECT_TRUE(std::isnan(out[3]));
    EXPECT_EQ(out[2], 2.0f);
  });
}

TEST(Reduce, WithoutNumbers) {
  for_each_isa([] {
    const Case c{{2, 0}, {1}};
    float dst[2];
    const auto all = [&](ReduceFn fn) {
      reduce(fn, plan_of(c), static_cast<const float*>(nullptr), dst, Parallel());
      return dst[1];
    };
    EXPECT_EQ(all(ReduceFn::sum), 0.0f);
    EXPECT_EQ(all(ReduceFn::prod), 1.0f);
    EXPECT_EQ(all(ReduceFn::max), -kInf);
    EXPECT_EQ(all(ReduceFn::min), kInf);
    EXPECT_EQ(all(ReduceFn::log_sum_exp), -kInf);
    EXPECT_TRUE(std::isnan(all(ReduceFn::mean)));
    int32_t integer[2];
    reduce(ReduceFn::mean, plan_of(c), static_cast<const int32_t*>(nullptr), integer, Parallel());
    EXPECT_EQ(integer[0], 0);
    reduce(ReduceFn::max, plan_of(c), static_cast<const int32_t*>(nullptr), integer, Parallel());
    EXPECT_EQ(integer[0], std::numeric_limits<int32_t>::min());
  });
}

TEST(Reduce, OtherTypes) {
  const int8_t bytes[] = {100, 100, -3, 5};
  int8_t out[2];
  const Case c{{2, 2}, {1}};
  reduce(ReduceFn::sum, plan_of(c), bytes, out, Parallel());
  EXPECT_EQ(out[0], static_cast<int8_t>(200));
  EXPECT_EQ(out[1], 2);
  reduce(ReduceFn::l1, plan_of(c), bytes, out, Parallel());
  EXPECT_EQ(out[1], 8);
  reduce(ReduceFn::min, plan_of(c), bytes, out, Parallel());
  EXPECT_EQ(out[1], -3);
  const int64_t longs[] = {INT64_C(1) << 60, 1, -7, -8};
  int64_t out64[2];
  reduce(ReduceFn::mean, plan_of(c), longs, out64, Parallel());
  EXPECT_EQ(out64[1], -7);
  EXPECT_EQ(out64[0], INT64_C(1) << 59);
  const bf16 halves[] = {bf16(1.0f), bf16(2.0f), bf16(3.0f), bf16(4.0f)};
  bf16 half[2];
  reduce(ReduceFn::l2, plan_of(c), halves, half, Parallel());
  EXPECT_EQ(static_cast<float>(half[1]), 5.0f);
}

TEST(ArgReduce, FirstLastAndNaN) {
  for_each_isa([] {
    for (const size_t n : {1u, 5u, 100u}) {
      for (const size_t inner : {1u, 3u, 70u}) {
        std::vector<float> src(2 * n * inner);
        for (size_t i = 0; i < src.size(); ++i) src[i] = static_cast<float>((i * 31) % 7);
        for (int mode = 0; mode < 4; ++mode) {
          const ArgReduce what{2, n, inner, mode % 2 == 0, mode >= 2};
          std::vector<int64_t> dst(2 * inner);
          arg_reduce(what, src.data(), dst.data(), Parallel());
          for (size_t o = 0; o < 2; ++o)
            for (size_t k = 0; k < inner; ++k) {
              size_t best = 0;
              for (size_t i = 1; i < n; ++i) {
                const float x = src[(o * n + i) * inner + k], b = src[(o * n + best) * inner + k];
                if ((what.max ? x > b : x < b) || (what.last && x == b)) best = i;
              }
              ASSERT_EQ(dst[o * inner + k], static_cast<int64_t>(best)) << n << " " << inner << " " << mode;
            }
        }
      }
    }
    std::vector<float> row(50, 1.0f);
    row[20] = row[30] = kNaN;
    int64_t index = 0;
    arg_reduce({1, 50, 1, true, false}, row.data(), &index, Parallel());
    EXPECT_EQ(index, 20);
    arg_reduce({1, 50, 1, false, true}, row.data(), &index, Parallel());
    EXPECT_EQ(index, 30);
  });
}

TEST(ArgReduce, EveryTypeInItsOwnOrder) {
  const auto check = [](auto row, std::vector<int64_t> expected) {  // greatest first and last, least first and last
    for (const size_t inner : {size_t{1}, size_t{3}}) {
      auto src = row;
      src.clear();
      for (const auto x : row) src.insert(src.end(), inner, x);
      for (int mode = 0; mode < 4; ++mode) {
        std::vector<int64_t> dst(inner);
        arg_reduce({1, row.size(), inner, mode < 2, mode % 2 == 1}, src.data(), dst.data(), Parallel());
        for (const int64_t index : dst) EXPECT_EQ(index, expected[static_cast<size_t>(mode)]) << mode;
      }
    }
  };
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  check(std::vector<int64_t>{-kMost, kMost - 1, kMost, 0, kMost, -kMost}, {2, 4, 0, 5});
  check(std::vector<uint64_t>{~UINT64_C(0) - 1, 1, ~UINT64_C(0), 0, 0}, {2, 2, 3, 4});
  check(std::vector<uint8_t>{128, 127, 255, 0, 255}, {2, 4, 3, 3});
  check(std::vector<int8_t>{-128, 127, 0, 127, -128}, {1, 3, 0, 4});
  check(std::vector<double>{1.0, 1.0 + 1e-15, std::nan(""), 2.0}, {2, 2, 2, 2});
  check(std::vector<bf16>{bf16(1.0f), bf16(-3.0f), bf16(4.0f), bf16(-3.0f)}, {2, 2, 1, 3});
  // Rows that are longer than a tile of them.
  std::vector<uint16_t> longer(100);
  longer[70] = longer[80] = 65535;
  check(longer, {70, 80, 0, 99});
}

TEST(ArgReduce, ShortRows) {
  for_each_isa([] {
    for (const size_t n : {2u, 12u, 13u, 21u, 33u, 75u}) {
      std::vector<float> src(150 * n);
      for (size_t i = 0; i < src.size(); ++i) src[i] = static_cast<float>((i * 37) % 11);
      src[70 * n + 1] = kNaN;
      std::vector<int64_t> first(150), last(150);
      arg_reduce({150, n, 1, true, false}, src.data(), first.data(), Parallel());
      arg_reduce({150, n, 1, true, true}, src.data(), last.data(), Parallel());
      for (size_t o = 0; o < 150; ++o) {
        const auto row = src.begin() + static_cast<std::ptrdiff_t>(o * n), end = row + static_cast<std::ptrdiff_t>(n);
        const float best = *std::max_element(row, end);
        const auto from_end = std::find(std::reverse_iterator(end), std::reverse_iterator(row), best);
        ASSERT_EQ(first[o], o == 70 ? 1 : std::find(row, end, best) - row) << n << " " << o;
        ASSERT_EQ(last[o], o == 70 ? 1 : from_end.base() - row - 1) << n << " " << o;
      }
    }
  });
}

TEST(Cumulate, ColumnsInPlace) {
  constexpr size_t kRows = 5, kColumns = 150;
  for (int mode = 0; mode < 8; ++mode) {
    const bool product = mode & 1, exclusive = mode & 2, reverse = mode & 4;
    std::vector<float> x(2 * kRows * kColumns);
    for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(1 + (i * 7) % 5);
    const std::vector<float> before = x;
    cumulate({2, kRows, kColumns, product, exclusive, reverse}, x.data(), x.data(), Parallel());
    for (size_t o = 0; o < 2; ++o)
      for (size_t k = 0; k < kColumns; ++k) {
        float sum = product ? 1.0f : 0.0f;
        for (size_t i = 0; i < kRows; ++i) {
          const size_t at = (o * kRows + (reverse ? kRows - 1 - i : i)) * kColumns + k;
          const float next = product ? sum * before[at] : sum + before[at];
          ASSERT_EQ(x[at], exclusive ? sum : next) << mode << " " << at;
          sum = next;
        }
      }
  }
}

TEST(Cumulate, EveryMode) {
  const int32_t src[] = {1, 2, 3, 4};
  int32_t dst[4];
  cumulate({1, 4, 1, false, false, false}, src, dst, Parallel());
  EXPECT_EQ(dst[3], 10);
  cumulate({1, 4, 1, false, true, true}, src, dst, Parallel());
  EXPECT_EQ(dst[0], 9);
  EXPECT_EQ(dst[3], 0);
  cumulate({1, 4, 1, true, false, true}, src, dst, Parallel());
  EXPECT_EQ(dst[0], 24);
  cumulate({1, 2, 2, false, false, false}, src, dst, Parallel());
  EXPECT_EQ(dst[2], 4);
  EXPECT_EQ(dst[3], 6);
}

}  // namespace
}  // namespace linnet
