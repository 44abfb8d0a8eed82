// What stands around products, softmaxes and activations and goes into them, and what must not.
#include <gtest/gtest.h>

#include "optimize/rewritten.h"

namespace linnet {
namespace {

struct Case {
  const char* name;
  std::function<ValueId(Graph&, ValueId, ValueId)> make;  // of inputs [2, 3, 8] and [2, 8, 3]
  Counts left;                                            // all operators, or none: as many as there were
};

constexpr float kRoot = 0.7978845608f, kCubic = 0.044715f;

ValueId matrix(Graph& g) { return g.add_constant("w", wave({8, 8}, 0.3f, 3)); }
ValueId swapped(Graph& g, ValueId x) { return add(g, "Transpose", {x}, {{"perm", std::vector<int64_t>{0, 2, 1}}}); }
ValueId times(Graph& g, ValueId x, float by) { return add(g, "Mul", {x, number(g, by)}); }
// x (1 + tanh(argument)) / 2
ValueId gelu(Graph& g, ValueId x, ValueId argument) {
  return add(g, "Mul", {times(g, x, 0.5f), add(g, "Add", {add(g, "Tanh", {argument}), number(g, 1)})});
}
// 1 + c x^2
ValueId bracket(Graph& g, ValueId x, float c = kCubic) {
  return add(g, "Add", {number(g, 1), add(g, "Mul", {times(g, x, c), x})});
}
ValueId bias_softmax(Graph& g, ValueId x, const Shape& bias, int64_t axis = -1) {
  return add(g, "Softmax", {add(g, "Add", {x, g.add_constant("bias", wave(bias, 1, 5))})}, {{"axis", axis}});
}

const std::vector<Case> kCases = {
    {"a scaled product",
     [](Graph& g, ValueId x, ValueId y) {
       return times(g, add(g, "MatMul", {x, y}), 0.25f);
     },
     {{"FusedMatMul", 1}}},
    {"a product of scaled operands, divided",
     [](Graph& g, ValueId x, ValueId y) {
       return add(g, "Div", {add(g, "MatMul", {times(g, x, 3), times(g, y, 0.5f)}), number(g, 2.5f)});
     },
     {{"FusedMatMul", 1}}},
    {"a number over a product",
     [](Graph& g, ValueId x, ValueId y) {
       return add(g, "Div", {number(g, 2.5f), add(g, "MatMul", {x, y})});
     },
     {}},
    {"a product scaled to nothing",
     [](Graph& g, ValueId x, ValueId y) {
       return times(g, add(g, "MatMul", {x, y}), 0);
     },
     {}},
    {"a product that is scaled and read",
     [](Graph& g, ValueId x, ValueId y) {
       const ValueId product = add(g, "MatMul", {x, y});
       add_output(g, "product", product);
       return times(g, product, 0.25f);
     },
     {}},
    {"a product scaled by a row",
     [](Graph& g, ValueId x, ValueId y) {
       return add(g, "Mul", {add(g, "MatMul", {x, y}), g.add_constant("row", wave({3}, 1))});
     },
     {}},
    {"transposed operands",
     [](Graph& g, ValueId x, ValueId y) {
       return add(g, "MatMul", {swapped(g, y), swapped(g, x)});
     },
     {{"FusedMatMul", 1}}},
    {"a transposed left operand that others read",
     [](Graph& g, ValueId, ValueId y) {
       const ValueId left = swapped(g, y);
       add_output(g, "left", left);
       return add(g, "MatMul", {left, add(g, "Neg", {y})});
     },
     {}},
    {"a constant product, scaled before its residual",
     [](Graph& g, ValueId x, ValueId) {
       const ValueId y = add(g, "Add", {add(g, "MatMul", {x, matrix(g)}), g.add_constant("b", wave({8}, 1, 2))});
       return add(g, "Add", {x, times(g, y, 0.3f)});
     },
     {{"FusedMatMul", 1}}},
    {"a constant product, divided before its activation",
     [](Graph& g, ValueId x, ValueId) {
       return add(g, "Tanh", {add(g, "Div", {add(g, "MatMul", {x, matrix(g)}), number(g, 3)})});
     },
     {{"FusedMatMul", 1}}},
    {"a constant product over a value",
     [](Graph& g, ValueId x, ValueId) {
       return add(g, "Div", {number(g, 3), add(g, "MatMul", {x, matrix(g)})});
     },
     {}},
    {"scores with a bias for all",
     [](Graph& g, ValueId x, ValueId) { return bias_softmax(g, add(g, "Neg", {x}), {8}); },
     {{"Neg", 1}, {"BiasSoftmax", 1}}},
    {"scores with a bias for inner rows",
     [](Graph& g, ValueId x, ValueId) {
       return bias_softmax(g, add(g, "Neg", {x}), {1, 3, 8});
     },
     {{"Neg", 1}, {"BiasSoftmax", 1}}},
    {"scores with a bias for outer rows",
     [](Graph& g, ValueId x, ValueId) {
       return bias_softmax(g, add(g, "Neg", {x}), {2, 1, 8});
     },
     {{"Neg", 1}, {"BiasSoftmax", 1}}},
    {"scores with a bias for each",
     [](Graph& g, ValueId x, ValueId) {
       return bias_softmax(g, add(g, "Neg", {x}), {2, 3, 8});
     },
     {{"Neg", 1}, {"BiasSoftmax", 1}}},
    {"scores with a bias by row",
     [](Graph& g, ValueId x, ValueId) {
       return bias_softmax(g, add(g, "Neg", {x}), {3, 1});
     },
     {}},
    {"scores over another axis",
     [](Graph& g, ValueId x, ValueId) { return bias_softmax(g, add(g, "Neg", {x}), {8}, 1); },
     {}},
    {"an activation that others read",
     [](Graph& g, ValueId x, ValueId) {
       const ValueId gate = add(g, "Tanh", {x});
       add_output(g, "gate", gate);
       return add(g, "Mul", {gate, add(g, "Exp", {x})});
     },
     {}},
    {"an activation for each row",
     [](Graph& g, ValueId x, ValueId) {
       return add(g, "Mul", {x, add(g, "Sigmoid", {add(g, "ReduceMax", {x, g.add_ints("a", {2})})})});
     },
     {}},
    {"gelu, the root first",
     [](Graph& g, ValueId x, ValueId) {
       return gelu(g, x, add(g, "Mul", {times(g, x, kRoot), bracket(g, x)}));
     },
     {{"Gelu", 1}}},
    {"gelu, the root last",
     [](Graph& g, ValueId x, ValueId) {
       return gelu(g, x, times(g, add(g, "Mul", {bracket(g, x), x}), kRoot));
     },
     {{"Gelu", 1}}},
    {"gelu with a square",
     [](Graph& g, ValueId x, ValueId) {
       const ValueId square = add(g, "Pow", {x, number(g, 2)});
       const ValueId sum = add(g, "Add", {times(g, square, kCubic), number(g, 1)});
       return gelu(g, x, add(g, "Mul", {sum, times(g, x, kRoot)}));
     },
     {{"Gelu", 1}}},
    {"gelu with another coefficient",
     [](Graph& g, ValueId x, ValueId) {
       return gelu(g, x, add(g, "Mul", {times(g, x, kRoot), bracket(g, x, 0.05f)}));
     },
     {}},
    {"gelu of two values",
     [](Graph& g, ValueId x, ValueId) {
       const ValueId other = add(g, "Sin", {x});
       return gelu(g, x, add(g, "Mul", {times(g, x, kRoot), bracket(g, other)}));
     },
     {}},
};

TEST(ProductForms, TakeWhatStandsAroundThem) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    Counts before;
    expect_rewritten(
        [&](Graph& g, SymbolTable&) {
          const ValueId x = add_input(g, "x", DType::f32, {Dim(2), Dim(3), Dim(8)}),
                        y = add_input(g, "y", DType::f32, {Dim(2), Dim(8), Dim(3)});
          add_output(g, "z", c.make(g, x, y));
          ASSERT_TRUE(g.sort().ok());
          before = operators(g);
        },
        {{wave({2, 3, 8}, 2, 1), wave({2, 8, 3}, 2, 2)}},
        [&](const Graph& g) { EXPECT_EQ(operators(g), c.left.empty() ? before : c.left); });
  }
}

