// Conversions to codes and the integer GEMM at every instruction set, against plain arithmetic.
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/isa.h"
#include "kernels/quant/int_conv.h"
#include "kernels/quant/int_gemm.h"
#include "kernels/quant/packed_check.h"
#include "kernels/quant/quantize.h"
#include "kernels/split_parallel.h"

namespace linnet {
namespace {

class QuantTest : public ::testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    if (GetParam() > best_isa()) GTEST_SKIP() << "not on this machine";
    set_isa(GetParam());
  }
  void TearDown() override { set_isa(best_isa()); }
};

TEST_P(QuantTest, QuantizesToNearestEvenAndSaturates) {
  const float infinity = std::numeric_limits<float>::infinity();
  std::vector<float> x = {0.0f, 0.25f, 0.75f, 1.25f, -0.25f, -0.75f, 1e30f, -1e30f, infinity, -infinity, std::nanf("")};
  for (int i = 0; i < 40; ++i) x.push_back(static_cast<float>(i - 20) * 7.3f);
  for (int i = 0; i < 40; ++i) x.push_back(static_cast<float>(i - 20) * 1700.75f);
  const auto check = [&]<class Code>(Code, int zero) {
    for (size_t n = 0; n <= x.size(); ++n) {
      std::vector<Code> codes(n + 1, 77);
      quantize(x.data(), codes.data(), n, 0.5f, zero);
      for (size_t i = 0; i < n; ++i) {
        const double least = std::numeric_limits<Code>::min(), greatest = std::numeric_limits<Code>::max();
        const double y = std::nearbyint(static_cast<double>(x[i]) / 0.5) + zero;
        ASSERT_EQ(codes[i], std::isnan(y) ? least : std::clamp(y, least, greatest)) << x[i];
      }
      ASSERT_EQ(codes[n], 77);
    }
  };
  check(uint8_t(), 3);
  check(int8_t(), -7);
  for (const int zero : {0, 3, 40000, 65535}) check(uint16_t(), zero);
  for (const int zero : {0, -7, -32768, 32767}) check(int16_t(), zero);
}

TEST_P(QuantTest, DequantizesExactly) {
  const auto check = [&]<class Code>(Code, int step, int zero) {
    std::vector<Code> codes(259);
    for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<Code>(static_cast<int>(i) * step);
    for (const size_t n : {0, 1, 3, 17, 259}) {
      std::vector<float> y(n + 1, -1.0f);
      dequantize(codes.data(), y.data(), n, 0.037f, zero);
      for (size_t i = 0; i < n; ++i) ASSERT_EQ(y[i], static_cast<float>(codes[i] - zero) * 0.037f);
      ASSERT_EQ(y[n], -1.0f);
    }
  };
  check(uint8_t(), 1, 113);
  check(int8_t(), 1, -5);
  for (const int zero : {0, 113, 65535}) check(uint16_t(), 255, zero);
  for (const int zero : {0, -32768, 32767}) check(int16_t(), 255, zero);
}

TEST_P(QuantTest, ElementsOfTheirOwnScales) {
  const auto check = [&]<class Code>(Code) {
    for (size_t n = 0; n <= 70; ++n) {
      std::vector<float> x(n), scales(n), y(n + 1, -1.0f);
      std::vector<Code> zeros(n), codes(n + 1, 77);
      for (size_t i = 0; i < n; ++i) {
        x[i] = i == 5 ? std::nanf("") : (static_cast<float>(i) - 30.0f) * 2.7f;
        scales[i] = 0.25f + 0.125f * static_cast<float>(i % 7);
        zeros[i] = static_cast<Code>(i * 37);
      }
      for (const Code* zero : {static_cast<const Code*>(nullptr), static_cast<const Code*>(zeros.data())}) {
        quantize_each(x.data(), codes.data(), n, scales.data(), zero);
        dequantize_each(codes.data(), y.data(), n, scales.data(), zero);
        for (size_t i = 0; i < n; ++i) {
          const int from = zero ? zeros[i] : 0;
          Code code;
          quantize(&x[i], &code, 1, scales[i], from);
          ASSERT_EQ(codes[i], code) << i << " of " << n;
          ASSERT_EQ(y[i], static_cast<float>(code - from) * scales[i]) << i << " of " << n;
        }
        ASSERT_EQ(codes[n], 77);
        ASSERT_EQ(y[n], -1.0f);
      }
    }
  };
  check(uint8_t());
  check(int8_t());
}

