// Attention with its heads among the batch items, as torch.bmm has it, and what only looks like it.
#include <gtest/gtest.h>

#include "optimize/rewritten.h"

namespace linnet {
namespace {

constexpr int64_t kHeads = 4, kSize = 8, kWidth = kHeads * kSize;

struct Form {
  bool mask = true;   // the softmax has four axes, and a mask of [batch, 1, 1, seq]; otherwise three and none
  bool bias = false;  // [batch heads, seq, seq] is added to the scores
  bool divide = false;
  // Near misses.
  bool scores_are_output = false, probabilities_are_output = false, merged_elsewhere = false;
  int64_t softmax_axis = -1;
  bool fuses = true;
};

void build(Graph& g, SymbolTable& symbols, const Form& f) {
  const Dim batch = symbols.named("batch"), seq = symbols.named("seq");
  const auto merged = [&](const char* name) {  // [batch heads, seq, size]
    const ValueId x = add_input(g, name, DType::f32, {batch, seq, Dim(kWidth)});
    const ValueId apart = add(g, "Reshape", {x, g.add_ints("split", {0, 0, kHeads, kSize})});
    const ValueId heads = add(g, "Transpose", {apart}, {{"perm", std::vector<int64_t>{0, 2, 1, 3}}});
    const ValueId sizes = add(g, "Shape", {apart}), one = g.add_ints("one", {1}), two = g.add_ints("two", {2});
    const ValueId rows = add(g, "Slice", {sizes, one, two});
    const ValueId shape =
        add(g, "Concat", {g.add_ints("all", {-1}), rows, g.add_ints("size", {kSize})}, {{"axis", int64_t{0}}});
    return add(g, "Reshape", {heads, shape});
  };
  const ValueId q = merged("q");
  ValueId k = merged("k");
  const ValueId v = merged("v");
  if (f.divide) k = add(g, "Div", {k, number(g, 2.5f)});
  ValueId scores = add(g, "MatMul", {q, add(g, "Transpose", {k}, {{"perm", std::vector<int64_t>{0, 2, 1}}})});
  if (f.bias) {
    const ValueId bias = add_input(g, "bias", DType::f32, {symbols.mul(batch, Dim(kHeads)), seq, seq});
    scores = add(g, "Add", {scores, bias});
  }
  if (f.scores_are_output) add_output(g, "scores", scores);
  ValueId p;
  if (f.mask) {
    const ValueId mask = add_input(g, "mask", DType::f32, {batch, Dim(1), Dim(1), seq});
    const ValueId sizes = add(g, "Shape", {scores}), one = g.add_ints("one", {1}), three = g.add_ints("three", {3});
    const ValueId shape = add(g, "Concat", {g.add_ints("heads", {-1, kHeads}), add(g, "Slice", {sizes, one, three})},
                              {{"axis", int64_t{0}}});
    const ValueId apart = add(g, "Add", {add(g, "Reshape", {scores, shape}), mask});
    p = add(g, "Softmax", {apart}, {{"axis", f.softmax_axis}});
    if (f.probabilities_are_output) add_output(g, "p", p);
    p = add(g, "Reshape", {p, sizes});
  } else {
    p = add(g, "Softmax", {scores}, {{"axis", f.softmax_axis}});
    if (f.probabilities_are_output) add_output(g, "p", p);
  }
  const ValueId out = add(g, "MatMul", {p, v});
  if (f.merged_elsewhere) add_output(g, "three", out);
  const ValueId sizes = add(g, "Shape", {out}), one = g.add_ints("one", {1}), two = g.add_ints("two", {2});
  const ValueId shape = add(
      g, "Concat", {g.add_ints("heads", {-1, kHeads}), add(g, "Slice", {sizes, one, two}), g.add_ints("size", {kSize})},
      {{"axis", int64_t{0}}});
  const ValueId heads =
      add(g, "Transpose", {add(g, "Reshape", {out, shape})}, {{"perm", std::vector<int64_t>{0, 2, 1, 3}}});
  add_output(g, "y", add(g, "Reshape", {heads, g.add_ints("rows", {0, 0, kWidth})}));
}

TEST(SeparateHeads, MakesAttentionOfBatchedProducts) {
  const std::vector<Form> forms = {
      {},
      {.mask = false},
      {.bias = true},
      {.mask = false, .bias = true},
      {.divide = true},
      {.bias = true, .divide = true},
      {.merged_elsewhere = true},
      {.scores_are_output = true, .fuses = false},
      {.probabilities_are_output = true, .fuses = false},
      {.mask = false, .probabilities_are_output = true, .fuses = false},
      {.softmax_axis = 2, .fuses = false},
      {.mask = false, .softmax_axis = 1, .fuses = false},
  };
  for (size_t i = 0; i < forms.size(); ++i) {
    SCOPED_TRACE(i);
    const Form& f = forms[i];
    std::vector<Tensor> inputs = {wave({2, 5, kWidth}, 1, 1), wave({2, 5, kWidth}, 1, 2), wave({2, 5, kWidth}, 1, 3)};
    if (f.bias) inputs.push_back(wave({2 * kHeads, 5, 5}, 1, 4));
    if (f.mask) inputs.push_back(wave({2, 1, 1, 5}, 2, 5));
    expect_rewritten([&](Graph& g, SymbolTable& s) { build(g, s, f); }, {inputs},
                     [&](const Graph& g) {
                       EXPECT_EQ(count_of(g, "Attention"), f.fuses ? 1u : 0u);
                       EXPECT_EQ(count_of(g, "Softmax") + count_of(g, "BiasSoftmax"), f.fuses ? 0u : 1u);
                     });
  }
}

}  // namespace
}  // namespace linnet
