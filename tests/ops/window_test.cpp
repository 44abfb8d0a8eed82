// Convolution, pooling, resizing and their relatives: layouts, element types, old forms and hostile inputs, which the
// standard's node tests leave out.
#include <cmath>
#include <limits>

#include "gtest/gtest.h"
#include "kernels/conv/conv.h"
#include "kernels/split_parallel.h"
#include "run_node.h"

namespace linnet {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

using Ints = std::vector<int64_t>;

Attribute attribute(const char* name, Attribute::Data data) { return {name, std::move(data)}; }

// [n, c, h, w] -> [n, h, w, c]
Tensor channels_last(const Tensor& x) {
  const int64_t n = x.shape[0], c = x.shape[1], p = x.shape[2] * x.shape[3];
  Tensor y = make_tensor(DType::f32, {n, x.shape[2], x.shape[3], c}).value();
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < c; ++j)
      for (int64_t k = 0; k < p; ++k) y.ptr<float>()[(i * p + k) * c + j] = x.ptr<float>()[(i * c + j) * p + k];
  return y;
}

Tensor run_one(NodeRun what, const Parallel& parallel = Parallel()) {
  auto result = run_node(what, parallel);
  EXPECT_TRUE(result.ok()) << what.op_type << ": " << result.status().message();
  return result.ok() ? result.value()[0].tensor : Tensor{};
}

void expect_near(const Tensor& actual, const Tensor& wanted, double tolerance) {
  ASSERT_EQ(actual.shape, wanted.shape) << actual.shape.to_string() << " instead of " << wanted.shape.to_string();
  for (int64_t i = 0; i < actual.count(); ++i)
    ASSERT_NEAR(number_at(actual, i), number_at(wanted, i), tolerance) << "element " << i;
}

void expect_error(const NodeRun& what, std::string_view text) {
  const auto result = run_node(what);
  ASSERT_FALSE(result.ok()) << what.op_type << " accepts what it should not; the error should say: " << text;
  EXPECT_NE(result.status().message().find(text), std::string::npos) << result.status().message();
}

// A convolution in every form that run() has must give what doubles give.
void expect_all_forms(const std::string& op, const Tensor& x, const Tensor& w,
                      const std::vector<Attribute>& attributes) {
  const bool transposed = op == "ConvTranspose";
  const int64_t group = [&] {
    for (const Attribute& a : attributes)
      if (a.name == "group") return std::get<int64_t>(a.data);
    return int64_t{1};
  }();
  const Tensor bias = noise({transposed ? w.shape[1] * group : w.shape[0]}, 3);
  const NodeRun doubles{op, {converted<double>(x), converted<double>(w), converted<double>(bias)}, attributes};
  const Tensor wanted = run_one(doubles);
  for (const size_t first_constant : {SIZE_MAX, size_t{1}})
    for (const bool symbolic : {false, true})
      for (const size_t threads : {1, 3}) {
        NodeRun what{op, {x, w, bias}, attributes};
        what.first_constant = first_constant;
        what.symbolic = symbolic;
        expect_near(run_one(what, SplitParallel(threads)), wanted, 2e-5);
        NodeRun halves{op, {converted<f16>(x), converted<f16>(w), converted<f16>(bias)}, attributes};
        halves.first_constant = first_constant;
        expect_near(run_one(halves, SplitParallel(threads)), wanted, 2e-2);
      }
  // Channels last, with a sum and an activation behind.
  const Tensor residual = noise(wanted.shape, 4);
  Tensor fused = converted<float>(residual);
  for (int64_t i = 0; i < fused.count(); ++i)
    fused.ptr<float>()[i] = std::max(0.0f, static_cast<float>(number_at(wanted, i)) + residual.ptr<float>()[i]);
  std::vector<Attribute> extended = attributes;
  extended.push_back(attribute("activation", std::string("Relu")));
  expect_near(run_one({op, {x, w, bias, residual}, extended}), fused, 2e-5);
  extended.push_back(attribute("channels_last", int64_t{1}));
  expect_near(run_one({op, {channels_last(x), w, bias, channels_last(residual)}, extended}), channels_last(fused),
              2e-5);
  if (transposed || group != 1) return;
  extended.push_back(attribute("src_channels_first", int64_t{1}));
  expect_near(run_one({op, {x, w, bias, channels_last(residual)}, extended}), channels_last(fused), 2e-5);
}