TEST_P(QuantTest, FindsTheRange) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (size_t n = 0; n < 70; ++n) {
    std::vector<float> x(n);
    FloatRange expected;
    for (float& value : x) {
      value = normal(random);
      expected.min = std::min(expected.min, value);
      expected.max = std::max(expected.max, value);
    }
    const FloatRange range = range_with_zero(x.data(), n);
    ASSERT_EQ(range.min, expected.min);
    ASSERT_EQ(range.max, expected.max);
  }
  const float with_nan[] = {1.0f, std::nanf(""), -2.0f, std::nanf("")};
  EXPECT_EQ(range_with_zero(with_nan, 4).max, 1.0f);
  EXPECT_EQ(range_with_zero(with_nan, 4).min, -2.0f);
}

// What onnxruntime 1.32's DynamicQuantizeLinear gives.
TEST(QuantizationU8Test, KnownValues) {
  EXPECT_EQ(quantization_for({0.0f, 0.0f}).scale, 1.0f);
  EXPECT_NEAR(quantization_for({0.0f, 2.0f}).scale, 0.00784314f, 1e-8f);
  EXPECT_EQ(quantization_for({-4.0f, 0.0f}).zero_point, 255);
  EXPECT_EQ(quantization_for({-1.0f, 3.0f}).zero_point, 64);
}

struct GemmCase {
  size_t m, n, k;
  bool a_signed, b_signed;
  int spread;  // greatest |weight|
};

class IntGemmTest : public QuantTest {
 protected:
  void check(const GemmCase& c, IntOutput output) {
    std::mt19937 random(static_cast<unsigned>(c.m * 131 + c.n * 17 + c.k));
    std::uniform_int_distribution<int> any(0, 255), weight(-c.spread, c.spread);
    const size_t lda = c.k + 3, ldc = c.n + 2;
    std::vector<uint8_t> a(c.m * lda + 1), b(c.k * c.n + 1);
    for (uint8_t& x : a) x = static_cast<uint8_t>(any(random) | (any(random) & 0xc0));
    for (uint8_t& x : b) x = static_cast<uint8_t>(std::clamp(weight(random), -128, 127) + (c.b_signed ? 0 : 128));
    std::vector<int32_t> b_zero(c.n), bias(c.n);
    std::vector<float> scale(c.n), float_bias(c.n);
    for (size_t n = 0; n < c.n; ++n) {
      b_zero[n] = n % 3 ? static_cast<int32_t>(n % 7) + (c.b_signed ? -3 : 125) : c.b_signed ? 0 : 128;
      bias[n] = static_cast<int32_t>(n) * 1001 - 500;
      scale[n] = 1e-5f * static_cast<float>(n + 1);
      float_bias[n] = 0.5f * static_cast<float>(n);
    }
    const IntMatrix matrix{b.data(), c.k, c.n, c.n, 1, c.b_signed};
    std::vector<std::byte> packed(int_gemm_packed_size(c.k, c.n) + 64);
    std::byte* aligned =
        reinterpret_cast<std::byte*>((reinterpret_cast<uintptr_t>(packed.data()) + 63) & ~uintptr_t{63});
    int_gemm_pack(matrix, aligned, Parallel());
    EXPECT_TRUE(int_gemm_valid({aligned, int_gemm_packed_size(c.k, c.n)}, c.k, c.n));
    std::vector<std::byte> scratch(int_gemm_scratch(c.m, c.k, c.a_signed) + 64);
    std::byte* aligned_scratch =
        reinterpret_cast<std::byte*>((reinterpret_cast<uintptr_t>(scratch.data()) + 63) & ~uintptr_t{63});

    IntGemm g{c.m,     c.n,        c.k,           a.data(), lda,        c.a_signed, c.a_signed ? -11 : 117,
              aligned, c.b_signed, b_zero.data(), true,     bias.data()};
    g.output = output;
    const size_t width = output == IntOutput::i32 || output == IntOutput::f32 ? 4 : 1;
    std::vector<uint8_t> out(c.m * ldc * width, 0xab);
    g.c = out.data();
    g.ldc = ldc;
    g.scale = scale.data();
    g.scale_by_column = true;
    g.float_bias = float_bias.data();
    g.c_zero = output == IntOutput::s8 ? -9 : 100;
    int_gemm(g, aligned_scratch, Parallel());

    for (size_t m = 0; m < c.m; ++m)
      for (size_t n = 0; n < c.n; ++n) {
        int64_t sum = bias[n];
        for (size_t k = 0; k < c.k; ++k) {
          const int x = c.a_signed ? static_cast<int8_t>(a[m * lda + k]) : a[m * lda + k];
          const int w = c.b_signed ? static_cast<int8_t>(b[k * c.n + n]) : b[k * c.n + n];
          sum += int64_t{x - g.a_zero} * (w - b_zero[n]);
        }
        const size_t at = m * ldc + n;
        const float scaled = static_cast<float>(static_cast<int32_t>(sum)) * scale[n];
        const auto rounded = [&](float low, float high) {
          return static_cast<int>(std::clamp(std::nearbyint(scaled) + static_cast<float>(g.c_zero), low, high));
        };
        if (output == IntOutput::i32) {
          ASSERT_EQ(reinterpret_cast<int32_t*>(out.data())[at], sum) << m << " " << n;
        }
        if (output == IntOutput::f32) {
          ASSERT_EQ(reinterpret_cast<float*>(out.data())[at], scaled + float_bias[n]) << m << " " << n;
        }
        if (output == IntOutput::u8) {
          ASSERT_EQ(out[at], rounded(0, 255)) << m << " " << n;
        }
        if (output == IntOutput::s8) {
          ASSERT_EQ(static_cast<int8_t>(out[at]), rounded(-128, 127)) << m << " " << n;
        }
      }
    for (size_t m = 0; m + 1 < c.m; ++m) ASSERT_EQ(out[(m * ldc + c.n) * width], 0xab);
  }
};

