#include "quantize/weight.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "quantize/blocks.h"

namespace linnet {
namespace {

TEST(ChooseQuantization, IsWhatOthersChoose) {
  // compute_scale_zp of onnxruntime.quantization.quant_utils for the same ranges.
  struct Case {
    float min, max;
    DType type;
    bool symmetric, reduced;
    float scale;
    int32_t zero_point;
  };
  constexpr Case kCases[] = {
      {-1, 3, DType::u8, false, false, 0.015686275f, 64},
      {-1, 3, DType::i8, false, false, 0.015686275f, -64},
      {-1, 3, DType::i8, true, false, 0.023622047f, 0},
      {-1, 3, DType::u8, true, false, 0.023529412f, 128},
      {-1, 3, DType::i8, true, true, 0.046875f, 0},
      {-1, 3, DType::u8, false, true, 0.031496063f, 32},
      {1, 2, DType::u8, false, false, 0.0078431377f, 0},
      {-2, -1, DType::i8, false, false, 0.0078431377f, 127},
      {0, 0, DType::i8, true, false, 1.0f, 0},
      {-5, 2, DType::i16, true, false, 0.00015259255f, 0},
      {-5, 2, DType::u16, false, false, 0.00010681315f, 46811},
  };
  for (const Case& c : kCases) {
    const Quantization q = choose_quantization(c.min, c.max, code_range(c.type, c.symmetric, c.reduced), c.symmetric);
    EXPECT_FLOAT_EQ(q.scale, c.scale) << c.min << " " << dtype_name(c.type);
    EXPECT_EQ(q.zero_point, c.zero_point) << c.min << " " << dtype_name(c.type);
  }
}

Tensor tensor_of(const Shape& shape, const std::vector<float>& elements) {
  Tensor t = make_tensor(DType::f32, shape).value();
  std::copy(elements.begin(), elements.end(), t.ptr<float>());
  return t;
}

TEST(QuantizeWeight, OneScaleForAll) {
  const Tensor w = tensor_of({2, 3}, {-2.54f, 0, 1, 0.013f, 2, 0.5f});
  const QuantizedWeight q = quantize_weight(w, {DType::i8, true, false, {}}).value();
  EXPECT_EQ(q.scale.shape.rank(), 0u);
  EXPECT_FLOAT_EQ(*q.scale.ptr<float>(), 0.02f);
  const int8_t expected[] = {-127, 0, 50, 1, 100, 25};
  for (size_t i = 0; i < 6; ++i) EXPECT_EQ(q.codes.ptr<int8_t>()[i], expected[i]) << i;
}

TEST(QuantizeWeight, OneScaleForEachIndexOfAnyAxis) {
  std::vector<float> elements(3 * 4 * 5);
  std::minstd_rand random(1);
  for (float& e : elements) e = std::normal_distribution<float>()(random);
  const Tensor w = tensor_of({3, 4, 5}, elements);
  for (const DType type : {DType::i8, DType::u8}) {
    for (size_t axis = 0; axis < 3; ++axis) {
      const QuantizedWeight q = quantize_weight(w, {type, type == DType::i8, false, axis}).value();
      ASSERT_EQ(q.scale.shape, Shape({w.shape[axis]}));
      ASSERT_EQ(q.zero_point.shape, q.scale.shape);
      for (int64_t i = 0; i < w.count(); ++i) {
        const int64_t channel = i / strides_of(w.shape)[axis] % w.shape[axis];
        const double scale = number_at(q.scale, channel);
        const double number = (number_at(q.codes, i) - number_at(q.zero_point, channel)) * scale;
        EXPECT_NEAR(number, number_at(w, i), scale * 0.5001) << axis << " " << i;
      }
      EXPECT_GT(q.snr_db, 35);
      EXPECT_LT(q.snr_db, 70);
    }
  }
}

TEST(QuantizeWeight, TakesOtherFloatsAndRefusesWhatIsNoNumber) {
  Tensor half = make_tensor(DType::f16, Shape{4}).value();
  for (int i = 0; i < 4; ++i) half.ptr<f16>()[i] = f16(static_cast<float>(i - 2));
  const QuantizedWeight q = quantize_weight(half, {}).value();
  EXPECT_EQ(q.codes.ptr<int8_t>()[0], -127);
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()})
    EXPECT_EQ(quantize_weight(tensor_of({3}, {1, bad, 2}), {}).status().code(), Code::invalid_argument);
}

TEST(QuantizeWeight, ConstantsAreExact) {
  const QuantizedWeight zeros = quantize_weight(tensor_of({3}, {0, 0, 0}), {}).value();
  EXPECT_EQ(zeros.codes.ptr<int8_t>()[1], 0);
  EXPECT_TRUE(std::isinf(zeros.snr_db));
}