TEST(ConvOp, FormsAgree) {
  expect_all_forms("Conv", noise({2, 3, 9, 8}, 1), noise({5, 3, 3, 3}, 2),
                   {attribute("strides", Ints{2, 2}), attribute("pads", Ints{1, 0, 1, 2})});
  expect_all_forms("Conv", noise({1, 6, 7, 7}, 1), noise({6, 1, 3, 3}, 2),
                   {attribute("group", int64_t{6}), attribute("auto_pad", std::string("SAME_UPPER"))});
  expect_all_forms("Conv", noise({2, 8, 5, 6}, 1), noise({4, 4, 2, 3}, 2),
                   {attribute("group", int64_t{2}), attribute("dilations", Ints{2, 1})});
  expect_all_forms("Conv", noise({1, 20, 4, 4}, 1), noise({1, 20, 1, 1}, 2), {});
}

TEST(ConvOp, TransposedFormsAgree) {
  expect_all_forms(
      "ConvTranspose", noise({2, 3, 4, 5}, 1), noise({3, 4, 3, 3}, 2),
      {attribute("strides", Ints{2, 3}), attribute("pads", Ints{1, 0, 0, 1}), attribute("output_padding", Ints{1, 2})});
  for (const char* pad : {"SAME_UPPER", "SAME_LOWER", "VALID"})
    expect_all_forms(
        "ConvTranspose", noise({1, 4, 3, 4}, 1), noise({4, 2, 4, 3}, 2),
        {attribute("strides", Ints{3, 2}), attribute("auto_pad", std::string(pad)), attribute("group", int64_t{2})});
  expect_all_forms("ConvTranspose", noise({1, 4, 3, 4}, 1), noise({4, 2, 3, 3}, 2),
                   {attribute("strides", Ints{2, 2}), attribute("output_shape", Ints{7, 8})});
}

TEST(ConvOp, EmptyBatch) {
  const Tensor y = run_one({"Conv", {noise({0, 3, 5, 5}, 1), noise({4, 3, 3, 3}, 2)}});
  EXPECT_EQ(y.shape, (Shape{0, 4, 3, 3}));
}

TEST(ConvOp, RefusesWhatContradicts) {
  const Tensor x = noise({1, 4, 5, 5}, 1), w = noise({6, 4, 3, 3}, 2);
  expect_error({"Conv", {x, noise({6, 3, 3, 3}, 2)}}, "channels");
  expect_error({"Conv", {x, w}, {attribute("group", int64_t{0})}}, "group is 0");
  expect_error({"Conv", {x, noise({5, 2, 3, 3}, 2)}, {attribute("group", int64_t{2})}}, "do not divide");
  expect_error({"Conv", {x, w}, {attribute("strides", Ints{0, 1})}}, "strides has an entry of 0");
  expect_error({"Conv", {x, w}, {attribute("pads", Ints{1, 1})}}, "pads has 2 entries instead of 4");
  expect_error({"Conv", {x, w}, {attribute("dilations", Ints{int64_t{1} << 40, 1})}}, "dilations");
  expect_error({"Conv", {x, w}, {attribute("kernel_shape", Ints{5, 5})}}, "kernel_shape says 5");
  expect_error({"Conv", {x, w}, {attribute("auto_pad", std::string("SAME"))}}, "auto_pad");
  expect_error({"Conv", {x, w, noise({5}, 3)}}, "bias");
  expect_error({"Conv", {x, noise({6, 4, 7, 7}, 2)}}, "does not fit");
  expect_error({"Conv", {x, w, std::nullopt, noise({1, 6, 5, 5}, 3)}}, "residual");
  expect_error({"ConvTranspose", {x, noise({4, 6, 3, 3}, 2)}, {attribute("strides", Ints{1 << 20, 1 << 20})}},
               "strides");
  expect_error({"ConvTranspose", {x, noise({4, 6, 3, 3}, 2)}, {attribute("output_padding", Ints{-1, 0})}},
               "output_padding");
}

