// Chains of functions of elements: what is taken, what is left, and that the results are those of the nodes, bit for
// bit.
#include <cstring>
#include <limits>
#include <random>

#include <gtest/gtest.h>

#include "kernels/each_isa.h"
#include "ops/float_scratch.h"
#include "optimize/rewritten.h"

namespace linnet {
namespace {

OptimizeOptions only_chains() {
  OptimizeOptions options;
  for (const Pass& pass : all_passes())
    if (pass.name != "fuse_elementwise") options.disabled.emplace(pass.name);
  return options;
}

using Elements = std::vector<std::byte>;
std::vector<Elements> bytes_of(const std::shared_ptr<const Model>& model, const std::vector<Tensor>& inputs,
                               size_t threads) {
  Session session(std::make_shared<Engine>(threads), model);
  std::vector<Value> out(model->outputs.size()), in(inputs.begin(), inputs.end());
  const Status status = session.run(std::move(in), out);
  EXPECT_TRUE(status.ok()) << status.message();
  std::vector<Elements> all;
  for (const Value& v : out) {
    const auto* data = static_cast<const std::byte*>(v.tensor.data);
    all.emplace_back(data, data + v.tensor.bytes());
  }
  return all;
}

Tensor converted(const Tensor& from, DType type) {
  Tensor to = make_tensor(type, from.shape).value();
  cast(number_type(from.dtype), from.data, number_type(type), to.data, static_cast<size_t>(from.count()), {},
       Parallel());
  return to;
}

// A random graph over one shape: floats of a type, truth values, casts of integers and of other floats, operands that
// broadcast in all ways, and now and then a node that is no function of elements.
class RandomGraph {
 public:
  RandomGraph(unsigned seed, Shape shape, DType type) : random_(seed), shape_(std::move(shape)), type_(type) {}

  void build(Graph& g) {
    for (int i = 0; i < 2; ++i) floats_.push_back(input(g, type_, shape_));
    floats_.push_back(cast(g, input(g, DType::u8, shape_), type_));
    floats_.push_back(cast(g, input(g, DType::i64, shape_), type_));
    bools_.push_back(add(g, "Less", {floats_[0], floats_[1]}));
    bools_.push_back(cast(g, floats_[2], DType::boolean));
    const int steps = 4 + below(30);
    for (int i = 0; i < steps; ++i) step(g);
    for (size_t i = 0; i < floats_.size(); ++i)
      if (g.uses(floats_[i]).empty() || below(8) == 0) add_output(g, "y" + std::to_string(i), floats_[i]);
    add_output(g, "b", bools_.back());
    add_output(g, "n", cast(g, floats_.back(), DType::i32));
  }
  // For what build() has asked for.
  std::vector<Tensor> inputs() {
    std::vector<Tensor> all;
    for (const auto& [type, shape] : asked_) {
      Tensor t = make_tensor(type, shape).value();
      for (int64_t i = 0; i < t.count(); ++i) {
        const float x = std::uniform_real_distribution<float>(-4, 4)(random_);
        if (type == DType::u8) t.ptr<uint8_t>()[i] = static_cast<uint8_t>(below(256));
        if (type == DType::boolean) t.ptr<bool>()[i] = below(2) == 0;
        if (type == DType::i64) t.ptr<int64_t>()[i] = below(1000) - 500;
        if (type == DType::f32) t.ptr<float>()[i] = below(40) == 0 ? kOdd[below(std::size(kOdd))] : x;
        if (type == DType::f16) t.ptr<f16>()[i] = f16(x);
        if (type == DType::bf16) t.ptr<bf16>()[i] = bf16(x);
        // Any bits at all: subnormal numbers, infinities, every NaN.
        if (is_half(type) && below(30) == 0) t.ptr<f16>()[i].bits = static_cast<uint16_t>(below(0x10000));
        if (is_half(type) && below(60) == 0) t.ptr<f16>()[i].bits |= type == DType::f16 ? 0x7c00 : 0x7f80;
      }
      all.push_back(std::move(t));
    }
    return all;
  }