TEST_P(IntGemmTest, IsExact) {
  for (const bool a_signed : {false, true})
    for (const bool b_signed : {false, true})
      for (const int spread : {40, 64, 90, 127, 128})
        for (const auto& [m, n, k] : {std::array<size_t, 3>{1, 1, 1},
                                      {1, 16, 64},
                                      {2, 17, 5},
                                      {3, 40, 33},
                                      {4, 5, 8},
                                      {5, 31, 19},
                                      {6, 16, 16},
                                      {7, 33, 130},
                                      {13, 48, 6},
                                      {100, 20, 50}})
          check({m, n, k, a_signed, b_signed, spread}, IntOutput::i32);
}

// As many rows as let panels be multiplied two at a time, and a block of rows that is too short for it.
TEST_P(IntGemmTest, ManyRowsAreExact) {
  for (const auto& [m, n, k] : {std::array<size_t, 3>{64, 64, 70}, {77, 40, 130}, {260, 33, 12}})
    for (const IntOutput output : {IntOutput::i32, IntOutput::f32, IntOutput::u8, IntOutput::s8})
      for (const int spread : {40, 90, 128}) check({m, n, k, spread == 90, true, spread}, output);
}

TEST_P(IntGemmTest, ConvertsTheSums) {
  for (const IntOutput output : {IntOutput::f32, IntOutput::u8, IntOutput::s8})
    for (const auto& [m, n, k] : {std::array<size_t, 3>{1, 1, 1}, {2, 17, 5}, {7, 33, 130}, {13, 20, 6}})
      for (const int spread : {127, 128}) check({m, n, k, false, true, spread}, output);
}