TEST(PoolOp, LayoutsAndTypesAgree) {
  const Tensor x = noise({2, 6, 7, 9}, 1);
  for (const char* op : {"MaxPool", "AveragePool", "LpPool"}) {
    std::vector<Attribute> attributes = {attribute("kernel_shape", Ints{3, 2}), attribute("strides", Ints{2, 3}),
                                         attribute("pads", Ints{1, 0, 1, 1}), attribute("ceil_mode", int64_t{1})};
    const Tensor wanted = run_one({op, {converted<double>(x)}, attributes});
    for (const size_t threads : {1, 3})
      expect_near(run_one({op, {x}, attributes}, SplitParallel(threads)), wanted, 1e-6);
    expect_near(run_one({op, {converted<f16>(x)}, attributes}), wanted, 1e-2);
    attributes.push_back(attribute("channels_last", int64_t{1}));
    expect_near(run_one({op, {channels_last(x)}, attributes}),
                channels_last(converted<float>(run_one({op, {x}, {attributes.begin(), attributes.end() - 1}}))), 1e-6);
  }
  for (const char* op : {"GlobalMaxPool", "GlobalAveragePool", "GlobalLpPool"})
    expect_near(run_one({op, {channels_last(x)}, {attribute("channels_last", int64_t{1})}}),
                channels_last(run_one({op, {x}})), 1e-5);
}

// Halves give what floats give, rounded; for a maximum, which commutes with rounding, to the bit.
template <class Half>
void expect_halves_as_floats(const std::string& op, const Tensor& x, std::vector<Attribute> attributes) {
  for (const bool last : {false, true}) {
    if (last) attributes.push_back(attribute("channels_last", int64_t{1}));
    const Tensor src = last ? channels_last(x) : x;
    const Tensor wanted = converted<Half>(run_one({op, {src}, attributes}));
    for (const size_t threads : {1, 3}) {
      const Tensor y = run_one({op, {converted<Half>(src)}, attributes}, SplitParallel(threads));
      EXPECT_EQ(y.dtype, wanted.dtype);
      expect_near(y, wanted, op.find("Max") != std::string::npos ? 0 : 1e-2);
    }
  }
}

TEST(PoolOp, HalvesGiveWhatFloatsGive) {
  const std::vector<Attribute> window = {attribute("kernel_shape", Ints{3, 2}), attribute("strides", Ints{2, 3}),
                                         attribute("pads", Ints{1, 0, 1, 1})};
  for (const int64_t channels : {2, 6, 37}) {
    const Tensor x = noise({2, channels, 7, 9}, 1);
    for (const char* op : {"MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool"}) {
      const auto attributes = std::string_view(op).starts_with("Global") ? std::vector<Attribute>() : window;
      expect_halves_as_floats<f16>(op, x, attributes);
      expect_halves_as_floats<bf16>(op, x, attributes);
    }
  }
}

TEST(PoolOp, RefusesWhatContradicts) {
  const Tensor x = noise({1, 2, 5, 5}, 1);
  expect_error({"MaxPool", {x}}, "kernel_shape is missing");
  expect_error({"MaxPool", {x}, {attribute("kernel_shape", Ints{6, 1})}}, "does not fit");
  expect_error({"AveragePool", {ints({1, 2})}, {attribute("kernel_shape", Ints{1, 1})}}, "int64");
  expect_error({"LpPool", {x}, {attribute("kernel_shape", Ints{1, 1}), attribute("p", int64_t{0})}}, "p is 0");
  const NodeRun unpool{"MaxUnpool",
                       {noise({1, 1, 1, 2}, 1), tensor_of<int64_t>({1, 1, 1, 2}, {0, 8})},
                       {attribute("kernel_shape", Ints{2, 2}), attribute("strides", Ints{2, 2})}};
  expect_error(unpool, "index 8 lies outside");
}

