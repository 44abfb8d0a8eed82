// A bias behind weights of few bits, and what only looks like it.
#include <gtest/gtest.h>

#include "optimize/rewritten.h"

namespace linnet {
namespace {

struct Form {
  bool constant = true, shared = false;
  int64_t size = 8;
  bool fuses = true;
};

void build(Graph& g, const Form& f) {
  const ValueId x = add_input(g, "x", DType::f32, {Dim(3), Dim(32)});
  Tensor codes = make_tensor(DType::u8, {8, 1, 16}).value();
  for (int64_t i = 0; i < codes.count(); ++i) codes.ptr<uint8_t>()[i] = static_cast<uint8_t>(i * 37);
  Node product;
  product.domain = "com.microsoft";
  product.op_type = "MatMulNBits";
  product.version = 1;
  product.inputs = {x, g.add_constant("codes", codes), g.add_constant("scales", wave({8}, 1, 3))};
  for (const auto& [name, value] :
       {std::pair("N", 8), std::pair("K", 32), std::pair("bits", 4), std::pair("block_size", 32)})
    product.set(name, int64_t{value});
  const ValueId y = g.add_node(std::move(product), "product");
  if (f.shared) add_output(g, "product", y);
  ValueId bias = g.add_constant("bias", wave({f.size}, 2, 5));
  if (!f.constant)
    bias = add(g, "Squeeze",
               {add(g, "Slice", {x, g.add_ints("s", {0, 0}), g.add_ints("e", {1, 8})}), g.add_ints("a", {0})});
  add_output(g, "y", add(g, "Add", {bias, y}));
}

TEST(FuseNbitsBias, TakesARowOfConstants) {
  const std::vector<Form> forms = {
      {}, {.constant = false, .fuses = false}, {.shared = true, .fuses = false}, {.size = 1, .fuses = false}};
  for (const Form& f : forms)
    expect_rewritten([&](Graph& g, SymbolTable&) { build(g, f); }, {{wave({3, 32}, 1)}},
                     [&](const Graph& g) { EXPECT_EQ(count_of(g, "Add"), f.fuses ? 0u : 1u); });
}

}  // namespace
}  // namespace linnet
