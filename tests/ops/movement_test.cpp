// Data movement, selection and generation: what the standard's node tests leave out. Inputs that a hostile model may
// hold must end in a message, whether they are known at load or only in the run.
#include <cmath>
#include <limits>

#include "gtest/gtest.h"
#include "run_node.h"

namespace linnet {
namespace {

constexpr int64_t kHuge = int64_t{1} << 62;

// Fails with each of: everything known at load, everything given in the run, sizes unknown at load.
void expect_refused(NodeRun what, int line) {
  for (const size_t first_constant : {SIZE_MAX, size_t{1}, size_t{0}})
    for (const bool symbolic : {false, true}) {
      what.first_constant = first_constant;
      what.symbolic = symbolic;
      const auto result = run_node(what);
      EXPECT_FALSE(result.ok()) << what.op_type << " of line " << line;
      if (!result.ok()) {
        EXPECT_NE(result.status().code(), Code::internal);
        EXPECT_FALSE(result.status().message().empty());
      }
    }
}
#define REFUSED(...) expect_refused(NodeRun __VA_ARGS__, __LINE__)

// The elements of the outputs, for every way in which the inputs may be known.
template <class T>
void expect_elements(NodeRun what, const Shape& shape, const std::vector<T>& elements, size_t output = 0) {
  for (const size_t first_constant : {SIZE_MAX, size_t{1}, size_t{0}}) {
    what.first_constant = first_constant;
    const auto result = run_node(what);
    ASSERT_TRUE(result.ok()) << what.op_type << ": " << result.status().message();
    const Tensor& tensor = result.value()[output].tensor;
    EXPECT_EQ(tensor.dtype, dtype_of<T>);
    ASSERT_EQ(tensor.shape, shape) << what.op_type << " gives " << tensor.shape.to_string();
    EXPECT_EQ(std::vector<T>(tensor.ptr<T>(), tensor.ptr<T>() + tensor.count()), elements);
  }
}

Attribute attribute(const char* name, Attribute::Data data) { return {name, std::move(data)}; }
Attribute axis(int64_t value) { return attribute("axis", value); }

TEST(Movement, RefusesShapesAndAxesThatAreNoListsOfIntegers) {
  REFUSED({"Reshape", {counting({3, 4}), counting({2})}});
  REFUSED({"Reshape", {counting({3, 4}), tensor_of<uint8_t>({1, 2, 1}, {4, 3})}});
  REFUSED({"Squeeze", {counting({1, 4}), counting({1})}});
  REFUSED({"Unsqueeze", {counting({3}), counting({3})}});
  REFUSED({"Col2Im", {counting({1, 5, 5}), counting({2}), ints({1, 5})}});
  REFUSED({"Tile", {counting({3, 4}), counting({2})}});
  REFUSED({"Expand", {counting({1, 3, 1}), tensor_of<int64_t>({4, 1}, {3, 3, 3, 3})}});
  REFUSED({"Pad", {counting({3}), counting({2})}});
  REFUSED({"Split", {counting({4}), counting({2})}});
  REFUSED({"Slice", {counting({4}), counting({1}), counting({1})}});
  REFUSED({"ReduceSum", {counting({3, 4}), counting({1})}});
  REFUSED({"ConstantOfShape", {counting({2})}});
}

TEST(Movement, SplitsWhatIsEmpty) {
  const Tensor empty = counting({0, 4, 3});
  expect_elements<float>({"Split", {empty, ints({1, 3})}, {axis(1)}, 2}, {0, 3, 3}, {}, 1);
}

TEST(Movement, RefusesIndicesOutOfRange) {
  REFUSED({"Gather", {counting({3, 2}), ints({3})}});
  REFUSED({"Gather", {counting({3, 2}), ints({-4})}});
  REFUSED({"Gather", {counting({3, 2}), tensor_of<int32_t>({1}, {INT32_MIN})}});
  REFUSED({"Gather", {counting({0, 2}), ints({0})}});
  REFUSED({"Gather", {counting({3, 2}), floats({1}, {0})}});
  REFUSED({"Gather", {counting({3, 2}), ints({0})}, {axis(2)}});
  REFUSED({"GatherElements", {counting({3, 2}), tensor_of<int64_t>({1, 2}, {0, 3})}});
  REFUSED({"GatherElements", {counting({3, 2}), tensor_of<int64_t>({1, 3}, {0, 0, 0})}});
  REFUSED({"GatherElements", {counting({3, 2}), ints({0})}});
  REFUSED({"GatherND", {counting({3, 2}), tensor_of<int64_t>({1, 2}, {0, 2})}});
  REFUSED({"GatherND", {counting({3, 2}), tensor_of<int64_t>({1, 3}, {0, 0, 0})}});
  REFUSED(
      {"GatherND", {counting({3, 2}), tensor_of<int64_t>({3, 1}, {0, 0, 0})}, {attribute("batch_dims", int64_t{2})}});
  REFUSED({"GatherND", {counting({3, 2}), tensor_of<int64_t>({2, 1}, {0, 0})}, {attribute("batch_dims", int64_t{1})}});
  REFUSED({"ScatterElements", {counting({3, 2}), tensor_of<int64_t>({1, 2}, {0, -4}), counting({1, 2})}});
  REFUSED({"ScatterElements", {counting({3, 2}), tensor_of<int64_t>({1, 2}, {0, 0}), counting({2, 2})}});
  REFUSED(
      {"ScatterElements", {counting({3, 2}), tensor_of<int64_t>({1, 2}, {0, 0}), tensor_of<double>({1, 2}, {0, 0})}});
  REFUSED({"ScatterND", {counting({3, 2}), tensor_of<int64_t>({1, 1}, {3}), counting({1, 2})}});
  REFUSED({"ScatterND", {counting({3, 2}), tensor_of<int64_t>({1, 1}, {0}), counting({1, 3})}});
  REFUSED({"TensorScatter", {counting({1, 4, 2}), counting({1, 2, 2}), ints({3})}, {}, 1, 24});
  REFUSED({"TensorScatter", {counting({1, 4, 2}), counting({1, 2, 2}), ints({INT64_MAX})}, {}, 1, 24});
  REFUSED({"TensorScatter", {counting({1, 4, 2}), counting({1, 5, 2})}, {}, 1, 24});
  REFUSED({"TensorScatter", {counting({2, 4, 2}), counting({2, 1, 2}), ints({0})}, {}, 1, 24});
}

TEST(Movement, RefusesShapesThatContradict) {
  REFUSED({"Concat", {counting({3, 2}), counting({3})}, {axis(0)}});
  REFUSED({"Concat", {counting({3, 2}), counting({3, 3})}, {axis(0)}});
  REFUSED({"Concat", {counting({3}), ints({1})}, {axis(0)}});
  REFUSED({"Concat", {counting({}), counting({})}, {axis(0)}});
  REFUSED({"Split", {counting({5}), ints({2, 2})}, {}, 2});
  REFUSED({"Split", {counting({5}), ints({-1, 6})}, {}, 2});
  REFUSED({"Split", {counting({5}), ints({INT64_MAX, INT64_MAX})}, {}, 2});
  REFUSED({"Split", {counting({5}), ints({5})}, {}, 2});
  REFUSED({"Slice", {counting({5}), ints({0}), ints({2}), ints({0}), ints({0})}});
  REFUSED({"Slice", {counting({5}), ints({0}), ints({2}), ints({1})}});
  REFUSED({"Slice", {counting({5, 5}), ints({0, 0}), ints({2, 2}), ints({0, -2})}});
  REFUSED({"Slice", {counting({5, 5}), ints({0, 0}), ints({2}), ints({0})}});
  REFUSED({"Pad", {counting({5}), ints({-3, -3})}});
  REFUSED({"Pad", {counting({5}), ints({1, 1, 1})}});
  REFUSED({"Pad", {counting({0}), ints({1, 1})}, {attribute("mode", std::string("reflect"))}});
  REFUSED({"Pad", {counting({0}), ints({1, 1})}, {attribute("mode", std::string("wrap"))}});
  REFUSED({"Pad", {counting({5}), ints({1, 1}), scalar(1)}});
  REFUSED({"Expand", {counting({3}), ints({2})}});
  REFUSED({"Tile", {counting({3}), ints({2, 2})}});
  REFUSED({"TopK", {counting({3}), ints({4})}, {}, 2});
  REFUSED({"TopK", {counting({3}), ints({-1})}, {}, 2});
  REFUSED({"ReverseSequence", {counting({2, 3}), ints({2, 3, 1})}});
  REFUSED({"ReverseSequence",
           {counting({2, 3}), ints({2, 3})},
           {attribute("batch_axis", int64_t{0}), attribute("time_axis", int64_t{0})}});
  REFUSED({"ReverseSequence",
           {counting({2, 3}), ints({2, 4})},
           {attribute("batch_axis", int64_t{0}), attribute("time_axis", int64_t{1})}});
  REFUSED({"Compress", {counting({3}), ints({1})}});
  REFUSED({"Trilu", {counting({3})}});
  REFUSED({"Det", {counting({2, 3})}});
  REFUSED({"DFT", {counting({2, 3, 1}), std::nullopt, scalar(2)}});
  REFUSED({"DFT", {counting({2, 3, 1}), scalar(0)}});
  REFUSED({"DFT", {counting({2, 3, 1}), scalar(kHuge)}});
  REFUSED({"DFT", {counting({2, 3, 3})}});
  REFUSED({"STFT", {counting({1, 8, 1}), scalar(0), std::nullopt, scalar(4)}});
  REFUSED({"STFT", {counting({1, 8, 1}), scalar(1), std::nullopt, scalar(9)}});
  REFUSED({"STFT", {counting({1, 8, 1}), scalar(1), counting({3}), scalar(4)}});
  REFUSED({"NonMaxSuppression", {counting({1, 2, 4}), counting({1, 1, 3})}});
  REFUSED({"NonMaxSuppression", {counting({1, 2, 4}), counting({1, 1, 2}), scalar(1), floats({}, {2.0f})}});
  REFUSED({"NegativeLogLikelihoodLoss", {counting({2, 3}), ints({0, 3})}});
  REFUSED({"SoftmaxCrossEntropyLoss", {counting({2, 3}), ints({-1, 0})}});
  REFUSED({"SoftmaxCrossEntropyLoss", {counting({2, 3}), ints({0, 0}), counting({2})}});
  REFUSED({"Multinomial", {counting({2, 0})}});
  REFUSED({"MelWeightMatrix", {scalar(4), scalar(16), scalar(8000), floats({}, {0.0f}), floats({}, {1e9f})}});
}

TEST(Movement, RefusesSizesThatNoMemoryHolds) {
  REFUSED({"Expand", {counting({1}), ints({kHuge, 8})}});
  REFUSED({"Expand", {counting({1}), ints({int64_t{1} << 40})}});
  REFUSED({"Expand", {counting({1}), ints({-1})}});
  REFUSED({"Tile", {counting({2, 2}), ints({kHuge, 1})}});
  REFUSED({"Tile", {counting({2, 2}), ints({int64_t{1} << 31, int64_t{1} << 31})}});
  REFUSED({"Tile", {counting({2}), ints({-1})}});
  REFUSED({"Pad", {counting({2}), ints({INT64_MAX, INT64_MAX})}});
  REFUSED({"Pad", {counting({2}), ints({INT64_MIN, INT64_MIN})}});
  REFUSED({"Pad", {counting({2}), ints({int64_t{1} << 40, 0})}});
  REFUSED({"ConstantOfShape", {ints({int64_t{1} << 40, int64_t{1} << 40})}});
  REFUSED({"ConstantOfShape", {ints({-1})}});
  REFUSED({"Range", {scalar(0), scalar(INT64_MAX), scalar(1)}});
  REFUSED({"Range", {scalar(INT64_MIN), scalar(INT64_MAX), scalar(1)}});
  REFUSED({"Range", {scalar(0), scalar(5), scalar(0)}});
  REFUSED({"Range", {floats({}, {0}), floats({}, {INFINITY}), floats({}, {1})}});
  REFUSED({"Range", {floats({}, {0}), floats({}, {NAN}), floats({}, {1})}});
  REFUSED({"Range", {floats({}, {0}), floats({}, {1}), floats({}, {1e-40f})}});
  REFUSED({"OneHot", {ints({0}), scalar(-1), ints({0, 1})}});
  REFUSED({"OneHot", {ints({0, 1, 2, 3}), scalar(kHuge), ints({0, 1})}});
  REFUSED({"OneHot", {ints({0}), floats({}, {NAN}), ints({0, 1})}});
  REFUSED({"OneHot", {ints({0}), scalar(2), ints({0, 1, 2})}});
  REFUSED({"HannWindow", {scalar(-1)}});
  REFUSED({"HannWindow", {scalar(kHuge)}});
  REFUSED({"DFT", {counting({2, 3, 1}), scalar(-5)}});
}

TEST(Movement, EmptyTensorsPass) {
  const std::vector<float> none;
  expect_elements<float>({"Concat", {counting({0, 2}), counting({1, 2}), counting({0, 2})}, {axis(0)}}, {1, 2}, {0, 1});
  expect_elements({"Concat", {counting({2, 0}), counting({2, 0})}, {axis(0)}}, {4, 0}, none);
  expect_elements({"Slice", {counting({0}), ints({0}), ints({5}), ints({0}), ints({-1})}}, {0}, none);
  expect_elements({"Slice", {counting({4}), ints({3}), ints({1})}}, {0}, none);
  expect_elements({"Gather", {counting({3, 2}), ints({})}}, {0, 2}, none);
  expect_elements({"Gather", {counting({3, 0}), ints({2, 1})}}, {2, 0}, none);
  expect_elements({"GatherND", {counting({3, 0}), tensor_of<int64_t>({2, 1}, {2, 1})}}, {2, 0}, none);
  expect_elements<float>({"ScatterND", {counting({2}), tensor_of<int64_t>({0, 1}, {}), counting({0})}}, {2}, {0, 1});
  expect_elements<float>({"Pad", {counting({0}), ints({1, 1})}}, {2}, {0, 0});
  expect_elements({"Tile", {counting({3}), ints({0})}}, {0}, none);
  expect_elements({"Expand", {counting({3, 1}), ints({3, 0})}}, {3, 0}, none);
  expect_elements({"TopK", {counting({3}), ints({0})}, {}, 2}, {0}, none);
  expect_elements<int64_t>({"NonZero", {counting({0, 2})}}, {2, 0}, {});
  expect_elements<int64_t>({"NonZero", {counting({})}}, {0, 0}, {});
  expect_elements<int64_t>({"Unique", {counting({0})}, {}, 4}, {0}, {}, 2);
  expect_elements({"Range", {floats({}, {3}), floats({}, {3}), floats({}, {1})}}, {0}, none);
  expect_elements({"Det", {counting({0, 2, 2})}}, {0}, none);
  expect_elements<float>({"Det", {counting({0, 0})}}, {}, {1});
}

TEST(Movement, SlicesClampEveryBound) {
  const auto slice = [](int64_t start, int64_t end, int64_t step) {
    return NodeRun{"Slice", {counting({4}), ints({start}), ints({end}), ints({0}), ints({step})}};
  };
  expect_elements<float>(slice(INT64_MIN, INT64_MAX, 1), {4}, {0, 1, 2, 3});
  expect_elements<float>(slice(INT64_MAX, INT64_MIN, -1), {4}, {3, 2, 1, 0});
  expect_elements<float>(slice(INT64_MIN, INT64_MAX, INT64_MAX), {1}, {0});
  expect_elements<float>(slice(INT64_MAX, INT64_MIN, INT64_MIN), {1}, {3});
  expect_elements<float>(slice(-1, INT64_MAX, -2), {2}, {3, 1});
  expect_elements<float>(slice(-3, -1, 1), {2}, {1, 2});
}

TEST(Movement, EveryElementWidthMoves) {
  const auto reversed = [](const Tensor& t) {
    return NodeRun{"Slice", {t, ints({-1}), ints({INT64_MIN}), ints({0}), ints({-1})}};
  };
  expect_elements<uint8_t>(reversed(tensor_of<uint8_t>({3}, {1, 2, 3})), {3}, {3, 2, 1});
  expect_elements<int16_t>(reversed(tensor_of<int16_t>({3}, {1, 2, 3})), {3}, {3, 2, 1});
  expect_elements<std::complex<double>>(reversed(tensor_of<std::complex<double>>({2}, {{1, 2}, {3, 4}})), {2},
                                        {{3, 4}, {1, 2}});
  expect_elements<std::string>(reversed(tensor_of<std::string>({2}, {"a", "b"})), {2}, {"b", "a"});
  expect_elements<std::string>({"Pad", {tensor_of<std::string>({1}, {"a"}), ints({1, 0})}}, {2}, {"", "a"});
}

// A length whose tables are made in the run: the transform of a single 1 at place 1 is a turning pointer.
TEST(Dft, LongTransformsTurnLikeShortOnes) {
  for (const int64_t n : {int64_t{1009}, int64_t{70001}}) {
    Tensor signal = make_tensor(DType::f64, {1, n, 1}).value();
    signal.ptr<double>()[1] = 1;
    const auto result = run_node({"DFT", {signal}});
    ASSERT_TRUE(result.ok()) << result.status().message();
    const Tensor& got = result.value()[0].tensor;
    ASSERT_EQ(got.shape, (Shape{1, n, 2}));
    for (int64_t k = 0; k < n; k += 97) {
      const double angle = -2 * 3.14159265358979323846 * static_cast<double>(k) / static_cast<double>(n);
      EXPECT_NEAR(got.ptr<double>()[2 * k], std::cos(angle), 1e-11);
      EXPECT_NEAR(got.ptr<double>()[2 * k + 1], std::sin(angle), 1e-11);
    }
  }
}

TEST(TopK, NanIsTheGreatestAndEqualsKeepTheirOrder) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Tensor x = floats({8}, {1, nan, -INFINITY, 3, 3, -0.0f, 0.0f, INFINITY});
  expect_elements<int64_t>({"TopK", {x, ints({5})}, {}, 2}, {5}, {1, 7, 3, 4, 0}, 1);
  expect_elements<int64_t>({"TopK", {x, ints({1})}, {}, 2}, {1}, {1}, 1);
  expect_elements<int64_t>({"TopK", {x, ints({8})}, {attribute("largest", int64_t{0})}, 2}, {8},
                           {2, 5, 6, 0, 3, 4, 7, 1}, 1);
  const Tensor wide = tensor_of<int64_t>({4}, {INT64_MIN, INT64_MAX, 0, INT64_MAX});
  expect_elements<int64_t>({"TopK", {wide, ints({4})}, {}, 2}, {4}, {1, 3, 2, 0}, 1);
}

TEST(Random, SeedsDecide) {
  const auto draw = [](const char* op, std::vector<Attribute> attributes, uint64_t seed) {
    attributes.push_back(attribute("shape", std::vector<int64_t>{4001}));
    const auto result = run_node({op, {}, attributes, 1, 22, SIZE_MAX, false, seed});
    EXPECT_TRUE(result.ok()) << result.status().message();
    const Tensor& t = result.value()[0].tensor;
    return std::vector<float>(t.ptr<float>(), t.ptr<float>() + t.count());
  };
  for (const char* op : {"RandomNormal", "RandomUniform"}) {
    EXPECT_EQ(draw(op, {attribute("seed", 7.0f)}, 1), draw(op, {attribute("seed", 7.0f)}, 2));
    EXPECT_NE(draw(op, {attribute("seed", 7.0f)}, 1), draw(op, {attribute("seed", 8.0f)}, 1));
    EXPECT_EQ(draw(op, {}, 1), draw(op, {}, 1));
    EXPECT_NE(draw(op, {}, 1), draw(op, {}, 2));
    const std::vector<float> numbers = draw(op, {}, 3);
    double sum = 0, squares = 0;
    for (const double v : numbers) {
      sum += v;
      squares += v * v;
    }
    const double n = static_cast<double>(numbers.size()), mean = sum / n,
                 deviation = std::sqrt(squares / n - mean * mean);
    EXPECT_NEAR(mean, op == std::string("RandomNormal") ? 0.0 : 0.5, 0.06);
    EXPECT_NEAR(deviation, op == std::string("RandomNormal") ? 1.0 : std::sqrt(1.0 / 12), 0.04);
  }
}

}  // namespace
}  // namespace linnet