TEST(PoolOp, ArgumentsOfOldForms) {
  Tensor x = counting({1, 1, 2, 3});
  EXPECT_EQ(run_one({"MaxPool", {x}, {attribute("kernel_shape", Ints{2, 2})}, 1, 8}).shape, (Shape{1, 1, 1, 2}));
  const Tensor y = run_one({"LpPool", {x}, {attribute("kernel_shape", Ints{2, 3}), attribute("p", 1.0f)}, 1, 1});
  EXPECT_FLOAT_EQ(y.ptr<float>()[0], 15.0f);
}

TEST(ResizeOp, OldForms) {
  const Tensor x = floats({1, 1, 1, 4}, {1, 2, 3, 4});
  const std::vector<float> twice = {1, 1, 2, 2, 3, 3, 4, 4};
  const auto expect = [&](const NodeRun& what, const std::vector<float>& wanted) {
    const Tensor y = run_one(what);
    EXPECT_EQ(std::vector<float>(y.ptr<float>(), y.ptr<float>() + y.count()), wanted) << what.version;
  };
  expect({"Upsample", {x}, {attribute("height_scale", 1.0f), attribute("width_scale", 2.0f)}, 1, 1}, twice);
  expect({"Upsample", {x}, {attribute("scales", std::vector<float>{1, 1, 1, 2})}, 1, 7}, twice);
  expect({"Upsample", {x, floats({4}, {1, 1, 1, 2})}, {}, 1, 9}, twice);
  expect({"Upsample", {x, floats({4}, {1, 1, 1, 2})}, {attribute("mode", std::string("linear"))}, 1, 9},
         {1, 1.5, 2, 2.5, 3, 3.5, 4, 4});
  expect({"Resize", {x, floats({4}, {1, 1, 1, 0.6f})}, {}, 1, 10}, {1, 3});  // rounds up where the axis shrinks
}

TEST(ResizeOp, LayoutsAgree) {
  const Tensor x = noise({2, 5, 6, 7}, 1);
  for (const char* mode : {"nearest", "linear", "cubic"}) {
    const std::vector<Attribute> attributes = {attribute("mode", std::string(mode))};
    NodeRun what{"Resize", {x, std::nullopt, floats({4}, {1, 1, 1.5f, 2})}, attributes};
    const Tensor wanted = run_one(what);
    EXPECT_EQ(wanted.shape, (Shape{2, 5, 9, 14}));
    expect_near(run_one(what, SplitParallel(3)), wanted, 0.0);
    what.inputs[0] = channels_last(x);
    what.attributes.push_back(attribute("channels_last", int64_t{1}));
    expect_near(run_one(what), channels_last(wanted), 1e-6);
    what.inputs = {channels_last(x), std::nullopt, std::nullopt, ints({9, 14})};
    what.attributes.push_back(attribute("axes", Ints{2, -1}));
    EXPECT_EQ(run_one(what).shape, (Shape{2, 9, 14, 5}));
  }
}

TEST(ResizeOp, HalvesGiveWhatFloatsGive) {
  const Tensor x = noise({2, 5, 6, 7}, 1);
  for (const char* mode : {"nearest", "linear", "cubic"})
    for (const int64_t antialias : {0, 1}) {
      if (antialias == 1 && std::string_view(mode) == "nearest") continue;
      NodeRun what{"Resize",
                   {x, std::nullopt, floats({4}, {1, 1, 1.5f, 0.6f})},
                   {attribute("mode", std::string(mode)), attribute("antialias", antialias)}};
      const Tensor wanted = run_one(what);
      for (const size_t threads : {1, 3}) {
        what.inputs[0] = converted<f16>(x);
        const Tensor half = run_one(what, SplitParallel(threads));
        EXPECT_EQ(half.dtype, DType::f16);
        expect_near(half, wanted, 2e-3);
        what.inputs[0] = converted<bf16>(x);
        expect_near(run_one(what, SplitParallel(threads)), wanted, 1.5e-2);
      }
    }
}

