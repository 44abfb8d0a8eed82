// MatMul, Gemm, Einsum and recurrent layers: what the standard's node tests leave out. Products are checked against
// sums over all indices, one at a time in double precision.
#include <array>
#include <cmath>

#include "gtest/gtest.h"
#include "kernels/split_parallel.h"
#include "run_node.h"

namespace linnet {
namespace {

void expect_near(const Tensor& actual, const Shape& shape, const std::vector<double>& wanted, double tolerance) {
  ASSERT_EQ(actual.shape, shape) << actual.shape.to_string();
  for (int64_t i = 0; i < actual.count(); ++i)
    ASSERT_NEAR(number_at(actual, i), wanted[static_cast<size_t>(i)], tolerance) << "element " << i;
}

// Runs with the second input known at load and not, by one thread and by three.
void expect_product(NodeRun what, const Shape& shape, const std::vector<double>& wanted, double tolerance = 2e-5) {
  for (const size_t first_constant : {SIZE_MAX, size_t{1}})
    for (const size_t threads : {1, 3}) {
      what.first_constant = first_constant;
      const auto result = run_node(what, SplitParallel(threads));
      ASSERT_TRUE(result.ok()) << what.op_type << ": " << result.status().message();
      expect_near(result.value()[0].tensor, shape, wanted, tolerance);
    }
}

Attribute attribute(const char* name, Attribute::Data data) { return {name, std::move(data)}; }

// The oracle of Einsum, whose terms are given as letters. Sizes of 1 broadcast.
struct Sum {
  std::vector<std::string> terms;
  std::string output;

