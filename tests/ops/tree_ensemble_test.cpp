// Building and walking tree ensembles, against a walk over the raw description.
#include "ops/ml/tree_attributes.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "gtest/gtest.h"
#include "run_node.h"

namespace linnet {
namespace {

constexpr size_t kFeatures = 7;

struct Forest {
  RawTrees raw;
  std::mt19937 random;

  bool twice;  // a leaf may vote more than once for a target

  explicit Forest(unsigned seed) : random(seed), twice(seed % 2 == 0) {}
  int draw(int most) { return static_cast<int>(random() % static_cast<unsigned>(most + 1)); }

  uint32_t add_node(int depth, std::span<const TreeTest> tests, size_t targets, bool nan) {
    const auto id = static_cast<uint32_t>(raw.nodes.size());
    raw.nodes.emplace_back();
    RawTrees::Node node;
    if (depth == 0 || draw(5) == 0) {
      node.leaf = true;
      for (int v = draw(2); v >= 0; --v)
        raw.votes.push_back({id, twice ? draw(static_cast<int>(targets) - 1) : v, draw(100) / 16.0 - 3});
    } else {
      node.test = tests[static_cast<size_t>(draw(static_cast<int>(tests.size()) - 1))];
      node.value = draw(8) / 4.0 - 1;
      node.feature = draw(kFeatures - 1);
      node.nan_passes = nan && draw(1) == 0;
      node.set_begin = static_cast<uint32_t>(raw.members.size());
      if (node.test == TreeTest::member)
        for (int m = draw(3); m > 0; --m) raw.members.push_back(draw(8) / 4.0 - 1);
      node.set_end = static_cast<uint32_t>(raw.members.size());
      node.pass = add_node(depth - 1, tests, targets, nan);
      node.fail = add_node(depth - 1, tests, targets, nan);
    }
    raw.nodes[id] = node;
    return id;
  }
};

bool passes(const RawTrees& raw, const RawTrees::Node& node, float x) {
  if (std::isnan(x) && node.nan_passes) return true;
  const float v = static_cast<float>(node.value);
  switch (node.test) {
    case TreeTest::leq: return x <= v;
    case TreeTest::lt: return x < v;
    case TreeTest::gte: return x >= v;
    case TreeTest::gt: return x > v;
    case TreeTest::eq: return x == v;
    case TreeTest::neq: return x != v;
    case TreeTest::member: break;
  }
  for (size_t i = node.set_begin; i < node.set_end; ++i)
    if (static_cast<float>(raw.members[i]) == x) return true;
  return false;
}

void expect_same(const RawTrees& raw, size_t targets, std::mt19937& random, TreeAggregate aggregate) {
  const auto built = build_trees<float>(raw, targets, TreeUse::extremes);
  ASSERT_TRUE(built.ok()) << built.status().message();
  for (const size_t rows : {1, 2, 7, 8, 9, 63, 64, 65, 200}) {
    std::vector<float> x(rows * kFeatures);
    for (float& v : x) {
      v = static_cast<float>(random() % 11) / 4.0f - 1.25f;
      if (random() % 13 == 0) v = std::numeric_limits<float>::quiet_NaN();
    }
    std::vector<float> scores(rows * targets, 77.0f);
    const auto voted = std::make_unique<bool[]>(rows * targets);
    evaluate_trees((*built)->view(), x.data(), kFeatures, rows, aggregate, scores.data(), voted.get(), Parallel());
    if (aggregate == TreeAggregate::sum) {
      const auto summing = build_trees<float>(raw, targets, TreeUse::sums);
      std::vector<float> sums(rows * targets, 77.0f);
      evaluate_trees((*summing)->view(), x.data(), kFeatures, rows, aggregate, sums.data(), nullptr, Parallel());
      ASSERT_EQ(sums, scores);
    }
    for (size_t r = 0; r < rows; ++r) {
      std::vector<float> wanted(targets, 0.0f);
      std::vector<bool> any(targets, false);
      for (const uint32_t root : raw.roots) {
        uint32_t at = root;
        while (!raw.nodes[at].leaf) {
          const auto& node = raw.nodes[at];
          at = passes(raw, node, x[r * kFeatures + static_cast<size_t>(node.feature)]) ? node.pass : node.fail;
        }
        for (const auto& vote : raw.votes) {
          if (vote.leaf != at) continue;
          const size_t k = static_cast<size_t>(vote.target);
          const float w = static_cast<float>(vote.weight);
          if (aggregate == TreeAggregate::sum) wanted[k] += w;
          if (aggregate == TreeAggregate::min && (!any[k] || w < wanted[k])) wanted[k] = w;
          if (aggregate == TreeAggregate::max && (!any[k] || w > wanted[k])) wanted[k] = w;
          any[k] = true;
        }
      }
      for (size_t k = 0; k < targets; ++k) {
        ASSERT_EQ(scores[r * targets + k], wanted[k]) << "row " << r << " of " << rows << ", target " << k;
        ASSERT_EQ(voted[r * targets + k], any[k]);
        ASSERT_TRUE(any[k] || !(*built)->every_target_voted);
      }
    }
  }
}

TEST(TreeEnsemble, AgreesWithAWalkOverTheDescription) {
  using enum TreeTest;
  const std::vector<std::vector<TreeTest>> mixes = {{leq},     {lt},      {gt},      {gte},
                                                    {leq, gt}, {lt, gte}, {leq, lt}, {eq, neq, member}};
  for (const auto& tests : mixes) {
    for (const bool nan : {false, true}) {
      for (const size_t trees : {1, 3, 9, 70}) {
        for (const auto aggregate : {TreeAggregate::sum, TreeAggregate::min, TreeAggregate::max}) {
          Forest forest(static_cast<unsigned>(trees * 10 + (nan ? 1 : 0)));
          for (size_t t = 0; t < trees; ++t)
            forest.raw.roots.push_back(forest.add_node(static_cast<int>(t % 6), tests, 3, nan));
          expect_same(forest.raw, 3, forest.random, aggregate);
          std::shuffle(forest.raw.votes.begin(), forest.raw.votes.end(), forest.random);
          expect_same(forest.raw, 3, forest.random, aggregate);
        }
      }
    }
  }
}

RawTrees one_split() {
  RawTrees raw;
  raw.nodes.resize(3);
  raw.nodes[0].pass = 1;
  raw.nodes[0].fail = 2;
  raw.nodes[1].leaf = raw.nodes[2].leaf = true;
  raw.votes = {{1, 0, 1.0}, {2, 0, 2.0}};
  raw.roots = {0};
  return raw;
}

TEST(TreeEnsemble, RefusesWhatDoesNotEndOrLeadsOutside) {
  EXPECT_TRUE(build_trees<float>(one_split(), 1, TreeUse::sums).ok());
  RawTrees loop = one_split();
  loop.nodes[0].fail = 0;
  EXPECT_FALSE(build_trees<float>(loop, 1, TreeUse::sums).ok());
  RawTrees outside = one_split();
  outside.nodes[0].fail = 3;
  EXPECT_FALSE(build_trees<float>(outside, 1, TreeUse::sums).ok());
  RawTrees target = one_split();
  target.votes[1].target = 1;
  EXPECT_FALSE(build_trees<float>(target, 1, TreeUse::sums).ok());
  RawTrees feature = one_split();
  feature.nodes[0].feature = -1;
  EXPECT_FALSE(build_trees<float>(feature, 1, TreeUse::sums).ok());
  RawTrees deep;
  constexpr uint32_t kDepth = 200'000;
  for (uint32_t i = 0; i < kDepth; ++i) {
    deep.nodes.emplace_back();
    deep.nodes.back().pass = i + 1;
    deep.nodes.back().fail = kDepth;
  }
  deep.nodes.emplace_back().leaf = true;
  deep.roots = {0};
  EXPECT_TRUE(build_trees<float>(deep, 1, TreeUse::sums).ok());
}

// Two trees of a root and two leaves, their nodes in any order and with any ids.
struct NamedNodes {
  std::vector<int64_t> trees{7, -1, 7, -1, 7, -1}, ids{INT64_MAX, 4, 2, 5, INT64_MIN, 6};
  std::vector<int64_t> pass{INT64_MIN, 0, 0, 0, 0, 4}, fail{2, 0, 0, 0, 0, 5}, features{0, 0, 0, 0, 0, 1};
  std::vector<std::string> modes{"BRANCH_GT", "LEAF", "LEAF", "LEAF", "LEAF", "BRANCH_EQ"};
  std::vector<float> values{1, 0, 0, 0, 0, 2}, weights{1, 2, 3};
  std::vector<int64_t> vote_trees{-1, 7, 7}, vote_nodes{5, INT64_MIN, 2}, targets{0, 0, 0};