 private:
  static constexpr float kOdd[] = {0.0f,
                                   -0.0f,
                                   1e30f,
                                   -50000.0f,
                                   1e-40f,
                                   std::numeric_limits<float>::infinity(),
                                   -std::numeric_limits<float>::infinity(),
                                   std::numeric_limits<float>::quiet_NaN()};

  int below(size_t n) { return static_cast<int>(random_() % n); }
  ValueId input(Graph& g, DType type, const Shape& shape) {
    asked_.emplace_back(type, shape);
    return add_input(g, "x" + std::to_string(asked_.size()), type, SymShape(shape));
  }
  ValueId cast(Graph& g, ValueId x, DType to) { return add(g, "Cast", {x}, {{"to", static_cast<int64_t>(to)}}); }
  ValueId any(const std::vector<ValueId>& from) {
    // The newest more often than not.
    return below(2) == 0 ? from.back() : from[static_cast<size_t>(below(from.size()))];
  }
  ValueId constant(Graph& g, const Tensor& numbers) { return g.add_constant("c", converted(numbers, type_)); }
  ValueId scalar(Graph& g, float value) { return constant(g, tensor_of<float>({}, {value})); }
  // An operand that may broadcast.
  ValueId operand(Graph& g, bool numbers = true) {
    if (below(2) == 0) return any(numbers ? floats_ : bools_);
    const size_t leading = static_cast<size_t>(below(shape_.rank() + 1));
    Shape made;
    for (size_t i = leading; i < shape_.rank(); ++i) made.push_back(below(2) == 0 ? 1 : shape_[i]);
    if (below(2) == 0 || !numbers) return input(g, numbers ? type_ : DType::boolean, made);
    return constant(g, wave(made, 2, below(100)));
  }
  // Of another type, and back.
  void other_floats(Graph& g) {
    const DType types[] = {DType::f32, DType::f16, DType::bf16, DType::f64, DType::i32};
    ValueId x = cast(g, any(floats_), types[below(std::size(types))]);
    if (below(4) == 0) add_output(g, "o" + std::to_string(floats_.size()), x);
    if (below(2) == 0) x = add(g, "Mul", {x, x});
    floats_.push_back(cast(g, x, type_));
  }
  void step(Graph& g) {
    static constexpr const char* kUnary[] = {"Abs",  "Neg",   "Relu", "Sqrt",    "Exp",     "Log",
                                             "Sin",  "Cos",   "Tanh", "Erf",     "Elu",     "Gelu",
                                             "Sign", "Floor", "Mish", "Sigmoid", "Softplus"};
    static constexpr const char* kBinary[] = {"Add", "Sub", "Mul", "Div", "PRelu", "Max", "Min", "Sum"};
    static constexpr const char* kCompare[] = {"Less", "Greater", "Equal", "LessOrEqual", "GreaterOrEqual"};
    static constexpr const char* kLogical[] = {"And", "Or", "Xor"};
    switch (below(12)) {
      case 0:
      case 1:
      case 2: return floats_.push_back(add(g, kUnary[below(std::size(kUnary))], {any(floats_)}));
      case 3: return floats_.push_back(add(g, "LeakyRelu", {any(floats_)}, {{"alpha", 0.3f}}));
      case 4: return floats_.push_back(add(g, "Clip", {any(floats_), scalar(g, -1.5f), scalar(g, 2.5f)}));
      case 5: return bools_.push_back(add(g, kCompare[below(std::size(kCompare))], {any(floats_), operand(g)}));
      case 6:
        if (below(3) == 0) return bools_.push_back(add(g, "Not", {any(bools_)}));
        return bools_.push_back(add(g, kLogical[below(std::size(kLogical))], {any(bools_), operand(g, false)}));
      case 7: return floats_.push_back(add(g, "Where", {operand(g, false), any(floats_), operand(g)}));
      case 8: {
        const float powers[] = {2, 3, 0.5f, -0.5f, -1, 1.7f};
        return floats_.push_back(add(g, "Pow", {any(floats_), scalar(g, powers[below(std::size(powers))])}));
      }
      case 9:
        if (below(3) == 0) return floats_.push_back(add(g, "Softmax", {any(floats_)}));
        if (below(2) == 0) return other_floats(g);
        return floats_.push_back(cast(g, any(bools_), type_));
      default:
        return floats_.push_back(
            add(g, kBinary[below(std::size(kBinary))], {any(floats_), below(6) == 0 ? floats_.back() : operand(g)}));
    }
  }

