// Small operators of com.microsoft: numbers worked out by hand, and what has to be refused.
#include <vector>

#include <gtest/gtest.h>

#include "contrib_node.h"

namespace linnet {
namespace {

TEST(SmallContribNodes, WarpTimeAlongTheCheapestWay) {
  const auto result = run_node(contrib("DynamicTimeWarping", {floats({2, 3}, {0, 1, 9, 9, 1, 0})}, {}));
  ASSERT_TRUE(result.ok()) << result.status().message();
  const Tensor& way = result.value()[0].tensor;
  ASSERT_EQ(way.shape, (Shape{2, 3}));
  EXPECT_EQ(std::vector<int32_t>(way.ptr<int32_t>(), way.ptr<int32_t>() + 6), (std::vector<int32_t>{0, 1, 1, 0, 1, 2}));
  const auto none = run_node(contrib("DynamicTimeWarping", {floats({0, 3}, {})}, {}));
  ASSERT_TRUE(none.ok()) << none.status().message();
  EXPECT_EQ(none.value()[0].tensor.shape, (Shape{2, 0}));
  expect_refused(contrib("DynamicTimeWarping", {floats({2, 1, 1}, {0, 0})}, {}), "must be one matrix");
  expect_refused(contrib("DynamicTimeWarping", {number(1)}, {}), "must be one matrix");
}

TEST(SmallContribNodes, InvertWithAPivotOffTheDiagonal) {
  const auto result = run_node(contrib("Inverse", {floats({2, 2}, {0, 2, 4, 0})}, {}));
  ASSERT_TRUE(result.ok()) << result.status().message();
  const float* inverse = result.value()[0].tensor.ptr<float>();
  EXPECT_EQ(std::vector<float>(inverse, inverse + 4), (std::vector<float>{0, 0.25f, 0.5f, 0}));
  EXPECT_TRUE(run_node(contrib("Inverse", {floats({2, 0, 0}, {})}, {})).ok());
  EXPECT_TRUE(run_node({"Det", {floats({0, 0}, {})}}).ok());
  expect_refused(contrib("Inverse", {floats({2, 3}, {0, 0, 0, 0, 0, 0})}, {}), "square");
  expect_refused(contrib("Inverse", {floats({3}, {0, 0, 0})}, {}), "square");
}

TEST(SmallContribNodes, UnfoldOnlyWhatFits) {
  const auto unfold = [](int64_t axis, int64_t size, int64_t step) {
    return contrib("UnfoldTensor", {floats({3}, {1, 2, 3})},
                   {attribute("dim", axis), attribute("size", size), attribute("step", step)});
  };
  const auto result = run_node(unfold(0, 2, 1));
  ASSERT_TRUE(result.ok()) << result.status().message();
  const float* slices = result.value()[0].tensor.ptr<float>();
  EXPECT_EQ(std::vector<float>(slices, slices + 4), (std::vector<float>{1, 2, 2, 3}));
  EXPECT_EQ(run_node(unfold(0, 1, INT64_MAX)).value()[0].tensor.shape, (Shape{1, 1}));
  expect_refused(unfold(0, 4, 1), "do not fit");
  expect_refused(unfold(0, INT64_MAX, 1), "do not fit");
  expect_refused(unfold(1, 2, 1), "axis");
  expect_refused(unfold(0, 0, 1), "must be positive");
  expect_refused(unfold(0, 2, 0), "must be positive");
}

TEST(SmallContribNodes, RotateByThreePositions) {
  const auto rotate = [](const Shape& shape, std::vector<int64_t> positions, std::vector<int64_t> sections) {
    return contrib("MRotaryEmbedding",
                   {floats({1, 1, 4}, {1, 2, 3, 4}), tensor_of<int64_t>(shape, positions), floats({2, 2}, {1, 1, 0, 0}),
                    floats({2, 2}, {0, 0, 1, 1})},
                   {attribute("num_heads", int64_t{1}), attribute("mrope_section", std::move(sections))});
  };
  // The second pair is turned by a right angle, the first not.
  const auto result = run_node(rotate({3, 1, 1}, {0, 1, 0}, {1, 1, 0}));
  ASSERT_TRUE(result.ok()) << result.status().message();
  const float* turned = result.value()[0].tensor.ptr<float>();
  EXPECT_EQ(std::vector<float>(turned, turned + 4), (std::vector<float>{1, -4, 3, 2}));
  expect_refused(rotate({3, 1, 1}, {0, 0, 2}, {1, 1, 0}), "outside");
  expect_refused(rotate({3, 1, 1}, {0, -1, 0}, {1, 1, 0}), "outside");
  expect_refused(rotate({1, 1, 1}, {0}, {1, 1, 0}), "do not fit");
  expect_refused(rotate({3, 1, 1}, {0, 0, 0}, {1, 1, 1}), "mrope_section");
  expect_refused(rotate({3, 1, 1}, {0, 0, 0}, {1, 1}), "mrope_section");
  expect_refused(rotate({3, 1, 1}, {0, 0, 0}, {3, -1, 0}), "section");
}

TEST(SkipLayerNormalization, RefusesASkipThatIsNoRow) {
  expect_refused(contrib("SkipLayerNormalization", {counting({2, 3, 4}), number(1), counting({4})}, {}),
                 "does not repeat to 2x3x4");
}

TEST(SmallContribNodes, GatherByIndicesOf32Bits) {
  const auto result = run_node(contrib("GatherND", {counting({2, 3}), int32s({2, 2}, {1, -1, 0, 1})}, {}));
  ASSERT_TRUE(result.ok()) << result.status().message();
  const float* chosen = result.value()[0].tensor.ptr<float>();
  EXPECT_EQ(std::vector<float>(chosen, chosen + 2), (std::vector<float>{5, 1}));
  expect_refused(contrib("GatherND", {counting({2, 3}), int32s({1, 2}, {1, 3})}, {}), "index 3");
  expect_refused(contrib("GatherND", {counting({2, 3}), int32s({2, 1}, {1, 0})}, {attribute("batch_dims", int64_t{1})}),
                 "batch_dims");
  expect_refused(contrib("GatherND", {counting({2, 3})}, {}), "1 inputs");
}

TEST(SmallContribNodes, FindDifferentNumbersInTheirOrder) {
  const auto result = run_node(contrib("Unique", {floats({6}, {2, 1, 2, 3, 0, 1})}, {}, 3));
  ASSERT_TRUE(result.ok()) << result.status().message();
  const auto list = [&]<class T>(size_t o, T) {
    const Tensor& tensor = result.value()[o].tensor;
    return std::vector<T>(tensor.ptr<T>(), tensor.ptr<T>() + tensor.count());
  };
  EXPECT_EQ(list(0, 0.0f), (std::vector<float>{2, 1, 3, 0}));
  EXPECT_EQ(list(1, int64_t{}), (std::vector<int64_t>{0, 1, 0, 2, 3, 1}));
  EXPECT_EQ(list(2, int64_t{}), (std::vector<int64_t>{2, 2, 1, 1}));
  expect_refused(contrib("Unique", {floats({1}, {2})}, {}, 4), "4 outputs");
}

TEST(SmallContribNodes, ConvolveWithWhatCameBefore) {
  const auto convolve = [](std::vector<Attribute> attributes) {
    return contrib("CausalConvWithState",
                   {floats({1, 1, 3}, {1, 2, 3}), floats({1, 1, 2}, {10, 1}), none(), floats({1, 1, 1}, {5})},
                   std::move(attributes), 2);
  };
  const auto result = run_node(convolve({attribute("ndim", int64_t{1}), attribute("state_window", int64_t{0})}));
  ASSERT_TRUE(result.ok()) << result.status().message();
  const float* sums = result.value()[0].tensor.ptr<float>();
  EXPECT_EQ(std::vector<float>(sums, sums + 3), (std::vector<float>{51, 12, 23}));
  EXPECT_EQ(*result.value()[1].tensor.ptr<float>(), 3);
  expect_refused(convolve({attribute("state_window", int64_t{2})}), "state_window 2");
  expect_refused(convolve({attribute("dilation", int64_t{2})}), "dilation 2");
  expect_refused(convolve({attribute("channels_last", int64_t{1})}), "channels_last 1");
}

TEST(SmallContribNodes, AddToTwoStatesWithOneKey) {
  // Both states take the key times their own value; the one query reads both.
  const auto attend = [](std::vector<float> key, const Shape& shape) {
    return contrib("LinearAttention",
                   {floats({1, 1, 2}, {1, 2}), floats(shape, std::move(key)), floats({1, 1, 2}, {3, 5})},
                   {attribute("q_num_heads", int64_t{1}), attribute("kv_num_heads", int64_t{2}),
                    attribute("update_rule", std::string("linear")), attribute("scale", 1.0f)},
                   2);
  };
  const auto result = run_node(attend({10, 1}, {1, 1, 2}));
  ASSERT_TRUE(result.ok()) << result.status().message();
  const float* out = result.value()[0].tensor.ptr<float>();
  EXPECT_EQ(std::vector<float>(out, out + 2), (std::vector<float>{36, 60}));
  const Tensor& state = result.value()[1].tensor;
  EXPECT_EQ(state.shape, (Shape{1, 2, 2, 1}));
  EXPECT_EQ(std::vector<float>(state.ptr<float>(), state.ptr<float>() + 4), (std::vector<float>{30, 3, 50, 5}));
  expect_refused(attend({10, 1, 1}, {1, 1, 3}), "do not fit");
  expect_refused(attend({10, 1, 1, 1, 1, 1}, {1, 1, 6}), "do not fit");
  expect_refused(attend({}, {1, 1, 0}), "do not fit");
}

TEST(SmallContribNodes, GateInFloat) {
  const auto result =
      run_node(contrib("LinearAttentionGate",
                       {floats({1, 1, 1}, {-1}), floats({1}, {1}), floats({1}, {-2}), floats({1, 1, 1}, {0})}, {}, 2));
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_NEAR(*result.value()[0].tensor.ptr<float>(), -2 * 0.6931472f, 1e-6f);
  EXPECT_EQ(*result.value()[1].tensor.ptr<float>(), 0.5f);
  expect_refused(contrib("LinearAttentionGate", {floats({1, 1, 1}, {-1}), floats({1}, {1}), floats({1}, {-2})}, {}, 2),
                 "input 3 is missing");
  expect_refused(contrib("LinearAttentionGate", {floats({1, 1, 1}, {-1}), floats({1}, {1})}, {}), "2 inputs");
}

TEST(SmallContribNodes, CountInStepsOfOne) {
  const auto result = run_node(contrib("Range", {floats({1}, {2}), number(4.5f)}, {}));
  ASSERT_TRUE(result.ok()) << result.status().message();
  const Tensor& counted = result.value()[0].tensor;
  ASSERT_EQ(counted.shape, (Shape{3}));
  EXPECT_EQ(counted.ptr<float>()[2], 4);
  expect_refused(contrib("Range", {number(2)}, {}), "1 inputs");
  expect_refused(contrib("Pad", {floats({1}, {2})}, {}), "1 inputs");
  expect_refused(contrib("Pad", {floats({1}, {2}), tensor_of<int64_t>({1, 1}, {1})}, {}), "");
}

}  // namespace
}  // namespace linnet
