// Quantised groups become integer operators where they fit, stay where they almost do, and give the numbers that the
// float arithmetic between QuantizeLinear and DequantizeLinear gives.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>

#include "load.h"
#include "optimize/optimizer.h"
#include "optimize/rewritten.h"
#include "run/graph_model.h"

namespace linnet {
namespace {

class Builder {
 public:
  Graph graph;

  ValueId floats(const Shape& shape, float scale, float shift = 0) {
    Tensor t = make_tensor(DType::f32, shape).value();
    for (int64_t i = 0; i < t.count(); ++i) t.ptr<float>()[i] = shift + scale * std::sin(static_cast<float>(i) * 0.7f);
    return graph.add_constant("floats", std::move(t));
  }
  ValueId codes(DType type, const Shape& shape, int low, int high) {
    Tensor t = make_tensor(type, shape).value();
    for (int64_t i = 0; i < t.count(); ++i) {
      const int64_t value = low + i * 7919 % (high - low + 1);
      if (type == DType::i32) {
        t.ptr<int32_t>()[i] = static_cast<int32_t>(value);
      } else {
        t.ptr<uint8_t>()[i] = static_cast<uint8_t>(value);
      }
    }
    return graph.add_constant("codes", std::move(t));
  }
  ValueId number(float value) { return graph.add_constant("scale", tensor_of<float>({}, {value})); }
  ValueId zero(DType type, int value) { return codes(type, {}, value, value); }

