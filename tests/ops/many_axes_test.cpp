// Convolution and pooling over four spatial axes: with a window of one along the first, they are those over three,
// image by image.
#include <gtest/gtest.h>

#include "ops/run_node.h"

namespace linnet {
namespace {

Tensor waves(const Shape& shape) {
  Tensor t = make_tensor(DType::f32, shape).value();
  for (int64_t i = 0; i < t.count(); ++i) t.ptr<float>()[i] = static_cast<float>((i * 37 + 11) % 29) - 14.0f;
  return t;
}

Attribute list(std::string name, std::vector<int64_t> values) { return {std::move(name), std::move(values)}; }

// [n][c][4][rest...] with the first spatial axis moved into the batch: [n * 4][c][rest...].
Tensor split(const Tensor& t) {
  const int64_t n = t.shape[0], c = t.shape[1], depth = t.shape[2], rest = t.shape.count(3, t.shape.rank());
  Shape shape{n * depth, c};
  for (size_t a = 3; a < t.shape.rank(); ++a) shape.push_back(t.shape[a]);
  Tensor out = make_tensor(DType::f32, shape).value();
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < c; ++j)
      for (int64_t d = 0; d < depth; ++d)
        std::copy_n(t.ptr<float>() + ((i * c + j) * depth + d) * rest, rest,
                    out.ptr<float>() + ((i * depth + d) * c + j) * rest);
  return out;
}

void expect_as_over_three(const std::string& op, std::vector<Tensor> weights, std::vector<Attribute> four,
                          std::vector<Attribute> three) {
  const Tensor x = waves({2, 4, 4, 5, 4, 3});
  NodeRun whole{op, {x}, std::move(four)}, parts{op, {split(x)}, std::move(three)};
  for (const Tensor& w : weights) {
    whole.inputs.push_back(w);
    Tensor without = w;
    if (w.shape.rank() > 1) without.shape.erase(2);
    parts.inputs.push_back(without);
  }
  const Result<std::vector<Value>> a = run_node(whole), b = run_node(parts);
  ASSERT_TRUE(a.ok()) << op << ": " << a.status().message();
  ASSERT_TRUE(b.ok()) << op << ": " << b.status().message();
  const Tensor ours = split((*a)[0].tensor);
  const Tensor& theirs = (*b)[0].tensor;
  ASSERT_EQ(ours.shape, theirs.shape) << op;
  for (int64_t i = 0; i < ours.count(); ++i)
    ASSERT_NEAR(ours.ptr<float>()[i], theirs.ptr<float>()[i], 1e-3f) << op << " " << i;
}

TEST(ManyAxes, ConvolutionsAgreeWithThoseOverThree) {
  const std::vector<Attribute> four{list("pads", {0, 1, 0, 1, 0, 1, 1, 0}),
                                    list("strides", {1, 2, 1, 1}),
                                    list("dilations", {1, 1, 2, 1}),
                                    {"group", int64_t{2}}};
  const std::vector<Attribute> three{list("pads", {1, 0, 1, 1, 1, 0}),
                                     list("strides", {2, 1, 1}),
                                     list("dilations", {1, 2, 1}),
                                     {"group", int64_t{2}}};
  expect_as_over_three("Conv", {waves({6, 2, 1, 3, 2, 2}), waves({6})}, four, three);
  expect_as_over_three("ConvTranspose", {waves({4, 3, 1, 3, 2, 2}), waves({6})}, four, three);
}

TEST(ManyAxes, PoolsAgreeWithThoseOverThree) {
  const std::vector<Attribute> four{list("kernel_shape", {1, 3, 2, 2}), list("pads", {0, 1, 0, 1, 0, 1, 1, 0}),
                                    list("strides", {1, 2, 1, 1})};
  const std::vector<Attribute> three{list("kernel_shape", {3, 2, 2}), list("pads", {1, 0, 1, 1, 1, 0}),
                                     list("strides", {2, 1, 1})};
  for (const char* op : {"MaxPool", "AveragePool", "LpPool"}) expect_as_over_three(op, {}, four, three);
  auto padded_four = four, padded_three = three;
  padded_four.push_back({"count_include_pad", int64_t{1}});
  padded_three.push_back({"count_include_pad", int64_t{1}});
  expect_as_over_three("AveragePool", {}, padded_four, padded_three);
}

TEST(ManyAxes, GlobalPoolsTakeEverything) {
  const Tensor x = waves({1, 2, 2, 3, 2, 2});
  const Tensor greatest = run_node({"GlobalMaxPool", {x}}).value()[0].tensor;
  ASSERT_EQ(greatest.count(), 2);
  for (int64_t c = 0; c < 2; ++c)
    EXPECT_EQ(greatest.ptr<float>()[c], *std::max_element(x.ptr<float>() + c * 24, x.ptr<float>() + (c + 1) * 24));
}

TEST(ManyAxes, HugeWindowsAreRefused) {
  const int64_t huge = int64_t{1} << 29;
  const Result<std::vector<Value>> out =
      run_node({"AveragePool",
                {waves({1, 1, 1, 1, 1, 1})},
                {list("kernel_shape", {huge, huge, huge, huge}), list("pads", std::vector<int64_t>(8, huge))}});
  EXPECT_FALSE(out.ok());
}

}  // namespace
}  // namespace linnet
