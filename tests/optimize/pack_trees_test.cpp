// Trees in constants give the same bits as trees in lists, and damaged constants are refused.
#include <cstring>
#include <random>

#include "ops/ml/packed_trees.h"
#include "rewritten.h"

namespace linnet {
namespace {

using Ints = std::vector<int64_t>;
using Floats = std::vector<float>;
using Texts = std::vector<std::string>;

constexpr int64_t kFeatures = 5;

struct Forest {
  std::string op = "TreeEnsembleClassifier";
  DType dtype = DType::f32;
  int64_t targets = 3;
  Texts modes = {"BRANCH_LEQ"};
  bool nan = false;
  bool one_target = false;  // all votes are for the last
  bool some_leaves_vote = false;
  std::vector<Attribute> more = {};
};

// The lists of by-id trees, their nodes in the order of a walk.
struct Lists {
  explicit Lists(const Forest& forest) : forest_(forest) {
    for (tree_ = 0; tree_ < 9; ++tree_) {
      next_ = 0;
      add(static_cast<int>(tree_ % 5));
    }
  }

  std::vector<Attribute> attributes() const {
    const bool classifies = forest_.op == "TreeEnsembleClassifier";
    const std::string votes = classifies ? "class_" : "target_";
    std::vector<Attribute> all = {{"nodes_treeids", trees_},        {"nodes_nodeids", ids_},
                                  {"nodes_featureids", tested_},    {"nodes_truenodeids", pass_},
                                  {"nodes_falsenodeids", fail_},    {"nodes_modes", modes_},
                                  {"nodes_values", values_},        {"nodes_hitrates", Floats(ids_.size(), 1.0f)},
                                  {votes + "treeids", vote_trees_}, {votes + "nodeids", vote_nodes_},
                                  {votes + "ids", vote_targets_},   {votes + "weights", weights_}};
    if (forest_.nan) all.push_back({"nodes_missing_value_tracks_true", missing_});
    if (classifies) {
      Ints labels;
      for (int64_t k = 0; k < forest_.targets; ++k) labels.push_back(7 * k - 3);
      all.push_back({"classlabels_int64s", labels});
    } else {
      all.push_back({"n_targets", forest_.targets});
    }
    all.insert(all.end(), forest_.more.begin(), forest_.more.end());
    return all;
  }

 private:
  int draw(int most) { return static_cast<int>(random_() % static_cast<unsigned>(most + 1)); }

  int64_t add(int depth) {
    const size_t at = ids_.size();
    const int64_t id = next_++;
    trees_.push_back(tree_), ids_.push_back(id), tested_.push_back(0), pass_.push_back(0), fail_.push_back(0);
    modes_.push_back("LEAF"), values_.push_back(0), missing_.push_back(0);
    if (depth == 0) {
      for (int64_t k = 0; k < forest_.targets; ++k) {
        if ((forest_.one_target && k + 1 != forest_.targets) || (forest_.some_leaves_vote && draw(2) == 0)) continue;
        vote_trees_.push_back(tree_), vote_nodes_.push_back(id), vote_targets_.push_back(k);
        weights_.push_back(static_cast<float>(draw(100)) / 7.0f - 5.0f);
      }
      return id;
    }
    tested_[at] = draw(static_cast<int>(kFeatures) - 1);
    modes_[at] = forest_.modes[static_cast<size_t>(draw(static_cast<int>(forest_.modes.size()) - 1))];
    values_[at] = static_cast<float>(draw(8)) / 4.0f - 1.0f;
    missing_[at] = draw(1);
    const int64_t pass = add(depth - 1), fail = add(depth - 1);
    pass_[at] = pass, fail_[at] = fail;
    return id;
  }

