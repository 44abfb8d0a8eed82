// A bias behind quantised weights, and what only looks like it.
#include <gtest/gtest.h>

#include "optimize/rewritten.h"

namespace linnet {
namespace {

struct Form {
  bool constant = true, shared = false;
  int64_t size = 8;
  bool fuses = true;
};

Tensor codes(DType type, const Shape& shape) {
  Tensor t = make_tensor(type, shape).value();
  for (int64_t i = 0; i < t.count(); ++i) static_cast<uint8_t*>(t.data)[i] = static_cast<uint8_t>(i * 37);
  return t;
}

Node product(Graph& g, const std::string& type, ValueId x) {
  Node node;
  node.domain = "com.microsoft";
  node.op_type = type;
  node.version = 1;
  if (type == "MatMulNBits") {
    node.inputs = {x, g.add_constant("codes", codes(DType::u8, {8, 1, 16})), g.add_constant("scales", wave({8}, 1, 3))};
    for (const auto& [name, value] :
         {std::pair("N", 8), std::pair("K", 32), std::pair("bits", 4), std::pair("block_size", 32)})
      node.set(name, int64_t{value});
    return node;
  }
  const ValueId b = g.add_constant("codes", codes(DType::i8, {32, 8})),
                scales = g.add_constant("scales", wave({8}, 0.01f, 3));
  if (type == "DynamicQuantizeMatMul") {
    node.inputs = {x, b, scales};
    return node;
  }
  const ValueId scale = number(g, 0.01f), zero = g.add_constant("zero", tensor_of<uint8_t>({}, {100}));
  node.inputs = {add(g, "QuantizeLinear", {x, scale, zero}), b, scale, scales, zero};
  return node;
}

void build(Graph& g, const std::string& type, const Form& f) {
  const ValueId x = add_input(g, "x", DType::f32, {Dim(3), Dim(32)});
  const ValueId y = g.add_node(product(g, type, x), "product");
  if (f.shared) add_output(g, "product", y);
  ValueId bias = g.add_constant("bias", wave({f.size}, 2, 5));
  if (!f.constant)
    bias = add(g, "Squeeze",
               {add(g, "Slice", {x, g.add_ints("s", {0, 0}), g.add_ints("e", {1, 8})}), g.add_ints("a", {0})});
  add_output(g, "y", add(g, "Add", {bias, y}));
}

TEST(FuseQuantizedBias, TakesARowOfConstants) {
  const std::vector<Form> forms = {
      {}, {.constant = false, .fuses = false}, {.shared = true, .fuses = false}, {.size = 1, .fuses = false}};
  for (const char* type : {"MatMulNBits", "DynamicQuantizeMatMul", "MatMulIntegerToFloat"})
    for (const Form& f : forms)
      expect_rewritten([&](Graph& g, SymbolTable&) { build(g, type, f); }, {{wave({3, 32}, 1)}},
                       [&](const Graph& g) { EXPECT_EQ(count_of(g, "Add"), f.fuses ? 0u : 1u) << type; }, {}, 0.0f);
}

}  // namespace
}  // namespace linnet
