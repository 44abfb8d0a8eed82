// Sums of embeddings that are normalised, and what only looks like it.
#include <gtest/gtest.h>

#include "optimize/rewritten.h"

namespace linnet {
namespace {

constexpr int64_t kWidth = 24, kRows = 12;

enum class Positions { sliced, row, each, list };

struct Form {
  Positions positions = Positions::sliced;
  bool segments = true, positions_first = false;
  bool sum_is_read = false;  // as a residual
  // Near misses.
  bool computed_table = false, words_are_read = false, no_shift = false;
  bool fuses = true;
};

Tensor ids(const Shape& shape, int64_t start, bool negative = false) {
  Tensor t = make_tensor(DType::i64, shape).value();
  for (int64_t i = 0; i < t.count(); ++i) t.ptr<int64_t>()[i] = (start + 5 * i) % kRows - (negative ? kRows : 0);
  return t;
}

void build(Graph& g, SymbolTable& symbols, const Form& f) {
  const Dim batch = symbols.named("batch"), seq = symbols.named("seq");
  const auto rows = [&](ValueId of, int seed) {
    ValueId table = g.add_constant("table", wave({kRows, kWidth}, 1, seed));
    if (f.computed_table) {
      const ValueId factor = add_input(g, "factor" + std::to_string(seed), DType::f32, {Dim(1)});
      table = add(g, "Mul", {table, factor});
    }
    return add(g, "Gather", {table, of});
  };
  const ValueId words = rows(add_input(g, "words", DType::i64, {batch, seq}), 1);
  if (f.words_are_read) add_output(g, "word_rows", words);
  ValueId sum = words;
  if (f.segments && !f.positions_first)
    sum = add(g, "Add", {sum, rows(add_input(g, "segments", DType::i64, {batch, seq}), 2)});
  ValueId places;
  if (f.positions == Positions::sliced) {
    Tensor all = ids({1, kRows}, 0);
    for (int64_t i = 0; i < kRows; ++i) all.ptr<int64_t>()[i] = i;
    const ValueId shape = add(g, "Shape", {g.inputs[0].value});
    const ValueId length = add(g, "Slice", {shape, g.add_ints("s", {1}), g.add_ints("e", {2})});
    places = add(g, "Slice", {g.add_constant("all", all), g.add_ints("s", {0}), length, g.add_ints("a", {1})});
  } else {
    const SymShape shape = f.positions == Positions::row    ? SymShape{Dim(1), seq}
                           : f.positions == Positions::each ? SymShape{batch, seq}
                                                            : SymShape{seq};
    places = add_input(g, "places", DType::i64, shape);
  }
  sum = add(g, "Add", f.positions_first ? std::vector{rows(places, 3), sum} : std::vector{sum, rows(places, 3)});
  if (f.segments && f.positions_first)
    sum = add(g, "Add", {sum, rows(add_input(g, "segments", DType::i64, {batch, seq}), 2)});
  std::vector<ValueId> inputs = {sum, g.add_constant("scale", wave({kWidth}, 1, 4))};
  if (!f.no_shift) inputs.push_back(g.add_constant("shift", wave({kWidth}, 1, 5)));
  const ValueId y = add(g, "LayerNormalization", inputs, {{"axis", int64_t{-1}}, {"epsilon", 1e-3f}}, 17);
  add_output(g, "y", f.sum_is_read ? add(g, "Add", {sum, y}) : y);
}

TEST(FuseEmbeddingNorm, TakesWordsPositionsAndSegments) {
  const std::vector<Form> forms = {
      {},
      {.positions = Positions::row},
      {.positions = Positions::each},
      {.positions = Positions::list},
      {.segments = false},
      {.positions = Positions::row, .positions_first = true},
      {.segments = false, .sum_is_read = true},
      {.sum_is_read = true},
      {.computed_table = true, .fuses = false},
      {.words_are_read = true, .fuses = false},
      {.no_shift = true, .fuses = false},
  };
  for (size_t i = 0; i < forms.size(); ++i) {
    SCOPED_TRACE(i);
    const Form& f = forms[i];
    std::vector<std::vector<Tensor>> sets;
    for (const int64_t length : {1, 5}) {
      std::vector<Tensor> set;
      const auto table = [&](int seed) {
        if (f.computed_table) set.push_back(wave({1}, 1, seed));
      };
      const auto segments = [&] {
        if (f.segments) set.push_back(ids({2, length}, 3));
        if (f.segments) table(2);
      };
      set.push_back(ids({2, length}, 1, true));
      table(1);
      if (!f.positions_first) segments();
      if (f.positions == Positions::row) set.push_back(ids({1, length}, 2));
      if (f.positions == Positions::each) set.push_back(ids({2, length}, 2));
      if (f.positions == Positions::list) set.push_back(ids({length}, 2));
      table(3);
      if (f.positions_first) segments();
      sets.push_back(std::move(set));
    }
    expect_rewritten([&](Graph& g, SymbolTable& s) { build(g, s, f); }, sets,
                     [&](const Graph& g) {
                       EXPECT_EQ(count_of(g, "EmbedLayerNormalization"), f.fuses ? 1u : 0u);
                       EXPECT_EQ(count_of(g, "Gather") == 0, f.fuses);
                     });
  }
}

}  // namespace
}  // namespace linnet
