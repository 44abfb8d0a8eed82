// Rotary position embedding as transformers' exports spell it, and what only looks like it.
#include <gtest/gtest.h>

#include "optimize/rewritten.h"

namespace linnet {
namespace {

constexpr int64_t kHeads = 3, kSize = 8;

enum class Table { computed, joined, constant, not_repeated };

struct Form {
  Table table = Table::computed;
  int64_t rotary = kSize;  // features; the others are put behind
  bool heads_split = true, split_op = false, swapped = false;
  // Near misses.
  bool low_is_negative = false, half_is_output = false;
  int64_t middle = 0;  // where the halves meet; 0: in the middle
};

// Inputs: x of [batch, seq, heads size] (or with heads apart), positions [seq].
void build(Graph& g, SymbolTable& symbols, const Form& f) {
  const Dim batch = symbols.named("batch"), seq = f.table == Table::constant ? Dim(5) : symbols.named("seq");
  const auto ints = [&](std::vector<int64_t> v) { return g.add_ints("i", std::move(v)); };
  const auto part = [&](ValueId x, int64_t from, int64_t to) {
    return add(g, "Slice", {x, ints({from}), ints({to}), ints({-1}), ints({1})});
  };
  const std::vector<Attribute> last = {{"axis", int64_t{-1}}};
  ValueId x;
  if (f.heads_split) {
    x = add_input(g, "x", DType::f32, {batch, seq, Dim(kHeads * kSize)});
    x = add(g, "Transpose", {add(g, "Reshape", {x, ints({0, 0, kHeads, kSize})})},
            {{"perm", std::vector<int64_t>{0, 2, 1, 3}}});
  } else {
    x = add_input(g, "x", DType::f32, {batch, Dim(kHeads), seq, Dim(kSize)});
  }
  const ValueId positions = add_input(g, "positions", DType::f32, {seq});
  const auto table = [&](std::string_view fn) {
    const int64_t half = f.rotary / 2;
    if (f.table == Table::constant) {
      Tensor t = wave({1, 1, 5, f.rotary}, 1, fn == "Cos" ? 3 : 4);
      for (int64_t row = 0; row < 5; ++row)
        std::copy_n(t.ptr<float>() + row * f.rotary, half, t.ptr<float>() + row * f.rotary + half);
      return g.add_constant("table", t);
    }
    const ValueId angles = add(
        g, "Mul", {add(g, "Unsqueeze", {positions, ints({0, 2})}), g.add_constant("frequencies", wave({half}, 1, 2))});
    if (f.table == Table::joined) {
      const ValueId of = add(g, fn, {add(g, "Unsqueeze", {angles, ints({1})})});
      return add(g, "Concat", {of, of}, last);
    }
    const ValueId other = f.table == Table::not_repeated ? add(g, "Mul", {angles, number(g, 2)}) : angles;
    const ValueId wide = add(g, fn, {add(g, "Concat", {angles, other}, last)});
    return add(g, "Unsqueeze", {add(g, "Mul", {wide, number(g, 1.5f)}), ints({1})});
  };
  const ValueId cos = table("Cos"), sin = table("Sin");
  const ValueId turned_part = f.rotary == kSize ? x : part(x, 0, f.rotary);
  const int64_t middle = f.middle != 0 ? f.middle : f.rotary / 2;
  ValueId low = part(turned_part, 0, middle), high = part(turned_part, middle, INT64_MAX);
  if (f.split_op) {
    Node split;
    split.op_type = "Split";
    split.version = 18;
    split.inputs = {turned_part};
    split.outputs = {g.add_value("low"), g.add_value("high")};
    split.set("axis", int64_t{-1});
    split.set("num_outputs", int64_t{2});
    low = split.outputs[0], high = split.outputs[1];
    g.add_node(std::move(split));
  }
  const ValueId half = f.low_is_negative ? add(g, "Concat", {high, add(g, "Neg", {low})}, last)
                                         : add(g, "Concat", {add(g, "Neg", {high}), low}, last);
  if (f.half_is_output) add_output(g, "half", half);
  const ValueId a = add(g, "Mul", {turned_part, cos}), b = add(g, "Mul", {sin, half});
  ValueId y = f.swapped ? add(g, "Add", {b, a}) : add(g, "Add", {a, b});
  if (f.rotary != kSize) y = add(g, "Concat", {y, part(x, f.rotary, kSize)}, last);
  add_output(g, "y", y);
}

void expect_rotary(const Form& f, size_t wanted) {
  std::vector<std::vector<Tensor>> inputs;
  for (const int64_t batch : {1, 2}) {
    const Shape shape = f.heads_split ? Shape{batch, 5, kHeads * kSize} : Shape{batch, kHeads, 5, kSize};
    inputs.push_back({wave(shape, 1, 1), wave({5}, 3, 9)});
  }
  expect_rewritten([&](Graph& g, SymbolTable& s) { build(g, s, f); }, inputs,
                   [&](const Graph& g) {
                     EXPECT_EQ(count_of(g, "RotaryEmbedding"), wanted);
                     EXPECT_EQ(count_of(g, "Neg"), 1 - wanted);
                     EXPECT_TRUE(wanted == 0 || count_of(g, "Add") + count_of(g, "Split") == 0);
                   });
}

TEST(FuseRotary, TakesTablesThatRepeat) {
  for (const Table table : {Table::computed, Table::joined, Table::constant})
    for (const bool heads_split : {false, true}) expect_rotary({.table = table, .heads_split = heads_split}, 1);
}

TEST(FuseRotary, TakesItsOrders) {
  expect_rotary({.swapped = true}, 1);
  expect_rotary({.split_op = true}, 1);
  for (const bool heads_split : {false, true}) expect_rotary({.rotary = 4, .heads_split = heads_split}, 1);
}

TEST(FuseRotary, LeavesAlone) {
  expect_rotary({.table = Table::not_repeated}, 0);
  expect_rotary({.low_is_negative = true}, 0);
  expect_rotary({.half_is_output = true}, 0);
  expect_rotary({.middle = 2}, 0);
}

}  // namespace
}  // namespace linnet