  std::mt19937 random_;
  Shape shape_;
  DType type_;
  std::vector<std::pair<DType, Shape>> asked_;
  std::vector<ValueId> floats_, bools_;
};

TEST(FuseElementwise, GivesTheBitsOfTheNodes) {
  const Shape shapes[] = {{2, 3, 5}, {1}, {0, 7}, {4, 33, 130}, {3, 9000}, {70, 1, 200}, {2, 5, 7, 3}, {5000, 2}};
  size_t fused = 0;
  for (unsigned seed = 0; seed < 192; ++seed) {
    SCOPED_TRACE(seed);
    const Shape& shape = shapes[seed % std::size(shapes)];
    const DType type = seed < 96 ? DType::f32 : seed < 144 ? DType::f16 : DType::bf16;
    Graph plain, chained;
    RandomGraph(seed, shape, type).build(plain);
    RandomGraph maker(seed, shape, type);
    maker.build(chained);
    SymbolTable symbols(true);
    ASSERT_TRUE(chained.sort().ok());
    const auto reports = optimize(chained, symbols, only_chains());
    ASSERT_TRUE(reports.ok()) << reports.status().message();
    fused += count_of(chained, "Elementwise");
    const auto before = model_of(plain), after = model_of(chained);
    ASSERT_TRUE(before.ok() && after.ok()) << before.status().message() << after.status().message();
    const std::vector<Tensor> inputs = maker.inputs();
    for_each_isa([&] {
      const std::vector<Elements> wanted = bytes_of(*before, inputs, 1);
      for (const size_t threads : {1u, 3u}) {
        const std::vector<Elements> got = bytes_of(*after, inputs, threads);
        for (size_t o = 0; o < wanted.size(); ++o) {
          ASSERT_EQ(got[o].size(), wanted[o].size());
          const auto odd = std::mismatch(got[o].begin(), got[o].end(), wanted[o].begin());
          ASSERT_EQ(odd.first, got[o].end())
              << "output " << o << ", byte " << odd.first - got[o].begin() << ", " << threads << " threads";
        }
      }
    });
  }
  EXPECT_GE(fused, 240u);
}

struct Case {
  const char* name;
  std::function<void(Graph&, ValueId, ValueId)> make;  // of x: [4, 6] and row: [6]
  Counts left;
};

ValueId product(Graph& g, ValueId x) { return add(g, "MatMul", {x, g.add_constant("w", wave({6, 6}, 1))}); }

const std::vector<Case> kCases = {
    {"a chain",
     [](Graph& g, ValueId x, ValueId row) {
       add_output(g, "y", add(g, "Sqrt", {add(g, "Abs", {add(g, "Mul", {x, row})})}));
     },
     {{"Elementwise", 1}}},
    {"an activation times a value, and one times what it is of",
     [](Graph& g, ValueId x, ValueId) {
       add_output(g, "y", add(g, "Mul", {add(g, "LeakyRelu", {x}, {{"alpha", 0.3f}}), product(g, x)}));
       add_output(g, "z", add(g, "Mul", {add(g, "Tanh", {x}), x}));
     },
     {{"MatMul", 1}, {"Elementwise", 2}}},
    {"a value that is an output, too",
     [](Graph& g, ValueId x, ValueId) {
       const ValueId t = add(g, "Tanh", {x});
       add_output(g, "t", t);
       add_output(g, "y", add(g, "Neg", {t}));
     },
     {{"Elementwise", 1}}},
    {"a value that another node reads, too",
     [](Graph& g, ValueId x, ValueId) {
       const ValueId t = add(g, "Tanh", {x});
       add_output(g, "y", add(g, "Neg", {t}));
       add_output(g, "p", product(g, t));
     },
     {{"Elementwise", 1}, {"MatMul", 1}}},
    {"both ends of a product",
     [](Graph& g, ValueId x, ValueId) {
       const ValueId t = add(g, "Tanh", {x});
       add_output(g, "y", add(g, "Add", {t, product(g, t)}));
     },
     {{"Tanh", 1}, {"MatMul", 1}, {"Add", 1}}},
    {"before and behind a product",
     [](Graph& g, ValueId x, ValueId) {
       const ValueId t = add(g, "Neg", {add(g, "Tanh", {x})});
       add_output(g, "y", add(g, "Add", {t, add(g, "Exp", {product(g, t)})}));
     },
     {{"Elementwise", 2}, {"MatMul", 1}}},
    {"two that each need the other's first",
     [](Graph& g, ValueId x, ValueId) {
       const ValueId a = add(g, "Tanh", {x}), b = add(g, "Neg", {x});
       const ValueId left = product(g, a), right = product(g, b);
       add_output(g, "y", add(g, "Add", {a, right}));
       add_output(g, "z", add(g, "Mul", {b, left}));
     },
     {{"Tanh", 1}, {"Neg", 1}, {"MatMul", 2}, {"Add", 1}, {"Mul", 1}}},
    {"one node",
     [](Graph& g, ValueId x, ValueId row) {
       add_output(g, "y", add(g, "Mul", {x, row}));
     },
     {{"Mul", 1}}},
    {"a row that broadcasts",
     [](Graph& g, ValueId x, ValueId row) {
       add_output(g, "y", add(g, "Mul", {x, add(g, "Exp", {row})}));
     },
     {{"Exp", 1}, {"Mul", 1}}},
    {"integers",
     [](Graph& g, ValueId x, ValueId) {
       const ValueId whole = add(g, "Cast", {product(g, x)}, {{"to", int64_t{6}}});
       add_output(g, "y", add(g, "Abs", {add(g, "Neg", {whole})}));
     },
     {{"MatMul", 1}, {"Cast", 1}, {"Neg", 1}, {"Abs", 1}}},
    {"a power that is computed",
     [](Graph& g, ValueId x, ValueId row) {
       add_output(g, "y", add(g, "Pow", {add(g, "Abs", {x}), row}));
     },
     {{"Abs", 1}, {"Pow", 1}}},
    {"limits that are computed",
     [](Graph& g, ValueId x, ValueId row) {
       add_output(g, "y", add(g, "Clip", {add(g, "Neg", {x}), add(g, "ReduceMin", {row}, {{"keepdims", int64_t{0}}})}));
     },
     {{"Neg", 1}, {"ReduceMin", 1}, {"Clip", 1}}},
    {"numbers of the oldest broadcasting",
     [](Graph& g, ValueId x, ValueId row) {
       const std::vector<Attribute> axis = {{"broadcast", int64_t{1}}, {"axis", int64_t{1}}};
       add_output(g, "y", add(g, "Add", {add(g, "Mul", {x, row}, axis, 6), row}, axis, 6));
     },
     {{"Mul", 1}, {"Add", 1}}},
};

const std::function<void(Graph&, ValueId, ValueId)>& case_of(std::string_view name) {
  return std::find_if(kCases.begin(), kCases.end(), [&](const Case& c) { return c.name == name; })->make;
}

TEST(FuseElementwise, TakesWhatOneNodeCanDo) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    expect_rewritten(
        [&](Graph& g, SymbolTable&) {
          const ValueId x = add_input(g, "x", DType::f32, {Dim(4), Dim(6)}),
                        row = add_input(g, "row", DType::f32, {Dim(6)});
          c.make(g, x, row);
          ASSERT_TRUE(g.sort().ok());
        },
        {{wave({4, 6}, 2, 1), wave({6}, 2, 2)}}, [&](const Graph& g) { EXPECT_EQ(operators(g), c.left); },
        only_chains(), 0.0f);
  }
}

