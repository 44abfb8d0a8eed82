// Products of one input that become one node, and what only looks like it.
#include <numeric>

#include <gtest/gtest.h>

#include "optimize/rewritten.h"

namespace linnet {
namespace {

constexpr int64_t kIn = 24;

enum class ProductForm { matmul, matmul_bias, gemm, gemm_transposed };

struct Products {
  ProductForm form = ProductForm::matmul_bias;
  std::vector<int64_t> columns = {32, 32, 16};
  // Near misses.
  size_t other_input = 0;  // the product of this number, from 1, reads another value
  bool activated = false;
  size_t grouped = 3;  // products that go into groups
};

ValueId product(Graph& g, ValueId x, int64_t columns, ProductForm form, int seed) {
  const bool transposed = form == ProductForm::gemm_transposed;
  const Shape shape = transposed ? Shape{columns, kIn} : Shape{kIn, columns};
  const ValueId matrix = g.add_constant("w", wave(shape, 0.3f, seed));
  if (form == ProductForm::gemm || transposed)
    return add(g, "Gemm", {x, matrix, g.add_constant("b", wave({columns}, 0.5f, seed + 7))},
               {{"transB", int64_t{transposed}}});
  const ValueId y = add(g, "MatMul", {x, matrix});
  return form == ProductForm::matmul ? y : add(g, "Add", {y, g.add_constant("b", wave({columns}, 0.5f, seed + 7))});
}

void build_products(Graph& g, SymbolTable& symbols, const Products& p) {
  const bool flat = p.form == ProductForm::gemm || p.form == ProductForm::gemm_transposed;
  const Dim rows = symbols.named("rows");
  const SymShape shape = flat ? SymShape{rows, Dim(kIn)} : SymShape{symbols.named("batch"), rows, Dim(kIn)};
  const ValueId x = add_input(g, "x", DType::f32, shape);
  for (size_t i = 0; i < p.columns.size(); ++i) {
    const ValueId from = i + 1 == p.other_input ? add(g, "Neg", {x}) : x;
    ValueId y = product(g, from, p.columns[i], p.form, static_cast<int>(i));
    if (p.activated && i == 1) y = add(g, "Relu", {y});
    add_output(g, "y" + std::to_string(i), y);
  }
}

TEST(GroupProducts, TakesNeighboursOfOneInput) {
  const std::vector<Products> all = {
      {},
      {.form = ProductForm::matmul},
      {.form = ProductForm::gemm},
      {.form = ProductForm::gemm_transposed},
      {.columns = {64, 16}, .grouped = 2},
      {.columns = {16, 16, 16, 16, 16, 16, 16, 16, 16, 16}, .grouped = 10},  // eight and two
      {.columns = {32}, .grouped = 0},
      {.columns = {32, 8, 32}, .grouped = 0},
      {.other_input = 2, .grouped = 0},
      {.other_input = 1, .grouped = 2},
      {.activated = true, .grouped = 0},
  };
  for (size_t i = 0; i < all.size(); ++i) {
    SCOPED_TRACE(i);
    const Products& p = all[i];
    const bool flat = p.form == ProductForm::gemm || p.form == ProductForm::gemm_transposed;
    const auto input = [&](int64_t rows) { return flat ? wave({rows, kIn}, 1) : wave({2, rows, kIn}, 1); };
    expect_rewritten([&](Graph& g, SymbolTable& s) { build_products(g, s, p); }, {{input(1)}, {input(5)}, {input(0)}},
                     [&](const Graph& g) {
                       size_t grouped = 0,
                              alone = count_of(g, "FusedMatMul") + count_of(g, "MatMul") + count_of(g, "Gemm");
                       for (const NodeId id : g.order())
                         if (g.node(id).op_type == "GroupedMatMul") grouped += g.node(id).outputs.size();
                       EXPECT_EQ(grouped, p.grouped);
                       EXPECT_EQ(grouped + alone, p.columns.size());
                     });
  }
}

struct Gate {
  std::string activation = "swish";
  bool biased = false, swapped = false;
  // Near misses.
  bool other_input = false, gate_is_output = false, value_is_output = false, value_activated = false;
  bool fuses = true;
};

void build_gate(Graph& g, SymbolTable& symbols, const Gate& f) {
  const ValueId x = add_input(g, "x", DType::f32, {symbols.named("batch"), symbols.named("rows"), Dim(kIn)});
  const ProductForm form = f.biased ? ProductForm::matmul_bias : ProductForm::matmul;
  ValueId gate = product(g, x, 40, form, 1);
  if (f.activation == "swish") gate = add(g, "Mul", {gate, add(g, "Sigmoid", {gate})});
  if (f.activation == "gelu") gate = add(g, "Gelu", {gate}, {{"approximate", std::string("tanh")}});
  ValueId value = product(g, f.other_input ? add(g, "Neg", {x}) : x, 40, form, 2);
  if (f.value_activated) value = add(g, "Relu", {value});
  if (f.gate_is_output) add_output(g, "gate", gate);
  if (f.value_is_output) add_output(g, "value", value);
  add_output(g, "y", add(g, "Mul", f.swapped ? std::vector{value, gate} : std::vector{gate, value}));
}

TEST(FuseGate, TakesBothProductsOfAGatedLayer) {
  const std::vector<Gate> forms = {
      {},
      {.activation = "gelu"},
      {.biased = true, .swapped = true},
      {.activation = "none", .fuses = false},
      {.other_input = true, .fuses = false},
      {.gate_is_output = true, .fuses = false},
      {.value_is_output = true, .fuses = false},
      {.value_activated = true, .fuses = false},
  };
  for (size_t i = 0; i < forms.size(); ++i) {
    SCOPED_TRACE(i);
    const Gate& f = forms[i];
    expect_rewritten([&](Graph& g, SymbolTable& s) { build_gate(g, s, f); },
                     {{wave({1, 1, kIn}, 1)}, {wave({2, 9, kIn}, 1)}},
                     [&](const Graph& g) {
                       size_t gated = 0;
                       for (const NodeId id : g.order()) gated += g.node(id).find("gated") != nullptr;
                       EXPECT_EQ(gated, f.fuses ? 1u : 0u);
                       EXPECT_EQ(count_of(g, "Mul"), f.fuses ? 0u : 1u);
                     });
  }
}

enum class Cut { split, slices, slices_backwards, gathers };

struct Columns {
  std::vector<int64_t> sizes = {32, 16, 16};
  Cut cut = Cut::split;
  bool biased = true;
  int gate = -1;  // the part that has an activation, where both are multiplied
  // Near misses.
  int64_t axis = 2;
  bool whole_is_output = false, overlapping = false, gate_is_output = false;
  std::vector<int64_t> order = {3, 1, 2, 0, 4};  // of one, batch, rows, part and column, for Gathers
  bool one_is_missing = false;
  bool splits = true, gates = false;
};

void build_columns(Graph& g, SymbolTable& symbols, const Columns& c) {
  const ValueId x = add_input(g, "x", DType::f32, {symbols.named("batch"), Dim(6), Dim(kIn)});
  const int64_t columns = std::accumulate(c.sizes.begin(), c.sizes.end(), int64_t{0});
  ValueId y = add(g, "MatMul", {x, g.add_constant("w", wave({kIn, columns}, 0.3f, 1))});
  if (c.biased) y = add(g, "Add", {y, g.add_constant("b", wave({columns}, 0.5f, 2))});
  if (c.whole_is_output) add_output(g, "whole", y);
  std::vector<ValueId> parts;
  if (c.cut == Cut::split) {
    Node node;
    node.op_type = "Split";
    node.version = 18;
    node.set("axis", c.axis);
    node.inputs = {y, g.add_ints("sizes", c.axis == 2 ? c.sizes : std::vector<int64_t>{2, 2, 2})};
    for (size_t i = 0; i < c.sizes.size(); ++i) parts.push_back(g.add_value("part" + std::to_string(i)));
    node.outputs = parts;
    g.add_node(std::move(node));
  } else if (c.cut == Cut::gathers) {
    const int64_t count = static_cast<int64_t>(c.sizes.size());
    ValueId apart = add(g, "Reshape", {y, g.add_ints("sizes", {0, 0, count, c.sizes[0]})});
    apart = add(g, "Unsqueeze", {apart, g.add_ints("first", {0})});
    apart = add(g, "Transpose", {apart}, {{"perm", c.order}});
    apart = add(g, "Squeeze", {apart, g.add_ints("one", {3})});
    for (int64_t i = c.one_is_missing ? 1 : 0; i < count; ++i)
      parts.push_back(add(g, "Gather", {apart, g.add_constant("i", tensor_of<int64_t>({}, {i == 2 ? -1 : i}))}));
  } else {
    int64_t at = 0;
    for (const int64_t size : c.sizes) {
      const int64_t begin = c.overlapping && at != 0 ? at - 16 : at;
      const bool back = c.cut == Cut::slices_backwards;
      parts.push_back(
          add(g, "Slice",
              {y, g.add_ints("s", {back ? begin - columns : begin}),
               g.add_ints("e", {at + size == columns ? INT64_MAX : at + size}), g.add_ints("a", {back ? -1 : 2})}));
      at += size;
    }
  }
  if (c.gate < 0) {
    for (size_t i = 0; i < parts.size(); ++i) add_output(g, "y" + std::to_string(i), add(g, "Neg", {parts[i]}));
    return;
  }
  const ValueId gate = add(g, "Sigmoid", {parts[static_cast<size_t>(c.gate)]});
  if (c.gate_is_output) add_output(g, "gate", gate);
  add_output(g, "y", add(g, "Mul", {gate, parts[static_cast<size_t>(1 - c.gate)]}));
}

TEST(SplitProducts, WriteTheirColumnsWhereTheyBelong) {
  const std::vector<Columns> all = {
      {},
      {.biased = false},
      {.cut = Cut::slices},
      {.cut = Cut::slices_backwards},
      {.sizes = {16, 16}, .gate = 0, .gates = true},
      {.sizes = {48, 48}, .gate = 1, .gates = true},
      {.sizes = {16, 16}, .cut = Cut::slices, .gate = 1, .gates = true},
      {.sizes = {32, 32, 32}, .cut = Cut::gathers},
      {.sizes = {16, 16}, .cut = Cut::gathers, .gate = 0, .gates = true},
      {.sizes = {32, 32, 32}, .cut = Cut::gathers, .order = {3, 2, 1, 0, 4}, .splits = false},
      {.sizes = {32, 32, 32}, .cut = Cut::gathers, .one_is_missing = true, .splits = false},
      {.sizes = {32, 16, 8}, .splits = false},
      {.axis = 1, .splits = false},
      {.whole_is_output = true, .splits = false},
      {.cut = Cut::slices, .overlapping = true, .splits = false},
      {.sizes = {16, 16}, .gate = 0, .gate_is_output = true},
  };
  for (size_t i = 0; i < all.size(); ++i) {
    SCOPED_TRACE(i);
    const Columns& c = all[i];
    expect_rewritten([&](Graph& g, SymbolTable& s) { build_columns(g, s, c); },
                     {{wave({1, 6, kIn}, 1)}, {wave({3, 6, kIn}, 1)}},
                     [&](const Graph& g) {
                       const Node* grouped = node_of(g, "GroupedMatMul");
                       ASSERT_EQ(grouped != nullptr, c.splits);
                       EXPECT_EQ(grouped && grouped->find("gated"), c.gates);
                       EXPECT_EQ(count_of(g, "Split") + count_of(g, "Slice") + count_of(g, "Gather") == 0, c.splits);
                     });
  }
}

struct Flat {
  int64_t columns = 20;
  bool keeps_rows = true;  // behind the Gemm, the leading axes are those of x
  bool flat_is_output = false;
  bool fuses = true;
};

TEST(FuseMatMul, TakesAGemmOfFlattenedRows) {
  const std::vector<Flat> all = {{}, {.keeps_rows = false, .fuses = false}, {.flat_is_output = true, .fuses = false}};
  for (size_t i = 0; i < all.size(); ++i) {
    SCOPED_TRACE(i);
    const Flat& f = all[i];
    const auto build = [&](Graph& g, SymbolTable& symbols) {
      const ValueId x = add_input(g, "x", DType::f32, {symbols.named("batch"), Dim(6), Dim(kIn)});
      const ValueId rows = add(g, "Reshape", {x, g.add_ints("rows", {-1, kIn})});
      const ValueId y = add(g, "Gemm",
                            {rows, g.add_constant("w", wave({kIn, f.columns}, 0.3f, 1)),
                             g.add_constant("b", wave({f.columns}, 0.5f, 2))});
      if (f.flat_is_output) add_output(g, "flat", y);
      const std::vector<int64_t> sizes =
          f.keeps_rows ? std::vector<int64_t>{-1, 6, f.columns} : std::vector<int64_t>{-1, 3, f.columns};
      const ValueId apart = add(g, "Reshape", {y, g.add_ints("sizes", sizes)});
      add_output(g, "y", add(g, "Relu", {apart}));
    };
    expect_rewritten(build, {{wave({2, 6, kIn}, 1)}}, [&](const Graph& g) {
      EXPECT_EQ(count_of(g, "FusedMatMul"), f.fuses ? 1u : 0u);
      EXPECT_EQ(count_of(g, "Relu"), f.fuses ? 0u : 1u);
      EXPECT_EQ(count_of(g, "Reshape"), f.fuses ? 0u : 2u);
    });
  }
}

}  // namespace
}  // namespace linnet