  const Forest& forest_;
  std::mt19937 random_{3};
  int64_t tree_ = 0, next_ = 0;
  Ints trees_, ids_, tested_, pass_, fail_, missing_, vote_trees_, vote_nodes_, vote_targets_;
  Texts modes_;
  Floats values_, weights_;
};

// One that has all kinds of constants: sets of members beside other tests.
std::vector<Attribute> with_members() {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  return {{"tree_roots", Ints{0}},
          {"n_targets", int64_t{2}},
          {"nodes_featureids", Ints{0, 1, 2}},
          {"nodes_splits", tensor_of<float>({3}, {0.0f, 0.0f, 0.25f})},
          {"nodes_modes", tensor_of<uint8_t>({3}, {6, 6, 1})},
          {"nodes_truenodeids", Ints{1, 0, 1}},
          {"nodes_trueleafs", Ints{0, 1, 1}},
          {"nodes_falsenodeids", Ints{2, 3, 2}},
          {"nodes_falseleafs", Ints{0, 1, 1}},
          {"leaf_targetids", Ints{0, 1, 0, 1}},
          {"leaf_weights", tensor_of<float>({4}, {1.5f, -2.0f, 4.0f, 8.0f})},
          {"membership_values", tensor_of<float>({5}, {0.25f, -0.5f, nan, 0.75f, nan})}};
}

Node node_of(const Forest& forest) {
  Node node;
  node.domain = "ai.onnx.ml";
  node.op_type = forest.op;
  node.version = 5;
  node.attributes = forest.op == "TreeEnsemble" ? with_members() : Lists(forest).attributes();
  return node;
}

void build(const Forest& forest, Graph& graph) {
  Node node = node_of(forest);
  const bool classifies = forest.op == "TreeEnsembleClassifier";
  node.inputs = {add_input(graph, "x", forest.dtype, {Dim(), Dim(kFeatures)})};
  node.outputs = {graph.add_value("y")};
  if (classifies) node.outputs.push_back(graph.add_value("scores"));
  for (const ValueId out : node.outputs) add_output(graph, graph.value(out).name, out);
  graph.add_node(std::move(node));
  ASSERT_TRUE(graph.sort().ok());
}

Tensor rows(const Forest& forest, int64_t count) {
  Tensor x = make_tensor(forest.dtype, Shape{count, kFeatures}).value();
  std::mt19937 random(11);
  for (int64_t i = 0; i < x.count(); ++i) {
    float v = static_cast<float>(random() % 11) / 4.0f - 1.25f;
    if (forest.nan && random() % 7 == 0) v = std::numeric_limits<float>::quiet_NaN();
    if (forest.dtype == DType::f64) x.ptr<double>()[i] = static_cast<double>(v);
    if (forest.dtype == DType::f32) x.ptr<float>()[i] = v;
    if (forest.dtype == DType::i64) x.ptr<int64_t>()[i] = static_cast<int64_t>(v);
  }
  return x;
}

TEST(PackTrees, GiveTheSameBits) {
  const std::vector<Attribute> minimum = {{"aggregate_function", std::string("MIN")}};
  const std::vector<Attribute> average = {{"aggregate_function", std::string("AVERAGE")},
                                          {"base_values", Floats{1, -2}}};
  const std::string classifier = "TreeEnsembleClassifier", regressor = "TreeEnsembleRegressor";
  const std::vector<Forest> forests = {
      {},
      {classifier, DType::f64},
      {classifier, DType::i64, 11},
      {classifier, DType::f32, 2, {"BRANCH_LT"}, false, true},
      {classifier, DType::f32, 1, {"BRANCH_GTE"}},
      {classifier,
       DType::f64,
       4,
       {"BRANCH_LEQ", "BRANCH_GT"},
       true,
       false,
       true,
       {{"post_transform", std::string("SOFTMAX")}}},
      {regressor, DType::f32, 1, {"BRANCH_GTE"}},
      {regressor, DType::f64, 6, {"BRANCH_LT", "BRANCH_NEQ", "BRANCH_EQ"}, true},
      {regressor, DType::f32, 20, {"BRANCH_LEQ", "BRANCH_LT"}, true, false, true},
      {regressor, DType::f32, 2, {"BRANCH_LEQ"}, true, false, true, minimum},
      {regressor, DType::f32, 2, {"BRANCH_GT"}, false, false, false, average},
      {"TreeEnsemble"},
      {"TreeEnsemble", DType::f64},
  };
  for (const Forest& forest : forests) {
    SCOPED_TRACE(&forest - forests.data());
    expect_rewritten([&](Graph& graph, SymbolTable&) { build(forest, graph); },
                     {{rows(forest, 1)}, {rows(forest, 7)}, {rows(forest, 100)}},
                     [&](const Graph& graph) {
                       const Node* node = linnet::node_of(graph, forest.op);
                       ASSERT_TRUE(node && node->domain == "linnet");
                       for (const Attribute& attribute : node->attributes)
                         EXPECT_FALSE(attribute.name.starts_with("nodes_"));
                     },
                     {}, 0.0f);
  }
}

TEST(PackTrees, OtherLevelsStayStandard) {
  OptimizeOptions options;
  options.level = OptimizationLevel::extended;
  const Forest forest;
  expect_rewritten([&](Graph& graph, SymbolTable&) { build(forest, graph); }, {{rows(forest, 3)}},
                   [&](const Graph& graph) { EXPECT_EQ(linnet::node_of(graph, forest.op)->domain, "ai.onnx.ml"); },
                   options, 0.0f);
}

TEST(PackTrees, TreesThatAreWrongAreLeftToPreparing) {
  Graph graph;
  Forest forest;
  build(forest, graph);
  std::get<Ints>(graph.node(0).find("class_ids")->data)[0] = 3;
  SymbolTable symbols(true);
  ASSERT_TRUE(optimize(graph, symbols, {}).ok());
  const auto model = model_of(graph);
  ASSERT_FALSE(model.ok());
  EXPECT_NE(model.status().message().find("votes for target 3 of 3"), std::string::npos) << model.status().message();
}

// A node of linnet as a model has it, its constants to be damaged.
struct Packed {
  Node node;
  std::vector<Tensor> constants;
  DType dtype;

