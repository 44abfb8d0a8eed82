// The small rewrites of standard operators, and what they must leave alone.
#include <gtest/gtest.h>

#include "optimize/rewritten.h"

namespace linnet {
namespace {

struct Case {
  const char* name;
  std::function<ValueId(Graph&, ValueId)> make;  // of an input [3, 8]
  std::string_view op;
  size_t left;
};

ValueId row(Graph& g) { return g.add_constant("row", wave({1, 8}, 2, 3)); }

const std::vector<Case> kCases = {
    {"times one",
     [](Graph& g, ValueId x) {
       return add(g, "Mul", {add(g, "Neg", {x}), number(g, 1)});
     },
     "Mul", 0},
    {"one times",
     [](Graph& g, ValueId x) {
       return add(g, "Mul", {number(g, 1), add(g, "Neg", {x})});
     },
     "Mul", 0},
    {"times two",
     [](Graph& g, ValueId x) {
       return add(g, "Mul", {add(g, "Neg", {x}), number(g, 2)});
     },
     "Mul", 1},
    {"plus zero",
     [](Graph& g, ValueId x) {
       return add(g, "Add", {add(g, "Neg", {x}), number(g, 0)});
     },
     "Add", 0},
    {"less zero",
     [](Graph& g, ValueId x) {
       return add(g, "Sub", {add(g, "Neg", {x}), number(g, 0)});
     },
     "Sub", 0},
    {"zero less",
     [](Graph& g, ValueId x) {
       return add(g, "Sub", {number(g, 0), add(g, "Neg", {x})});
     },
     "Sub", 1},
    {"over one",
     [](Graph& g, ValueId x) {
       return add(g, "Div", {add(g, "Neg", {x}), number(g, 1)});
     },
     "Div", 0},
    {"one over",
     [](Graph& g, ValueId x) {
       return add(g, "Div", {number(g, 1), add(g, "Exp", {x})});
     },
     "Div", 1},
    {"an input as output",
     [](Graph& g, ValueId x) {
       return add(g, "Mul", {x, number(g, 1)});
     },
     "Mul", 1},
    {"ones that make it larger",
     [](Graph& g, ValueId x) {
       Tensor one = make_tensor(DType::f32, {1, 1, 1}).value();
       one.ptr<float>()[0] = 1;
       return add(g, "Mul", {add(g, "Neg", {x}), g.add_constant("one", one)});
     },
     "Mul", 1},
    {"reciprocal",
     [](Graph& g, ValueId x) {
       return add(g, "Mul", {row(g), add(g, "Div", {number(g, 1), add(g, "Exp", {x})})});
     },
     "Mul", 0},
    {"reciprocal that others read",
     [](Graph& g, ValueId x) {
       const ValueId inverse = add(g, "Reciprocal", {add(g, "Exp", {x})});
       add_output(g, "inverse", inverse);
       return add(g, "Mul", {row(g), inverse});
     },
     "Mul", 1},
    {"not",
     [](Graph& g, ValueId x) {
       return add(g, "Where", {add(g, "Not", {add(g, "Greater", {x, number(g, 0)})}), x, row(g)});
     },
     "Not", 0},
    {"clipped relu",
     [](Graph& g, ValueId x) {
       return add(g, "Clip", {add(g, "Relu", {x}), number(g, -1), number(g, 0.5f)});
     },
     "Relu", 0},
    {"clipped relu from a half",
     [](Graph& g, ValueId x) {
       return add(g, "Clip", {add(g, "Relu", {x}), number(g, 0.25f), number(g, 0.5f)});
     },
     "Relu", 0},
    {"clipped relu without bounds", [](Graph& g, ValueId x) { return add(g, "Clip", {add(g, "Relu", {x})}); }, "Relu",
     0},
    {"relu clipped below zero",
     [](Graph& g, ValueId x) {
       return add(g, "Clip", {add(g, "Relu", {x}), number(g, -2), number(g, -1)});
     },
     "Relu", 1},
    {"two factors",
     [](Graph& g, ValueId x) {
       return add(g, "Mul", {number(g, 3), add(g, "Mul", {x, number(g, 0.5f)})});
     },
     "Mul", 1},
    {"two terms",
     [](Graph& g, ValueId x) {
       return add(g, "Add", {add(g, "Add", {number(g, 3), x}), number(g, 0.5f)});
     },
     "Add", 1},
    {"a factor and a term",
     [](Graph& g, ValueId x) {
       return add(g, "Add", {add(g, "Mul", {number(g, 3), x}), number(g, 0.5f)});
     },
     "Mul", 1},
    {"factors that overflow",
     [](Graph& g, ValueId x) {
       return add(g, "Mul", {number(g, 1e30f), add(g, "Mul", {x, number(g, 1e30f)})});
     },
     "Mul", 2},
    {"quick gelu",
     [](Graph& g, ValueId x) {
       return add(g, "Mul", {x, add(g, "Sigmoid", {add(g, "Mul", {x, number(g, 1.702f)})})});
     },
     "Swish", 1},
    {"a gate of another value",
     [](Graph& g, ValueId x) {
       return add(g, "Mul", {x, add(g, "Sigmoid", {add(g, "Mul", {x, row(g)})})});
     },
     "Swish", 0},
};

TEST(SimplifyArithmetic, LeavesLess) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    expect_rewritten(
        [&](Graph& g, SymbolTable&) {
          const ValueId x = add_input(g, "x", DType::f32, {Dim(3), Dim(8)});
          add_output(g, "y", c.make(g, x));
        },
        {{wave({3, 8}, 2)}}, [&](const Graph& g) { EXPECT_EQ(count_of(g, c.op), c.left); });
  }
}