TEST(TransposedCodes, OfEachMatrix) {
  Tensor codes = make_tensor(DType::i8, Shape{2, 37, 70}).value();
  for (int64_t i = 0; i < codes.count(); ++i) codes.ptr<int8_t>()[i] = static_cast<int8_t>(i * 7);
  const Tensor turned = transposed_codes(codes).value();
  ASSERT_EQ(turned.shape, Shape({2, 70, 37}));
  for (int64_t s = 0; s < 2; ++s)
    for (int64_t r = 0; r < 37; ++r)
      for (int64_t c = 0; c < 70; ++c)
        ASSERT_EQ(turned.ptr<int8_t>()[(s * 70 + c) * 37 + r], codes.ptr<int8_t>()[(s * 37 + r) * 70 + c]);
}

// ---- blocks

// What MatMulNBits reads, in its words: codes in the low bits first, zero points likewise, 2^(bits - 1) without them.
float read_back(const QuantizedWeight& q, const BlockScheme& scheme, int64_t depth, int64_t row, int64_t k) {
  const int64_t blocks = (depth + scheme.block - 1) / scheme.block, b = k / scheme.block;
  const auto code_at = [&](const uint8_t* bytes, int64_t i) {
    const int value = scheme.bits == 8 ? bytes[i] : bytes[i / 2] >> (i % 2 * 4) & 15;
    return static_cast<float>(value);
  };
  const int64_t row_bytes = blocks * scheme.block * scheme.bits / 8, zero_bytes = (blocks * scheme.bits + 7) / 8;
  const float zero = q.zero_point.data ? code_at(q.zero_point.ptr<uint8_t>() + row * zero_bytes, b)
                                       : static_cast<float>(1 << (scheme.bits - 1));
  return (code_at(q.codes.ptr<uint8_t>() + row * row_bytes, k) - zero) * q.scale.ptr<float>()[row * blocks + b];
}

TEST(QuantizeBlocks, EveryForm) {
  const int64_t rows = 21, depth = 75;
  std::vector<float> w(static_cast<size_t>(rows * depth));
  std::minstd_rand random(1);
  for (float& e : w) e = std::normal_distribution<float>(0.2f)(random);
  for (const int bits : {4, 8}) {
    for (const int64_t block : {16, 32, 128}) {
      for (const bool by_row : {true, false}) {
        for (const auto& [symmetric, method] : {std::pair{true, BlockMethod::nearest},
                                                {false, BlockMethod::nearest},
                                                {false, BlockMethod::half_quadratic}}) {
          const BlockScheme scheme{bits, block, symmetric, method};
          const MatrixView view =
              by_row ? MatrixView{w.data(), rows, depth, depth, 1} : MatrixView{w.data(), rows, depth, 1, rows};
          const QuantizedWeight q = quantize_blocks(view, scheme, Parallel()).value();
          EXPECT_EQ(q.zero_point.data != nullptr, scheme.has_zero_points());
          double signal = 0, noise = 0;
          for (int64_t r = 0; r < rows; ++r) {
            for (int64_t k = 0; k < depth; ++k) {
              const double wanted = w[static_cast<size_t>(r * view.row_stride + k * view.depth_stride)];
              const double error = read_back(q, scheme, depth, r, k) - wanted;
              const int64_t blocks = (depth + block - 1) / block;
              // Symmetric codes reach further on one side: up to one step on the other is cut off.
              const double step = std::fabs(q.scale.ptr<float>()[r * blocks + k / block]);
              if (method == BlockMethod::nearest) {
                EXPECT_LE(std::fabs(error), step * (symmetric ? 1.001 : 0.501)) << bits << " " << block;
              }
              signal += wanted * wanted;
              noise += error * error;
            }
          }
          EXPECT_NEAR(q.snr_db, 10 * std::log10(signal / noise), 0.01);
          EXPECT_GT(q.snr_db, bits == 4 ? 15 : 40) << block << symmetric;
        }
      }
    }
  }
}

TEST(QuantizeBlocks, HalfQuadraticSuitsBlocksWithOutliers) {
  const int64_t rows = 64, depth = 64;
  std::vector<float> w(static_cast<size_t>(rows * depth));
  std::minstd_rand random(3);
  for (float& e : w) e = std::student_t_distribution<float>(3)(random);
  const auto mean_error = [&](BlockMethod method) {
    const BlockScheme scheme{4, depth, false, method};
    const QuantizedWeight q = quantize_blocks({w.data(), rows, depth, depth, 1}, scheme, Parallel()).value();
    double sum = 0;
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t k = 0; k < depth; ++k)
        sum += std::fabs(read_back(q, scheme, depth, r, k) - w[static_cast<size_t>(r * depth + k)]);
    return sum;
  };
  EXPECT_LT(mean_error(BlockMethod::half_quadratic), 0.95 * mean_error(BlockMethod::nearest));
}

}  // namespace
}  // namespace linnet
