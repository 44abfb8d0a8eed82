// Arithmetic on codes at every instruction set, against the definition in double.
#include "kernels/quant/code_math.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "kernels/each_isa.h"

namespace linnet {
namespace {

std::vector<uint8_t> random_codes(size_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<uint8_t> codes(n);
  for (uint8_t& c : codes) c = static_cast<uint8_t>(random());
  return codes;
}

int number(uint8_t code, bool is_signed) { return is_signed ? static_cast<int8_t>(code) : code; }

TEST(CodeMath, MapsThroughATable) {
  for_each_isa([] {
    uint8_t table[256];
    for (size_t i = 0; i < 256; ++i) table[i] = static_cast<uint8_t>(i * 77 + 13);
    for (const size_t n : {0, 1, 15, 31, 32, 33, 64, 300}) {
      std::vector<uint8_t> src = random_codes(n, 1), dst(n + 1, 9);
      for (size_t i = 0; i < n; ++i) src[i] = n == 300 ? static_cast<uint8_t>(i) : src[i];
      map_codes(table, src.data(), dst.data(), n);
      for (size_t i = 0; i < n; ++i) ASSERT_EQ(dst[i], table[src[i]]) << i;
      ASSERT_EQ(dst[n], 9);
      std::vector<uint8_t> in_place = src;
      map_codes(table, in_place.data(), in_place.data(), n);
      dst.pop_back();
      ASSERT_EQ(in_place, dst);
    }
  });
}

TEST(CodeMath, CombinesCodes) {
  for_each_isa([] {
    for (const bool is_signed : {false, true})
      for (const bool multiplies : {false, true})
        for (const size_t b_step : {0, 1})
          for (const size_t n : {0, 1, 15, 16, 17, 100}) {
            // Factors that are powers of two make the sums exact, so that ties are ties.
            const CodePair pair{is_signed, multiplies,         multiplies ? 0.0625f : 0.5f, 0.25f, is_signed ? -3 : 120,
                                7,         is_signed ? 5 : 130};
            const std::vector<uint8_t> a = random_codes(n + 1, 2), b = random_codes(n + 1, 3);
            std::vector<uint8_t> c(n + 1, 9);
            combine_codes(pair, a.data(), b.data(), b_step, c.data(), n);
            for (size_t i = 0; i < n; ++i) {
              const double x = number(a[i], is_signed) - pair.a_zero,
                           y = number(b[i * b_step], is_signed) - pair.b_zero;
              const double sum = multiplies ? x * y * 0.0625 : x * 0.5 + y * 0.25;
              const double code =
                  std::clamp(std::nearbyint(sum) + pair.c_zero, is_signed ? -128.0 : 0.0, is_signed ? 127.0 : 255.0);
              ASSERT_EQ(number(c[i], is_signed), code) << i << ' ' << n;
            }
            ASSERT_EQ(c[n], 9);
          }
    // A factor beyond all bounds, and one that is no number.
    const uint8_t high[2] = {255, 0}, zero[2] = {0, 0};
    uint8_t c[2];
    combine_codes({false, false, 1e30f, 1.0f, 100, 0, 3}, high, zero, 1, c, 2);
    EXPECT_EQ(c[0], 255);
    EXPECT_EQ(c[1], 0);
    combine_codes({false, false, std::numeric_limits<float>::quiet_NaN(), 1.0f, 100, 0, 3}, high, zero, 1, c, 2);
    EXPECT_EQ(c[0], 0);
  });
}

TEST(CodeMath, AddsRowsAndTakesTheGreater) {
  for_each_isa([] {
    for (const bool is_signed : {false, true})
      for (const size_t n : {1, 15, 16, 33, 70}) {
        const size_t rows = 5;
        const std::vector<uint8_t> src = random_codes(rows * n, 4);
        std::vector<int32_t> sums(n, 10);
        add_rows_of_codes(is_signed, src.data(), rows, n, sums.data());
        std::vector<uint8_t> greatest(src.begin(), src.begin() + static_cast<ptrdiff_t>(n));
        for (size_t r = 1; r < rows; ++r) max_codes(is_signed, src.data() + r * n, greatest.data(), n);
        for (size_t c = 0; c < n; ++c) {
          int sum = 10, most = -1000;
          for (size_t r = 0; r < rows; ++r) {
            sum += number(src[r * n + c], is_signed);
            most = std::max(most, number(src[r * n + c], is_signed));
          }
          ASSERT_EQ(sums[c], sum);
          ASSERT_EQ(number(greatest[c], is_signed), most);
        }
      }
  });
}

}  // namespace
}  // namespace linnet