  std::pair<Shape, std::vector<double>> of(const std::vector<Tensor>& operands) const {
    std::array<int64_t, 128> size, at{};
    size.fill(1);
    std::string labels;
    for (size_t o = 0; o < terms.size(); ++o)
      for (size_t i = 0; i < terms[o].size(); ++i) {
        const auto label = static_cast<size_t>(terms[o][i]);
        if (operands[o].shape[i] != 1) size[label] = operands[o].shape[i];
        if (labels.find(terms[o][i]) == std::string::npos) labels += terms[o][i];
      }
    Shape shape;
    for (const char c : output) shape.push_back(size[static_cast<size_t>(c)]);
    std::vector<double> sums(static_cast<size_t>(shape.count()));
    int64_t count = 1;
    for (const char c : labels) count *= size[static_cast<size_t>(c)];
    for (int64_t item = 0; item < count; ++item) {
      int64_t rest = item;
      for (const char c : labels) {
        at[static_cast<size_t>(c)] = rest % size[static_cast<size_t>(c)];
        rest /= size[static_cast<size_t>(c)];
      }
      const auto offset = [&](const std::string& term, const Shape& of) {
        int64_t sum = 0;
        for (size_t i = 0; i < term.size(); ++i)
          sum = sum * of[i] + (of[i] == 1 ? 0 : at[static_cast<size_t>(term[i])]);
        return sum;
      };
      double product = 1;
      for (size_t o = 0; o < terms.size(); ++o) product *= number_at(operands[o], offset(terms[o], operands[o].shape));
      sums[static_cast<size_t>(offset(output, shape))] += product;
    }
    return {shape, sums};
  }
};

TEST(MatMul, BroadcastsBatches) {
  struct Case {
    Shape a, b;
    Sum sum;
  };
  const Case cases[] = {
      {{3, 4}, {4, 5}, {{"mk", "kn"}, "mn"}},
      {{4}, {4}, {{"k", "k"}, ""}},
      {{4}, {2, 4, 5}, {{"k", "bkn"}, "bn"}},
      {{2, 3, 4}, {4}, {{"bmk", "k"}, "bm"}},
      {{2, 3, 4}, {4, 20}, {{"bmk", "kn"}, "bmn"}},
      {{2, 1, 7, 4}, {3, 4, 17}, {{"abmk", "bkn"}, "abmn"}},
      {{2, 3, 7, 4}, {2, 1, 4, 17}, {{"abmk", "abkn"}, "abmn"}},
      {{1, 3, 1, 2, 7, 4}, {2, 1, 3, 1, 4, 5}, {{"abcdmk", "abcdkn"}, "abcdmn"}},
      {{2, 0, 4}, {2, 4, 5}, {{"bmk", "bkn"}, "bmn"}},
      {{2, 3, 0}, {0, 5}, {{"bmk", "kn"}, "bmn"}},
      {{5, 1, 64}, {64, 33}, {{"bmk", "kn"}, "bmn"}},
      {{300, 70}, {70, 1}, {{"mk", "kn"}, "mn"}},
  };
  for (const Case& c : cases) {
    const Tensor a = noise(c.a, 1), b = noise(c.b, 2);
    const auto [shape, wanted] = c.sum.of({a, b});
    expect_product({"MatMul", {a, b}}, shape, wanted);
    expect_product({"MatMul", {converted<double>(a), converted<double>(b)}}, shape, wanted, 1e-6);
    const Tensor half_a = converted<f16>(a), half_b = converted<f16>(b);
    expect_product({"MatMul", {half_a, half_b}}, shape, c.sum.of({half_a, half_b}).second, 2e-2);
  }
}

TEST(MatMul, ConstantsThatFitSixteenBits) {
  for (const bool brain : {false, true})
    for (const Shape& b_shape : {Shape{40, 19}, Shape{3, 40, 19}}) {
      const Tensor a = noise({3, 7, 40}, 1);
      Tensor b = noise(b_shape, 2);
      for (float& v : b.as<float>()) v = brain ? float(bf16(v)) : float(f16(v));
      const auto [shape, wanted] = Sum{{"bmk", b_shape.rank() == 3 ? "bkn" : "kn"}, "bmn"}.of({a, b});
      expect_product({"MatMul", {a, b}}, shape, wanted);
    }
}

TEST(MatMul, IntegersWrap) {
  const Tensor a = tensor_of<int32_t>({1, 2}, {2000000000, 3}), b = tensor_of<int32_t>({2, 1}, {2, 5});
  expect_product({"MatMul", {a, b}}, {1, 1}, {-294967281.0}, 0);
}

TEST(FusedMatMul, TransposesMatricesAndBatches) {
  for (int flags = 0; flags < 16; ++flags) {
    const bool trans_a = flags & 1, trans_b = flags & 2, batch_a = flags & 4, batch_b = flags & 8;
    // With transBatch the rows' axis stands first.
    const auto term = [](bool transposed, bool rows_first, const char* matrix) {
      std::string m = transposed ? std::string{matrix[1], matrix[0]} : std::string(matrix);
      return rows_first ? std::string{m[0], 'x', 'y', m[1]} : std::string{'x', 'y', m[0], m[1]};
    };
    const Sum sum{{term(trans_a, batch_a, "mk"), term(trans_b, batch_b, "kn")}, "xymn"};
    const auto shape_of = [](const std::string& labels) {
      Shape shape;
      for (const char c : labels) shape.push_back(c == 'x' ? 2 : c == 'y' ? 3 : c == 'm' ? 5 : c == 'k' ? 7 : 18);
      return shape;
    };
    const Tensor a = noise(shape_of(sum.terms[0]), 1), b = noise(shape_of(sum.terms[1]), 2);
    auto [shape, wanted] = sum.of({a, b});
    for (double& v : wanted) v *= 0.5;
    NodeRun node{
        "FusedMatMul",
        {a, b},
        {attribute("alpha", 0.5f), attribute("transA", int64_t{trans_a}), attribute("transB", int64_t{trans_b}),
         attribute("transBatchA", int64_t{batch_a}), attribute("transBatchB", int64_t{batch_b})}};
    node.domain = "com.microsoft";
    node.version = 1;
    expect_product(node, shape, wanted);
  }
}

TEST(FusedMatMul, AddsBiasAndResidualAndActivates) {
  for (const int64_t n : {1, 5, 40}) {
    const Tensor a = noise({2, 9, 300}, 1), b = noise({300, n}, 2), bias = noise({n}, 3),
                 residual = noise({2, 9, n}, 4);
    auto [shape, wanted] = Sum{{"bmk", "kn"}, "bmn"}.of({a, b});
    for (size_t i = 0; i < wanted.size(); ++i)
      wanted[i] = std::tanh(wanted[i] + bias.ptr<float>()[i % static_cast<size_t>(n)] + residual.ptr<float>()[i]);
    NodeRun node{"FusedMatMul", {a, b, bias, residual}, {attribute("activation", std::string("Tanh"))}};
    node.domain = "linnet";
    node.version = 1;
    node.symbolic = true;
    expect_product(node, shape, wanted);
  }
}

TEST(Gemm, BroadcastsC) {
  for (const Shape& c_shape : {Shape{}, Shape{1}, Shape{18}, Shape{1, 18}, Shape{7, 1}, Shape{7, 18}, Shape{1, 1}})
    for (const float beta : {1.0f, -0.25f}) {
      const Tensor a = noise({7, 30}, 1), b = noise({18, 30}, 2), c = noise(c_shape, 3);
      auto [shape, wanted] = Sum{{"mk", "nk"}, "mn"}.of({a, b});
      for (int64_t i = 0; i < 7; ++i)
        for (int64_t j = 0; j < 18; ++j) {
          const int64_t row = c_shape.rank() == 2 && c_shape[0] != 1 ? i : 0,
                        column = !c_shape.empty() && c_shape.back() != 1 ? j : 0;
          wanted[static_cast<size_t>(i * 18 + j)] +=
              static_cast<double>(beta) * c.ptr<float>()[row * (c_shape.empty() ? 1 : c_shape.back()) + column];
        }
      expect_product({"Gemm", {a, b, c}, {attribute("transB", int64_t{1}), attribute("beta", beta)}}, shape, wanted);
      expect_product({"Gemm",
                      {converted<double>(a), converted<double>(b), converted<double>(c)},
                      {attribute("transB", int64_t{1}), attribute("beta", beta)}},
                     shape, wanted, 1e-6);
    }
}

TEST(Einsum, AgreesWithTheSumOverAllIndices) {
  std::mt19937 random(1);
  const auto below = [&](size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random); };
  for (int round = 0; round < 300; ++round) {
    std::array<int64_t, 6> sizes;
    for (int64_t& size : sizes) size = static_cast<int64_t>(1 + below(5));
    Sum sum;
    std::vector<Tensor> operands;
    std::vector<std::optional<Tensor>> inputs;
    std::string equation, used;
    const size_t count = 1 + below(4);
    for (size_t o = 0; o < count; ++o) {
      std::string term;
      Shape shape;
      for (size_t rank = below(5); rank-- > 0;) {
        const size_t label = below(6);
        term += static_cast<char>('a' + label);
        shape.push_back(sizes[label]);
      }
      used += term;
      equation += (o ? "," : "") + term;
      sum.terms.push_back(term);
      operands.push_back(noise(shape, static_cast<unsigned>(round * 10) + static_cast<unsigned>(o)));
      inputs.push_back(operands.back());
    }
    for (const char c : used)
      if (sum.output.find(c) == std::string::npos && below(2)) sum.output.insert(below(sum.output.size() + 1), 1, c);
    equation += "->" + sum.output;
    const auto [shape, wanted] = sum.of(operands);
    SCOPED_TRACE(equation);
    expect_product({"Einsum", inputs, {attribute("equation", equation)}}, shape, wanted, 1e-4);
    if (HasFatalFailure()) return;
  }
}

// Sizes of a panel and more become products of their own where their axes are apart, in an operand or in the
// output. The labels x and y are what an ellipsis stands for.
TEST(Einsum, AxesThatAreApartAgreeWithTheSumOverAllIndices) {
  std::mt19937 random(2);
  const auto below = [&](size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random); };
  constexpr int64_t kSizes[] = {1, 2, 3, 9, 16, 17};
  for (int round = 0; round < 400; ++round) {
    std::array<int64_t, 128> sizes;
    for (const char c : {'a', 'b', 'c', 'd', 'e', 'x', 'y'})
      sizes[static_cast<size_t>(c)] = below(60) == 0 ? 0 : kSizes[below(std::size(kSizes))];
    const std::string dots = std::string("xy").substr(0, below(5) == 0 ? below(3) : 0);
    const bool has_dots = !dots.empty();
    Sum sum;
    std::vector<Tensor> operands;
    std::string equation, used;
    for (size_t o = 0; o < 2; ++o) {
      std::string term = has_dots ? "abc" : "abcde";
      std::shuffle(term.begin(), term.end(), random);
      term.resize(has_dots ? 2 : 3 + below(2));
      if (below(12) == 0) term.back() = term.front();
      for (const char c : term)
        if (used.find(c) == std::string::npos) used += c;
      equation += (o ? "," : "") + (has_dots ? "..." + term : term);
      sum.terms.push_back(dots + term);
      Shape shape;
      for (const char c : sum.terms.back()) shape.push_back(below(15) == 0 ? 1 : sizes[static_cast<size_t>(c)]);
      operands.push_back(noise(shape, static_cast<unsigned>(round * 10) + static_cast<unsigned>(o)));
      if (round % 4 == 1) operands.back() = converted<double>(operands.back());
    }
    std::shuffle(used.begin(), used.end(), random);
    used.resize(used.size() - below(std::min<size_t>(used.size(), 2) + 1));
    sum.output = dots + used;
    equation += "->" + (has_dots ? "..." + used : used);
    const auto [shape, wanted] = sum.of(operands);
    SCOPED_TRACE(equation);
    expect_product({"Einsum", {operands[0], operands[1]}, {attribute("equation", equation)}}, shape, wanted, 1e-4);
    if (HasFatalFailure()) return;
  }
}

