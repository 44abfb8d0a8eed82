// Products with weights of few bits at every instruction set, against double arithmetic on the unpacked weights.
#include "kernels/quant/nbits.h"

#include <cmath>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/isa.h"
#include "kernels/split_parallel.h"

namespace linnet {
namespace {

class NBitsTest : public ::testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    if (GetParam() > best_isa()) GTEST_SKIP() << "not on this machine";
    set_isa(GetParam());
  }
  void TearDown() override { set_isa(best_isa()); }

  // Returns what it checked.
  static std::vector<float> check(int bits, size_t block, size_t m, size_t n, size_t k, bool zeros, bool a_int8) {
    std::mt19937 random(static_cast<unsigned>(bits + m * 3 + n * 5 + k));
    std::normal_distribution<float> normal;
    NBitsGemm g;
    g.format = {n, k, block, bits, zeros};
    const size_t blocks = g.format.blocks(), block_bytes = block * static_cast<size_t>(bits) / 8;
    std::vector<uint8_t> codes(n * blocks * block_bytes);
    for (uint8_t& code : codes) code = static_cast<uint8_t>(random());
    std::vector<float> scales(n * blocks), zero_points(n * blocks), a(m * k), bias(n), c(m * n + 1, 7.0f);
    for (float& x : scales) x = 0.01f * normal(random);
    for (float& x : zero_points) x = static_cast<float>(random() % (1u << bits));
    for (float& x : a) x = normal(random);
    for (float& x : bias) x = normal(random);
    std::vector<std::byte> packed(nbits_packed_size(g.format) + 64);
    auto* aligned = reinterpret_cast<std::byte*>((reinterpret_cast<uintptr_t>(packed.data()) + 63) & ~uintptr_t{63});
    nbits_pack(g.format, codes.data(), scales.data(), zero_points.data(), aligned, Parallel());
    g.b = aligned;
    g.m = m;
    g.a = a.data();
    g.bias = bias.data();
    g.c = c.data();
    g.a_int8 = a_int8;
    std::vector<std::byte> scratch(nbits_scratch_size(g, 1) + 64);
    nbits_gemm(g, reinterpret_cast<std::byte*>((reinterpret_cast<uintptr_t>(scratch.data()) + 63) & ~uintptr_t{63}),
               Parallel());
    for (size_t i = 0; i < m; ++i)
      for (size_t j = 0; j < n; ++j) {
        double sum = bias[j], size = 0, rounding = 0;
        for (size_t x = 0; x < k; ++x) {
          const size_t at = x / block, within = x % block, per_byte = 8 / static_cast<size_t>(bits);
          const uint8_t byte = codes[(j * blocks + at) * block_bytes + within / per_byte];
          const int code = byte >> (within % per_byte * static_cast<size_t>(bits)) & ((1 << bits) - 1);
          const double zero = zeros ? zero_points[j * blocks + at] : 1 << (bits - 1);
          const double weight = (code - zero) * scales[j * blocks + at];
          sum += a[i * k + x] * weight;
          size += std::abs(a[i * k + x] * weight);
          float greatest = 0.0f;
          for (size_t y = at * block; y < std::min(k, (at + 1) * block); ++y)
            greatest = std::max(greatest, std::abs(a[i * k + y]));
          rounding += std::abs(weight) * greatest / 254.0;
        }
        EXPECT_NEAR(c[i * n + j], sum, (a_int8 ? rounding : 0.0) + 2e-6 * size + 1e-6)
            << bits << " bits, block " << block << ", " << m << "x" << n << "x" << k << " at " << i << "," << j;
      }
    EXPECT_EQ(c[m * n], 7.0f);
    return c;
  }
};

TEST_P(NBitsTest, MatchesDoubleArithmetic) {
  for (const int bits : {2, 4, 8})
    for (const size_t block : {16, 32, 64, 128})
      for (const bool zeros : {false, true})
        for (const bool a_int8 : {false, true})
          for (const auto& [m, n, k] : {std::array<size_t, 3>{1, 1, 1},
                                        {1, 16, 64},
                                        {1, 35, 100},
                                        {2, 17, 33},
                                        {5, 40, 256},
                                        {9, 3, 130},
                                        {23, 50, 70}})
            check(bits, block, m, n, k, zeros, a_int8);
}

