// Sums that are normalised, and what only looks like it.
#include <gtest/gtest.h>

#include "optimize/rewritten.h"

namespace linnet {
namespace {

struct Form {
  bool rms = false, sum_is_output = false;
  // Near misses.
  bool constant = false, broadcast = false;
  int64_t axis = -1;
  bool fuses = true;
};

void build(Graph& g, SymbolTable& symbols, const Form& f) {
  const SymShape shape = {symbols.named("batch"), symbols.named("seq"), Dim(16)};
  const ValueId a = add_input(g, "a", DType::f32, shape);
  ValueId b = add_input(g, "b", DType::f32, f.broadcast ? SymShape{Dim(1), Dim(1), Dim(16)} : shape);
  if (f.constant) b = g.add_constant("c", wave({16}, 1, 7));
  const ValueId sum = add(g, "Add", {a, b});
  if (f.sum_is_output) add_output(g, "sum", sum);
  const ValueId scale = g.add_constant("scale", wave({16}, 1, 4)), shift = g.add_constant("shift", wave({16}, 1, 5));
  std::vector<ValueId> inputs = {sum, scale};
  if (!f.rms) inputs.push_back(shift);
  add_output(g, "y",
             add(g, f.rms ? "RMSNormalization" : "LayerNormalization", inputs, {{"axis", f.axis}, {"epsilon", 1e-3f}},
                 f.rms ? 23 : 17));
}

TEST(FuseSkipLayerNorm, TakesSumsOfOneShape) {
  const std::vector<Form> forms = {
      {},
      {.rms = true},
      {.sum_is_output = true},
      {.rms = true, .sum_is_output = true},
      {.axis = 2},
      {.constant = true, .fuses = false},
      {.broadcast = true, .fuses = false},
  };
  for (const Form& f : forms) {
    const Shape b = f.broadcast ? Shape{1, 1, 16} : Shape{2, 3, 16};
    expect_rewritten([&](Graph& g, SymbolTable& s) { build(g, s, f); }, {{wave({2, 3, 16}, 1, 1), wave(b, 1, 2)}},
                     [&](const Graph& g) {
                       const size_t fused =
                           count_of(g, "SkipLayerNormalization") + count_of(g, "SkipSimplifiedLayerNormalization");
                       EXPECT_EQ(fused, f.fuses ? 1u : 0u);
                       EXPECT_EQ(count_of(g, "Add"), f.fuses ? 0u : 1u);
                     });
  }
}

}  // namespace
}  // namespace linnet