TEST(Einsum, EllipsesAlignFromTheRight) {
  const Tensor a = noise({2, 3, 4, 5}, 1), b = noise({3, 5, 20}, 2);
  const auto [shape, wanted] = Sum{{"xyij", "yjk"}, "xyik"}.of({a, b});
  expect_product({"Einsum", {a, b}, {attribute("equation", std::string("...ij, ...jk"))}}, shape, wanted);
}

void expect_refused(NodeRun what, int line) {
  for (const bool symbolic : {false, true}) {
    what.symbolic = symbolic;
    const auto result = run_node(what);
    EXPECT_FALSE(result.ok()) << what.op_type << " of line " << line;
    if (!result.ok()) {
      EXPECT_NE(result.status().code(), Code::internal);
    }
  }
}
#define REFUSED(...) expect_refused(NodeRun __VA_ARGS__, __LINE__)

TEST(Products, RefuseWhatCannotBeMultiplied) {
  REFUSED({"MatMul", {noise({2, 3}, 1), noise({4, 5}, 2)}});
  REFUSED({"MatMul", {noise({}, 1), noise({4, 5}, 2)}});
  REFUSED({"MatMul", {noise({2, 3, 4}, 1), noise({3, 4, 5}, 2)}});
  REFUSED({"MatMul", {noise({2, 3}, 1), ints({1, 2, 3})}});
  REFUSED({"Gemm", {noise({2, 3}, 1), noise({3, 5}, 2), noise({4}, 3)}});
  REFUSED({"Gemm", {noise({2, 3}, 1), noise({3, 5}, 2), noise({1, 1, 5}, 3)}});
  REFUSED({"Gemm", {noise({3}, 1), noise({3, 5}, 2)}});
  REFUSED({"Einsum", {noise({2, 3}, 1)}, {attribute("equation", std::string("ij,jk"))}});
  REFUSED({"Einsum", {noise({2, 3}, 1)}, {attribute("equation", std::string("ijk"))}});
  REFUSED({"Einsum", {noise({2, 3}, 1)}, {attribute("equation", std::string("ij->ii"))}});
  REFUSED({"Einsum", {noise({2, 3}, 1)}, {attribute("equation", std::string("ij->k"))}});
  REFUSED({"Einsum", {noise({2, 3}, 1)}, {attribute("equation", std::string("i!"))}});
  REFUSED({"Einsum", {noise({2, 3}, 1), noise({4}, 2)}, {attribute("equation", std::string("ij,j->i"))}});
}