// Sums of whole numbers are exact, and scales are applied in one order, so that instruction sets with fused
// multiply-add agree.
TEST_P(NBitsTest, RoundedRowsHaveTheSameBits) {
  if (GetParam() <= Isa::avx2) GTEST_SKIP() << "nothing to compare with";
  for (const int bits : {4, 8})
    for (const size_t block : {16, 32, 128})
      for (const size_t m : {1, 2, 3, 4, 7, 8, 15}) {
        set_isa(Isa::avx2);
        if (bits == 8 && m > 8) continue;  // AVX2 multiplies floats then
        const std::vector<float> expected = check(bits, block, m, 20, 300, true, true);
        set_isa(GetParam());
        EXPECT_EQ(check(bits, block, m, 20, 300, true, true), expected) << bits << ' ' << block << ' ' << m;
      }
}

// In whole vectors and behind them.
TEST_P(NBitsTest, WhatIsNoNumberIsRoundedToTheLeast) {
  constexpr size_t k = 43;
  NBitsGemm g;
  g.format = {1, k, 32, 4, false};
  const std::vector<uint8_t> codes(32, 0x99);
  const float scales[] = {1.0f, 1.0f};
  alignas(64) std::byte packed[2048], scratch[1024];
  ASSERT_LE(nbits_packed_size(g.format), sizeof packed);
  nbits_pack(g.format, codes.data(), scales, nullptr, packed, Parallel());
  std::vector<float> a(k, 1.0f);
  a[5] = a[42] = std::nanf("");
  float c = 0;
  g.b = packed;
  g.m = 1;
  g.a = a.data();
  g.c = &c;
  g.a_int8 = true;
  ASSERT_LE(nbits_scratch_size(g, 1), sizeof scratch);
  nbits_gemm(g, scratch, Parallel());
  EXPECT_NEAR(c, 39.0f, 1e-4f);
}

std::byte* aligned(std::vector<std::byte>& memory, size_t bytes) {
  memory.resize(bytes + 64);
  return reinterpret_cast<std::byte*>((reinterpret_cast<uintptr_t>(memory.data()) + 63) & ~uintptr_t{63});
}

// Products of one input have the bits of each alone, wherever threads divide them.
TEST_P(NBitsTest, AGroupIsItsProducts) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (const int bits : {4, 8})
    for (const bool a_int8 : {false, true})
      for (const size_t m : {1, 2, 5, 9}) {
        constexpr size_t k = 100, kProducts = 3, columns[kProducts] = {35, 1, 48};
        std::vector<float> a(m * k);
        for (float& x : a) x = normal(random);
        NBitsGemm all[kProducts];
        std::vector<std::byte> packed[kProducts], scratch;
        std::vector<float> alone[kProducts], together[kProducts], bias(48, 0.25f);
        for (size_t i = 0; i < kProducts; ++i) {
          NBitsGemm& g = all[i];
          g.format = {columns[i], k, 32, bits, i != 1};
          const size_t blocks = g.format.blocks();
          std::vector<uint8_t> codes(g.format.n * blocks * 4 * static_cast<size_t>(bits));
          for (uint8_t& code : codes) code = static_cast<uint8_t>(random());
          std::vector<float> scales(g.format.n * blocks), zeros(scales.size(), 3.0f);
          for (float& x : scales) x = 0.01f * normal(random);
          std::byte* b = aligned(packed[i], nbits_packed_size(g.format));
          nbits_pack(g.format, codes.data(), scales.data(), zeros.data(), b, Parallel());
          g.b = b;
          g.m = m;
          g.a = a.data();
          g.bias = i == 2 ? bias.data() : nullptr;
          g.a_int8 = a_int8;
          alone[i].resize(m * g.format.n);
          g.c = alone[i].data();
          nbits_gemm(g, aligned(scratch, nbits_scratch_size(g, 1)), Parallel());
          together[i].resize(m * g.format.n);
          g.c = together[i].data();
        }
        for (const size_t threads : {1, 3}) {
          for (std::vector<float>& c : together) std::fill(c.begin(), c.end(), 7.0f);
          nbits_gemm_group(all, aligned(scratch, nbits_scratch_size(all[0], threads)), SplitParallel(threads));
          for (size_t i = 0; i < kProducts; ++i)
            EXPECT_EQ(together[i], alone[i]) << bits << ' ' << a_int8 << ' ' << m << ' ' << threads << ' ' << i;
        }
      }
}

TEST_P(NBitsTest, TakesNoRows) { check(4, 32, 0, 20, 64, true, false); }

INSTANTIATE_TEST_SUITE_P(AllIsas, NBitsTest,
                         ::testing::Values(Isa::reference, Isa::sse4, Isa::avx2, Isa::avx2_vnni, Isa::avx512,
                                           Isa::avx512_vnni),
                         [](const auto& level) { return std::string(isa_name(level.param)); });

}  // namespace
}  // namespace linnet