TEST(ResizeOp, RefusesWhatContradicts) {
  const Tensor x = noise({1, 1, 2, 2}, 1);
  for (const float scale : {0.0f, -1.0f, kNaN, kInfinity})
    expect_error({"Resize", {x, std::nullopt, floats({4}, {1, 1, scale, 1})}}, "scales has an entry");
  expect_error({"Resize", {x, std::nullopt, floats({3}, {1, 1, 1})}}, "3 entries instead of 4");
  expect_error({"Resize", {x, std::nullopt, std::nullopt, ints({1, 1, -2, 2})}}, "entry of -2");
  expect_error({"Resize", {x}}, "neither scales nor sizes");
  expect_error({"Resize", {noise({1, 1, 0, 2}, 1), std::nullopt, std::nullopt, ints({1, 1, 3, 2})}}, "empty axis");
  expect_error({"Resize",
                {x, floats({2}, {0, 1}), floats({4}, {1, 1, 1, 1})},
                {attribute("coordinate_transformation_mode", std::string("tf_crop_and_resize"))}},
               "roi must have 8");
  const NodeRun region{"Resize",
                       {x, floats({8}, {0, 0, kNaN, -kInfinity, 1, 1, 1, 1e30f}), floats({4}, {1, 1, 2, 2})},
                       {attribute("coordinate_transformation_mode", std::string("tf_crop_and_resize")),
                        attribute("extrapolation_value", 7.0f)}};
  EXPECT_EQ(run_one(region).ptr<float>()[0], 7.0f);
}

// Expected values: ONNX Runtime's.
TEST(GridSampleOp, CubicWeightsAreThoseOfThePlaceItself) {
  const Tensor x = floats({1, 1, 1, 4}, {1, 2, 4, 8});
  const Tensor grid = floats({1, 1, 4, 2}, {-1.125f, 0, -1.5f, 0, 1.125f, 0, 0.25f, 0});
  const auto sample = [&](const char* padding, int64_t align) {
    const Tensor y = run_one({"GridSample",
                              {x, grid},
                              {attribute("mode", std::string("cubic")), attribute("padding_mode", std::string(padding)),
                               attribute("align_corners", align)}});
    return std::vector<float>(y.ptr<float>(), y.ptr<float>() + y.count());
  };
  const auto near = [](const std::vector<float>& got, const std::vector<float>& want) {
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], want[i], 2e-6f) << i;
  };
  near(sample("border", 0), {0.96484375f, 1, 8.140625f, 4});
  near(sample("border", 1), {0.9071655f, 0.9648438f, 8.3713379f, 3.5141602f});
  near(sample("reflection", 0), {0.859375f, 1.3125f, 8.5625f, 4});
  near(sample("reflection", 1), {1.0280151f, 1.5273438f, 7.7593994f, 3.5141602f});
}

TEST(GridSampleOp, CoordinatesFarOutside) {
  const Tensor x = noise({1, 2, 3, 3}, 1);
  const Tensor grid = floats({1, 1, 4, 2}, {kNaN, kNaN, kInfinity, -kInfinity, 1e30f, 0, -1e9f, 1e9f});
  for (const char* mode : {"nearest", "linear", "cubic"})
    for (const char* padding : {"zeros", "border", "reflection"}) {
      const Tensor y =
          run_one({"GridSample",
                   {x, grid},
                   {attribute("mode", std::string(mode)), attribute("padding_mode", std::string(padding))}});
      for (const float v : y.as<float>()) {
        EXPECT_TRUE(std::isfinite(v)) << mode << ' ' << padding;
        EXPECT_TRUE(v == 0.0f || std::string_view(padding) != "zeros") << mode;
      }
    }
  expect_error({"GridSample", {x, noise({1, 2, 2, 3}, 1)}}, "does not hold 2 coordinates");
}

TEST(RegionOps, RefuseImagesThatAreNotThere) {
  const Tensor x = noise({2, 1, 4, 4}, 1);
  const Tensor rois = floats({1, 4}, {0, 0, 3, 3});
  for (const int64_t batch : {int64_t{-1}, int64_t{2}})
    expect_error({"RoiAlign", {x, rois, ints({batch})}}, "is of image");
  expect_error({"RoiAlign", {x, floats({1, 4}, {0, kNaN, 3, 3}), ints({0})}}, "coordinate");
  expect_error({"RoiAlign", {x, floats({1, 4}, {0, 0, 1e30f, 3}), ints({0})}}, "coordinate");
  expect_error({"MaxRoiPool", {x, floats({1, 5}, {2, 0, 0, 3, 3})}, {attribute("pooled_shape", Ints{2, 2})}},
               "is of image 2");
}