TEST(FuseElementwise, TakesSizesThatAreNotKnown) {
  const auto build = [](Graph& g, SymbolTable& symbols) {
    const Dim n = symbols.named("n");
    const ValueId x = add_input(g, "x", DType::f32, {n, Dim(3)}), y = add_input(g, "y", DType::f32, {n, Dim(1)});
    add_output(g, "z", add(g, "Relu", {add(g, "Add", {x, y})}));
  };
  expect_rewritten(
      build, {{wave({5, 3}, 2, 1), wave({5, 1}, 2, 2)}, {wave({1, 3}, 2, 1), wave({1, 1}, 2, 2)}},
      [](const Graph& g) {
        EXPECT_EQ(operators(g), (Counts{{"Elementwise", 1}}));
      },
      only_chains(), 0.0f);
}

struct HalfCase {
  const char* name;
  std::function<ValueId(Graph&, ValueId, ValueId, DType)> make;  // of x: [40, 7] and row: [7]
  Counts left;
};

ValueId half_number(Graph& g, float value, DType type) {
  return g.add_constant("c", converted(tensor_of<float>({}, {value}), type));
}

const std::vector<HalfCase> kHalfCases = {
    {"arithmetic with a row",
     [](Graph& g, ValueId x, ValueId row, DType) {
       return add(g, "Mul", {add(g, "Add", {add(g, "Mul", {x, row}), row}), x});
     },
     {{"Elementwise", 1}}},
    {"the range of a type",
     [](Graph& g, ValueId x, ValueId, DType) {
       return add(g, "Neg", {add(g, "Clip", {add(g, "Mul", {x, x})})});
     },
     {{"Elementwise", 1}}},
    {"limits of which one is no number of the type",
     [](Graph& g, ValueId x, ValueId, DType type) {
       const ValueId low = number(g, -0.33f);
       return add(g, "Add", {add(g, "Clip", {x, low, half_number(g, 2.5f, type)}), x});
     },
     {{"Elementwise", 1}}},
    {"powers",
     [](Graph& g, ValueId x, ValueId, DType type) {
       ValueId y = x;
       for (const float power : {2.0f, 0.5f, 1.7f, 3.0f, -0.5f, -1.0f})
         y = add(g, "Pow", {y, half_number(g, power, type)});
       return y;
     },
     {{"Elementwise", 1}}},
    {"powers of other types",
     [](Graph& g, ValueId x, ValueId, DType) {
       const ValueId two = g.add_constant("two", tensor_of<int64_t>({}, {2}));
       const ValueId y = add(g, "Pow", {add(g, "Neg", {x}), two});
       return add(g, "Abs", {add(g, "Pow", {y, number(g, 1.7f)})});
     },
     {{"Elementwise", 1}, {"Pow", 1}, {"Abs", 1}}},
    {"activations",
     [](Graph& g, ValueId x, ValueId row, DType) {
       const ValueId y = add(g, "Gelu", {x}, {{"approximate", "tanh"}});
       const ValueId z = add(g, "Sum", {add(g, "HardSwish", {y}), row, x});
       return add(g, "Sigmoid", {add(g, "PRelu", {z, row})});
     },
     {{"Elementwise", 1}}},
    {"choices of what is given",
     [](Graph& g, ValueId x, ValueId row, DType) {
       return add(g, "Where", {add(g, "Less", {x, row}), x, row});
     },
     {{"Elementwise", 1}}},
    {"floats in between",
     [](Graph& g, ValueId x, ValueId row, DType type) {
       const ValueId wide = add(g, "Cast", {x}, {{"to", int64_t{1}}});
       const ValueId y = add(g, "Exp", {add(g, "Mul", {wide, wide})});
       return add(g, "Mul", {add(g, "Cast", {y}, {{"to", static_cast<int64_t>(type)}}), row});
     },
     {{"Elementwise", 1}}},
    {"truth values",
     [](Graph& g, ValueId x, ValueId row, DType type) {
       const ValueId above = add(g, "Cast", {add(g, "Greater", {x, row})}, {{"to", static_cast<int64_t>(type)}});
       return add(g, "Mul", {add(g, "Sub", {half_number(g, 1, type), above}), half_number(g, -50000, type)});
     },
     {{"Elementwise", 1}}},
    {"doubles",
     [](Graph& g, ValueId x, ValueId, DType) {
       return add(g, "Neg", {add(g, "Abs", {add(g, "Cast", {x}, {{"to", int64_t{11}}})})});
     },
     {{"Cast", 1}, {"Abs", 1}, {"Neg", 1}}},
    {"one node",
     [](Graph& g, ValueId x, ValueId row, DType) {
       return add(g, "Mul", {x, row});
     },
     {{"Mul", 1}}},
    {"a row that broadcasts",
     [](Graph& g, ValueId x, ValueId row, DType) {
       return add(g, "Mul", {x, add(g, "Exp", {row})});
     },
     {{"Exp", 1}, {"Mul", 1}}},
    {"limits that are computed",
     [](Graph& g, ValueId x, ValueId row, DType) {
       return add(g, "Clip", {add(g, "Neg", {x}), add(g, "ReduceMin", {row}, {{"keepdims", int64_t{0}}})});
     },
     {{"Neg", 1}, {"ReduceMin", 1}, {"Clip", 1}}},
};