// Products of one input have the bits of each alone, wherever threads divide them.
TEST_P(IntGemmTest, AGroupIsItsProducts) {
  std::mt19937 random(1);
  const auto aligned = [](std::vector<std::byte>& memory, size_t bytes) {
    memory.resize(bytes + 64);
    return reinterpret_cast<std::byte*>((reinterpret_cast<uintptr_t>(memory.data()) + 63) & ~uintptr_t{63});
  };
  constexpr size_t kProducts = 4, columns[kProducts] = {33, 0, 1, 80};
  const int32_t zeros[kProducts] = {0, 0, 5, 0};
  for (const size_t k : {20, 70, 600})
    for (const size_t m : {1, 7, 260}) {
      std::vector<uint8_t> a(m * k);
      for (uint8_t& x : a) x = static_cast<uint8_t>(random());
      IntGemm all[kProducts];
      std::vector<std::byte> packed[kProducts], scratch;
      std::vector<float> alone[kProducts], together[kProducts], bias(80, 0.25f);
      const float scale = 1e-4f;
      for (size_t i = 0; i < kProducts; ++i) {
        IntGemm& g = all[i];
        g.m = m;
        g.n = g.ldc = columns[i];
        g.k = g.lda = k;
        g.a = a.data();
        g.a_zero = 131;
        std::vector<int8_t> b(k * g.n + 1);
        for (int8_t& x : b) x = static_cast<int8_t>(random() % (i == 3 ? 80 : 256));
        std::byte* to = aligned(packed[i], int_gemm_packed_size(k, g.n));
        int_gemm_pack({b.data(), k, g.n, g.n, 1, true}, to, Parallel());
        g.b = to;
        g.b_signed = true;
        g.b_zero = &zeros[i];
        g.output = IntOutput::f32;
        g.scale = &scale;
        g.float_bias = i == 3 ? bias.data() : nullptr;
        alone[i].resize(m * g.n);
        g.c = alone[i].data();
        int_gemm(g, aligned(scratch, int_gemm_scratch(m, k, false)), Parallel());
        together[i].resize(m * g.n);
        g.c = together[i].data();
      }
      for (const size_t threads : {1, 3}) {
        for (std::vector<float>& c : together) std::fill(c.begin(), c.end(), 7.0f);
        int_gemm_group(all, aligned(scratch, int_gemm_scratch(m, k, false)), SplitParallel(threads));
        for (size_t i = 0; i < kProducts; ++i)
          EXPECT_EQ(together[i], alone[i]) << m << ' ' << k << ' ' << threads << ' ' << i;
      }
    }
}

TEST_P(IntGemmTest, TakesEmptyMatrices) {
  for (const auto& [m, n, k] : {std::array<size_t, 3>{0, 3, 4}, {3, 0, 4}, {3, 18, 0}})
    check({m, n, k, false, true, 128}, IntOutput::i32);
}

// 255 times 127, twice: what saturates in 16 bits.
TEST_P(IntGemmTest, DoesNotSaturate) {
  std::vector<uint8_t> a(64, 255);
  std::vector<int8_t> b(64, 127);
  const IntMatrix matrix{b.data(), 64, 1, 1, 1, true};
  alignas(64) std::byte packed[16384];
  ASSERT_LE(int_gemm_packed_size(64, 1), sizeof packed);
  int_gemm_pack(matrix, packed, Parallel());
  alignas(64) std::byte scratch[64];
  int32_t c = 0;
  IntGemm g{1, 1, 64, a.data(), 64, false, 0, packed, true};
  g.c = &c;
  g.ldc = 1;
  int_gemm(g, scratch, Parallel());
  EXPECT_EQ(c, 2072640);
}

// Packing sorts quads by what their weights allow: all kinds in one matrix, and pairs at the very edge of 16 bits.
TEST_P(IntGemmTest, EachKindOfQuadIsExactAtTheEdge) {
  const std::array<int, 4> rows[] = {{64, 64, -64, -64}, {128 - 64, 64, 1, 0}, {-128, 0, 127, 1},   {127, 127, 0, 0},
                                     {-128, -128, 1, 1}, {32, 32, 32, 32},     {-128, 127, 0, 127}, {1, 1, 1, 1}};
  for (const int value : {0, 1, 128, 255}) {
    std::vector<int8_t> b(32 * 20);
    for (size_t k = 0; k < 32; ++k)
      for (size_t n = 0; n < 20; ++n) b[k * 20 + n] = static_cast<int8_t>(rows[k / 4][(k + n / 7) % 4]);
    const std::vector<uint8_t> a(5 * 32, static_cast<uint8_t>(value));
    std::vector<std::byte> memory(int_gemm_packed_size(32, 20) + 64);
    auto* packed = reinterpret_cast<std::byte*>((reinterpret_cast<uintptr_t>(memory.data()) + 63) & ~uintptr_t{63});
    int_gemm_pack({b.data(), 32, 20, 20, 1, true}, packed, Parallel());
    alignas(64) std::byte scratch[64];
    std::vector<int32_t> c(5 * 20);
    IntGemm g{5, 20, 32, a.data(), 32, false, 0, packed, true};
    g.c = c.data();
    g.ldc = 20;
    int_gemm(g, scratch, Parallel());
    for (size_t m = 0; m < 5; ++m)
      for (size_t n = 0; n < 20; ++n) {
        int sum = 0;
        for (size_t k = 0; k < 32; ++k) sum += value * b[k * 20 + n];
        ASSERT_EQ(c[m * 20 + n], sum) << value << ' ' << n;
      }
  }
}