// All of a 4 x 4 image in 2 x 2 bins: the greatest of each quarter.
TEST(RegionOps, MaxRoiPool) {
  const Tensor y = run_one({"MaxRoiPool",
                            {counting({1, 1, 4, 4}), floats({1, 5}, {0, 0, 0, 3, 3})},
                            {attribute("pooled_shape", Ints{2, 2})}});
  EXPECT_EQ(std::vector<float>(y.ptr<float>(), y.ptr<float>() + y.count()), (std::vector<float>{5, 7, 13, 15}));
}

TEST(BlockOps, LayoutsAgreeAndInvert) {
  const Tensor x = noise({2, 12, 3, 4}, 1);
  for (const char* mode : {"DCR", "CRD"}) {
    const std::vector<Attribute> attributes = {attribute("blocksize", int64_t{2}),
                                               attribute("mode", std::string(mode))};
    const Tensor space = run_one({"DepthToSpace", {x}, attributes});
    EXPECT_EQ(space.shape, (Shape{2, 3, 6, 8}));
    std::vector<Attribute> last = attributes;
    last.push_back(attribute("channels_last", int64_t{1}));
    expect_near(run_one({"DepthToSpace", {channels_last(x)}, last}), channels_last(space), 0.0);
    if (std::string_view(mode) == "CRD") continue;
    expect_near(run_one({"SpaceToDepth", {space}, {attributes[0]}}), x, 0.0);
    expect_near(run_one({"SpaceToDepth", {channels_last(space)}, {attributes[0], last[2]}}), channels_last(x), 0.0);
  }
  expect_error({"DepthToSpace", {x}, {attribute("blocksize", int64_t{0})}}, "blocksize is 0");
  expect_error({"DepthToSpace", {x}, {attribute("blocksize", int64_t{5})}}, "does not divide");
  expect_error({"SpaceToDepth", {x}, {attribute("blocksize", int64_t{2})}}, "does not divide");
}

// Without offsets it is an ordinary convolution.
TEST(DeformConvOp, WithoutOffsetsIsConv) {
  const Tensor x = noise({2, 4, 5, 6}, 1), w = noise({6, 2, 3, 3}, 2);
  const std::vector<Attribute> attributes = {attribute("group", int64_t{2}), attribute("pads", Ints{1, 1, 1, 1}),
                                             attribute("strides", Ints{2, 1})};
  Tensor offset = make_tensor(DType::f32, {2, 18, 3, 6}).value();
  expect_near(run_one({"DeformConv", {x, w, offset}, attributes}, SplitParallel(3)),
              run_one({"Conv", {x, w}, attributes}), 1e-5);
  offset.ptr<float>()[0] = kNaN;
  offset.ptr<float>()[1] = 1e30f;
  const Tensor result = run_one({"DeformConv", {x, w, offset}, attributes});
  for (const float v : result.as<float>()) EXPECT_TRUE(std::isfinite(v));
  expect_error({"DeformConv", {x, w, noise({2, 16, 3, 6}, 3)}, attributes}, "18 channels");
}

TEST(Col2ImOp, RefusesWhatContradicts) {
  const Tensor x = noise({1, 4, 4}, 1);
  expect_error({"Col2Im", {x, ints({3, 3}), ints({2, 0})}}, "invalid");
  expect_error({"Col2Im", {x, ints({3, 3}), ints({3, 1})}}, "do not divide");
  expect_error({"Col2Im", {x, ints({4, 3}), ints({2, 2})}}, "has 6 blocks");
  expect_error({"Col2Im", {x, ints({3, 3}), ints({2})}}, "block_shape 1");
}

}  // namespace
}  // namespace linnet
