#include "base/half.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/float8.h"

namespace linnet {
namespace {

TEST(Half, RoundTripsEveryBitPattern) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    f16 half;
    half.bits = static_cast<uint16_t>(bits);
    const float value = half;
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(static_cast<float>(f16(value))));
    } else {
      EXPECT_EQ(f16(value).bits, bits);
    }
  }
}

TEST(Half, RoundsTiesToEven) {
  EXPECT_EQ(static_cast<float>(f16(2049.0f)), 2048.0f);
  EXPECT_EQ(static_cast<float>(f16(2051.0f)), 2052.0f);
  EXPECT_EQ(f16(65519.0f).bits, 0x7bff);
  EXPECT_EQ(f16(65520.0f).bits, 0x7c00);
  EXPECT_EQ(f16(0x1p-25f).bits, 0);
  EXPECT_EQ(f16(0x1.8p-25f).bits, 1);
}

TEST(Float8, RoundTripsEveryBitPattern) {
  for (const Float8Kind kind : {Float8Kind::e4m3fn, Float8Kind::e4m3fnuz, Float8Kind::e5m2, Float8Kind::e5m2fnuz}) {
    for (int bits = 0; bits < 256; ++bits) {
      const float value = float8_to_float(static_cast<uint8_t>(bits), kind);
      if (std::isnan(value)) continue;
      EXPECT_EQ(float_to_float8(value, kind, false), bits) << static_cast<int>(kind);
    }
  }
}

TEST(Float8, SaturatesOrOverflows) {
  EXPECT_EQ(float_to_float8(1e6f, Float8Kind::e4m3fn, true), 0x7e);
  EXPECT_EQ(float_to_float8(1e6f, Float8Kind::e4m3fn, false), 0x7f);
  EXPECT_EQ(float_to_float8(-1e6f, Float8Kind::e5m2, false), 0xfc);
  EXPECT_EQ(float_to_float8(-1e6f, Float8Kind::e5m2fnuz, false), 0x80);
}

TEST(Float4, RoundTrips) {
  for (uint8_t bits = 0; bits < 16; ++bits) EXPECT_EQ(float_to_float4(float4_to_float(bits)), bits);
}

}  // namespace
}  // namespace linnet