struct Padded {
  std::vector<int64_t> pads;
  float value = 0;
  const char* mode = "constant";
  const char* op = "Conv";
  std::vector<int64_t> own = {0, 0, 0, 0};
  bool merged = true;
};

TEST(MergePad, TakesZerosAroundTheImage) {
  const std::vector<Padded> cases = {
      {.pads = {0, 0, 1, 2, 0, 0, 0, 1}},
      {.pads = {0, 0, 1, 0, 0, 0, 1, 1}, .own = {1, 0, 0, 1}},
      {.pads = {0, 0, 1, 1, 0, 0, 1, 1}, .op = "AveragePool"},
      {.pads = {0, 0, 1, 1, 0, 0, 1, 1}, .op = "AveragePool", .own = {1, 1, 1, 1}, .merged = false},
      {.pads = {0, 0, 3, 1, 0, 0, 1, 1}, .op = "AveragePool", .merged = false},
      {.pads = {0, 0, 1, 1, 0, 0, 1, 1}, .op = "MaxPool", .merged = false},
      {.pads = {0, 1, 1, 1, 0, 0, 1, 1}, .op = "AveragePool", .merged = false},
      {.pads = {0, 0, -1, 1, 0, 0, 1, 1}, .merged = false},
      {.pads = {0, 0, 1, 1, 0, 0, 1, 1}, .value = 0.5f, .merged = false},
      {.pads = {0, 0, 1, 1, 0, 0, 1, 1}, .mode = "reflect", .merged = false},
  };
  for (const Padded& c : cases)
    expect_rewritten(
        [&](Graph& g, SymbolTable&) {
          const ValueId x = add_input(g, "x", DType::f32, {Dim(1), Dim(2), Dim(6), Dim(7)});
          std::vector<ValueId> inputs = {x, g.add_ints("pads", c.pads)};
          if (std::string_view(c.mode) == "constant") inputs.push_back(number(g, c.value));
          std::vector<ValueId> of = {add(g, "Pad", inputs, {{"mode", std::string(c.mode)}})};
          if (std::string_view(c.op) == "Conv") of.push_back(g.add_constant("w", wave({4, 2, 3, 3}, 1)));
          add_output(g, "y", add(g, c.op, of, {{"kernel_shape", std::vector<int64_t>{3, 3}}, {"pads", c.own}}));
        },
        {{wave({1, 2, 6, 7}, 1, 5)}}, [&](const Graph& g) { EXPECT_EQ(count_of(g, "Pad"), c.merged ? 0u : 1u); });
}

}  // namespace
}  // namespace linnet
