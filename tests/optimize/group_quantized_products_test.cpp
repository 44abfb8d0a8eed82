// Products of one input by quantised matrices that become one node, bit for bit, and what only looks like it.
#include <gtest/gtest.h>

#include "optimize/rewritten.h"

namespace linnet {
namespace {

constexpr int64_t kIn = 40;

enum class Weights { codes, shared_codes, blocks };

struct Products {
  Weights weights = Weights::codes;
  std::vector<int64_t> columns = {32, 16, 5};
  bool biased = false, zeros = false;
  // Near misses, of the second product.
  bool other_input = false, other_block = false, computed_bias = false;
  bool codes_are_output = false;
  std::vector<size_t> groups = {3};  // the products of each
};

Tensor bytes(DType type, const Shape& shape, int seed) {
  Tensor t = make_tensor(type, shape).value();
  for (int64_t i = 0; i < t.count(); ++i)
    static_cast<uint8_t*>(t.data)[i] = static_cast<uint8_t>((i + seed) * 7919 % 255);
  return t;
}

void build(Graph& g, SymbolTable& symbols, const Products& p) {
  const ValueId x = add_input(g, "x", DType::f32, {symbols.named("batch"), symbols.named("rows"), Dim(kIn)});
  std::vector<ValueId> quantized;
  if (p.weights == Weights::shared_codes) {
    Node node;
    node.op_type = "DynamicQuantizeLinear";
    node.version = 11;
    node.inputs = {x};
    node.outputs = quantized = {g.add_value("codes"), g.add_value("scale"), g.add_value("zero")};
    g.add_node(std::move(node));
    if (p.codes_are_output) add_output(g, "codes", quantized[0]);
  }
  for (size_t i = 0; i < p.columns.size(); ++i) {
    const int64_t n = p.columns[i], block = p.other_block && i == 1 ? 16 : 32, blocks = (kIn + block - 1) / block;
    const int seed = static_cast<int>(i);
    const ValueId from = p.other_input && i == 1 ? add(g, "Neg", {x}) : x;
    ValueId bias = p.biased ? g.add_constant("bias", wave({n}, 2, seed)) : kNoValue;
    if (p.computed_bias && i == 1)
      bias = add(g, "ReduceMax",
                 {add(g, "Slice", {x, g.add_ints("s", {0}), g.add_ints("e", {n}), g.add_ints("a", {2})}),
                  g.add_ints("a", {0, 1})},
                 {{"keepdims", int64_t{0}}});
    Node node;
    node.domain = "com.microsoft";
    node.version = 1;
    if (p.weights == Weights::blocks) {
      Tensor scales = wave({n, blocks}, 0.01f, seed);
      node.op_type = "MatMulNBits";
      node.inputs = {from,
                     g.add_constant("b", bytes(DType::u8, {n, blocks, block / 2}, seed)),
                     g.add_constant("scales", std::move(scales)),
                     p.zeros ? g.add_constant("zeros", bytes(DType::u8, {n, (blocks + 1) / 2}, seed + 1)) : kNoValue,
                     kNoValue,
                     bias};
      node.set("N", n);
      node.set("K", kIn);
      node.set("block_size", block);
      node.set("bits", int64_t{4});
      node.set("accuracy_level", int64_t{4});
    } else {
      const ValueId b = g.add_constant("b", bytes(DType::i8, {kIn, n}, seed)),
                    scale = g.add_constant("scale", wave(i == 0 ? Shape{n} : Shape{1}, 0.01f, seed)),
                    zero = p.zeros ? g.add_constant("zero", bytes(DType::i8, {n}, seed)) : kNoValue;
      if (p.weights == Weights::codes) {
        node.op_type = "DynamicQuantizeMatMul";
        node.inputs = {from, b, scale, zero, bias};
      } else {
        node.op_type = "MatMulIntegerToFloat";
        node.inputs = {quantized[0], b, quantized[1], scale, quantized[2], zero, bias};
      }
    }
    while (node.inputs.back() == kNoValue) node.inputs.pop_back();
    add_output(g, "y" + std::to_string(i), g.add_node(std::move(node), "product"));
  }
}

TEST(GroupQuantizedProducts, TakesNeighboursOfOneInput) {
  std::vector<Products> all;
  for (const Weights weights : {Weights::codes, Weights::shared_codes, Weights::blocks}) {
    all.push_back({.weights = weights});
    all.push_back({.weights = weights, .biased = true, .zeros = true});
    all.push_back({.weights = weights, .columns = {7}, .groups = {}});
    all.push_back({.weights = weights, .columns = std::vector<int64_t>(8, 3), .groups = {8}});
  }
  for (const Weights weights : {Weights::codes, Weights::blocks}) {
    all.push_back({.weights = weights, .columns = std::vector<int64_t>(10, 3), .groups = {8, 2}});
    all.push_back({.weights = weights, .other_input = true, .groups = {}});
    all.push_back({.weights = weights, .computed_bias = true, .groups = {2}});
  }
  all.push_back({.weights = Weights::shared_codes, .columns = std::vector<int64_t>(10, 3), .groups = {}});
  all.push_back({.weights = Weights::shared_codes, .computed_bias = true, .groups = {}});
  all.push_back({.weights = Weights::shared_codes, .codes_are_output = true, .groups = {}});
  all.push_back({.weights = Weights::blocks, .columns = {3, 4}, .other_block = true, .groups = {}});
  for (size_t i = 0; i < all.size(); ++i) {
    SCOPED_TRACE(i);
    const Products& p = all[i];
    expect_rewritten([&](Graph& g, SymbolTable& s) { build(g, s, p); },
                     {{wave({1, 1, kIn}, 3)}, {wave({2, 5, kIn}, 1)}, {wave({2, 0, kIn}, 1)}},
                     [&](const Graph& g) {
                       std::vector<size_t> groups;
                       for (const NodeId id : g.order())
                         if (g.node(id).op_type.starts_with("Grouped")) groups.push_back(g.node(id).outputs.size());
                       EXPECT_EQ(groups, p.groups);
                     },
                     {}, 0.0f);
  }
}

}  // namespace
}  // namespace linnet
