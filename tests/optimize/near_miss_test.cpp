// Fusions say why they left a pattern alone.
#include <gtest/gtest.h>

#include "optimize/rewritten.h"

namespace linnet {
namespace {

struct Case {
  std::string_view pass;
  std::string_view reason;                       // a part of it
  std::function<ValueId(Graph&, ValueId)> make;  // of x: [2, 3, 4, 8]
};

ValueId attention(Graph& g, ValueId x, int64_t axis) {
  const ValueId keys = add(g, "Transpose", {x}, {{"perm", std::vector<int64_t>{0, 1, 3, 2}}});
  const ValueId p = add(g, "Softmax", {add(g, "MatMul", {x, keys})}, {{"axis", axis}});
  if (axis == -1) add_output(g, "p", p);
  return add(g, "MatMul", {p, x});
}

ValueId pair(Graph& g, ValueId x, float scale) {
  const ValueId s = number(g, scale), zero = g.add_constant("zero", tensor_of<uint8_t>({}, {100}));
  return add(g, "DequantizeLinear", {add(g, "QuantizeLinear", {x, s, zero}), s, zero});
}

TEST(NearMisses, AreExplained) {
  const std::vector<Case> cases = {
      {"fuse_attention", "read by others", [](Graph& g, ValueId x) { return attention(g, x, -1); }},
      {"fuse_attention", "last of four axes", [](Graph& g, ValueId x) { return attention(g, x, 1); }},
      {"fuse_skip_layer_norm", "is a constant",
       [](Graph& g, ValueId x) {
         const ValueId rows = add(g, "Reshape", {x, g.add_ints("rows", {2, 12, 8})});
         const ValueId sum = add(g, "Add", {rows, g.add_constant("c", wave({2, 12, 8}, 1))});
         return add(g, "LayerNormalization", {sum, g.add_constant("s", wave({8}, 1))}, {}, 17);
       }},
      {"fuse_matmul_scale", "read by others",
       [](Graph& g, ValueId x) {
         const ValueId product = add(g, "MatMul", {x, add(g, "Reshape", {x, g.add_ints("turned", {2, 3, 8, 4})})});
         add_output(g, "product", product);
         return add(g, "Mul", {product, number(g, 0.5f)});
       }},
      {"fuse_gate", "different inputs",
       [](Graph& g, ValueId x) {
         const ValueId w = g.add_constant("w", wave({8, 8}, 0.3f)), v = g.add_constant("v", wave({8, 8}, 0.3f, 2));
         const ValueId gate = add(g, "Sigmoid", {add(g, "MatMul", {x, w})});
         return add(g, "Mul", {gate, add(g, "MatMul", {add(g, "Neg", {x}), v})});
       }},
      {"group_quantized_products", "read by others",
       [](Graph& g, ValueId x) {
         Node quantize;
         quantize.op_type = "DynamicQuantizeLinear";
         quantize.version = 11;
         quantize.inputs = {x};
         quantize.outputs = {g.add_value("codes"), g.add_value("scale"), g.add_value("zero")};
         const std::vector<ValueId> made = quantize.outputs;
         g.add_node(std::move(quantize));
         add_output(g, "codes", made[0]);
         ValueId y = kNoValue;
         for (const int64_t columns : {8, 1}) {
           Node product;
           product.domain = "com.microsoft";
           product.op_type = "MatMulIntegerToFloat";
           product.version = 1;
           product.inputs = {made[0], g.add_constant("b", make_tensor(DType::i8, {8, columns}).value()), made[1],
                             number(g, 1), made[2]};
           const ValueId out = g.add_node(std::move(product), "product");
           y = y == kNoValue ? out : add(g, "Sub", {y, out});
         }
         return y;
       }},
      {"sink_dequantize", "read as floats by others",
       [](Graph& g, ValueId x) {
         const ValueId y = pair(g, x, 0.02f);
         add_output(g, "exp", add(g, "Exp", {y}));
         return add(g, "Transpose", {y}, {{"perm", std::vector<int64_t>{0, 1, 3, 2}}});
       }},
      {"sink_dequantize", "another scale", [](Graph& g, ValueId x) { return pair(g, pair(g, x, 0.02f), 0.03f); }},
      {"sink_dequantize", "different scales",
       [](Graph& g, ValueId x) {
         return add(g, "Concat", {pair(g, x, 0.02f), pair(g, x, 0.03f)}, {{"axis", int64_t{1}}});
       }},
      {"fuse_qdq", "not all of its inputs",
       [](Graph& g, ValueId x) {
         return pair(g, add(g, "Mul", {pair(g, x, 0.02f), add(g, "Neg", {x})}), 0.03f);
       }},
      {"fuse_qdq", "one reader",
       [](Graph& g, ValueId x) {
         const ValueId y = add(g, "Sigmoid", {pair(g, x, 0.02f)});
         add_output(g, "sigmoid", y);
         return pair(g, y, 0.03f);
       }},
      {"fold_dequantized", "2048 elements stay codes",
       [](Graph& g, ValueId x) {
         const ValueId w = g.add_constant("w", make_tensor(DType::i8, {8, 256}).value());
         return add(g, "MatMul", {x, add(g, "DequantizeLinear", {w, number(g, 0.1f)})});
       }},
      {"fuse_dynamic_quantize", "cast to float",
       [](Graph& g, ValueId x) {
         const ValueId codes = add(g, "Cast", {x}, {{"to", static_cast<int64_t>(DType::u8)}});
         return add(g, "MatMulInteger", {codes, g.add_constant("w", make_tensor(DType::i8, {8, 4}).value())});
       }},
      {"merge_pad", "does not only add constant zeros",
       [](Graph& g, ValueId x) {
         const ValueId padded =
             add(g, "Pad", {x, g.add_ints("pads", {0, 0, 1, 1, 0, 0, 1, 1})}, {{"mode", std::string("reflect")}});
         return add(g, "Conv", {padded, g.add_constant("w", wave({2, 3, 3, 3}, 1))});
       }},
      {"fuse_conv_batch_norm", "others read",
       [](Graph& g, ValueId x) {
         const ValueId y = add(g, "Conv", {x, g.add_constant("w", wave({2, 3, 3, 3}, 1))});
         add_output(g, "conv", y);
         const ValueId row = g.add_constant("row", tensor_of<float>({2}, {1, 2}));
         return add(g, "BatchNormalization", {y, row, row, row, row});
       }},
      {"split_products", "no multiple of 16",
       [](Graph& g, ValueId x) {
         const ValueId y = add(g, "MatMul", {x, g.add_constant("w", wave({8, 16}, 0.3f))});
         const auto part = [&](int64_t begin) {
           return add(g, "Slice", {y, g.add_ints("s", {begin}), g.add_ints("e", {begin + 8}), g.add_ints("a", {3})});
         };
         return add(g, "Sub", {part(0), part(8)});
       }},
  };
  for (const Case& c : cases) {
    Graph g;
    add_output(g, "y", c.make(g, add_input(g, "x", DType::f32, {Dim(2), Dim(3), Dim(4), Dim(8)})));
    SymbolTable symbols(true);
    OptimizeOptions options;
    options.explain = true;
    const auto reports = optimize(g, symbols, options);
    ASSERT_TRUE(reports.ok()) << reports.status().message();
    std::string reasons;
    for (const PassReport& report : *reports)
      for (const NearMiss& miss : report.misses)
        if (report.pass == c.pass) reasons += miss.reason + "; ";
    EXPECT_NE(reasons.find(c.reason), std::string::npos) << c.pass << ": " << reasons;
  }
}

}  // namespace
}  // namespace linnet