  Result<RawTrees> raw() const {
    TreeLists lists;
    lists.by_id = true;
    lists.trees = trees, lists.ids = ids, lists.features = features, lists.pass = pass, lists.fail = fail;
    lists.mode_names = modes, lists.values.floats = values, lists.weights.floats = weights;
    lists.vote_trees = vote_trees, lists.vote_nodes = vote_nodes, lists.targets = targets;
    return raw_trees(lists);
  }
};

TEST(TreeEnsemble, OfLeavesAloneNeedsNoFeatures) {
  using Ints = std::vector<int64_t>;
  NodeRun run{"TreeEnsembleRegressor", {make_tensor(DType::f64, {70, 0}).value()}};
  run.domain = "ai.onnx.ml";
  run.version = 1;
  for (const char* name : {"nodes_falsenodeids", "nodes_truenodeids", "nodes_featureids", "nodes_nodeids",
                           "nodes_treeids", "target_ids", "target_nodeids", "target_treeids"})
    run.attributes.push_back({name, Ints{0}});
  run.attributes.push_back({"nodes_modes", std::vector<std::string>{"LEAF"}});
  run.attributes.push_back({"nodes_values", std::vector<float>{0}});
  run.attributes.push_back({"target_weights", std::vector<float>{2.5f}});
  const auto result = run_node(run);
  ASSERT_TRUE(result.ok()) << result.status().message();
  for (const float score : result.value()[0].tensor.as<float>()) EXPECT_EQ(score, 2.5f);
}

TEST(TreeEnsemble, FindsNodesByTreeAndId) {
  const Result<RawTrees> raw = NamedNodes().raw();
  ASSERT_TRUE(raw.ok()) << raw.status().message();
  EXPECT_EQ(raw->roots, (std::vector<uint32_t>{0, 1}));
  EXPECT_EQ(raw->nodes[0].pass, 4u);
  EXPECT_EQ(raw->nodes[0].fail, 2u);
  EXPECT_EQ(raw->nodes[5].pass, 1u);
  EXPECT_EQ(raw->nodes[5].fail, 3u);
  EXPECT_EQ(raw->nodes[5].test, TreeTest::eq);
  EXPECT_EQ(raw->votes[0].leaf, 3u);
  EXPECT_EQ(raw->votes[1].leaf, 4u);
  EXPECT_EQ(raw->votes[2].leaf, 2u);
}

TEST(TreeEnsemble, RefusesIdsThatAreMissingOrThereTwice) {
  for (const int64_t absent : {int64_t{3}, int64_t{7}, INT64_MIN, INT64_MAX}) {
    NamedNodes child, vote;
    child.pass[5] = absent;
    EXPECT_FALSE(child.raw().ok()) << absent;
    vote.vote_nodes[0] = absent;
    EXPECT_FALSE(vote.raw().ok()) << absent;
  }
  NamedNodes tree, twice, within, mode;
  tree.vote_trees[0] = 8;
  EXPECT_FALSE(tree.raw().ok());
  twice.ids[2] = INT64_MAX;
  EXPECT_FALSE(twice.raw().ok());
  within.trees = {1, 1, 1, 1, 1, 1}, within.ids = {0, 1, 2, 3, 1, 9};
  EXPECT_FALSE(within.raw().ok());
  mode.modes[0] = "BRANCH_MEMBER";
  EXPECT_FALSE(mode.raw().ok());
}

TEST(TreeEnsemble, NeedsNoNanBehindTheLastSet) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto raw_of = [](std::vector<float> members) {  // two nodes with a set each
    const std::vector<int64_t> features{0, 0}, pass{0, 1}, fail{1, 2}, passes_to_leaf{1, 1}, fails_to_leaf{0, 1};
    const std::vector<int64_t> targets{0, 0, 0}, roots{0};
    const std::vector<float> modes{6, 6}, splits{0, 0}, weights{1, 2, 3};
    TreeLists lists;
    lists.features = features, lists.pass = pass, lists.fail = fail, lists.roots = roots, lists.targets = targets;
    lists.pass_leaf = passes_to_leaf, lists.fail_leaf = fails_to_leaf;
    lists.modes.floats = modes, lists.values.floats = splits, lists.weights.floats = weights;
    lists.members.floats = members;
    return raw_trees(lists);
  };
  for (const auto& members : {std::vector<float>{1, 2, nan, 4}, std::vector<float>{1, 2, nan, 4, nan}}) {
    const auto raw = raw_of(members);
    ASSERT_TRUE(raw.ok()) << raw.status().message();
    EXPECT_EQ(raw->nodes[0].set_end, 2u);
    EXPECT_EQ(raw->nodes[1].set_begin, 3u);
    EXPECT_EQ(raw->nodes[1].set_end, 4u);
  }
  EXPECT_FALSE(raw_of({1, 2}).ok());
  EXPECT_FALSE(raw_of({1, 2, nan}).ok());
}

}  // namespace
}  // namespace linnet