// Matrices of [3, 8], as Gemm takes them.
const std::vector<Case> kGemms = {
    {"transposed operands of a gemm",
     [](Graph& g, ValueId x, ValueId y) {
       const std::vector<Attribute> swap = {{"perm", std::vector<int64_t>{1, 0}}};
       return add(g, "Gemm", {add(g, "Transpose", {y}, swap), add(g, "Transpose", {x}, swap)},
                  {{"transB", int64_t{0}}});
     },
     {{"Gemm", 1}}},
    {"an operand that is transposed twice",
     [](Graph& g, ValueId x, ValueId) {
       const std::vector<Attribute> swap = {{"perm", std::vector<int64_t>{1, 0}}};
       return add(g, "Gemm", {x, add(g, "Transpose", {add(g, "Neg", {x})}, swap)}, {{"transB", int64_t{0}}});
     },
     {{"Neg", 1}, {"Gemm", 1}}},
};

ValueId batch_norm(Graph& g, ValueId x, int64_t channels, bool training = false) {
  return add(g, "BatchNormalization",
             {x, g.add_constant("g", wave({channels}, 1, 1)), g.add_constant("b", wave({channels}, 2, 2)),
              g.add_constant("m", wave({channels}, 1, 3)),
              g.add_constant("v",
                             [&] {
                               Tensor v = wave({channels}, 0.5f, 4);
                               for (int64_t i = 0; i < channels; ++i) v.ptr<float>()[i] += 1;
                               return v;
                             }())},
             {{"training_mode", int64_t{training}}}, 15);
}

