// Rows of codes as floats at every instruction set, against the definition written out: bit by bit, as nothing is
// summed.
#include "kernels/quant/gather_block.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <vector>

#include "../each_isa.h"

namespace linnet {
namespace {

struct Table {
  int bits;
  bool is_signed, zeros;
  size_t block, width;
};

void check(const Table& t) {
  std::mt19937 random(static_cast<unsigned>(t.block + t.width));
  const auto codes_of = [&](size_t count) {
    std::vector<int> codes(count);
    for (int& code : codes) code = static_cast<int>(random() % (1u << t.bits)) - (t.is_signed ? 8 : 0);
    return codes;
  };
  const auto packed = [&](const std::vector<int>& codes) {
    std::vector<uint8_t> bytes(1);  // one byte off, so that nothing is aligned
    for (size_t i = 0; i < codes.size(); ++i) {
      if (t.bits == 8 || i % 2 == 0) bytes.push_back(0);
      bytes.back() =
          static_cast<uint8_t>(bytes.back() | (codes[i] & (t.bits == 8 ? 255 : 15)) << (t.bits == 4 && i % 2 ? 4 : 0));
    }
    return bytes;
  };
  const size_t blocks = (t.width + t.block - 1) / t.block;
  const std::vector<int> codes = codes_of(t.width), zeros = codes_of(blocks);
  std::vector<float> scales(blocks);
  for (float& s : scales) s = std::normal_distribution<float>()(random);
  if (blocks > 1) scales[1] = std::numeric_limits<float>::quiet_NaN();
  const std::vector<uint8_t> code_bytes = packed(codes), zero_bytes = packed(zeros);
  BlockRow row;
  row.codes = code_bytes.data() + 1;
  row.bits = t.bits;
  row.is_signed = t.is_signed;
  row.block = t.block;
  row.scales = scales.data();
  row.zero = t.is_signed ? -3 : 5;
  if (t.zeros) row.zeros = zero_bytes.data() + 1;
  for (size_t begin = 0; begin < t.width; begin += t.block) {
    for (const size_t end : {t.width, std::min(t.width, begin + 3)}) {
      std::vector<float> y(end - begin + 1, -7.0f);
      decode_block_row(row, begin, end, y.data());
      for (size_t i = begin; i < end; ++i) {
        const size_t b = i / t.block;
        const float expected = static_cast<float>(codes[i] - (t.zeros ? zeros[b] : row.zero)) * scales[b];
        if (b == 1) {
          ASSERT_TRUE(std::isnan(y[i - begin]));
        } else {
          ASSERT_EQ(y[i - begin], expected)
              << t.bits << " bits, block " << t.block << ", width " << t.width << " at " << i;
        }
      }
      ASSERT_EQ(y.back(), -7.0f) << "written beyond the end";
    }
  }
}

TEST(DecodeBlockRow, IsTheDefinition) {
  for_each_isa([] {
    for (const size_t block : {16, 32, 64, 256})
      for (const size_t width : {1, 15, 16, 31, 33, 62, 96, 257, 300})
        for (const bool zeros : {false, true}) {
          check({8, false, zeros, block, width});
          check({4, false, zeros, block, width});
          check({4, true, zeros, block, width});
        }
    decode_block_row({}, 0, 0, nullptr);
  });
}

}  // namespace
}  // namespace linnet