TEST(FuseElementwise, GivesTheBitsOfTheNodesIn16Bits) {
  for (const DType type : {DType::f16, DType::bf16}) {
    std::vector<Tensor> inputs = {make_tensor(type, {40, 7}).value(), make_tensor(type, {7}).value()};
    for (Tensor& t : inputs)  // of all bits there are, and of those that are numbers near 1
      for (int64_t i = 0; i < t.count(); ++i)
        t.ptr<f16>()[i].bits = static_cast<uint16_t>(i % 2 == 0 ? i * 12007 : 0x3c00 + i * 31 - (i % 4 / 2 << 15));
    for (const HalfCase& c : kHalfCases) {
      SCOPED_TRACE(std::string(c.name) + " of " + std::string(dtype_name(type)));
      Graph plain, chained;
      for (Graph* g : {&plain, &chained}) {
        const ValueId x = add_input(*g, "x", type, {Dim(40), Dim(7)}), row = add_input(*g, "row", type, {Dim(7)});
        add_output(*g, "y", c.make(*g, x, row, type));
        ASSERT_TRUE(g->sort().ok());
      }
      SymbolTable symbols(true);
      ASSERT_TRUE(optimize(chained, symbols, only_chains()).ok());
      EXPECT_EQ(operators(chained), c.left);
      const auto before = model_of(plain), after = model_of(chained);
      ASSERT_TRUE(before.ok() && after.ok()) << before.status().message() << after.status().message();
      for_each_isa([&] { EXPECT_EQ(bytes_of(*before, inputs, 1), bytes_of(*after, inputs, 2)); });
    }
  }
}