NodeRun lstm(const Tensor& x, std::optional<Tensor> lengths = {}) {
  NodeRun node{"LSTM",
               {x, noise({1, 32, 3}, 2), noise({1, 32, 8}, 3), noise({1, 64}, 4), std::move(lengths)},
               {attribute("hidden_size", int64_t{8})}};
  node.outputs = 3;
  return node;
}

TEST(Recurrent, RefusesLengthsBeyondTheSequence) {
  const Tensor x = noise({5, 2, 3}, 1);
  REFUSED({lstm(x, tensor_of<int32_t>({2}, {6, 1}))});
  REFUSED({lstm(x, tensor_of<int32_t>({2}, {-1, 1}))});
  REFUSED({lstm(x, tensor_of<int32_t>({3}, {1, 1, 1}))});
  REFUSED({lstm(noise({5, 2, 4}, 1))});
  NodeRun wrong = lstm(x);
  wrong.inputs[2] = noise({1, 32, 9}, 3);
  expect_refused(wrong, __LINE__);
}

TEST(Recurrent, HalfPrecisionFollowsFloat) {
  const Tensor x = noise({5, 2, 3}, 1);
  const NodeRun single = lstm(x);
  NodeRun half = single;
  for (std::optional<Tensor>& input : half.inputs)
    if (input) input = converted<f16>(*input);
  const auto wanted = run_node(single);
  ASSERT_TRUE(wanted.ok());
  for (const size_t first_constant : {SIZE_MAX, size_t{1}}) {
    half.first_constant = first_constant;
    const auto actual = run_node(half);
    ASSERT_TRUE(actual.ok()) << actual.status().message();
    for (size_t o = 0; o < 3; ++o)
      for (int64_t i = 0; i < wanted.value()[o].tensor.count(); ++i)
        EXPECT_NEAR(number_at(actual.value()[o].tensor, i), number_at(wanted.value()[o].tensor, i), 4e-3);
  }
}

}  // namespace
}  // namespace linnet
