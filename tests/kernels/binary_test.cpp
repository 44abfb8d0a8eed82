#include "kernels/elementwise/binary.h"

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "kernels/each_isa.h"
#include "kernels/elementwise/binary_reference.h"

namespace linnet {
namespace {

using Sizes = std::vector<int64_t>;
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

BroadcastPlan plan_of(const Sizes& result, const Sizes& a, const Sizes& b) {
  const std::span<const int64_t> shapes[] = {a, b};
  return plan_broadcast(result, shapes).value();
}

size_t count_of(const Sizes& shape) {
  size_t n = 1;
  for (const int64_t size : shape) n *= static_cast<size_t>(size);
  return n;
}

// The offset in an operand of the result's element i, from the definition.
size_t source_of(size_t i, const Sizes& result, const Sizes& shape) {
  size_t offset = 0;
  size_t step = 1;
  for (size_t back = 1; back <= result.size(); ++back) {
    const size_t size = static_cast<size_t>(result[result.size() - back]);
    const size_t index = i % size;
    i /= size;
    if (back > shape.size()) continue;
    const size_t own = static_cast<size_t>(shape[shape.size() - back]);
    if (own != 1) offset += index * step;
    step *= own;
  }
  return offset;
}

struct Shapes {
  Sizes result, a, b;
};
const Shapes kShapes[] = {
    {{}, {}, {}},
    {{37}, {37}, {37}},
    {{37}, {37}, {}},
    {{37}, {1}, {37}},
    {{0, 3}, {0, 3}, {3}},
    {{5, 37}, {5, 37}, {37}},
    {{5, 37}, {5, 1}, {5, 37}},
    {{5, 37}, {5, 1}, {1, 37}},
    {{2, 3, 4, 5}, {2, 3, 4, 5}, {3, 1, 1}},
    {{2, 3, 4, 5}, {2, 1, 4, 1}, {3, 1, 5}},
    {{2, 3, 2, 3, 2, 3}, {2, 1, 2, 1, 2, 1}, {1, 3, 1, 3, 1, 3}},
    {{3, 70000}, {3, 70000}, {3, 1}},
};

TEST(Broadcast, AddMatchesTheDefinition) {
  for_each_isa([] {
    for (const Shapes& s : kShapes) {
      std::vector<float> a(count_of(s.a) + 1), b(count_of(s.b) + 1);
      for (size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(i);
      for (size_t i = 0; i < b.size(); ++i) b[i] = static_cast<float>(i) * 1000.0f;
      std::vector<float> dst(count_of(s.result) + 1, -1.0f);
      binary(BinaryFn::add, plan_of(s.result, s.a, s.b), a.data(), b.data(), dst.data(), Parallel());
      for (size_t i = 0; i + 1 < dst.size(); ++i)
        ASSERT_EQ(dst[i], a[source_of(i, s.result, s.a)] + b[source_of(i, s.result, s.b)]) << i;
      EXPECT_EQ(dst.back(), -1.0f);
    }
  });
}

TEST(Broadcast, MergesAxes) {
  const BroadcastPlan plan = plan_of({2, 3, 4, 5}, {2, 3, 4, 5}, {3, 1, 1});
  EXPECT_EQ(plan.column.size, 20u);
  EXPECT_EQ(plan.row.size, 3u);
  EXPECT_EQ(plan.outer.size(), 1u);
  EXPECT_EQ(plan_of({2, 3, 4}, {2, 3, 4}, {2, 3, 4}).rows(), 1u);
}

TEST(Binary, FloatMatchesReferenceWithSpecials) {
  const float inf = std::numeric_limits<float>::infinity();
  std::vector<float> a, b;
  for (const float x : {0.0f, -0.0f, 1.0f, -2.5f, inf, -inf, kNaN, 1e-40f})
    for (const float y : {0.0f, -0.0f, 3.0f, -2.5f, inf, -inf, kNaN, 1e-40f}) {
      a.push_back(x);
      b.push_back(y);
    }
  a.push_back(7.0f);
  b.push_back(5.0f);
  const int64_t n = static_cast<int64_t>(a.size());
  const BroadcastPlan plan = plan_of({n}, {n}, {n});
  BroadcastBlock block;
  block.rows = 1;
  block.columns = a.size();
  block.stride[0] = block.stride[1] = 1;
  for_each_isa([&] {
    for (int fn = 0; fn <= static_cast<int>(BinaryFn::fmod); ++fn) {
      std::vector<float> dst(a.size()), expected(a.size());
      binary(static_cast<BinaryFn>(fn), plan, a.data(), b.data(), dst.data(), Parallel());
      binary_block_reference(static_cast<BinaryFn>(fn), block, a.data(), b.data(), expected.data());
      for (size_t i = 0; i < a.size(); ++i) {
        if (std::isnan(expected[i])) {
          EXPECT_TRUE(std::isnan(dst[i])) << fn << " " << a[i] << " " << b[i];
        } else {
          EXPECT_EQ(dst[i], expected[i]) << fn << " " << a[i] << " " << b[i];
        }
      }
    }
    for (int fn = 0; fn <= static_cast<int>(CompareFn::greater_or_equal); ++fn) {
      const auto bools = std::make_unique<bool[]>(a.size() + 1);
      compare(static_cast<CompareFn>(fn), plan, a.data(), b.data(), bools.get(), Parallel());
      for (size_t i = 0; i < a.size(); ++i) {
        const bool expected = fn == 0   ? a[i] == b[i]
                              : fn == 1 ? a[i] < b[i]
                              : fn == 2 ? a[i] <= b[i]
                              : fn == 3 ? a[i] > b[i]
                                        : a[i] >= b[i];
        EXPECT_EQ(bools[i], expected) << fn << " " << a[i] << " " << b[i];
      }
      EXPECT_FALSE(bools[a.size()]);
    }
  });
}

template <class T>
T one(BinaryFn fn, T a, T b) {
  T dst{};
  binary(fn, plan_of({}, {}, {}), &a, &b, &dst, Parallel());
  return dst;
}

TEST(Binary, IntegersNeverTrap) {
  constexpr int32_t kLeast = std::numeric_limits<int32_t>::min();
  constexpr int64_t kLeast64 = std::numeric_limits<int64_t>::min();
  EXPECT_EQ(one<int32_t>(BinaryFn::div, 7, 0), 0);
  EXPECT_EQ(one<int32_t>(BinaryFn::div, kLeast, -1), kLeast);
  EXPECT_EQ(one<int64_t>(BinaryFn::div, kLeast64, -1), kLeast64);
  EXPECT_EQ(one<int32_t>(BinaryFn::div, -7, 2), -3);
  EXPECT_EQ(one<int32_t>(BinaryFn::mod, kLeast, -1), 0);
  EXPECT_EQ(one<int32_t>(BinaryFn::fmod, kLeast, -1), 0);
  EXPECT_EQ(one<int32_t>(BinaryFn::mod, 5, 0), 0);
  EXPECT_EQ(one<int32_t>(BinaryFn::mod, -7, 3), 2);
  EXPECT_EQ(one<int32_t>(BinaryFn::mod, 7, -3), -2);
  EXPECT_EQ(one<int32_t>(BinaryFn::fmod, -7, 3), -1);
  EXPECT_EQ(one<uint16_t>(BinaryFn::mul, 65535, 65535), 1);
  EXPECT_EQ(one<int32_t>(BinaryFn::add, std::numeric_limits<int32_t>::max(), 1), kLeast);
  EXPECT_EQ(one<uint8_t>(BinaryFn::shift_left, 3, 8), 0);
  EXPECT_EQ(one<uint8_t>(BinaryFn::shift_left, 255, 1), 254);
  EXPECT_EQ(one<uint64_t>(BinaryFn::shift_right, 1ull << 63, 63), 1u);
  EXPECT_EQ(one<int64_t>(BinaryFn::pow, 3, 39), 4052555153018976267);
  EXPECT_EQ(one<int64_t>(BinaryFn::pow, 2, -1), 0);
  EXPECT_EQ(one<int64_t>(BinaryFn::pow, -1, -3), -1);
}

TEST(Binary, ModOfFloatsIsExact) {
  std::vector<float> numbers = {0.0f, -0.0f, 1.0f, 3.0f, 1e-30f, 1e30f, std::numeric_limits<float>::infinity(), kNaN};
  for (int i = 1; i <= 60; ++i) {
    numbers.push_back(std::ldexp(1.0f + static_cast<float>(i * 7919 % 1009) / 1009.0f, i % 35 - 5));
    numbers.push_back(-0.1f * static_cast<float>(i));
    numbers.push_back(std::nextafter(0.3f * static_cast<float>(i), 0.0f));
  }
  for (const float a : numbers)
    for (const float b : numbers) {
      const float got = one<float>(BinaryFn::fmod, a, b), want = std::fmod(a, b);
      if (std::isnan(want)) {
        EXPECT_TRUE(std::isnan(got)) << a << " " << b;
      } else {
        EXPECT_TRUE(got == want && std::signbit(got) == std::signbit(want)) << a << " " << b << " gives " << got;
      }
    }
}

TEST(Binary, Halves) {
  for_each_isa([] {
    std::vector<bf16> a(1300), b(1300), dst(1300);
    for (size_t i = 0; i < a.size(); ++i) {
      a[i] = bf16(static_cast<float>(i));
      b[i] = bf16(2.0f);
    }
    binary(BinaryFn::mul, plan_of({1300}, {1300}, {1300}), a.data(), b.data(), dst.data(), Parallel());
    for (size_t i = 0; i < a.size(); ++i) EXPECT_EQ(static_cast<float>(dst[i]), 2.0f * static_cast<float>(a[i]));
    binary(BinaryFn::add, plan_of({2, 650}, {2, 650}, {2, 1}), a.data(), b.data(), dst.data(), Parallel());
    EXPECT_EQ(static_cast<float>(dst[100]), 102.0f);
    std::vector<f16> h(9, f16(1.5f));
    auto less = std::make_unique<bool[]>(9);
    compare(CompareFn::less, plan_of({9}, {9}, {1}), h.data(), h.data(), less.get(), Parallel());
    EXPECT_FALSE(less[8]);
  });
}

// Within a unit in the last place of the power in double, rounded, everywhere; NaN, infinities and signs exactly.
TEST(Binary, PowMatchesDouble) {
  const float special[] = {0.0f,         -0.0f, 1.0f,       -1.0f,        0.5f,    -0.5f,     2.0f,       -2.0f,
                           3.0f,         -3.0f, 1e-40f,     -1e-40f,      1e-3f,   3e38f,     -3e38f,     16777215.0f,
                           -16777216.0f, 33.0f, 1.0000001f, -0.99999994f, -127.5f, HUGE_VALF, -HUGE_VALF, kNaN};
  std::vector<float> a, b;
  for (const float x : special)
    for (const float y : special) {
      a.push_back(x);
      b.push_back(y);
    }
  std::mt19937 random(5);
  for (int i = 0; i < 20001; ++i) {
    a.push_back(std::bit_cast<float>(static_cast<uint32_t>(random())));
    b.push_back(std::ldexp(static_cast<float>(static_cast<int32_t>(random())), static_cast<int>(random() % 32) - 32));
  }
  const int64_t n = static_cast<int64_t>(a.size());
  for_each_isa([&] {
    std::vector<float> dst(a.size());
    binary(BinaryFn::pow, plan_of({n}, {n}, {n}), a.data(), b.data(), dst.data(), Parallel());
    for (size_t i = 0; i < a.size(); ++i) {
      const float expected = static_cast<float>(std::pow(static_cast<double>(a[i]), static_cast<double>(b[i])));
      SCOPED_TRACE(std::to_string(a[i]) + " to the power of " + std::to_string(b[i]));
      if (std::isnan(expected)) {
        ASSERT_TRUE(std::isnan(dst[i])) << dst[i];
      } else if (expected == 0.0f || std::isinf(expected)) {
        ASSERT_EQ(std::bit_cast<uint32_t>(dst[i]), std::bit_cast<uint32_t>(expected)) << dst[i];
      } else {
        ASSERT_TRUE(dst[i] == expected || std::nextafter(dst[i], expected) == expected) << dst[i] << " " << expected;
      }
    }
  });
}

TEST(Binary, PowOfMixedTypes) {
  const int64_t base[] = {2, -3, 10};
  const double exponent[] = {0.5, 3.0, 40.0};
  int64_t dst[3];
  pow_mixed(plan_of({3}, {3}, {3}), base, exponent, dst, Parallel());
  EXPECT_EQ(dst[0], 1);
  EXPECT_EQ(dst[1], -27);
  EXPECT_EQ(dst[2], std::numeric_limits<int64_t>::max());
}

// Elements of which each says where it is from, some of them in several words.
template <class T>
std::vector<T> places(size_t count, size_t words, T first) {
  std::vector<T> all(count * words);
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<T>(first + i);
  return all;
}

template <class T>
void check_select(const Sizes& result, const Sizes& c, const Sizes& x, const Sizes& y, size_t words = 1) {
  const std::span<const int64_t> spans[] = {c, x, y};
  const BroadcastPlan plan = plan_broadcast(result, spans).value();
  const size_t count = plan.count;
  const auto condition = std::make_unique<bool[]>(count);
  for (size_t i = 0; i < count; ++i) condition[i] = i % 3 == 1;
  const auto p = places<T>(count, words, T{0}), q = places<T>(count, words, T{101});
  std::vector<T> wanted;
  for (size_t i = 0; i < count; ++i) {
    const bool first = condition[source_of(i, result, c)];
    const T* from = (first ? p : q).data() + source_of(i, result, first ? x : y) * words;
    wanted.insert(wanted.end(), from, from + words);
  }
  std::vector<T> dst(count * words);
  select(sizeof(T) * words, plan, condition.get(), p.data(), q.data(), dst.data(), Parallel());
  ASSERT_EQ(dst, wanted);
  for (const bool first : {true, false}) {  // in place of one of them
    if ((first ? x : y) != result) continue;
    dst = first ? p : q;
    select(sizeof(T) * words, plan, condition.get(), first ? dst.data() : p.data(), first ? q.data() : dst.data(),
           dst.data(), Parallel());
    ASSERT_EQ(dst, wanted);
  }
}

TEST(Select, EveryWidthAndPattern) {
  for_each_isa([] {
    for (const int64_t n : {5, 32, 75}) {
      const Sizes result{3, 4, n};
      const Sizes shapes[] = {{3, 4, n}, {4, 1}, {n}, {}, {3, 1, n}, {3, 1, 1}};
      for (const Sizes& c : shapes)
        for (const Sizes& x : shapes)
          for (const Sizes& y : shapes) {
            check_select<uint8_t>(result, c, x, y);
            check_select<uint16_t>(result, c, x, y);
            check_select<uint32_t>(result, c, x, y);
            check_select<uint64_t>(result, c, x, y);
            check_select<uint64_t>(result, c, x, y, 2);
          }
    }
  });
}

}  // namespace
}  // namespace linnet
