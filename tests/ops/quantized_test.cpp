// Quantised and attention operators: what the standard's tests leave out, and inputs that must be refused.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include <gtest/gtest.h>

#include "contrib_node.h"
#include "kernels/each_isa.h"
#include "kernels/split_parallel.h"

namespace linnet {
namespace {

template <class T>
void expect_elements(const NodeRun& run, const std::vector<T>& expected, size_t output = 0) {
  const auto result = run_node(run);
  ASSERT_TRUE(result.ok()) << result.status().message();
  const Tensor& t = result.value()[output].tensor;
  ASSERT_EQ(t.count(), static_cast<int64_t>(expected.size()));
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(t.ptr<T>()[i], expected[i]) << "element " << i;
}

TEST(QuantizeLinear, RefusesScalesThatDoNotFit) {
  expect_refused(
      {"QuantizeLinear", {counting({2, 3}), floats({2}, {1, 1}), bytes({2}, {})}, {attribute("axis", int64_t{1})}},
      "does not fit axis 1");
  expect_refused(
      {"QuantizeLinear", {counting({2, 3}), floats({3}, {1, 1, 1}), bytes({2}, {})}, {attribute("axis", int64_t{1})}},
      "zero point");
  expect_refused({"QuantizeLinear", {counting({2, 3}), floats({3}, {1, 1, 1})}, {attribute("axis", int64_t{7})}},
                 "axis 7");
  expect_refused({"DequantizeLinear", {bytes({2, 32}, {}), counting({2, 3})}, {attribute("block_size", int64_t{16})}},
                 "blocks of 16");
  expect_refused({"DequantizeLinear", {bytes({2, 32}, {}), number(1)}, {attribute("block_size", int64_t{-1})}},
                 "block_size");
}

TEST(QuantizeLinear, SaturatesAndMapsNan) {
  const float infinity = std::numeric_limits<float>::infinity();
  expect_elements<uint8_t>(
      {"QuantizeLinear", {floats({4}, {infinity, -infinity, std::nanf(""), 1.5f}), number(1), bytes({}, {3})}},
      {255, 0, 0, 5});
}

// As the standard has it, the quotient is of the scale's type, and so is what comes back.
TEST(QuantizeLinear, DividesInHalfPrecision) {
  constexpr int64_t kRow = 1303;
  const Shape shape{2, kRow};
  const float scales[] = {0.0137f, 0.25f};
  const uint16_t zeros[] = {1000, 7};
  const auto check = [&]<class Half>(Half) {
    const Tensor scale = tensor_of<Half>({2}, {Half(scales[0]), Half(scales[1])});
    const Tensor zero = tensor_of<uint16_t>({2}, {zeros[0], zeros[1]});
    Tensor x = converted<Half>(noise(shape, 1));
    for (Half& v : x.as<Half>()) v = Half(static_cast<float>(v) * 300.0f);
    const std::vector<Attribute> rows = {attribute("axis", int64_t{0})};
    for_each_isa([&] {
      const auto codes = run_node({"QuantizeLinear", {x, scale, zero}, rows});
      ASSERT_TRUE(codes.ok()) << codes.status().message();
      const Tensor& q = codes.value()[0].tensor;
      const auto back = run_node({"DequantizeLinear", {q, scale, zero}, rows});
      ASSERT_TRUE(back.ok()) << back.status().message();
      for (int64_t i = 0; i < x.count(); ++i) {
        const float step = scale.ptr<Half>()[i / kRow];
        const int from = zeros[i / kRow];
        const float quotient = Half(static_cast<float>(x.ptr<Half>()[i]) / step);
        const int code = static_cast<int>(std::nearbyint(quotient)) + from;
        ASSERT_EQ(q.ptr<uint16_t>()[i], std::clamp(code, 0, 65535)) << "element " << i;
        const Half expected = Half(static_cast<float>(q.ptr<uint16_t>()[i] - from) * step);
        ASSERT_EQ(back.value()[0].tensor.ptr<Half>()[i].bits, expected.bits) << "element " << i;
      }
    });
  };
  check(f16());
  check(bf16());
}

// Scales that change from one element to the next, in rows longer than an item of work.
TEST(QuantizeLinear, ScalesOfTheLastAxisAndOfBlocks) {
  constexpr int64_t kRows = 3;
  for (const int64_t columns : {5, 24, 1303})
    for (const bool blocks : {false, true}) {
      const int64_t scale_count = blocks ? 2 * columns : columns;  // blocks of two rows
      Tensor x = noise({kRows, columns}, 1), scale = noise(blocks ? Shape{2, columns} : Shape{columns}, 2);
      for (float& v : x.as<float>()) v *= 30.0f;
      for (float& v : scale.as<float>()) v = 0.25f + v * v;
      std::vector<uint8_t> from(static_cast<size_t>(scale_count));
      for (size_t i = 0; i < from.size(); ++i) from[i] = static_cast<uint8_t>(100 + i % 50);
      const Tensor zero = tensor_of<uint8_t>(scale.shape, from);
      const std::vector<Attribute> attributes = {attribute("axis", int64_t{blocks ? 0 : 1}),
                                                 attribute("block_size", int64_t{blocks ? 2 : 0})};
      for_each_isa([&] {
        const auto codes = run_node({"QuantizeLinear", {x, scale, zero}, attributes});
        ASSERT_TRUE(codes.ok()) << codes.status().message();
        const Tensor& q = codes.value()[0].tensor;
        const auto back = run_node({"DequantizeLinear", {q, scale, zero}, attributes});
        ASSERT_TRUE(back.ok()) << back.status().message();
        for (int64_t i = 0; i < x.count(); ++i) {
          const int64_t at = i % columns + (blocks ? i / columns / 2 * columns : 0);
          const float step = scale.ptr<float>()[at];
          const int offset = zero.ptr<uint8_t>()[at];
          const int code = static_cast<int>(std::nearbyint(x.ptr<float>()[i] / step)) + offset;
          ASSERT_EQ(q.ptr<uint8_t>()[i], std::clamp(code, 0, 255)) << "element " << i;
          ASSERT_EQ(back.value()[0].tensor.ptr<float>()[i], static_cast<float>(q.ptr<uint8_t>()[i] - offset) * step)
              << "element " << i;
        }
      });
    }
}

TEST(DequantizeLinear, TakesEmptyTensors) {
  expect_elements<float>({"DequantizeLinear", {bytes({0, 3}, {}), number(1), bytes({}, {3})}}, {});
  expect_elements<uint8_t>({"DynamicQuantizeLinear", {floats({0}, {})}, {}, 3}, {0}, 2);
}

TEST(MatMulInteger, RefusesMatricesThatDoNotFit) {
  expect_refused({"MatMulInteger", {bytes({2, 3}, {}), bytes({4, 2}, {})}}, "cannot multiply");
  expect_refused({"MatMulInteger", {bytes({2, 3}, {}), bytes({3, 2}, {}), bytes({2}, {})}}, "more than one element");
  expect_refused({"MatMulInteger", {bytes({2, 3}, {}), bytes({3, 2}, {}), bytes({}, {}), bytes({3}, {})}},
                 "does not fit 2 columns");
  expect_elements<int32_t>({"MatMulInteger", {bytes({2, 0}, {}), bytes({0, 2}, {})}}, {0, 0, 0, 0});
}

// Threads take whole products of a batch, or share each.
TEST(MatMulInteger, BatchesHaveTheSameBitsOnEveryNumberOfThreads) {
  for (const int64_t rows : {5, 400}) {
    Tensor a = bytes({3, 2, rows, 70}, {}), b = bytes({2, 70, 40}, {});
    for (Tensor* t : {&a, &b})
      for (int64_t i = 0; i < t->count(); ++i) t->ptr<uint8_t>()[i] = static_cast<uint8_t>(i * 7919 % 253);
    const NodeRun run{"MatMulInteger", {a, b, bytes({}, {3}), bytes({}, {130})}};
    for (const size_t threads : {1, 2, 4, 7}) {
      const auto result = run_node(run, SplitParallel(threads));
      ASSERT_TRUE(result.ok()) << result.status().message();
      const Tensor& y = result.value()[0].tensor;
      for (int64_t i = 0; i < y.count(); ++i) {
        const int64_t item = i / (rows * 40), row = i / 40, column = i % 40;
        int32_t sum = 0;
        for (int64_t k = 0; k < 70; ++k)
          sum += (a.ptr<uint8_t>()[row * 70 + k] - 3) * (b.ptr<uint8_t>()[(item % 2 * 70 + k) * 40 + column] - 130);
        ASSERT_EQ(y.ptr<int32_t>()[i], sum) << threads << " threads, element " << i;
      }
    }
  }
}

TEST(IntegerConv, RefusesWeightsThatDoNotFit) {
  expect_refused({"ConvInteger", {bytes({1, 3, 4, 4}, {}), bytes({2, 2, 3, 3}, {})}}, "channels");
  expect_refused({"ConvInteger", {bytes({1, 3, 4, 4}, {}), bytes({2, 3, 3, 3}, {}), bytes({}, {}), bytes({3}, {})}},
                 "for 2 filters");
  expect_refused({"ConvInteger", {bytes({1, 3, 4, 4}, {}), bytes({2, 3, 3, 3}, {})}, {attribute("group", int64_t{0})}},
                 "group");
  expect_elements<int32_t>({"ConvInteger", {bytes({0, 3, 4, 4}, {}), bytes({2, 3, 3, 3}, {})}}, {});
}

TEST(MatMulNBits, RefusesSizesThatDoNotFit) {
  const auto sizes = [](int64_t n, int64_t k, int64_t block, int64_t bits) {
    return std::vector<Attribute>{attribute("N", n), attribute("K", k), attribute("block_size", block),
                                  attribute("bits", bits)};
  };
  const Tensor a = counting({1, 32}), codes = bytes({2, 1, 16}, {}), scales = floats({2}, {1, 1});
  expect_refused(contrib("MatMulNBits", {a, codes, scales}, sizes(2, 32, 24, 4), 1, 1), "power of two");
  expect_refused(contrib("MatMulNBits", {a, codes, scales}, sizes(2, 32, 32, 3), 1, 1), "3 bits");
  expect_refused(contrib("MatMulNBits", {a, codes, scales}, sizes(-2, 32, 32, 4), 1, 1), "N is -2");
  expect_refused(contrib("MatMulNBits", {a, codes, scales}, sizes(INT64_MAX, INT64_MAX, 32, 4), 1, 1),
                 "fit into memory");
  expect_refused(contrib("MatMulNBits", {a, codes, scales}, sizes(3, 32, 32, 4), 1, 1),
                 "does not have the 48 elements");
  expect_refused(contrib("MatMulNBits", {a, codes, counting({3})}, sizes(2, 32, 32, 4), 1, 1),
                 "does not have the 2 elements");
  expect_refused(contrib("MatMulNBits", {counting({1, 31}), codes, scales}, sizes(2, 32, 32, 4), 1, 1), "not 32");
  for (const size_t first_constant : {size_t{1}, SIZE_MAX}) {
    const auto grouped = [&](int32_t group) {
      return contrib("MatMulNBits", {a, codes, scales, none(), int32s({32}, std::vector<int32_t>(32, group))},
                     sizes(2, 32, 32, 4), 1, first_constant);
    };
    expect_elements<float>(grouped(0), {-3968, -3968});  // codes of 0 are -8; 0 + ... + 31 is 496
    expect_refused(grouped(1), "g_idx has 1 for 1 groups");
    expect_refused(grouped(-1), "g_idx has -1");
  }
  expect_refused(contrib("MatMulNBits", {a, bytes({0, 1, 16}, {}), scales}, sizes(2, 32, 32, 4)), "left out");
  // Omitted weights give zeros.
  expect_elements<float>(contrib("MatMulNBits", {a, bytes({0, 1, 16}, {}), scales}, sizes(2, 32, 32, 4), 1, 1), {0, 0});
}

TEST(GroupedDynamicQuantizeMatMul, RefusesMatricesThatDoNotFit) {
  const auto run = [](std::vector<std::optional<Tensor>> inputs, size_t outputs = 2, size_t first_constant = 1) {
    NodeRun node{"GroupedDynamicQuantizeMatMul", std::move(inputs), {}, outputs, 1, first_constant};
    node.domain = "linnet";
    return node;
  };
  const Tensor x = floats({1, 2}, {255, 0}), b = bytes({2, 1}, {3, 4}), other = bytes({2, 2}, {1, 2, 3, 4}),
               one = number(1);
  // The range of x has the scale 1.
  expect_elements<float>(run({x, b, one, none(), none(), other, floats({2}, {1, 2}), none(), floats({2}, {1, 1})}),
                         {256, 1021}, 1);
  expect_elements<float>(run({x, b, one, none(), none(), other, floats({2}, {1, 2}), bytes({2}, {1, 1})}), {765}, 0);
  expect_elements<float>(run({floats({0, 2}, {}), b, one}, 1), {});
  expect_refused(run({x, b, one}), "3 inputs and 2 outputs");
  expect_refused(run({x, b, one, none(), none(), none(), one}), "matrix 1");
  expect_refused(run({x, b, one, none(), none(), bytes({3, 1}, {}), one}), "does not fit");
  expect_refused(run({counting({1, 3}), b, one, none(), none(), other, one}), "does not fit");
  expect_refused(run({x, b, one, none(), none(), other, floats({3}, {1, 1, 1})}), "does not fit 2 columns");
  expect_refused(run({x, b, one, none(), one, other, one, none(), one}), "does not fit 2 columns");
  expect_refused(run({x, bytes({2}, {}), one, none(), none(), other, one}), "1 axes");
  expect_refused(run({x, b, one, number(1), none(), other, one}), "zero points");
  expect_refused(run({x, b, one, none(), none(), other, one}, 2, SIZE_MAX), "must be a constant");
}

TEST(GroupedMatMulNBits, RefusesSizesThatDoNotFit) {
  const auto run = [](std::vector<std::optional<Tensor>> inputs, std::vector<int64_t> n, size_t outputs = 2,
                      size_t first_constant = 1) {
    NodeRun node{"GroupedMatMulNBits",
                 std::move(inputs),
                 {attribute("N", std::move(n)), attribute("K", int64_t{32}), attribute("block_size", int64_t{32})},
                 outputs,
                 1,
                 first_constant};
    node.domain = "linnet";
    return node;
  };
  const Tensor a = counting({1, 32}), codes = bytes({2, 1, 16}, {}), scales = floats({2}, {1, 1}),
               bias = floats({2}, {1, 2});
  expect_elements<float>(run({a, codes, scales, none(), none(), codes, scales, none(), bias}, {2, 2}), {-3967, -3966},
                         1);
  expect_refused(run({a, codes, scales, none(), none(), codes, scales}, {2}), "'N' has 1 numbers for 2");
  expect_refused(run({a, codes, scales, none(), none(), codes, scales}, {2, -1}), "N is -1");
  expect_refused(run({a, codes, scales, none(), none(), codes, scales}, {2, 3}), "does not have the 48 elements");
  expect_refused(run({counting({1, 31}), codes, scales, none(), none(), codes, scales}, {2, 2}), "does not fit");
  expect_refused(run({a, codes, scales, none(), number(1), codes, scales}, {2, 2}), "does not have the 2 elements");
  expect_refused(run({a, codes, scales, none(), none(), bytes({0}, {}), scales}, {2, 2}), "must be a constant");
  expect_refused(run({a, codes, scales, none(), none(), codes, scales}, {2, 2}, 2, SIZE_MAX), "must be a constant");
}

// Rows short and long, along the last axis and another, against double arithmetic: a share that lies between two codes
// may become either.
TEST(QLinearSoftmax, RowsOfAnyLength) {
  for_each_isa([] {
    for (const bool is_signed : {false, true})
      for (const int64_t n : {1, 5, 63, 64, 130, 700})
        for (const int64_t inner : {1, 3}) {
          const Shape shape{2, n, inner};
          Tensor x = bytes(shape, {});
          for (int64_t i = 0; i < x.count(); ++i) x.ptr<uint8_t>()[i] = static_cast<uint8_t>(i * 7919 % 251 * (i % 3));
          x.dtype = is_signed ? DType::i8 : DType::u8;
          Tensor x_zero = bytes({}, {0x70}), y_zero = bytes({}, {is_signed ? uint8_t{0x90} : uint8_t{3}});
          x_zero.dtype = y_zero.dtype = x.dtype;
          const float scale = 0.05f, y_scale = 0.5f / static_cast<float>(n);
          const auto result = run_node(contrib("QLinearSoftmax", {x, number(scale), x_zero, number(y_scale), y_zero},
                                               {attribute("axis", int64_t{1}), attribute("opset", int64_t{13})}));
          ASSERT_TRUE(result.ok()) << result.status().message();
          const Tensor& y = result.value()[0].tensor;
          for (int64_t row = 0; row < 2 * inner; ++row) {
            const auto at = [&](int64_t i) { return row / inner * n * inner + i * inner + row % inner; };
            double sum = 0;
            for (int64_t i = 0; i < n; ++i) sum += std::exp(0.05 * static_cast<double>(integer_at(x, at(i)) - 128));
            for (int64_t i = 0; i < n; ++i) {
              const double share = std::exp(0.05 * static_cast<double>(integer_at(x, at(i)) - 128)) / sum;
              const double code =
                  std::clamp(share / static_cast<double>(y_scale) + static_cast<double>(integer_at(y_zero, 0)),
                             is_signed ? -128.0 : 0.0, is_signed ? 127.0 : 255.0);
              ASSERT_NEAR(static_cast<double>(integer_at(y, at(i))), code, 0.5001) << n << ' ' << inner << ' ' << i;
            }
          }
        }
  });
}

TEST(MapCodes, LooksUpBytes) {
  Tensor table = bytes({256}, {});
  for (int i = 0; i < 256; ++i) table.ptr<uint8_t>()[i] = static_cast<uint8_t>(255 - i);
  NodeRun run{"MapCodes", {bytes({2, 2}, {0, 1, 128, 255}), table}, {}, 1, 1};
  run.domain = "linnet";
  expect_elements<uint8_t>(run, {255, 254, 127, 0});
  run.inputs[0]->dtype = DType::i8;
  expect_elements<uint8_t>(run, {255, 254, 127, 0});
  run.inputs[1] = bytes({255}, {});
  expect_refused(run, "256 elements");
  run.inputs[1] = counting({256});
  expect_refused(run, "8 bits");
}

TEST(QLinear, RefusesWhatDoesNotFit) {
  const Tensor x = bytes({2, 2}, {}), one = number(1), zero = bytes({}, {});
  expect_refused(contrib("QLinearAdd", {x, one, zero, bytes({3}, {}), one, zero, one, zero}, {}), "do not broadcast");
  expect_refused(contrib("QLinearAdd", {x, floats({2}, {1, 1}), zero, x, one, zero, one, zero}, {}), "one number");
  expect_refused(contrib("QLinearConcat", {one, zero, x, one, zero, bytes({2, 3}, {}), one, zero},
                         {attribute("axis", int64_t{0})}),
                 "differ on axis 1");
  expect_refused(contrib("QLinearConcat", {one, zero, x, one}, {}), "QLinearConcat takes");
  expect_refused(contrib("QLinearSoftmax", {x, one, zero, one, zero},
                         {attribute("axis", int64_t{5}), attribute("opset", int64_t{13})}),
                 "axis 5");
}

TEST(Attention, RefusesShapesThatDoNotFit) {
  const Tensor q = counting({1, 2, 3, 4});
  expect_refused({"Attention", {q, counting({1, 2, 3, 5}), counting({1, 2, 3, 4})}, {}, 1, 23}, "do not fit together");
  expect_refused({"Attention", {q, counting({1, 3, 3, 4}), counting({1, 3, 3, 4})}, {}, 1, 23}, "cannot share 3 heads");
  expect_refused({"Attention", {q, q, q, counting({5, 3})}, {}, 1, 23}, "mask");
  expect_refused({"Attention", {q, q, q, none(), none(), none(), ints({4})}, {}, 1, 24}, "nonpad_kv_seqlen has 4");
  expect_refused({"Attention", {q, q, q, none(), none(), none(), ints({-1})}, {}, 1, 24}, "nonpad_kv_seqlen has -1");
  expect_refused({"Attention",
                  {counting({1, 3, 7}), counting({1, 3, 7}), counting({1, 3, 7})},
                  {attribute("q_num_heads", int64_t{2}), attribute("kv_num_heads", int64_t{2})},
                  1,
                  23},
                 "do not split");
}

TEST(RotaryEmbedding, RefusesPositionsOutsideOfTheCaches) {
  const Tensor x = counting({1, 1, 2, 4}), cache = counting({3, 2});
  expect_refused({"RotaryEmbedding", {x, cache, cache, tensor_of<int64_t>({1, 2}, {0, 3})}, {}, 1, 23}, "position 3");
  expect_refused({"RotaryEmbedding", {x, cache, cache, tensor_of<int64_t>({1, 2}, {-1, 0})}, {}, 1, 23}, "position -1");
  expect_refused(contrib("RotaryEmbedding", {x, ints({INT64_MAX}), cache, cache}, {}), "position");
}

// Expected values: the same caches for each of the batch.
TEST(RotaryEmbedding, TurnsABatchByTheAnglesOfOne) {
  for (const Shape& shape : {Shape{2, 3, 5, 4}, Shape{2, 5, 12}}) {
    const Tensor x = noise(shape, 1), cos = noise({1, 5, 2}, 2), sin = noise({1, 5, 2}, 3);
    const auto twice = [](const Tensor& cache) {
      std::vector<float> rows(cache.ptr<float>(), cache.ptr<float>() + cache.count());
      rows.insert(rows.end(), cache.ptr<float>(), cache.ptr<float>() + cache.count());
      return floats({2, 5, 2}, rows);
    };
    NodeRun run{"RotaryEmbedding", {x, twice(cos), twice(sin)}, {attribute("num_heads", int64_t{3})}, 1, 23};
    const auto wanted = run_node(run);
    ASSERT_TRUE(wanted.ok()) << wanted.status().message();
    run.inputs = {x, cos, sin};
    for (const bool symbolic : {false, true}) {
      run.symbolic = symbolic;
      const auto result = run_node(run);
      ASSERT_TRUE(result.ok()) << result.status().message();
      const Tensor &got = result.value()[0].tensor, &want = wanted.value()[0].tensor;
      EXPECT_TRUE(std::equal(got.ptr<float>(), got.ptr<float>() + got.count(), want.ptr<float>()));
    }
  }
  expect_refused({"RotaryEmbedding", {noise({3, 1, 2, 4}, 1), counting({2, 2, 2}), counting({2, 2, 2})}, {}, 1, 23},
                 "does not fit 3 x 2");
}

TEST(GroupQueryAttention, RefusesLengthsThatTheCacheDoesNotHave) {
  const std::vector<Attribute> heads{attribute("num_heads", int64_t{2}), attribute("kv_num_heads", int64_t{1})};
  const auto run = [&](int32_t last, int32_t total, int64_t past) {
    return contrib("GroupQueryAttention",
                   {counting({1, 1, 16}), counting({1, 1, 8}), counting({1, 1, 8}), counting({1, 1, past, 8}),
                    counting({1, 1, past, 8}), int32s({1}, {last}), int32s({}, {total})},
                   heads, 3);
  };
  EXPECT_TRUE(run_node(run(3, 4, 3)).ok());
  expect_refused(run(-1, 4, 3), "seqlens_k has -1");
  expect_refused(run(4, 4, 3), "seqlens_k has 4");
  expect_refused(run(INT32_MAX, 4, 3), "seqlens_k has");
  expect_refused(run(9, 10, 3), "do not reach");
  expect_refused(run(3, -4, 3), "total_sequence_length is -4");
}

TEST(ContribAttention, RefusesWhatDoesNotFit) {
  const std::vector<Attribute> heads{attribute("num_heads", int64_t{2})};
  const Tensor x = counting({1, 3, 4});
  expect_refused(contrib("Attention", {x, counting({4, 13}), counting({13})}, heads), "13");
  expect_refused(contrib("Attention", {x, counting({5, 12}), counting({12})}, heads), "do not fit the input");
  expect_refused(contrib("Attention", {x, counting({4, 12}), counting({12}), int32s({7}, {})}, heads),
                 "a mask of shape 7");
  expect_refused(contrib("MultiHeadAttention", {x, counting({2, 3, 4}), counting({1, 3, 4})}, heads), "do not fit");
}

TEST(MoE, RefusesMoreExpertsThanThereAre) {
  const Tensor x = counting({2, 4}), router = counting({2, 3}), fc1 = counting({3, 5, 4}), fc2 = counting({3, 4, 5});
  expect_refused(contrib("MoE", {x, router, fc1, none(), fc2}, {attribute("k", int64_t{4})}), "there are 3 experts");
  expect_refused(contrib("MoE", {x, router, fc1, none(), counting({3, 5, 4})}, {}), "do not fit");
}

// Expert e gives row e of the unit matrix, so that the output is the weights.
TEST(MoE, SparseMixerSharesAmongThoseThatComeNear) {
  std::vector<float> unit(16, 0.0f);
  for (size_t i = 0; i < 4; ++i) unit[5 * i] = 1.0f;
  const auto run = [&](std::vector<float> logits, int64_t k) {
    return contrib("MoE",
                   {counting({1, 4}), floats({1, 4}, logits), counting({4, 1, 4}), none(),
                    floats({4, 4, 1}, std::vector<float>(16, 0.0f)), floats({4, 4}, unit)},
                   {attribute("k", k), attribute("use_sparse_mixer", int64_t{1})});
  };
  const auto expect_weights = [&](std::vector<float> logits, std::vector<float> expected) {
    const auto result = run_node(run(std::move(logits), 2));
    ASSERT_TRUE(result.ok()) << result.status().message();
    for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(result.value()[0].tensor.ptr<float>()[i], expected[i], 1e-5f) << i;
  };
  expect_weights({1.0f, 0.99f, 0.5f, 0.985f}, {0.336116f, 0.501250f, 0, 0});
  expect_weights({-3, 8, -2, 2}, {0, 1, 0, 1});
  expect_refused(run({1, 2, 3, 4}, 3), "k is 3");
}

TEST(EmbedLayerNormalization, RefusesIdsOutsideOfTheTables) {
  const Tensor words = counting({4, 2}), positions = counting({3, 2}), row = counting({2});
  const auto run = [&](int32_t id) {
    return contrib("EmbedLayerNormalization", {int32s({1, 2}, {0, id}), none(), words, positions, none(), row, row},
                   {});
  };
  EXPECT_TRUE(run_node(run(3)).ok());
  expect_refused(run(4), "input_ids has 4");
  expect_refused(run(-1), "input_ids has -1");
  expect_refused(
      contrib("EmbedLayerNormalization", {int32s({1, 4}, {}), none(), words, positions, none(), row, row}, {}),
      "more than the 3 positions");
}

TEST(GatherBlockQuantized, GivesZerosForIndicesOutside) {
  const std::vector<Attribute> attributes{attribute("block_size", int64_t{16}), attribute("bits", int64_t{8})};
  const Tensor data = bytes({2, 16}, std::vector<uint8_t>(32, 129)), scales = floats({2, 1}, {2, 3});
  std::vector<float> expected(32, 0.0f);
  std::fill_n(expected.begin(), 16, 3.0f);
  expect_elements<float>(contrib("GatherBlockQuantized", {data, ints({-1, 2}), scales}, attributes), expected);
  expect_refused(contrib("GatherBlockQuantized", {data, ints({0}), counting({2, 2})}, attributes), "does not fit data");
}

TEST(NGramRepeatBlock, RefusesTokensOutsideOfTheScores) {
  const auto run = [](int64_t token) {
    return contrib("NGramRepeatBlock", {tensor_of<int64_t>({1, 3}, {token, 1, token}), counting({1, 4})},
                   {attribute("ngram_size", int64_t{1})});
  };
  EXPECT_TRUE(run_node(run(3)).ok());
  expect_refused(run(4), "token 4");
  expect_refused(run(-1), "token -1");
}

// Outputs are the same bits however ranges are split over threads.
TEST(QuantizedAndAttention, DoNotDependOnThreads) {
  const auto noise = [](const Shape& shape) {
    Tensor t = counting(shape);
    for (float& x : t.as<float>()) x = std::sin(x * 12.9898f) * 3.0f;
    return t;
  };
  const auto codes = [](const Shape& shape) {
    Tensor t = make_tensor(DType::u8, shape).value();
    for (int64_t i = 0; i < t.count(); ++i) t.ptr<uint8_t>()[i] = static_cast<uint8_t>(i * 2654435761u >> 13);
    return t;
  };
  const auto sizes = [](int64_t level) {
    return std::vector<Attribute>{attribute("N", int64_t{70}), attribute("K", int64_t{96}),
                                  attribute("block_size", int64_t{32}), attribute("bits", int64_t{4}),
                                  attribute("accuracy_level", level)};
  };
  const std::vector<Attribute> heads{attribute("num_heads", int64_t{4})};
  const NodeRun runs[] = {
      {"DynamicQuantizeLinear", {noise({37, 129})}, {}, 3},
      {"QuantizeLinear", {noise({37, 129}), number(0.03f), bytes({}, {120})}},
      {"MatMulInteger", {codes({37, 129}), codes({129, 70}), bytes({}, {120}), bytes({}, {131})}},
      {"ConvInteger", {codes({2, 4, 19, 17}), codes({6, 2, 3, 3}), bytes({}, {120})}, {attribute("group", int64_t{2})}},
      contrib("MatMulNBits", {noise({1, 96}), codes({70, 3, 16}), noise({70, 3})}, sizes(0), 1, 1),
      contrib("MatMulNBits", {noise({9, 96}), codes({70, 3, 16}), noise({70, 3})}, sizes(0), 1, 1),
      contrib("MatMulNBits", {noise({9, 96}), codes({70, 3, 16}), noise({70, 3})}, sizes(4), 1, 1),
      contrib("MultiHeadAttention", {noise({2, 61, 64}), noise({2, 45, 64}), noise({2, 45, 64})}, heads),
      contrib("MultiHeadAttention", {noise({2, 1, 64}), noise({2, 45, 64}), noise({2, 45, 64})}, heads),
      contrib("MoE", {noise({9, 16}), noise({9, 5}), noise({5, 24, 16}), none(), noise({5, 16, 24})},
              {attribute("k", int64_t{2})}),
  };
  for_each_isa([&] {
    for (const NodeRun& run : runs) {
      const auto serial = run_node(run);
      ASSERT_TRUE(serial.ok()) << run.op_type << ": " << serial.status().message();
      for (const size_t threads : {2u, 5u}) {
        const auto split = run_node(run, SplitParallel(threads));
        ASSERT_TRUE(split.ok()) << split.status().message();
        for (size_t o = 0; o < run.outputs; ++o) {
          const Tensor &a = serial.value()[o].tensor, &b = split.value()[o].tensor;
          ASSERT_EQ(a.bytes(), b.bytes());
          EXPECT_EQ(std::memcmp(a.data, b.data, a.bytes()), 0) << run.op_type << " at " << threads << " threads";
        }
      }
    }
  });
}

}  // namespace
}  // namespace linnet