class IntConvTest : public QuantTest {
 protected:
  static std::byte* aligned(std::vector<std::byte>& memory) {
    return reinterpret_cast<std::byte*>((reinterpret_cast<uintptr_t>(memory.data()) + 63) & ~uintptr_t{63});
  }
  void check(const IntConv& c, bool a_signed, bool b_signed, bool b_zero) {
    std::mt19937 random(static_cast<unsigned>(c.depth() * 31 + c.filters));
    std::uniform_int_distribution<int> any(0, 255);
    const size_t positions = positions_of(c.dst), channels = c.channels / c.groups;
    // Exactly as large as it must be, so that a checker of memory sees what is read beyond.
    std::vector<uint8_t> x(c.batch * positions_of(c.src) * c.channels), w(c.filters * c.depth());
    for (uint8_t& v : x) v = static_cast<uint8_t>(any(random));
    for (uint8_t& v : w) v = static_cast<uint8_t>(any(random));
    IntGemm like;
    like.a_signed = a_signed;
    like.a_zero = a_signed ? -9 : 77;
    like.b_signed = b_signed;
    std::vector<int32_t> zeros(c.filters), bias(c.filters);
    for (size_t f = 0; f < c.filters; ++f) {
      zeros[f] = b_zero ? static_cast<int32_t>(f % 5) + (b_signed ? -2 : 120) : b_signed ? 0 : 128;
      bias[f] = static_cast<int32_t>(f) * 1000 - 70;
    }
    like.b_zero = zeros.data();
    like.b_zero_by_column = true;
    like.bias = bias.data();
    std::vector<int32_t> y(c.batch * positions * c.filters, -1), expected(y.size());
    like.c = y.data();
    const auto number = [](uint8_t code, bool is_signed) { return is_signed ? static_cast<int8_t>(code) : int{code}; };
    for (size_t i = 0; i < expected.size(); ++i) {
      const size_t f = i % c.filters, position = i / c.filters % positions, n = i / c.filters / positions;
      const size_t at[3] = {position / c.dst[2] / c.dst[1], position / c.dst[2] % c.dst[1], position % c.dst[2]};
      const size_t first = f / (c.filters / c.groups) * channels;
      int64_t sum = bias[f];
      for (size_t t = 0; t < c.taps(); ++t) {
        const size_t tap[3] = {t / c.kernel[2] / c.kernel[1], t / c.kernel[2] % c.kernel[1], t % c.kernel[2]};
        ptrdiff_t in[3];
        bool inside = true;
        for (size_t a = 0; a < 3; ++a) {
          in[a] = static_cast<ptrdiff_t>(at[a] * c.stride[a] + tap[a] * c.dilation[a]) - c.pad[a];
          inside = inside && in[a] >= 0 && in[a] < static_cast<ptrdiff_t>(c.src[a]);
        }
        if (!inside) continue;
        const size_t source =
            ((n * c.src[0] + static_cast<size_t>(in[0])) * c.src[1] + static_cast<size_t>(in[1])) * c.src[2] +
            static_cast<size_t>(in[2]);
        for (size_t i2 = 0; i2 < channels; ++i2)
          sum += int64_t{number(x[source * c.channels + first + i2], a_signed) - like.a_zero} *
                 (number(w[(f * channels + i2) * c.taps() + t], b_signed) - zeros[f]);
      }
      expected[i] = static_cast<int32_t>(sum);
    }
    const SplitParallel split(3);
    if (c.is_depthwise()) {
      std::vector<std::byte> packed(int_depthwise_packed_size(c) + 64), scratch(int_depthwise_scratch_size(c, 3) + 64);
      int_depthwise_pack(c, w.data(), b_signed, zeros.data(), true, aligned(packed));
      int_depthwise(c, x.data(), aligned(packed), like, aligned(scratch), Parallel());
      EXPECT_EQ(y, expected);
      std::fill(y.begin(), y.end(), -1);
      int_depthwise(c, x.data(), aligned(packed), like, aligned(scratch), split);
      EXPECT_EQ(y, expected);
      std::fill(y.begin(), y.end(), -1);
    }
    std::vector<uint8_t> arranged(c.filters * c.filter_bytes());
    std::vector<std::byte> packed(int_conv_packed_size(c) + 64), scratch(int_conv_scratch_size(c, a_signed, 3) + 64);
    int_conv_arrange(c, w.data(), b_signed, arranged.data(), Parallel());
    int_conv_pack(c, arranged.data(), b_signed, aligned(packed), Parallel());
    EXPECT_TRUE(int_conv_valid({aligned(packed), int_conv_packed_size(c)}, c));
    int_conv(c, x.data(), aligned(packed), like, aligned(scratch), Parallel());
    EXPECT_EQ(y, expected);
    std::fill(y.begin(), y.end(), -1);
    int_conv(c, x.data(), aligned(packed), like, aligned(scratch), split);
    EXPECT_EQ(y, expected);
  }
};

