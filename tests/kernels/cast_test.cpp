#include "kernels/elementwise/cast.h"

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "base/float8.h"
#include "base/half.h"
#include "kernels/each_isa.h"
#include "kernels/elementwise/half_convert.h"

namespace linnet {
namespace {

template <class From, class To>
To cast_one(NumberType from, From value, NumberType to, CastOptions options = {}) {
  To out{};
  cast(from, &value, to, &out, 1, options, Parallel());
  return out;
}

TEST(Cast, FloatToHalfMatchesTheDefinitionForAllRoundings) {
  for_each_isa([] {
    std::vector<float> src;
    for (uint32_t bits = 0; bits < 0x10000; ++bits) {
      f16 half;
      half.bits = static_cast<uint16_t>(bits);
      const float x = half;
      src.push_back(x);
      src.push_back(std::nextafter(x, 1e9f));
      src.push_back(x * 1.0004883f);
    }
    src.insert(src.end(), {1e-10f, -1e-10f, 1e9f, -1e9f, std::numeric_limits<float>::infinity(), 65519.0f, 65520.0f});
    std::vector<f16> f16s(src.size());
    std::vector<bf16> bf16s(src.size());
    cast(NumberType::f32, src.data(), NumberType::f16, f16s.data(), src.size(), {}, Parallel());
    cast(NumberType::f32, src.data(), NumberType::bf16, bf16s.data(), src.size(), {}, Parallel());
    for (size_t i = 0; i < src.size(); ++i) {
      if (std::isnan(src[i])) {
        EXPECT_TRUE(std::isnan(static_cast<float>(f16s[i])) && std::isnan(static_cast<float>(bf16s[i])));
      } else {
        ASSERT_EQ(f16s[i].bits, f16(src[i]).bits) << src[i];
        ASSERT_EQ(bf16s[i].bits, bf16(src[i]).bits) << src[i];
      }
    }
    std::vector<float> back(f16s.size());
    cast(NumberType::f16, f16s.data(), NumberType::f32, back.data(), back.size(), {}, Parallel());
    for (size_t i = 0; i < back.size(); ++i)
      if (!std::isnan(back[i])) {
        ASSERT_EQ(back[i], static_cast<float>(f16s[i]));
      }
  });
}

TEST(Cast, DoubleToHalfRoundsOnce) {
  // Just above the middle of 1 and its successor: rounding to float first would land on the middle, then on 1.
  const double x = 1.0 + 0x1p-11 + 0x1p-40;
  EXPECT_EQ((cast_one<double, f16>(NumberType::f64, x, NumberType::f16).bits), 0x3c01);
  EXPECT_EQ((cast_one<double, f16>(NumberType::f64, -x, NumberType::f16).bits), 0xbc01);
  EXPECT_EQ((cast_one<double, f16>(NumberType::f64, 1.0 + 0x1p-11, NumberType::f16).bits), 0x3c00);
  EXPECT_TRUE(std::isinf(static_cast<float>(cast_one<double, f16>(NumberType::f64, 1e300, NumberType::f16))));
}

TEST(Cast, FloatToInteger) {
  const auto to_i32 = [](float x) { return cast_one<float, int32_t>(NumberType::f32, x, NumberType::i32); };
  EXPECT_EQ(to_i32(-2.9f), -2);
  EXPECT_EQ(to_i32(std::numeric_limits<float>::quiet_NaN()), std::numeric_limits<int32_t>::min());
  EXPECT_EQ(to_i32(3e9f), std::numeric_limits<int32_t>::min());
  EXPECT_EQ((cast_one<float, uint32_t>(NumberType::f32, 3e9f, NumberType::u32)), 3000000000u);
  EXPECT_EQ((cast_one<float, uint8_t>(NumberType::f32, 3e9f, NumberType::u8)), 0);
  const auto to_i64 = [](double x) { return cast_one<double, int64_t>(NumberType::f64, x, NumberType::i64); };
  EXPECT_EQ(to_i64(1e30), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(to_i64(-HUGE_VAL), std::numeric_limits<int64_t>::min());
  EXPECT_EQ((cast_one<float, uint8_t>(NumberType::f32, 300.0f, NumberType::u8)), 44);
  EXPECT_EQ((cast_one<double, uint64_t>(NumberType::f64, 0x1p63, NumberType::u64)), uint64_t{1} << 63);
  EXPECT_TRUE((cast_one<float, bool>(NumberType::f32, 0.1f, NumberType::boolean)));
  EXPECT_FALSE((cast_one<float, bool>(NumberType::f32, -0.0f, NumberType::boolean)));
}

TEST(Cast, FloatToByteIsTheLowestOfAnInt32) {
  for_each_isa([] {
    std::vector<float> x = {0.0f,    0.9f, -0.9f, 255.9f, 256.0f,  300.5f,   -1.0f, -129.0f,
                            1000.0f, 3e9f, -3e9f, 1e30f,  0x1p31f, -0x1p31f, NAN,   -INFINITY};
    for (int i = 0; i < 21; ++i) x.push_back(static_cast<float>(i * 777) - 5000.5f);
    for (size_t n = 0; n <= x.size(); ++n) {
      std::vector<uint8_t> out(n + 1, 77);
      cast(NumberType::f32, x.data(), NumberType::u8, out.data(), n, {}, Parallel());
      for (size_t i = 0; i < n; ++i) {
        const double whole = std::trunc(static_cast<double>(x[i]));
        const bool fits = whole >= -0x1p31 && whole < 0x1p31;
        ASSERT_EQ(out[i], fits ? static_cast<uint8_t>(static_cast<int64_t>(whole)) : 0) << x[i];
      }
      ASSERT_EQ(out[n], 77);
    }
  });
}

TEST(Cast, IntegersKeepLowBits) {
  EXPECT_EQ((cast_one<int16_t, int8_t>(NumberType::i16, 200, NumberType::i8)), -56);
  EXPECT_EQ((cast_one<int64_t, float>(NumberType::i64, 16777217, NumberType::f32)), 16777216.0f);
  EXPECT_EQ((cast_one<uint64_t, float>(NumberType::u64, ~uint64_t{0}, NumberType::f32)), 0x1p64f);
  EXPECT_EQ((cast_one<bool, double>(NumberType::boolean, true, NumberType::f64)), 1.0);
}

TEST(Cast, PackedAndEightBit) {
  const float src[] = {-8.0f, 7.0f, 3.9f, -1.0f, 0.0f};
  uint8_t packed[3] = {};
  cast(NumberType::f32, src, NumberType::i4, packed, 5, {}, Parallel());
  EXPECT_EQ(packed[0], 0x78);
  EXPECT_EQ(packed[1], 0xf3);
  EXPECT_EQ(packed[2], 0x00);
  int32_t back[5];
  cast(NumberType::i4, packed, NumberType::i32, back, 5, {}, Parallel());
  EXPECT_EQ(back[0], -8);
  EXPECT_EQ(back[3], -1);
  cast(NumberType::u4, packed, NumberType::i32, back, 5, {}, Parallel());
  EXPECT_EQ(back[3], 15);
  std::vector<float> many(1300);
  for (size_t i = 0; i < many.size(); ++i) many[i] = static_cast<float>(i % 4);
  std::vector<uint8_t> twos(325);
  std::vector<float> unpacked(1300);
  cast(NumberType::f32, many.data(), NumberType::u2, twos.data(), many.size(), {}, Parallel());
  cast(NumberType::u2, twos.data(), NumberType::f32, unpacked.data(), many.size(), {}, Parallel());
  EXPECT_EQ(many, unpacked);
  EXPECT_EQ((cast_one<float, uint8_t>(NumberType::f32, 1e6f, NumberType::f8e4m3fn)), 0x7e);
  EXPECT_EQ((cast_one<float, uint8_t>(NumberType::f32, 1e6f, NumberType::f8e4m3fn, {false, 'u'})), 0x7f);
  EXPECT_EQ((cast_one<uint8_t, float>(NumberType::f8e5m2, 0x3c, NumberType::f32)), 1.0f);
}

template <class Half>
void check_rounding(void (*round)(const float*, float*, size_t) noexcept) {
  std::vector<float> src = {65519.0f, 65520.0f, -65520.0f, 0x1p-24f, 0x1p-25f, -0x1.8p-25f, 0x1p-133f, 1e-45f, -0.0f};
  for (const uint32_t bits : {0x7f800000u, 0xff800000u, 0x7f800001u, 0x7fc01234u, 0xffffffffu, 0x7f7fffffu})
    src.push_back(std::bit_cast<float>(bits));
  std::mt19937 random(7);
  while (src.size() < 3001) {
    src.push_back(std::bit_cast<float>(static_cast<uint32_t>(random())));
    src.push_back(std::ldexp(static_cast<float>(random() % 4096), static_cast<int>(random() % 48) - 36));
  }
  const auto bits_of = [](const std::vector<float>& numbers) {
    std::vector<uint32_t> bits;
    for (const float x : numbers) bits.push_back(std::bit_cast<uint32_t>(x));
    return bits;
  };
  for (size_t n : {0, 1, 3, 7, 8, 15, 17, 31, 40, 3001}) {
    const std::vector<float> some(src.begin(), src.begin() + static_cast<ptrdiff_t>(n));
    std::vector<Half> halves(n), one(n);
    std::vector<float> by_way(n), rounded(n + 1, 77.0f), in_place = some, one_back(n);
    from_float(some.data(), halves.data(), n);
    to_float(halves.data(), by_way.data(), n);
    round(some.data(), rounded.data(), n);
    round(in_place.data(), in_place.data(), n);
    ASSERT_EQ(rounded.back(), 77.0f);
    rounded.pop_back();
    EXPECT_EQ(bits_of(rounded), bits_of(by_way));
    EXPECT_EQ(bits_of(in_place), bits_of(by_way));
    for (size_t i = 0; i < n; ++i) {  // what an element gives does not depend on its place
      from_float(&some[i], &one[i], 1);
      to_float(&one[i], &one_back[i], 1);
      ASSERT_EQ(one[i].bits, halves[i].bits) << some[i];
      ASSERT_TRUE(std::isnan(some[i]) || halves[i].bits == Half(some[i]).bits) << some[i];
    }
    EXPECT_EQ(bits_of(one_back), bits_of(by_way));
  }
}

TEST(HalfConvert, RoundsAsByWayOfTheType) {
  for_each_isa([] {
    check_rounding<f16>(round_to_f16);
    check_rounding<bf16>(round_to_bf16);
  });
}

// Those of signalling NaN, too.
TEST(HalfConvert, BitsDoNotDependOnThePlace) {
  for_each_isa([] {
    std::vector<f16> halves(0x10000);
    for (size_t i = 0; i < halves.size(); ++i) halves[i].bits = static_cast<uint16_t>(i);
    std::vector<float> all(halves.size()), some(13);
    to_float(halves.data(), all.data(), halves.size());
    for (size_t i = 0; i + some.size() <= halves.size(); i += some.size()) {
      to_float(halves.data() + i, some.data(), some.size());
      for (size_t k = 0; k < some.size(); ++k)
        ASSERT_EQ(std::bit_cast<uint32_t>(some[k]), std::bit_cast<uint32_t>(all[i + k])) << i + k;
    }
  });
}

}  // namespace
}  // namespace linnet