TEST(FuseElementwise, ReportsWhatItDidNotTake) {
  const auto reasons = [](auto make) {
    Graph g;
    make(g, add_input(g, "x", DType::f32, {Dim(4), Dim(6)}), add_input(g, "row", DType::f32, {Dim(6)}));
    EXPECT_TRUE(g.sort().ok());
    SymbolTable symbols(true);
    OptimizeOptions options = only_chains();
    options.explain = true;
    std::string all;
    const std::vector<PassReport> reports = optimize(g, symbols, options).value();
    for (const PassReport& report : reports)
      for (const NearMiss& miss : report.misses) all += miss.reason + "; ";
    return all;
  };
  EXPECT_EQ(reasons(case_of("a row that broadcasts")), "what it reads is of another shape and broadcasts; ");
  EXPECT_EQ(reasons(case_of("both ends of a product")), "other nodes stand between it and what it reads; ");
}

// In a file that somebody else has written, a function of one number may be given less than the result's shape.
TEST(FuseElementwise, RefusesAFunctionOfOneNumberThatBroadcasts) {
  Graph g;
  Node node;
  node.domain = "linnet";
  node.op_type = "Elementwise";
  node.version = 1;
  node.inputs = {add_input(g, "x", DType::f32, {Dim(4)}), add_input(g, "y", DType::f32, {Dim(1)})};
  node.set("functions", std::vector<std::string>{"Neg", "Add"});
  node.set("operands", std::vector<int64_t>{1, 0, 2});
  node.set("results", std::vector<int64_t>{1});
  add_output(g, "z", g.add_node(std::move(node), "z"));
  ASSERT_TRUE(g.sort().ok());
  const auto model = model_of(g);
  ASSERT_TRUE(model.ok()) << model.status().message();
  Session session(std::make_shared<Engine>(1), *model);
  std::vector<Value> out(1), in = {wave({4}, 1), wave({1}, 1)};
  const Status status = session.run(std::move(in), out);
  EXPECT_NE(status.message().find("function of one number"), std::string::npos) << status.message();
}

