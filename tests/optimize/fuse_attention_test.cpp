// Attention as exporters spell it, and what only looks like it.
#include <gtest/gtest.h>

#include "optimize/rewritten.h"

namespace linnet {
namespace {

constexpr int64_t kHeads = 4, kSize = 8, kWidth = kHeads * kSize;
constexpr float kLowest = std::numeric_limits<float>::lowest();

enum class Scale { none, mul, div, on_both, on_rows };
enum class MaskForm { none, add, add_first, where, where_swapped, two, unknown, larger };

struct Form {
  Scale scale = Scale::mul;
  MaskForm mask = MaskForm::none;
  bool guard = false;    // Where(IsNaN(p), 0, p)
  bool key_perm = true;  // keys are transposed at once by [0, 2, 3, 1]
  bool merge = true;     // the heads' results go back beside each other
  bool past = false;
  int64_t kv_heads = kHeads;  // fewer: repeated by Expand
  // Near misses.
  int64_t softmax_axis = -1;
  bool scores_are_output = false, probabilities_are_output = false;
  float filler = kLowest;
  bool scale_after_mask = false, other_guard = false;
};

// Inputs: q, k, v of [batch, seq, width]; then past_k, past_v; then the mask.
void build(Graph& g, SymbolTable& symbols, const Form& f) {
  const Dim batch = symbols.named("batch"), seq = symbols.named("seq"), past = symbols.named("past");
  const int64_t kv_width = f.kv_heads * kSize;
  const ValueId q = add_input(g, "q", DType::f32, {batch, seq, Dim(kWidth)});
  const ValueId k = add_input(g, "k", DType::f32, {batch, seq, Dim(kv_width)});
  const ValueId v = add_input(g, "v", DType::f32, {batch, seq, Dim(kv_width)});
  const auto split = [&](ValueId x, int64_t heads, std::vector<int64_t> perm) {
    const ValueId apart = add(g, "Reshape", {x, g.add_ints("split", {0, 0, heads, kSize})});
    return add(g, "Transpose", {apart}, {{"perm", std::move(perm)}});
  };
  const std::vector<int64_t> order = {0, 2, 1, 3};
  ValueId rows = q;
  if (f.scale == Scale::on_rows) rows = add(g, "Mul", {q, number(g, 0.3f)});
  ValueId queries = split(rows, kHeads, order);
  const bool direct = f.key_perm && !f.past && f.kv_heads == kHeads;
  ValueId keys = split(k, f.kv_heads, direct ? std::vector<int64_t>{0, 2, 3, 1} : order);
  ValueId values = split(v, f.kv_heads, order);
  if (f.past) {
    const SymShape shape = {batch, Dim(f.kv_heads), past, Dim(kSize)};
    const ValueId past_k = add_input(g, "past_k", DType::f32, shape),
                  past_v = add_input(g, "past_v", DType::f32, shape);
    keys = add(g, "Concat", {past_k, keys}, {{"axis", int64_t{2}}});
    values = add(g, "Concat", {past_v, values}, {{"axis", int64_t{-2}}});
    add_output(g, "present_k", keys);
    add_output(g, "present_v", values);
  }
  if (f.kv_heads != kHeads) {
    const auto repeat = [&](ValueId x) {
      const ValueId shape = add(g, "Shape", {x});
      const auto part = [&](int64_t i) { return add(g, "Gather", {shape, g.add_ints("i", {i})}); };
      const int64_t times = kHeads / f.kv_heads;
      const ValueId wide =
          add(g, "Concat", {part(0), part(1), g.add_ints("n", {times}), part(2), part(3)}, {{"axis", int64_t{0}}});
      const ValueId whole =
          add(g, "Concat", {part(0), g.add_ints("h", {kHeads}), part(2), part(3)}, {{"axis", int64_t{0}}});
      return add(g, "Reshape", {add(g, "Expand", {add(g, "Unsqueeze", {x, g.add_ints("a", {2})}), wide}), whole});
    };
    keys = repeat(keys);
    values = repeat(values);
  }
  if (!direct) keys = add(g, "Transpose", {keys}, {{"perm", std::vector<int64_t>{0, 1, 3, 2}}});
  if (f.scale == Scale::on_both) {
    queries = add(g, "Mul", {queries, number(g, 0.6f)});
    keys = add(g, "Mul", {number(g, 0.6f), keys});
  }
  ValueId scores = add(g, "MatMul", {queries, keys});
  const auto scaled = [&] {
    if (f.scale == Scale::mul) scores = add(g, "Mul", {scores, number(g, 0.35f)});
    if (f.scale == Scale::div) scores = add(g, "Div", {scores, number(g, 2.8f)});
  };
  if (!f.scale_after_mask) scaled();
  if (f.scores_are_output) add_output(g, "scores", scores);
  const Dim columns = f.past ? symbols.add(seq, past) : seq;
  const auto float_mask = [&](SymShape shape) { return add_input(g, "mask", DType::f32, std::move(shape)); };
  switch (f.mask) {
    case MaskForm::none: break;
    case MaskForm::add: scores = add(g, "Add", {scores, float_mask({batch, Dim(1), Dim(1), columns})}); break;
    case MaskForm::add_first: scores = add(g, "Add", {float_mask({Dim(1), Dim(kHeads), seq, columns}), scores}); break;
    case MaskForm::unknown:
      scores =
          add(g, "Add", {scores, float_mask({symbols.named("b"), Dim(1), symbols.named("r"), symbols.named("c")})});
      break;
    case MaskForm::larger:
      scores = add(g, "Add", {scores, float_mask({Dim(3), Dim(1), Dim(1), Dim(1), Dim(1)})});
      break;
    case MaskForm::two: {
      const ValueId mask = float_mask({batch, Dim(1), seq, columns});
      scores = add(g, "Add", {add(g, "Add", {scores, g.add_constant("bias", wave({1, kHeads, 1, 1}, 1, 5))}), mask});
      break;
    }
    case MaskForm::where:
    case MaskForm::where_swapped: {
      const ValueId mask = float_mask({batch, Dim(1), seq, columns});
      const ValueId seen = add(g, "Greater", {mask, number(g, -0.5f)});
      if (f.mask == MaskForm::where)
        scores = add(g, "Where", {seen, scores, number(g, f.filler)});
      else
        scores = add(g, "Where", {add(g, "Not", {seen}), number(g, f.filler), scores});
      break;
    }
  }
  if (f.scale_after_mask) scaled();
  ValueId p = add(g, "Softmax", {scores}, {{"axis", f.softmax_axis}});
  if (f.probabilities_are_output) add_output(g, "p", p);
  if (f.guard) p = add(g, "Where", {add(g, "IsNaN", {f.other_guard ? scores : p}), number(g, 0), p});
  ValueId y = add(g, "MatMul", {p, values});
  if (f.merge) {
    y = add(g, "Transpose", {y}, {{"perm", order}});
    y = add(g, "Reshape", {y, g.add_ints("merge", {0, 0, kWidth})});
  }
  add_output(g, "y", y);
}

std::vector<Tensor> inputs_of(const Form& f, int64_t batch, int64_t seq, int64_t past) {
  const int64_t kv_width = f.kv_heads * kSize, columns = seq + (f.past ? past : 0);
  std::vector<Tensor> inputs = {wave({batch, seq, kWidth}, 1, 1), wave({batch, seq, kv_width}, 1, 2),
                                wave({batch, seq, kv_width}, 1, 3)};
  if (f.past)
    for (int i : {6, 7}) inputs.push_back(wave({batch, f.kv_heads, past, kSize}, 1, i));
  switch (f.mask) {
    case MaskForm::none: break;
    case MaskForm::add: inputs.push_back(wave({batch, 1, 1, columns}, 2, 4)); break;
    case MaskForm::add_first: inputs.push_back(wave({1, kHeads, seq, columns}, 2, 4)); break;
    case MaskForm::larger: inputs.push_back(wave({3, 1, 1, 1, 1}, 2, 4)); break;
    default: inputs.push_back(wave({batch, 1, seq, columns}, 1, 4));
  }
  return inputs;
}

void expect_attention(const Form& f, size_t wanted, std::string_view domain = "",
                      OptimizationLevel level = OptimizationLevel::all) {
  OptimizeOptions options;
  options.level = level;
  expect_rewritten([&](Graph& g, SymbolTable& s) { build(g, s, f); },
                   {inputs_of(f, 2, 5, 3), inputs_of(f, 1, 1, 7), inputs_of(f, 1, 33, 0)},
                   [&](const Graph& g) {
                     EXPECT_EQ(count_of(g, "Attention"), wanted);
                     EXPECT_EQ(count_of(g, "Softmax"), 1 - wanted);
                     const Node* node = node_of(g, "Attention");
                     EXPECT_EQ(node ? node->domain : domain, domain);
                   },
                   options);
}

TEST(FuseAttention, TakesTheScaleWhereverItIs) {
  for (const Scale scale : {Scale::none, Scale::mul, Scale::div, Scale::on_both, Scale::on_rows})
    for (const bool key_perm : {false, true}) expect_attention({.scale = scale, .key_perm = key_perm}, 1);
}

TEST(FuseAttention, LeavesNothingOfTheHeads) {
  expect_rewritten([](Graph& g, SymbolTable& s) { build(g, s, {.mask = MaskForm::add, .guard = true}); }, {},
                   [](const Graph& g) { EXPECT_EQ(g.order().size(), 1u); });
}

TEST(FuseAttention, TakesMasks) {
  for (const bool guard : {false, true}) {
    for (const MaskForm mask : {MaskForm::add_first, MaskForm::where, MaskForm::where_swapped, MaskForm::two})
      expect_attention({.mask = mask, .guard = guard}, 1, "", OptimizationLevel::extended);
    expect_attention({.mask = MaskForm::add, .guard = guard}, 1);
    // One row for all queries: ONNX Runtime's Attention refuses it.
    expect_attention({.mask = MaskForm::add, .guard = guard}, 0, "", OptimizationLevel::extended);
  }
}

// A mask that may be larger than the scores goes into this engine's own operator, which repeats queries for it.
TEST(FuseAttention, AddsMasksAsAddDoes) {
  const Form form = {.mask = MaskForm::unknown};
  expect_attention(form, 1, "linnet");
  expect_attention(form, 0, "", OptimizationLevel::extended);
  std::vector<std::vector<Tensor>> inputs;
  for (const Shape& mask : {Shape{4, 1, 6, 1}, Shape{1, 1, 1, 1}, Shape{1, 1, 6, 1}}) {
    inputs.push_back(inputs_of(form, 1, 1, 0));
    inputs.back().back() = wave(mask, 1, 4);
  }
  expect_rewritten([&](Graph& g, SymbolTable& s) { build(g, s, {.mask = MaskForm::unknown, .merge = false}); }, inputs,
                   [](const Graph& g) { EXPECT_EQ(count_of(g, "Attention"), 1u); });
}

TEST(FuseAttention, TakesThePast) {
  expect_attention({.past = true}, 1);
  expect_attention({.mask = MaskForm::add_first, .past = true, .kv_heads = 2}, 1, "", OptimizationLevel::extended);
  expect_rewritten([](Graph& g, SymbolTable& s) { build(g, s, {.past = true, .kv_heads = 2}); }, {},
                   [](const Graph& g) { EXPECT_EQ(g.order().size(), 1u); });
}

// The mask's size is asked of the keys with their past: they cannot come out of the node that needs the mask.
TEST(FuseAttention, LeavesThePastThatTheMaskHangsOn) {
  const auto with_mask = [](Graph& g, SymbolTable& s) {
    build(g, s, {.past = true});
    const ValueId present = g.outputs[0].value;
    const ValueId mask =
        add(g, "Expand", {number(g, 0.5f), add(g, "Gather", {add(g, "Shape", {present}), g.add_ints("i", {2})})});
    // Between the scaled scores and their softmax.
    for (ValueId v = 0; v < g.value_count(); ++v) {
      const Node* node = g.producer(v);
      if (!node || !node->is("Softmax")) continue;
      const ValueId masked = add(g, "Add", {node->inputs[0], add(g, "Unsqueeze", {mask, g.add_ints("a", {0})})});
      g.set_input(g.value(v).producer, 0, masked);
      break;
    }
  };
  expect_rewritten(with_mask, {inputs_of({.past = true}, 2, 5, 3)}, [](const Graph& g) {
    EXPECT_EQ(count_of(g, "Attention"), 1u);
    EXPECT_EQ(count_of(g, "Concat"), 2u);
  });
}

TEST(FuseAttention, SharesHeads) {
  for (const int64_t heads : {1, 2}) expect_attention({.kv_heads = heads}, 1);
}

TEST(FuseAttention, KeepsHeadsApartWhereTheyStaySo) {
  expect_attention({.merge = false}, 1, "linnet");
  expect_attention({.merge = false}, 1, "", OptimizationLevel::extended);
}

TEST(FuseAttention, LeavesAlone) {
  expect_attention({.softmax_axis = 2}, 0);
  expect_attention({.scores_are_output = true}, 0);
  expect_attention({.probabilities_are_output = true}, 0);
  expect_attention({.mask = MaskForm::where, .filler = -5.0f}, 0);
  expect_attention({.mask = MaskForm::add, .scale_after_mask = true}, 0);
  expect_attention({.mask = MaskForm::larger, .merge = false}, 0);
  expect_attention({.guard = true, .other_guard = true}, 0);
}

TEST(FuseAttention, GivesZeroForRowsThatSeeNothing) {
  const Form form = {.mask = MaskForm::add, .guard = true};
  std::vector<Tensor> inputs = inputs_of(form, 2, 5, 0);
  for (int64_t i = 0; i < 5; ++i) inputs.back().ptr<float>()[i] = -std::numeric_limits<float>::infinity();
  expect_rewritten([&](Graph& g, SymbolTable& s) { build(g, s, form); }, {inputs},
                   [](const Graph& g) { EXPECT_EQ(count_of(g, "Attention"), 1u); });
}

}  // namespace
}  // namespace linnet