TEST_P(IntConvTest, IsExact) {
  std::vector<IntConv> cases(14);
  cases[0] = {1, 8, 5, 1, {1, 4, 6}, {1, 4, 6}};                                               // a product
  cases[1] = {2, 3, 18, 1, {1, 9, 8}, {1, 5, 4}, {1, 3, 3}, {1, 2, 2}, {1, 1, 1}, {0, 1, 1}};  // a stem
  cases[2] = {1, 16, 33, 1, {1, 7, 6}, {1, 7, 6}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}};
  cases[3] = {1, 8, 12, 2, {1, 5, 9}, {1, 5, 7}, {1, 1, 3}, {1, 1, 1}, {1, 1, 1}, {0, 0, 0}};  // groups
  cases[4] = {1, 5, 4, 1, {1, 9, 9}, {1, 7, 5}, {1, 2, 3}, {1, 1, 1}, {1, 2, 2}, {0, 0, 0}};   // dilated, odd channels
  cases[5] = {1, 4, 17, 1, {3, 4, 5}, {2, 4, 3}, {2, 3, 2}, {1, 1, 2}, {1, 1, 1}, {0, 1, 1}};  // three axes
  cases[6] = {2, 37, 37, 37, {1, 6, 7}, {1, 6, 7}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}};
  cases[7] = {1, 16, 16, 16, {1, 8, 9}, {1, 4, 3}, {1, 5, 4}, {1, 2, 2}, {1, 1, 2}, {0, 2, 1}};
  cases[8] = {1, 12, 20, 1, {1, 6, 6}, {1, 3, 3}, {1, 1, 1}, {1, 2, 2}, {1, 1, 1}, {0, 0, 0}};  // every other position
  // depthwise: more outputs than a tile has, taps far apart, great strides, three axes
  cases[9] = {1, 24, 24, 24, {1, 20, 140}, {1, 20, 140}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}};
  cases[10] = {1, 17, 17, 17, {1, 14, 15}, {1, 4, 3}, {1, 3, 3}, {1, 1, 1}, {1, 5, 6}, {0, 0, 0}};
  cases[11] = {1, 8, 8, 8, {1, 3, 40}, {1, 3, 7}, {1, 1, 4}, {1, 1, 7}, {1, 1, 2}, {0, 0, 6}};
  cases[12] = {1, 32, 32, 32, {4, 5, 6}, {2, 5, 3}, {3, 3, 2}, {1, 1, 2}, {1, 1, 1}, {0, 1, 0}};
  cases[13] = {1, 8, 88, 2, {1, 9, 9}, {1, 9, 9}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}};  // panels two at a time
  for (size_t i = 0; i < cases.size(); ++i)
    for (const bool a_signed : {false, true})
      for (const bool b_signed : {false, true})
        for (const bool b_zero : {false, true}) {
          SCOPED_TRACE(i);
          check(cases[i], a_signed, b_signed, b_zero);
        }
}

const auto kAll =
    ::testing::Values(Isa::reference, Isa::sse4, Isa::avx2, Isa::avx2_vnni, Isa::avx512, Isa::avx512_vnni);
const auto kName = [](const auto& level) { return std::string(isa_name(level.param)); };
INSTANTIATE_TEST_SUITE_P(AllIsas, QuantTest, kAll, kName);
INSTANTIATE_TEST_SUITE_P(AllIsas, IntGemmTest, kAll, kName);
INSTANTIATE_TEST_SUITE_P(AllIsas, IntConvTest, kAll, kName);

}  // namespace
}  // namespace linnet
