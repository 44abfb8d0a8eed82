// Exporters compute shapes with small integer tensors: what inference knows of them before the inputs are there.
#include "gtest/gtest.h"
#include "infer/infer.h"

namespace linnet {
namespace {

class ShapeArithmetic : public testing::Test {
 protected:
  ShapeArithmetic() {
    x = graph.add_value("x", ValueInfo::tensor(DType::f32, {symbols.named("batch"), symbols.named("seq"), 64}));
    graph.inputs.push_back({"x", x});
  }

  ValueId node(const char* op_type, std::vector<ValueId> inputs, std::vector<Attribute> attributes = {}) {
    Node n;
    n.op_type = op_type;
    n.version = 22;
    n.inputs = std::move(inputs);
    n.attributes = std::move(attributes);
    return graph.add_node(std::move(n), concat(op_type, graph.value_count()));
  }
  ValueId list(std::vector<int64_t> elements) { return graph.add_ints("c", std::move(elements)); }

  std::string shape_of(ValueId value) {
    const auto facts = infer_graph(graph, symbols);
    EXPECT_TRUE(facts.ok()) << facts.status().message();
    const ValueInfo& info = graph.value(value).info;
    return info.ranked ? symbols.to_string(info.shape) : "unranked";
  }

  Graph graph;
  SymbolTable symbols{true};
  ValueId x = kNoValue;
};

TEST_F(ShapeArithmetic, HeadsAreSplitByGatherUnsqueezeAndConcat) {
  const ValueId shape = node("Shape", {x});
  const ValueId zero = graph.add_constant("zero", make_tensor(DType::i64, {}).value());
  const ValueId batch = node("Unsqueeze", {node("Gather", {shape, zero}), list({0})});
  const ValueId seq = node("Slice", {shape, list({1}), list({2})});
  const ValueId target = node("Concat", {batch, seq, list({4, -1})}, {{"axis", int64_t{0}}});
  EXPECT_EQ(shape_of(node("Reshape", {x, target})), "[batch, seq, 4, 16]");
}

TEST_F(ShapeArithmetic, SizesAreNotMinusOne) {
  const ValueId shape = node("Concat", {node("Shape", {x}), list({-1})}, {{"axis", int64_t{0}}});
  const ValueId is_any = node("Equal", {shape, list({-1, -1, -1, -1})});
  const ValueId target = node("Where", {is_any, list({1, 1, 1, 1}), shape});
  const ValueId y = graph.add_value("y", ValueInfo::tensor(DType::f32, {symbols.named("batch"), 1, 64, 7}));
  graph.inputs.push_back({"y", y});
  EXPECT_EQ(shape_of(node("Expand", {y, target})), "[batch, seq, 64, 7]");
  // A difference may be: nothing is known of it.
  const ValueId less = node("Sub", {node("Shape", {x}), list({9, 9, 9})});
  const ValueId same = node("Equal", {less, list({-1, -1, -1})});
  EXPECT_EQ(shape_of(node("ConstantOfShape", {node("Where", {same, list({1, 1, 1}), list({2, 2, 2})})})).find("[2, 2"),
            std::string::npos);
}

TEST_F(ShapeArithmetic, ATableOfPositionsIsAsLongAsWhatItIsAddedTo) {
  const ValueId table = graph.add_constant("table", make_tensor(DType::f32, {512, 64}).value());
  const ValueId seq = node("Slice", {node("Shape", {x}), list({1}), list({2})});
  const ValueId rows = node("Slice", {table, list({0}), seq, list({0})});
  EXPECT_EQ(shape_of(rows), "[min(seq, 512), 64]");
  EXPECT_EQ(shape_of(node("Add", {x, rows})), "[batch, seq, 64]");
  EXPECT_EQ(shape_of(node("Add", {rows, x})), "[batch, seq, 64]");
  // What is only sometimes the smaller one, may be either.
  const ValueId other = graph.add_value("other", ValueInfo::tensor(DType::f32, {symbols.named("length"), 64}));
  graph.inputs.push_back({"other", other});
  EXPECT_NE(shape_of(node("Add", {x, node("Slice", {other, list({0}), seq, list({0})})})), "[batch, seq, 64]");
}

TEST_F(ShapeArithmetic, NamesOfSizesStayShort) {
  Dim size = symbols.named("n");
  for (int i = 0; i < 1000; ++i) size = symbols.mul(symbols.add(size, 1), size);
  EXPECT_LT(symbols.to_string(size).size(), 1000u);
}

TEST_F(ShapeArithmetic, MasksAreMadeByRangeExpandAndConstantOfShape) {
  const ValueId shape = node("Shape", {x});
  Tensor zero_index = make_tensor(DType::i64, {}).value(), one = make_tensor(DType::i64, {}).value();
  one.ptr<int64_t>()[0] = 1;
  const ValueId zero = graph.add_constant("zero", zero_index), step = graph.add_constant("one", one);
  const ValueId seq = node("Gather", {shape, step});
  EXPECT_EQ(shape_of(node("Range", {zero, seq, step})), "[seq]");
  const ValueId square = node("Gather", {shape, list({0, 1, 1})});
  EXPECT_EQ(shape_of(node("ConstantOfShape", {square})), "[batch, seq, seq]");
  EXPECT_EQ(
      shape_of(node("Expand", {graph.add_constant("number", make_tensor(DType::f32, {1, 1, 1}).value()), square})),
      "[batch, seq, seq]");
  EXPECT_EQ(shape_of(node("Tile", {x, list({1, 2, 1})})), "[batch, (seq * 2), 64]");
}

TEST_F(ShapeArithmetic, PartsAreCutAndJoined) {
  const ValueId first = node("Slice", {x, list({0}), list({INT64_MAX}), list({1})});
  EXPECT_EQ(shape_of(first), "[batch, seq, 64]");
  EXPECT_EQ(shape_of(node("Slice", {x, list({1}), list({INT64_MAX}), list({1})})), "[batch, max((seq + -1), 0), 64]");
  EXPECT_EQ(shape_of(node("Slice", {x, list({-8}), list({INT64_MAX}), list({2})})), "[batch, seq, 8]");
  EXPECT_EQ(
      shape_of(node("Slice", {x, list({0}), node("Slice", {node("Shape", {x}), list({1}), list({2})}), list({1})})),
      "[batch, seq, 64]");
  EXPECT_EQ(shape_of(node("Concat", {x, x, first}, {{"axis", int64_t{-2}}})), "[batch, (seq + (seq + seq)), 64]");
  EXPECT_EQ(shape_of(node("Pad", {x, list({0, 1, 2, 0, 1, -2})})), "[batch, (seq + 2), 64]");
  EXPECT_EQ(shape_of(node("Gather",
                          {
                              x,
                              list({3, 4}),
                          },
                          {{"axis", int64_t{2}}})),
            "[batch, seq, 2]");
}

TEST_F(ShapeArithmetic, SizesThatTheDataDecidesAreNamed) {
  const std::string shape = shape_of(node("NonZero", {x}));
  EXPECT_EQ(shape.substr(0, 4), "[3, ");
  EXPECT_NE(shape, "[3, ?]");
}

}  // namespace
}  // namespace linnet