  explicit Packed(const Forest& forest) : dtype(forest.dtype) {
    Graph graph;
    build(forest, graph);
    node = graph.node(0);
    constants = pack_tree_node(node, forest.dtype).value();
  }
  Packed(const Packed& other) : node(other.node), constants(other.constants), dtype(other.dtype) {
    for (Tensor& constant : constants)
      if (constant.dtype != DType::undefined) constant = clone(constant).value();
  }

  Tensor& of(size_t input) { return constants[input - TreeInput::kNodes]; }

  Result<std::vector<Value>> run(const Tensor& x) const {
    Graph graph;
    Node made = node;
    made.inputs = {add_input(graph, "x", dtype, {Dim(), Dim(kFeatures)})};
    for (const Tensor& constant : constants)
      made.inputs.push_back(constant.dtype == DType::undefined ? kNoValue
                                                               : graph.add_constant("c", clone(constant).value()));
    for (ValueId& out : made.outputs) add_output(graph, concat("out", out), out = graph.add_value("out"));
    graph.add_node(std::move(made));
    LINNET_TRY(graph.sort());
    LINNET_ASSIGN(const auto model, model_of(graph));
    std::vector<Value> out(model->outputs.size());
    LINNET_TRY(Session(std::make_shared<Engine>(1), model).run(std::vector<Value>{x}, out));
    return out;
  }
  bool loads() const { return run(make_tensor(dtype, Shape{9, kFeatures}).value()).ok(); }
};

TEST(PackTrees, IndicesThatLeadAstrayAreRefused) {
  Forest votes;
  votes.targets = 11;
  const Packed spread{Forest()}, listed(votes), members{Forest{"TreeEnsemble"}};
  ASSERT_TRUE(spread.loads() && listed.loads() && members.loads());
  const auto refuses = [](Packed packed, const std::function<void(Packed&)>& damage) {
    damage(packed);
    return !packed.loads();
  };
  const auto set = [](size_t input, size_t i, uint32_t value) {
    return [=](Packed& packed) { packed.of(input).as<uint32_t>()[i] = value; };
  };
  const size_t nodes = static_cast<size_t>(spread.constants[0].shape[0]);
  constexpr size_t inner = 1;  // the root of the second tree; the first is a leaf
  const uint32_t at = inner;
  for (const uint32_t child : {at, at - 1, static_cast<uint32_t>(nodes), static_cast<uint32_t>(nodes) - 1, UINT32_MAX})
    EXPECT_TRUE(refuses(spread, set(TreeInput::kNodes, 3 * inner + 2, child))) << child;
  EXPECT_TRUE(refuses(spread, set(TreeInput::kNodes, 3 * inner + 1, kFeatures)));
  EXPECT_TRUE(refuses(spread, set(TreeInput::kNodes, 3 * inner + 1, kTreeNanPasses | kFeatures)));
  EXPECT_TRUE(refuses(spread, set(TreeInput::kNodes, 1, kTreeNanPasses)));
  EXPECT_TRUE(refuses(spread, set(TreeInput::kNodes, 0, 0)));  // a NaN marks leaves
  EXPECT_TRUE(refuses(spread, set(TreeInput::kRoots, 1, static_cast<uint32_t>(nodes))));
  const auto leaves = static_cast<uint32_t>(spread.constants[3].shape[0]);
  EXPECT_TRUE(refuses(spread, set(TreeInput::kVoteBegin, 0, leaves)));
  EXPECT_FALSE(refuses(spread, set(TreeInput::kVoteBegin, 0, leaves - 1)));
  const auto count = static_cast<uint32_t>(listed.constants[3].shape[0]);
  EXPECT_TRUE(refuses(listed, set(TreeInput::kVoteBegin, 5, count + 1)));
  EXPECT_TRUE(refuses(listed, set(TreeInput::kVoteBegin, 0, count)));
  EXPECT_TRUE(refuses(listed, set(TreeInput::kVotes, 0, 11)));
  EXPECT_TRUE(refuses(members, set(TreeInput::kSetBegin, 1, 4)));
  EXPECT_TRUE(refuses(members, [](Packed& packed) { packed.of(TreeInput::kTests).as<uint8_t>()[0] = 7; }));
  // Arrays of another length, of another type, or that are not there.
  for (const Packed* whole : {&spread, &listed, &members}) {
    for (size_t input = TreeInput::kNodes; input < TreeInput::kEnd; ++input) {
      if (whole->constants[input - TreeInput::kNodes].dtype == DType::undefined) continue;
      const bool fewer_roots = input == TreeInput::kRoots, one_test = input == TreeInput::kTests;
      EXPECT_TRUE(fewer_roots || refuses(*whole, [&](Packed& packed) { --packed.of(input).shape[0]; })) << input;
      EXPECT_TRUE(fewer_roots || one_test || refuses(*whole, [&](Packed& packed) { packed.of(input) = Tensor(); }))
          << input;
      EXPECT_TRUE(refuses(*whole, [&](Packed& packed) { packed.of(input).dtype = DType::i8; })) << input;
    }
  }
  // Fewer features or more targets than the arrays are for, and weights where votes are needed.
  EXPECT_TRUE(refuses(spread, [](Packed& packed) { packed.node.set("features", kFeatures - 1); }));
  EXPECT_TRUE(refuses(spread, [](Packed& packed) { packed.node.set("features", kFeatures + 1); }));
  EXPECT_TRUE(refuses(spread, [](Packed& packed) { packed.node.set("features", int64_t{-1}); }));
  EXPECT_TRUE(refuses(spread, [](Packed& packed) { packed.node.set("every_target_voted", int64_t{0}); }));
  EXPECT_TRUE(refuses(spread, [](Packed& packed) { packed.node.set("classlabels_int64s", Ints(5)); }));
  EXPECT_TRUE(refuses(listed, [](Packed& packed) { packed.node.set("classlabels_int64s", Ints(10)); }));
  EXPECT_TRUE(refuses(spread, [](Packed& packed) { packed.node.set("only_class", int64_t{2}); }));
}

// What is not refused can be run.
TEST(PackTrees, AnyBytesDoNoHarm) {
  std::mt19937 random(1);
  for (const Forest& forest : {Forest(), Forest{"TreeEnsembleRegressor", DType::f64, 20}, Forest{"TreeEnsemble"}}) {
    const Packed whole(forest);
    size_t ran = 0;
    constexpr size_t kRounds = 400;
    for (size_t round = 0; round < kRounds; ++round) {
      Packed packed = whole;
      Tensor& constant = packed.constants[random() % packed.constants.size()];
      if (constant.dtype == DType::undefined) continue;
      auto* bytes = static_cast<uint8_t*>(constant.data);
      for (int edit = 0; edit < 2; ++edit) bytes[random() % constant.bytes()] = static_cast<uint8_t>(random() % 4);
      ran += packed.run(rows(forest, 9)).ok();
    }
    EXPECT_GT(ran, 0u);
    EXPECT_LT(ran, kRounds);
  }
}

}  // namespace
}  // namespace linnet