// What a file may say of the operator itself.
TEST(FuseElementwise, RefusesWhatIsNoChain) {
  using Ints = std::vector<int64_t>;
  using Texts = std::vector<std::string>;
  const auto status = [](Texts functions, Ints operands, Ints results, std::vector<Attribute> more = {}) {
    Graph g;
    const ValueId x = add_input(g, "x", DType::f32, {Dim(4)}), y = add_input(g, "y", DType::boolean, {Dim(4)});
    more.insert(more.end(), {{"functions", functions}, {"operands", operands}, {"results", results}});
    Node node;
    node.domain = "linnet";
    node.op_type = "Elementwise";
    node.version = 1;
    node.inputs = {x, y};
    node.attributes = more;
    add_output(g, "z", g.add_node(std::move(node), "z"));
    EXPECT_TRUE(g.sort().ok());
    return model_of(g).status();
  };
  EXPECT_TRUE(status({"Neg", "Where"}, {0, 1, 2, 0}, {1}).ok());
  EXPECT_FALSE(status({}, {}, {0}).ok());
  EXPECT_FALSE(status({"Conv"}, {0}, {0}).ok());
  EXPECT_FALSE(status({"Add"}, {0}, {0}).ok());
  EXPECT_FALSE(status({"Neg"}, {0, 0}, {0}).ok());
  EXPECT_FALSE(status({"Neg"}, {2}, {0}).ok());
  EXPECT_FALSE(status({"Neg"}, {-1}, {0}).ok());
  EXPECT_FALSE(status({"Neg"}, {0}, {1}).ok());
  EXPECT_FALSE(status({"Neg"}, {0}, {0, 0}).ok());
  EXPECT_FALSE(status({"Neg"}, {1}, {0}).ok());
  EXPECT_FALSE(status({"Add"}, {0, 1}, {0}).ok());
  EXPECT_FALSE(status({"Greater", "Neg"}, {0, 0, 2}, {1}).ok());
  EXPECT_FALSE(status({"Cast"}, {0}, {0}, {{"parameters", std::vector<float>{8, 0}}}).ok());
  EXPECT_FALSE(status({"Cast"}, {0}, {0}, {{"parameters", std::vector<float>{NAN, 0}}}).ok());
  EXPECT_FALSE(status({"Neg"}, {0}, {0}, {{"parameters", std::vector<float>{1}}}).ok());
  EXPECT_TRUE(status({"Cast"}, {1}, {0}, {{"parameters", std::vector<float>{7, 0}}}).ok());
  EXPECT_TRUE(status({"Neg", "Where"}, {0, 1, 2, 0}, {1}, {{"types", Ints{1, 1}}}).ok());
  EXPECT_FALSE(status({"Neg", "Where"}, {0, 1, 2, 0}, {1}, {{"types", Ints{1}}}).ok());
  EXPECT_FALSE(status({"Neg", "Where"}, {0, 1, 2, 0}, {1}, {{"types", Ints{1, 10}}}).ok());
  EXPECT_FALSE(status({"Neg"}, {0}, {0}, {{"types", Ints{10}}}).ok());
  EXPECT_FALSE(status({"Neg"}, {0}, {0}, {{"types", Ints{7}}}).ok());
  EXPECT_FALSE(status({"Neg"}, {0}, {0}, {{"types", Ints{-1}}}).ok());
  for (const int64_t no_type : {int64_t{kDTypeCount}, int64_t{31}, INT64_MAX})
    EXPECT_NE(status({"Neg"}, {0}, {0}, {{"types", Ints{no_type}}}).message().find("undefined"), std::string::npos);
  EXPECT_FALSE(status({"Not"}, {1}, {0}, {{"types", Ints{1}}}).ok());
  EXPECT_TRUE(status({"Cast"}, {1}, {0}, {{"parameters", std::vector<float>{7, 0}}, {"types", Ints{9}}}).ok());
  EXPECT_FALSE(status({"Cast"}, {1}, {0}, {{"parameters", std::vector<float>{7, 0}}, {"types", Ints{8}}}).ok());
}

}  // namespace
}  // namespace linnet