  ValueId quantize(ValueId x, float scale, int zero_point, DType type = DType::u8) {
    return add(graph, "QuantizeLinear", {x, number(scale), zero(type, zero_point)});
  }
  ValueId dequantize(ValueId x, float scale, int zero_point, DType type = DType::u8) {
    return add(graph, "DequantizeLinear", {x, number(scale), zero(type, zero_point)});
  }
  ValueId pair(ValueId x, float scale, int zero_point, DType type = DType::u8) {
    return dequantize(quantize(x, scale, zero_point, type), scale, zero_point, type);
  }
  ValueId weights(const Shape& shape, float scale, DType type = DType::i8) {
    return dequantize(codes(type, shape, type == DType::i8 ? -60 : 20, type == DType::i8 ? 60 : 230), scale,
                      type == DType::i8 ? 0 : 128, type);
  }
};

using Build = std::function<void(Builder&, ValueId x)>;

// The operators that are left, after checking that the results differ by at most one step of `step`, and that seldom.
Counts optimized(const Shape& shape, float step, const Build& build,
                 OptimizationLevel level = OptimizationLevel::extended) {
  Builder plain, fused;
  for (Builder* b : {&plain, &fused}) {
    SymShape symbolic;
    for (size_t a = 0; a < shape.rank(); ++a) symbolic.push_back(Dim(shape[a]));
    build(*b, add_input(b->graph, "x", DType::f32, std::move(symbolic)));
  }
  SymbolTable symbols(true);
  OptimizeOptions options;
  options.level = level;
  const auto reports = optimize(fused.graph, symbols, options);
  EXPECT_TRUE(reports.ok()) << reports.status().message();
  if (!reports.ok()) return {};
  const auto counts = operators(fused.graph);
  Tensor x = make_tensor(DType::f32, shape).value();
  for (int64_t i = 0; i < x.count(); ++i) x.ptr<float>()[i] = 2 * std::sin(static_cast<float>(i * i) * 0.37f);
  const std::vector<float> a = numbers_of(plain.graph, x), b = numbers_of(fused.graph, x);
  EXPECT_EQ(a.size(), b.size());
  size_t off = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    EXPECT_NEAR(a[i], b[i], step * 1.001f) << i;
    off += std::fabs(a[i] - b[i]) > step * 0.01f + 1e-6f * std::fabs(a[i]);
  }
  EXPECT_LE(off * 50, a.size() + 49);
  return counts;
}

TEST(FuseQdq, ConvWithBiasByFilterAndRelu) {
  for (const auto level : {OptimizationLevel::extended, OptimizationLevel::all}) {
    const Counts counts = optimized(
        {1, 8, 6, 5}, 0.05f,
        [](Builder& b, ValueId x) {
          const ValueId scales = b.floats({16}, 0.002f, 0.01f);
          const ValueId w = add(b.graph, "DequantizeLinear", {b.codes(DType::i8, {16, 8, 3, 3}, -80, 80), scales},
                                {{"axis", int64_t{0}}});
          Tensor bias_scale = *b.graph.constant(scales);
          Tensor products = make_tensor(DType::f32, {16}).value();
          for (int i = 0; i < 16; ++i) products.ptr<float>()[i] = 0.02f * bias_scale.ptr<float>()[i];
          const ValueId bias =
              add(b.graph, "DequantizeLinear",
                  {b.codes(DType::i32, {16}, -900, 900), b.graph.add_constant("s", std::move(products))},
                  {{"axis", int64_t{0}}});
          const ValueId y =
              add(b.graph, "Conv", {b.pair(x, 0.02f, 120), w, bias}, {{"pads", std::vector<int64_t>(4, 1)}});
          add_output(b.graph, "y", b.pair(add(b.graph, "Relu", {y}), 0.05f, 0));
        },
        level);
    Counts expected{{"QuantizeLinear", 1}, {"QLinearConv", 1}, {"DequantizeLinear", 1}};
    if (level == OptimizationLevel::all) expected["Transpose"] = 2;
    EXPECT_EQ(counts, expected);
  }
}

TEST(FuseQdq, AFloatBiasIsCountedInSums) {
  const Counts counts = optimized({2, 4, 7}, 0.05f, [](Builder& b, ValueId x) {
    const ValueId y =
        add(b.graph, "Conv", {b.pair(x, 0.02f, 0, DType::i8), b.weights({6, 4, 3}, 0.01f), b.floats({6}, 0.7f)});
    add_output(b.graph, "y", b.pair(y, 0.05f, -3, DType::i8));
  });
  EXPECT_EQ(counts, (Counts{{"QuantizeLinear", 1}, {"QLinearConv", 1}, {"DequantizeLinear", 1}}));
}

TEST(FuseQdq, ABoundWithinTheRangeStaysAsClipOfCodes) {
  const Counts counts = optimized({1, 4, 5, 5}, 0.05f, [](Builder& b, ValueId x) {
    const ValueId y = add(b.graph, "Conv", {b.pair(x, 0.02f, 100), b.weights({4, 4, 1, 1}, 0.01f)});
    const ValueId clip = add(b.graph, "Clip", {y, b.number(0), b.number(1)});
    add_output(b.graph, "y", b.pair(clip, 0.05f, 128));
  });
  EXPECT_EQ(counts, (Counts{{"QuantizeLinear", 1}, {"QLinearConv", 1}, {"Clip", 1}, {"DequantizeLinear", 1}}));
}

TEST(FuseQdq, NearMissesOfConvStay) {
  const auto conv = [](Builder& b, ValueId x, ValueId w) { return add(b.graph, "Conv", {x, w}); };
  const std::vector<Build> builds = {
      // the float result is wanted as well
      [&](Builder& b, ValueId x) {
        const ValueId y = conv(b, b.pair(x, 0.02f, 100), b.weights({4, 4, 1, 1}, 0.01f));
        add_output(b.graph, "y", b.pair(y, 0.05f, 128));
        add_output(b.graph, "float", y);
      },
      // no QuantizeLinear behind it
      [&](Builder& b, ValueId x) {
        add_output(b.graph, "y", conv(b, b.pair(x, 0.02f, 100), b.weights({4, 4, 1, 1}, 0.01f)));
      },
      // one scale for each input channel
      [&](Builder& b, ValueId x) {
        const ValueId w =
            add(b.graph, "DequantizeLinear", {b.codes(DType::i8, {4, 4, 1, 1}, -60, 60), b.floats({4}, 0.002f, 0.01f)},
                {{"axis", int64_t{1}}});
        add_output(b.graph, "y", b.pair(conv(b, b.pair(x, 0.02f, 100), w), 0.05f, 128));
      },
      // float weights
      [&](Builder& b, ValueId x) {
        add_output(b.graph, "y", b.pair(conv(b, b.pair(x, 0.02f, 100), b.floats({4, 4, 1, 1}, 0.5f)), 0.05f, 128));
      },
      // float input
      [&](Builder& b, ValueId x) {
        add_output(b.graph, "y", b.pair(conv(b, x, b.weights({4, 4, 1, 1}, 0.01f)), 0.05f, 128));
      },
      // another type behind it than before it
      [&](Builder& b, ValueId x) {
        const ValueId y = conv(b, b.pair(x, 0.02f, 100), b.weights({4, 4, 1, 1}, 0.01f));
        add_output(b.graph, "y", b.pair(y, 0.05f, 0, DType::i8));
      },
      // the activation is none that keeps the order
      [&](Builder& b, ValueId x) {
        const ValueId y = conv(b, b.pair(x, 0.02f, 100), b.weights({4, 4, 1, 1}, 0.01f));
        add_output(b.graph, "y", b.pair(add(b.graph, "Abs", {y}), 0.05f, 0));
      },
  };
  for (size_t i = 0; i < builds.size(); ++i) {
    const Counts counts = optimized({1, 4, 5, 5}, 0.05f, builds[i]);
    EXPECT_EQ(counts.count("QLinearConv"), 0u) << i;
    EXPECT_EQ(counts.count("Conv") + counts.count("FusedConv"), 1u) << i;
  }
}

TEST(FuseQdq, ProductsWithAndWithoutAQuantisedResult) {
  const Counts counts = optimized({3, 5, 24}, 0.1f, [](Builder& b, ValueId x) {
    const ValueId scales = b.floats({12}, 0.002f, 0.01f);
    const ValueId w =
        add(b.graph, "DequantizeLinear", {b.codes(DType::i8, {24, 12}, -80, 80), scales}, {{"axis", int64_t{1}}});
    const ValueId h = b.pair(add(b.graph, "MatMul", {b.pair(x, 0.02f, 130), w}), 0.1f, 120);
    add_output(b.graph, "y", add(b.graph, "MatMul", {h, b.weights({12, 7}, 0.01f, DType::u8)}));
  });
  EXPECT_EQ(counts, (Counts{{"QuantizeLinear", 1}, {"QLinearMatMul", 1}, {"MatMulIntegerToFloat", 1}}));
}

// Between layers that are quantised, attention stays one operator of floats, unless its inside is quantised as well.
TEST(FuseQdq, AttentionOfDequantisedOperands) {
  for (const bool quantised_inside : {false, true})
    for (const bool transposed : {false, true}) {
      const Counts counts = optimized(
          {1, 6, 24}, 0.02f,
          [&](Builder& b, ValueId x) {
            const auto heads = [&](float scale, std::vector<int64_t> order) {
              const ValueId rows = b.pair(add(b.graph, "Mul", {x, b.number(scale)}), 0.02f, 120);
              const ValueId split = add(b.graph, "Reshape", {rows, b.graph.add_ints("split", {1, 6, 3, 8})});
              return add(b.graph, "Transpose", {b.pair(split, 0.02f, 120)}, {{"perm", std::move(order)}});
            };
            const ValueId q = heads(0.9f, {0, 2, 1, 3}), v = heads(0.8f, {0, 2, 1, 3});
            const ValueId k = transposed ? b.pair(heads(0.7f, {0, 2, 3, 1}), 0.02f, 120) : heads(0.7f, {0, 2, 3, 1});
            ValueId scores = add(b.graph, "Mul", {add(b.graph, "MatMul", {q, k}), b.number(0.35f)});
            ValueId p = add(b.graph, "Softmax", {scores}, {{"axis", int64_t{-1}}});
            if (quantised_inside) p = b.pair(p, 1.0f / 255.0f, 0);
            const ValueId y = add(b.graph, "Transpose", {add(b.graph, "MatMul", {p, v})},
                                  {{"perm", std::vector<int64_t>{0, 2, 1, 3}}});
            add_output(b.graph, "y",
                       b.pair(add(b.graph, "Reshape", {y, b.graph.add_ints("whole", {1, 6, 24})}), 0.02f, 110));
          },
          OptimizationLevel::all);
      EXPECT_EQ(counts.count("Attention"), quantised_inside ? 0u : 1u);
      EXPECT_EQ(counts.count("Softmax"), quantised_inside ? 1u : 0u);
      EXPECT_EQ(counts.count("MatMulIntegerToFloat"), quantised_inside ? 1u : 0u);
    }
}

TEST(FuseQdq, Gemm) {
  for (const bool quantised : {true, false}) {
    const Counts counts = optimized({3, 24}, 0.1f, [&](Builder& b, ValueId x) {
      const ValueId w = b.weights({12, 24}, 0.01f);
      const ValueId bias = b.dequantize(b.codes(DType::i32, {12}, -3000, 3000), 0.02f * 0.01f, 0, DType::i32);
      const ValueId y = add(b.graph, "Gemm", {b.pair(x, 0.02f, 130), w, bias}, {{"transB", int64_t{1}}});
      add_output(b.graph, "y", quantised ? b.pair(y, 0.1f, 120) : y);
    });
    EXPECT_EQ(counts.at("QGemm"), 1);
    EXPECT_EQ(counts.count("Gemm"), 0u);
    EXPECT_EQ(counts.count("DequantizeLinear"), quantised ? 1u : 0u);
  }
}

TEST(FuseQdq, OperatorsOfMicrosoft) {
  struct Case {
    const char* type;
    const char* expected;
    std::vector<Attribute> attributes;
  };
  const Case cases[] = {
      {"Add", "QLinearAdd", {}},
      {"Mul", "QLinearMul", {}},
      {"Sigmoid", "QLinearSigmoid", {}},
      {"LeakyRelu", "QLinearLeakyRelu", {{"alpha", 0.2f}}},
      {"Softmax", "QLinearSoftmax", {{"axis", int64_t{1}}}},
      {"GlobalAveragePool", "QLinearGlobalAveragePool", {}},
      {"AveragePool", "QLinearAveragePool", {{"kernel_shape", std::vector<int64_t>{3, 3}}}},
      {"Concat", "QLinearConcat", {{"axis", int64_t{1}}}},
  };
  for (const Case& c : cases) {
    const std::string type = c.type;
    const bool two = type == "Add" || type == "Mul" || type == "Concat";
    const Counts counts = optimized({2, 5, 6, 4}, 0.02f, [&](Builder& b, ValueId x) {
      std::vector<ValueId> in = {b.pair(x, 0.02f, 100)};
      if (two) in.push_back(b.pair(add(b.graph, "Neg", {x}), 0.0317f, 90));
      add_output(b.graph, "y", b.pair(add(b.graph, type, in, c.attributes), 0.02f, 110));
    });
    EXPECT_EQ(counts.count(c.expected), 1u) << type;
    EXPECT_EQ(counts.count(type), 0u) << type;
  }
}

TEST(SinkDequantize, WhatMovesNumbersMovesCodes) {
  const Counts counts = optimized({2, 6, 4, 4}, 0.02f, [](Builder& b, ValueId x) {
    ValueId v = b.pair(x, 0.02f, 100);
    v = b.pair(add(b.graph, "MaxPool", {v}, {{"kernel_shape", std::vector<int64_t>{2, 2}}}), 0.02f, 100);
    v = add(b.graph, "Transpose", {v}, {{"perm", std::vector<int64_t>{0, 2, 3, 1}}});
    v = b.pair(add(b.graph, "Reshape", {v, b.graph.add_ints("shape", {2, -1})}), 0.02f, 100);
    add_output(b.graph, "y", add(b.graph, "Gather", {v, b.graph.add_ints("i", {5, 1, 3})}, {{"axis", int64_t{1}}}));
  });
  EXPECT_EQ(counts, (Counts{{"QuantizeLinear", 1},
                            {"MaxPool", 1},
                            {"Transpose", 1},
                            {"Reshape", 1},
                            {"Gather", 1},
                            {"DequantizeLinear", 1}}));
}

TEST(SinkDequantize, StaysAboveWhatOthersReadAsFloats) {
  const Counts counts = optimized({2, 6, 4}, 0.02f, [](Builder& b, ValueId x) {
    const ValueId v = b.pair(x, 0.02f, 100);
    add_output(b.graph, "a", add(b.graph, "Transpose", {v}, {{"perm", std::vector<int64_t>{0, 2, 1}}}));
    add_output(b.graph, "b", add(b.graph, "Exp", {v}));
  });
  EXPECT_EQ(counts.at("DequantizeLinear"), 1);
}

// Where(IsNaN(p), 0, p) behind a softmax that is quantised before, behind, or neither.
TEST(SinkDequantize, GuardsAgainstNanThatGuardNothing) {
  struct Case {
    bool before = false, behind = false;
    int zero = 0;
    float instead = 0;
    bool stays = false;
  };
  const Case cases[] = {{.before = true},
                        {.behind = true},
                        {.before = true, .behind = true, .zero = 7},
                        {.behind = true, .zero = 7, .stays = true},
                        {.before = true, .instead = 1, .stays = true},
                        {.stays = true}};
  for (const Case& c : cases) {
    const Counts counts = optimized(
        {2, 6, 4}, 1.0f / 255,
        [&](Builder& b, ValueId x) {
          // Infinities of one sign in all of a row make it NaN.
          const ValueId zeros = add(b.graph, "Mul", {x, b.number(0)});
          const ValueId lowest = add(b.graph, "Log", {zeros});
          const ValueId row =
              add(b.graph, "Slice",
                  {lowest, b.graph.add_ints("s", {0}), b.graph.add_ints("e", {1}), b.graph.add_ints("a", {1})});
          const ValueId rest =
              add(b.graph, "Slice",
                  {x, b.graph.add_ints("s", {1}), b.graph.add_ints("e", {6}), b.graph.add_ints("a", {1})});
          ValueId p = add(b.graph, "Softmax", {add(b.graph, "Concat", {row, rest}, {{"axis", int64_t{1}}})},
                          {{"axis", int64_t{2}}});
          if (c.before) p = b.pair(p, 1.0f / 255, 0);
          ValueId y = add(b.graph, "Where", {add(b.graph, "IsNaN", {p}), b.number(c.instead), p});
          if (c.behind) y = b.pair(y, 1.0f / 255, c.zero);
          add_output(b.graph, "y", add(b.graph, "Erf", {y}));
        },
        OptimizationLevel::all);
    EXPECT_EQ(counts.count("IsNaN"), c.stays ? 1u : 0u) << "case " << &c - cases;
  }
}

TEST(SinkDequantize, AnotherScaleIsNotTheSame) {
  const Counts counts = optimized({2, 6, 4}, 0.03f, [](Builder& b, ValueId x) {
    const ValueId v = add(b.graph, "Transpose", {b.pair(x, 0.02f, 100)}, {{"perm", std::vector<int64_t>{0, 2, 1}}});
    add_output(b.graph, "y", b.pair(v, 0.03f, 100));
  });
  EXPECT_EQ(counts.at("QuantizeLinear"), 2);
}

// GELU as exporters write it, its parts quantised or not: a function of the codes in front of it.
TEST(TabulateCodes, FunctionsOfOneCode) {
  struct Case {
    bool quantised_inside = true, by_channel = false, read_inside = false, two_sources = false;
    int tables = 1;
  };
  const std::vector<Case> cases = {{},
                                   {.quantised_inside = false},
                                   {.quantised_inside = false, .by_channel = true, .tables = 0},
                                   {.quantised_inside = false, .read_inside = true},
                                   {.read_inside = true, .tables = 2},
                                   {.two_sources = true, .tables = 2}};
  for (const Case& c : cases) {
    const Counts counts = optimized(
        {2, 5, 6}, 0.02f,
        [&](Builder& b, ValueId x) {
          const auto part = [&](ValueId v, float scale, int zero) {
            return c.quantised_inside ? b.pair(v, scale, zero) : v;
          };
          const ValueId v = b.pair(x, 0.02f, 100);
          const ValueId other = c.two_sources ? b.pair(add(b.graph, "Neg", {x}), 0.02f, 120) : v;
          const ValueId one = c.by_channel ? b.floats({6}, 0.5f, 1) : b.number(1);
          const ValueId erf = part(add(b.graph, "Erf", {add(b.graph, "Div", {v, b.number(1.41421f)})}), 0.0078f, 128);
          const ValueId sum = part(add(b.graph, "Add", {erf, one}), 0.0078f, 0);
          if (c.read_inside) add_output(b.graph, "inside", add(b.graph, "Transpose", {sum}));
          const ValueId product = part(add(b.graph, "Mul", {other, sum}), 0.03f, 20);
          add_output(b.graph, "y", b.pair(add(b.graph, "Mul", {product, b.number(0.5f)}), 0.02f, 30));
        },
        OptimizationLevel::all);
    SCOPED_TRACE(&c - cases.data());
    SCOPED_TRACE(testing::PrintToString(counts));
    EXPECT_EQ(counts.count("MapCodes") ? counts.at("MapCodes") : 0, c.tables);
    EXPECT_EQ(counts.count("Erf") + counts.count("Elementwise"),
              c.tables == 0 || (c.read_inside && !c.quantised_inside) ? 1u : 0u);
  }
}

TEST(TabulateCodes, OneNodeThatWouldMakeItsTableInEachRun) {
  for (const char* op_type : {"QLinearLeakyRelu", "QLinearSigmoid"}) {
    const Counts counts = optimized(
        {2, 5, 6}, 0.01f,
        [&](Builder& b, ValueId x) {
          Node node;
          node.domain = "com.microsoft";
          node.op_type = op_type;
          node.version = 1;
          node.inputs = {b.quantize(x, 0.02f, 100), b.number(0.02f), b.zero(DType::u8, 100), b.number(0.01f),
                         b.zero(DType::u8, 7)};
          add_output(b.graph, "y", b.dequantize(b.graph.add_node(std::move(node), "codes"), 0.01f, 7));
        },
        OptimizationLevel::all);
    EXPECT_EQ(counts.count("MapCodes"), 1u) << op_type;
  }
}

TEST(FoldDequantized, WeightsOfAFloatConvolution) {
  const Counts counts = optimized({1, 16, 5, 5}, 0.0f, [](Builder& b, ValueId x) {
    add_output(b.graph, "y", add(b.graph, "Conv", {x, b.weights({16, 16, 3, 3}, 0.01f)}));
  });
  EXPECT_EQ(counts.count("DequantizeLinear"), 0u);
}

// Models as onnxruntime's quantiser writes them.
TEST(FuseQdq, RealExports) {
  const char* shared = std::getenv("LINNET_SHARED");
  const std::filesystem::path root = std::filesystem::path(shared ? shared : "../shared") / "models";
  if (!std::filesystem::exists(root)) GTEST_SKIP() << "no models in " << root << "; set LINNET_SHARED";
  struct Case {
    const char* model;
    Counts expected;  // of the operators named
  };
  const Case cases[] = {
      {"qdq_s8s8_channels_resnet",
       {{"QLinearConv", 12}, {"QLinearAdd", 3}, {"QGemm", 1}, {"Conv", 0}, {"Transpose", 2}}},
      {"qdq_u8s8_resnet", {{"QLinearConv", 9}, {"QLinearAdd", 3}, {"QGemm", 1}, {"Conv", 0}, {"Transpose", 2}}},
      {"qdq_u8u8_vit",
       {{"QLinearMatMul", 16},
        {"MatMul", 0},
        {"QLinearAdd", 17},
        {"QLinearSoftmax", 2},
        {"Softmax", 0},
        {"MapCodes", 2},
        {"Erf", 0}}},
      {"qoperator_u8s8_squeeze", {{"QLinearConv", 19}, {"Transpose", 2}}},
  };
  for (const Case& c : cases) {
    ModelSource source;
    source.path = root / c.model / "model.onnx";
    const Result<LoadedGraph> loaded = load_graph(source, {});
    ASSERT_TRUE(loaded.ok()) << loaded.status().message();
    ASSERT_TRUE(optimize(*loaded->graph, *loaded->symbols, {}).ok());
    Counts counts = operators(*loaded->graph);
    for (const auto& [type, count] : c.expected) EXPECT_EQ(counts[type], count) << c.model << ' ' << type;
  }
}

// Full-size networks of the panel (LINNET_PANEL, or where its setup puts them).
TEST(FuseQdq, FullSizeNetworks) {
  const char *panel = std::getenv("LINNET_PANEL"), *home = std::getenv("HOME");
  const std::filesystem::path root =
      (panel ? std::filesystem::path(panel) : std::filesystem::path(home ? home : "") / ".cache/linnet-panel") /
      "models";
  if (!std::filesystem::exists(root / "mobilenet_v2_qdq.onnx"))
    GTEST_SKIP() << "no panel in " << root << "; set LINNET_PANEL";
  const std::pair<const char*, Counts> cases[] = {
      {"resnet50_qdq",
       {{"QLinearConv", 53}, {"QLinearAdd", 16}, {"QGemm", 1}, {"MaxPool", 1}, {"DequantizeLinear", 1}}},
      {"mobilenet_v2_qdq", {{"QLinearConv", 52}, {"QLinearAdd", 10}, {"QGemm", 1}, {"DequantizeLinear", 1}}},
  };
  for (const auto& [name, expected] : cases) {
    ModelSource source;
    source.path = root / (std::string(name) + ".onnx");
    const Result<LoadedGraph> loaded = load_graph(source, {});
    ASSERT_TRUE(loaded.ok()) << loaded.status().message();
    ASSERT_TRUE(optimize(*loaded->graph, *loaded->symbols, {}).ok());
    Counts counts = operators(*loaded->graph);
    for (const auto& [type, count] : expected) EXPECT_EQ(counts[type], count) << name << ' ' << type;
    EXPECT_EQ(counts["QuantizeLinear"], 1) << name;
    EXPECT_EQ(counts["Conv"] + counts["FusedConv"], 0) << name;
  }
}

}  // namespace
}  // namespace linnet
