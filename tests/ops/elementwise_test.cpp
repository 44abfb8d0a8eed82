// Elementwise operators, reductions and normalisations: old operator sets, and what the standard's node tests leave
// out.
#include <cmath>
#include <limits>
#include <source_location>

#include "gtest/gtest.h"
#include "run_node.h"

namespace linnet {
namespace {

Attribute attribute(const char* name, Attribute::Data data) { return {name, std::move(data)}; }

// Must end in a message about the model or its inputs, whatever is known at load.
void expect_refused(NodeRun what, int line) {
  for (const size_t first_constant : {SIZE_MAX, size_t{1}, size_t{0}})
    for (const bool symbolic : {false, true}) {
      what.first_constant = first_constant;
      what.symbolic = symbolic;
      const auto result = run_node(what);
      EXPECT_FALSE(result.ok()) << what.op_type << " of line " << line;
      if (!result.ok()) {
        EXPECT_NE(result.status().code(), Code::internal) << result.status().message();
      }
    }
}
#define REFUSED(...) expect_refused(NodeRun __VA_ARGS__, __LINE__)

template <class T>
void expect_elements(NodeRun what, const Shape& shape, const std::vector<T>& elements, int line) {
  for (const size_t first_constant : {SIZE_MAX, size_t{1}, size_t{0}})
    for (const bool symbolic : {false, true}) {
      what.first_constant = first_constant;
      what.symbolic = symbolic;
      const auto result = run_node(what);
      ASSERT_TRUE(result.ok()) << what.op_type << " of line " << line << ": " << result.status().message();
      const Tensor& tensor = result.value()[0].tensor;
      EXPECT_EQ(tensor.dtype, dtype_of<T>) << line;
      ASSERT_EQ(tensor.shape, shape) << what.op_type << " of line " << line << " gives " << tensor.shape.to_string();
      for (size_t i = 0; i < elements.size(); ++i) {
        if constexpr (std::is_same_v<T, float>) {
          EXPECT_NEAR(tensor.ptr<T>()[i], elements[i], 1e-5f + 1e-5f * std::fabs(elements[i]))
              << "line " << line << " element " << i;
        } else {
          EXPECT_EQ(tensor.ptr<T>()[i], elements[i]) << "line " << line << " element " << i;
        }
      }
    }
}
template <class T>
void gives(const Shape& shape, const std::vector<T>& elements, NodeRun what,
           std::source_location at = std::source_location::current()) {
  expect_elements<T>(std::move(what), shape, elements, static_cast<int>(at.line()));
}

TEST(OldOperatorSets, BroadcastAtAnAxis) {
  const Tensor x = counting({2, 3, 2});
  const Attribute on = attribute("broadcast", int64_t{1});
  NodeRun add{"Add", {x, floats({3}, {10, 20, 30})}, {on, attribute("axis", int64_t{1})}};
  add.version = 6;
  expect_elements<float>(add, {2, 3, 2}, {10, 11, 22, 23, 34, 35, 16, 17, 28, 29, 40, 41}, __LINE__);
  add.attributes[1] = attribute("axis", int64_t{-2});
  expect_elements<float>(add, {2, 3, 2}, {10, 11, 22, 23, 34, 35, 16, 17, 28, 29, 40, 41}, __LINE__);
  add.attributes = {on};  // at the end
  add.inputs[1] = floats({2}, {10, 20});
  expect_elements<float>(add, {2, 3, 2}, {10, 21, 12, 23, 14, 25, 16, 27, 18, 29, 20, 31}, __LINE__);
  add.inputs[1] = floats({1, 1, 1, 1}, {5});
  expect_elements<float>(add, {2, 3, 2}, {5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, __LINE__);
  add.inputs[1] = floats({3}, {1, 2, 3});
  expect_refused(add, __LINE__);
  add.attributes = {};
  expect_refused(add, __LINE__);
  add.attributes = {on, attribute("axis", int64_t{7})};
  expect_refused(add, __LINE__);
  add.op_type = "Pow";
  expect_refused(add, __LINE__);
  add = {"Add", {scalar(4), tensor_of<uint8_t>({}, {1})}};
  add.version = 6;
  expect_refused(add, __LINE__);

  NodeRun less{"Less", {x, floats({3}, {1, 2, 9})}, {on, attribute("axis", int64_t{1})}};
  less.version = 1;
  const auto result = run_node(less);
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_TRUE(result.value()[0].tensor.ptr<bool>()[0]);
  EXPECT_FALSE(result.value()[0].tensor.ptr<bool>()[1]);

  NodeRun prelu{"PRelu", {floats({1, 2, 2}, {-1, -2, -3, 4}), floats({2}, {10, 100})}};
  prelu.version = 6;
  expect_elements<float>(prelu, {1, 2, 2}, {-10, -20, -300, 4}, __LINE__);
}

TEST(OldOperatorSets, AttributesThatBecameInputs) {
  NodeRun clip{"Clip", {floats({3}, {-2, 0, 9})}, {attribute("max", 6.0f)}};
  clip.version = 6;
  expect_elements<float>(clip, {3}, {-2, 0, 6}, __LINE__);
  clip.inputs[0] = tensor_of<f16>({3}, {f16(-2.0f), f16(0.0f), f16(9.0f)});
  clip.attributes.push_back(attribute("min", -1.0f));
  const auto halves = run_node(clip);
  ASSERT_TRUE(halves.ok()) << halves.status().message();
  EXPECT_EQ(static_cast<float>(halves.value()[0].tensor.ptr<f16>()[0]), -1.0f);
  EXPECT_EQ(static_cast<float>(halves.value()[0].tensor.ptr<f16>()[2]), 6.0f);

  NodeRun sum{"ReduceSum",
              {counting({2, 3})},
              {attribute("axes", std::vector<int64_t>{-1}), attribute("keepdims", int64_t{0})}};
  sum.version = 11;
  expect_elements<float>(sum, {2}, {3, 12}, __LINE__);
  sum.op_type = "ReduceMax";
  expect_elements<float>(sum, {2}, {2, 5}, __LINE__);

  NodeRun cast{"Cast", {floats({2}, {1.5f, -1.5f})}, {attribute("to", std::string("INT32"))}};
  cast.version = 1;
  expect_elements<int32_t>(cast, {2}, {1, -1}, __LINE__);
  cast.attributes = {attribute("to", std::string("NUMBER"))};
  expect_refused(cast, __LINE__);
}

TEST(OldOperatorSets, SoftmaxTakesTheAxesBehindAsOne) {
  NodeRun softmax{"Softmax", {floats({1, 2, 2}, {0, 0, 0, 0})}};
  softmax.version = 11;
  expect_elements<float>(softmax, {1, 2, 2}, {0.25f, 0.25f, 0.25f, 0.25f}, __LINE__);
  softmax.version = 13;
  expect_elements<float>(softmax, {1, 2, 2}, {0.5f, 0.5f, 0.5f, 0.5f}, __LINE__);
}

TEST(OldOperatorSets, OperatorsThatTheStandardGaveUp) {
  const auto run = [](const char* op, Tensor x, std::vector<Attribute> attributes, const Shape& shape,
                      const std::vector<float>& expected) {
    NodeRun what{op, {std::move(x)}, std::move(attributes)};
    what.version = 6;
    expect_elements<float>(what, shape, expected, __LINE__);
  };
  const Attribute alpha = attribute("alpha", 2.0f), beta = attribute("beta", 3.0f);
  run("Affine", floats({2}, {1, -1}), {alpha, beta}, {2}, {5, 1});
  run("ScaledTanh", floats({1}, {0.5f}), {alpha, beta}, {1}, {2 * std::tanh(1.5f)});
  run("ParametricSoftplus", floats({1}, {0.5f}), {alpha, beta}, {1}, {2 * std::log1p(std::exp(1.5f))});
  run("ImageScaler", floats({1, 2, 1, 1}, {10, 20}),
      {attribute("scale", 0.5f), attribute("bias", std::vector<float>{1, 2})}, {1, 2, 1, 1}, {6, 12});
  run("Crop", counting({1, 1, 4, 5}), {attribute("border", std::vector<int64_t>{1, 2, 3, 0})}, {1, 1, 2, 1}, {11, 16});
  run("Crop", counting({1, 1, 4, 5}),
      {attribute("border", std::vector<int64_t>{1, 2, 0, 0}), attribute("scale", std::vector<int64_t>{1, 2})},
      {1, 1, 1, 2}, {11, 12});
}

TEST(OldOperatorSets, BatchNormalizationPerPosition) {
  NodeRun norm{
      "BatchNormalization",
      {floats({1, 1, 2}, {3, 3}), floats({2}, {1, 2}), floats({2}, {0, 1}), floats({2}, {1, 1}), floats({2}, {1, 1})},
      {attribute("spatial", int64_t{0}), attribute("epsilon", 0.0f)}};
  norm.version = 7;
  expect_elements<float>(norm, {1, 1, 2}, {2, 5}, __LINE__);
}

TEST(Elementwise, RefusesWhatDoesNotFit) {
  const Tensor x = counting({2, 3});
  REFUSED({"Add", {x, counting({2})}});
  REFUSED({"Add", {x, ints({1, 2, 3})}});
  REFUSED({"Sum", {x, std::nullopt, x}});
  REFUSED({"Where", {x, x, x}});
  REFUSED({"PRelu", {x, counting({2, 2, 3})}});
  REFUSED({"Clip", {x, counting({2})}});
  REFUSED({"Clip", {x, floats({0}, {})}});
  REFUSED({"Sin", {ints({1})}});
  REFUSED({"And", {x, x}});
  REFUSED({"BitShift", {ints({1}), ints({1})}, {attribute("direction", std::string("UP"))}});
  REFUSED({"Cast", {x}, {attribute("to", int64_t{99})}});
  REFUSED({"Cast", {tensor_of<std::string>({1}, {"one"})}, {attribute("to", int64_t{1})}});
  REFUSED({"Cast", {tensor_of<std::string>({1}, {""})}, {attribute("to", int64_t{7})}});
  REFUSED({"Transpose", {x}, {attribute("perm", std::vector<int64_t>{0, 0})}});
  REFUSED({"Transpose", {x}, {attribute("perm", std::vector<int64_t>{0})}});
  REFUSED({"Transpose", {x}, {attribute("perm", std::vector<int64_t>{0, 2})}});
  REFUSED({"Softmax", {x}, {attribute("axis", int64_t{2})}});
  REFUSED({"ReduceSum", {x, ints({2})}});
  REFUSED({"ReduceSum", {x, ints({0, -2})}});
  REFUSED({"ReduceSum", {x, floats({1}, {0})}});
  REFUSED({"ReduceSum", {x, tensor_of<int64_t>({1, 1}, {0})}});
  REFUSED({"ArgMax", {x}, {attribute("axis", int64_t{5})}});
  REFUSED({"ArgMax", {counting({2, 0})}, {attribute("axis", int64_t{1})}});
  REFUSED({"CumSum", {x, scalar(4)}});
  REFUSED({"CumSum", {x, ints({})}});
  REFUSED({"Dropout", {x, floats({0}, {})}});
  REFUSED({"Dropout", {x, floats({}, {2}), tensor_of<bool>({}, {true})}});
}

TEST(Normalization, RefusesWhatDoesNotFit) {
  const Tensor x = counting({2, 4, 3});
  REFUSED({"LayerNormalization", {x, counting({2})}});
  REFUSED({"LayerNormalization", {x, counting({3}), counting({4})}});
  REFUSED({"LayerNormalization", {x, counting({3})}, {attribute("axis", int64_t{3})}});
  REFUSED({"BatchNormalization", {x, counting({4}), counting({4}), counting({3}), counting({4})}});
  REFUSED({"InstanceNormalization", {x, counting({4}), counting({5})}});
  REFUSED({"GroupNormalization", {x, counting({4}), counting({4})}, {attribute("num_groups", int64_t{3})}});
  REFUSED({"GroupNormalization", {x, counting({4}), counting({4})}, {attribute("num_groups", int64_t{0})}});
  REFUSED({"LpNormalization", {x}, {attribute("p", int64_t{3})}});
  REFUSED({"LRN", {x}, {attribute("size", int64_t{0})}});
  REFUSED({"MeanVarianceNormalization", {x}});
}

TEST(Elementwise, EmptyTensors) {
  gives<float>({0, 3}, {}, {"Add", {counting({0, 3}), counting({3})}});
  gives<float>({2, 0}, {}, {"Softmax", {counting({2, 0})}});
  gives<float>({0, 2}, {}, {"Transpose", {counting({2, 0})}});
  gives<float>({2, 1}, {0, 0}, {"ReduceSum", {counting({2, 0}), ints({1})}});
  gives<int64_t>({0}, {},
                 {"ArgMax", {counting({0, 2})}, {attribute("axis", int64_t{1}), attribute("keepdims", int64_t{0})}});
  gives<float>({0, 3}, {}, {"LayerNormalization", {counting({0, 3}), counting({3})}});
}

template <class Half>
void expect_sums_of_halves() {
  const Tensor x = noise({5, 9, 33}, 1);
  Tensor rounded = make_tensor(DType::f32, x.shape).value();
  const Tensor halves = converted<Half>(x);
  for (int64_t i = 0; i < x.count(); ++i) rounded.ptr<float>()[i] = static_cast<float>(halves.ptr<Half>()[i]);
  for (const char* op : {"ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceProd"})
    for (const auto& axes : {ints({0, 2}), ints({1}), ints({-1}), ints({0, 1, 2})}) {
      const auto wanted = run_node({op, {converted<double>(rounded), axes}});
      const auto actual = run_node({op, {halves, axes}});
      ASSERT_TRUE(wanted.ok() && actual.ok()) << op;
      const Tensor& y = actual.value()[0].tensor;
      EXPECT_EQ(y.dtype, dtype_of<Half>);
      for (int64_t i = 0; i < y.count(); ++i) {
        const double number = number_at(wanted.value()[0].tensor, i);
        EXPECT_NEAR(number_at(y, i), number, 1e-5 + std::fabs(number) / (dtype_of<Half> == DType::f16 ? 2000 : 250))
            << op << " element " << i;
      }
    }
  gives<Half>({2, 1}, {Half(0.0f), Half(0.0f)},
              {"ReduceSum", {make_tensor(dtype_of<Half>, {2, 0}).value(), ints({1})}});
  gives<Half>({1, 1}, {Half(-HUGE_VALF)}, {"ReduceMax", {make_tensor(dtype_of<Half>, {1, 0}).value(), ints({1})}});
}

TEST(Elementwise, ReductionsOfHalvesGiveWhatDoublesGive) {
  expect_sums_of_halves<f16>();
  expect_sums_of_halves<bf16>();
}

template <class Half>
void expect_powers_of_halves() {
  const auto halves = [](std::initializer_list<float> numbers) {
    std::vector<Half> all;
    for (const float x : numbers) all.push_back(Half(x));
    return all;
  };
  const Tensor x = tensor_of<Half>({3}, halves({4.0f, 0.25f, 3.0f}));
  gives<Half>({3}, halves({16.0f, 0.0625f, 9.0f}), {"Pow", {x, tensor_of<Half>({}, {Half(2.0f)})}});
  gives<Half>({3}, halves({16.0f, 0.0625f, 9.0f}), {"Pow", {x, tensor_of<int64_t>({1}, {2})}});
  gives<Half>({3}, halves({64.0f, 0.015625f, 27.0f}), {"Pow", {x, tensor_of<Half>({}, {Half(3.0f)})}});
  gives<Half>({3}, halves({2.0f, 0.5f, 1.7320508f}), {"Pow", {x, tensor_of<float>({}, {0.5f})}});
  gives<Half>({3}, halves({0.5f, 2.0f, 0.57735027f}), {"Pow", {x, tensor_of<Half>({}, {Half(-0.5f)})}});
  gives<Half>({3}, halves({0.25f, 4.0f, 0.33333334f}), {"Pow", {x, tensor_of<int32_t>({}, {-1})}});
  const auto root = run_node({"Pow", {tensor_of<Half>({1}, {Half(-HUGE_VALF)}), tensor_of<Half>({}, {Half(0.5f)})}});
  ASSERT_TRUE(root.ok()) << root.status().message();
  EXPECT_TRUE(std::isnan(number_at(root.value()[0].tensor, 0)));
}

TEST(Elementwise, PowersOfHalvesAreThoseOfFloats) {
  expect_powers_of_halves<f16>();
  expect_powers_of_halves<bf16>();
}

TEST(Elementwise, ShapeArithmetic) {
  gives<int64_t>({2}, {7, -3}, {"Add", {ints({5, -5}), scalar(2)}});
  gives<int64_t>({2}, {-2, 0}, {"Div", {ints({-5, 7}), ints({2, 0})}});
  gives<int64_t>({2}, {1, 2}, {"Mod", {ints({-5, 7}), ints({2, 5})}});
  gives<int64_t>({2}, {3, 9}, {"Where", {tensor_of<bool>({2}, {true, false}), ints({3}), ints({8, 9})}});
  gives<int64_t>({1}, {24}, {"ReduceProd", {ints({2, 3, 4}), ints({0})}});
  gives<int64_t>({}, {24}, {"ReduceProd", {ints({2, 3, 4})}, {attribute("keepdims", int64_t{0})}});
  gives<int64_t>({3}, {2, 3, 4}, {"ReduceProd", {ints({2, 3, 4})}, {attribute("noop_with_empty_axes", int64_t{1})}});
}

TEST(Cast, Strings) {
  gives<std::string>({4}, {"1.5", "-INF", "NaN", "100000"},
                     {"Cast", {floats({4}, {1.5f, -HUGE_VALF, std::nanf(""), 1e5f})}, {attribute("to", int64_t{8})}});
  gives<int64_t>({2}, {INT64_MAX, -7},
                 {"Cast", {tensor_of<std::string>({2}, {"9223372036854775807", "-7"})}, {attribute("to", int64_t{7})}});
}

TEST(Transpose, PackedElements) {
  Tensor nibbles = make_tensor(DType::i4, {2, 3}).value();
  uint8_t* bytes = nibbles.ptr<uint8_t>();
  bytes[0] = 0x21;  // 1 2 3 / -4 -5 6
  bytes[1] = 0xc3;
  bytes[2] = 0x6b;
  const auto result = run_node({"Transpose", {nibbles}});
  ASSERT_TRUE(result.ok()) << result.status().message();
  const Tensor& out = result.value()[0].tensor;
  ASSERT_EQ(out.shape, (Shape{3, 2}));
  const double expected[] = {1, -4, 2, -5, 3, 6};
  for (int64_t i = 0; i < 6; ++i) EXPECT_EQ(number_at(out, i), expected[i]);
}

}  // namespace
}  // namespace linnet
