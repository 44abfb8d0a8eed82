// Products of one input that become one node, and what only looks like it.
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

}  // namespace
}  // namespace linnet