TEST(ProductForms, GemmsTakeTransposesAndNormalisations) {
  std::vector<Case> cases = kGemms;
  cases.push_back({"a normalised product",
                   [](Graph& g, ValueId x, ValueId) {
                     return batch_norm(g, add(g, "MatMul", {x, matrix(g)}), 8);
                   },
                   {{"Gemm", 1}}});
  cases.push_back(
      {"a normalised gemm with its matrix transposed",
       [](Graph& g, ValueId x, ValueId) {
         const ValueId b = g.add_constant("bias", wave({5}, 1, 6)), w = g.add_constant("w", wave({5, 8}, 0.3f, 3));
         return batch_norm(g, add(g, "Gemm", {x, w, b}, {{"transB", int64_t{1}}}), 5);
       },
       {{"Gemm", 1}}});
  cases.push_back({"a normalised product that others read",
                   [](Graph& g, ValueId x, ValueId) {
                     const ValueId product = add(g, "MatMul", {x, matrix(g)});
                     add_output(g, "product", product);
                     return batch_norm(g, product, 8);
                   },
                   {}});
  cases.push_back({"a scaled gemm, normalised",
                   [](Graph& g, ValueId x, ValueId) {
                     return batch_norm(g, add(g, "Gemm", {x, matrix(g)}, {{"alpha", 0.5f}}), 8);
                   },
                   {}});
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    Counts before;
    expect_rewritten(
        [&](Graph& g, SymbolTable&) {
          const ValueId x = add_input(g, "x", DType::f32, {Dim(3), Dim(8)}),
                        y = add_input(g, "y", DType::f32, {Dim(8), Dim(3)});
          add_output(g, "z", c.make(g, x, y));
          ASSERT_TRUE(g.sort().ok());
          before = operators(g);
        },
        {{wave({3, 8}, 2, 1), wave({8, 3}, 2, 2)}},
        [&](const Graph& g) { EXPECT_EQ(operators(g), c.left.empty() ? before : c.left); });
  }
}

struct Sizes {
  const char* name;
  std::function<ValueId(Graph&, ValueId batch, ValueId seq)> make;  // the sizes, of x: [batch, seq, 8]
  std::vector<int64_t> constant;                                    // empty: they stay computed
};

TEST(SimplifyReshapes, MakesSizesConstants) {
  const auto list = [](Graph& g, std::vector<ValueId> parts) {
    return add(g, "Concat", parts, {{"axis", int64_t{0}}});
  };
  const std::vector<Sizes> all = {
      {"heads",
       [&](Graph& g, ValueId b, ValueId s) {
         return list(g, {b, s, g.add_ints("h", {2, 4})});
       },
       {0, 0, 2, 4}},
      {"heads and the rest",
       [&](Graph& g, ValueId b, ValueId s) {
         return list(g, {b, s, g.add_ints("h", {2, -1})});
       },
       {0, 0, 2, -1}},
      {"rows",
       [&](Graph& g, ValueId b, ValueId s) {
         return list(g, {add(g, "Mul", {b, s}), g.add_ints("n", {8})});
       },
       {-1, 8}},
      {"columns of a sequence",
       [&](Graph& g, ValueId b, ValueId s) {
         return list(g, {b, add(g, "Mul", {s, g.add_ints("n", {8})})});
       },
       {}},  // where batch is 0, -1 could be anything
      {"another order",
       [&](Graph& g, ValueId b, ValueId s) {
         return list(g, {s, b, g.add_ints("n", {8})});
       },
       {}},
  };
  for (const Sizes& c : all) {
    SCOPED_TRACE(c.name);
    std::vector<std::vector<Tensor>> sets = {{wave({2, 3, 8}, 1)}, {wave({1, 1, 8}, 1)}};
    if (c.constant.size() > 2) sets.insert(sets.end(), {{wave({0, 3, 8}, 1)}, {wave({2, 0, 8}, 1)}});
    expect_rewritten(
        [&](Graph& g, SymbolTable& symbols) {
          const ValueId x = add_input(g, "x", DType::f32, {symbols.named("batch"), symbols.named("seq"), Dim(8)});
          const ValueId shape = add(g, "Shape", {x});
          const auto at = [&](int64_t i) {
            return add(
                g, "Unsqueeze",
                {add(g, "Gather", {shape, g.add_constant("i", tensor_of<int64_t>({}, {i}))}), g.add_ints("a", {0})});
          };
          const ValueId sizes = c.make(g, at(0), at(1));
          add_output(g, "y", add(g, "Neg", {add(g, "Reshape", {x, sizes})}));
        },
        sets,
        [&](const Graph& g) {
          const Tensor* sizes = g.constant(node_of(g, "Reshape")->inputs[1]);
          ASSERT_EQ(sizes != nullptr, !c.constant.empty());
          if (!sizes) return;
          EXPECT_EQ(std::vector<int64_t>(sizes->ptr<int64_t>(), sizes->ptr<int64_t>() + sizes->count()), c.constant);
          EXPECT_EQ(g.order().size(), 2u);
        });
  }
}

}  // namespace
}  // namespace linnet
