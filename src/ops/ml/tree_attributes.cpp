#include "ops/ml/tree_attributes.h"

#include <algorithm>
#include <limits>
#include <unordered_map>

namespace linnet {
namespace {

Status require_count(size_t count, size_t wanted, std::string_view name) {
  LINNET_REQUIRE(count == wanted,
                 invalid_model("attribute '", name, "' has ", count, " elements; ", wanted, " are needed"));
  return {};
}

Result<std::vector<double>> tensor_numbers(NodeReader& reader, std::string_view name) {
  std::vector<double> values;
  if (const Tensor* tensor = reader.tensor(name)) {
    LINNET_REQUIRE(dtype_bits(tensor->dtype) != 0 && tensor->dtype != DType::c64 && tensor->dtype != DType::c128,
                   invalid_model("attribute '", name, "' holds no numbers"));
    for (int64_t i = 0; i < tensor->count(); ++i) values.push_back(number_at(*tensor, i));
  }
  return values;
}

struct IdHash {
  size_t operator()(const std::pair<int64_t, int64_t>& id) const noexcept {
    return std::hash<uint64_t>()(static_cast<uint64_t>(id.first) * 0x9e3779b97f4a7c15u +
                                 static_cast<uint64_t>(id.second));
  }
};
using Ids = std::unordered_map<std::pair<int64_t, int64_t>, size_t, IdHash>;

constexpr std::string_view kModes[] = {"BRANCH_LEQ", "BRANCH_LT",  "BRANCH_GTE",   "BRANCH_GT",
                                       "BRANCH_EQ",  "BRANCH_NEQ", "BRANCH_MEMBER"};

}  // namespace

Result<std::vector<double>> numbers_or_tensor(NodeReader& reader, const std::string& name) {
  const std::vector<float> floats = reader.numbers(name);
  LINNET_ASSIGN(std::vector<double> values, tensor_numbers(reader, name + "_as_tensor"));
  LINNET_REQUIRE(floats.empty() || values.empty(), invalid_model("has both '", name, "' and '", name, "_as_tensor'"));
  if (values.empty()) values.assign(floats.begin(), floats.end());
  return values;
}

Result<RawTrees> parse_trees_by_id(NodeReader& reader, const std::string& prefix) {
  reader.ignore("nodes_hitrates");
  reader.ignore("nodes_hitrates_as_tensor");
  const std::vector<int64_t> trees = reader.integers("nodes_treeids"), ids = reader.integers("nodes_nodeids");
  const std::vector<int64_t> features = reader.integers("nodes_featureids");
  const std::vector<int64_t> pass = reader.integers("nodes_truenodeids"), fail = reader.integers("nodes_falsenodeids");
  const std::vector<int64_t> missing = reader.integers("nodes_missing_value_tracks_true");
  const std::vector<std::string> modes = reader.texts("nodes_modes");
  LINNET_ASSIGN(const std::vector<double> values, numbers_or_tensor(reader, "nodes_values"));
  const size_t count = ids.size();
  LINNET_TRY(require_count(trees.size(), count, "nodes_treeids"));
  LINNET_TRY(require_count(features.size(), count, "nodes_featureids"));
  LINNET_TRY(require_count(pass.size(), count, "nodes_truenodeids"));
  LINNET_TRY(require_count(fail.size(), count, "nodes_falsenodeids"));
  LINNET_TRY(require_count(modes.size(), count, "nodes_modes"));
  LINNET_TRY(require_count(values.size(), count, "nodes_values"));
  if (!missing.empty()) LINNET_TRY(require_count(missing.size(), count, "nodes_missing_value_tracks_true"));

  RawTrees raw;
  raw.nodes.resize(count);
  Ids index;
  index.reserve(count);
  Ids seen_trees;
  for (size_t i = 0; i < count; ++i) {
    LINNET_REQUIRE(index.emplace(std::pair(trees[i], ids[i]), i).second,
                   invalid_model("node ", ids[i], " of tree ", trees[i], " is there twice"));
    if ((i == 0 || trees[i] != trees[i - 1]) && seen_trees.emplace(std::pair(trees[i], 0), i).second)
      raw.roots.push_back(i);
  }
  for (size_t i = 0; i < count; ++i) {
    RawTrees::Node& node = raw.nodes[i];
    node.leaf = modes[i] == "LEAF";
    if (node.leaf) continue;
    const auto* mode = std::find(std::begin(kModes), std::end(kModes) - 1, modes[i]);
    LINNET_REQUIRE(mode != std::end(kModes) - 1, invalid_model("the node mode '", modes[i], "' is not known"));
    node.test = static_cast<TreeTest>(mode - std::begin(kModes));
    node.nan_passes = !missing.empty() && missing[i] != 0;
    node.value = values[i];
    node.feature = features[i];
    for (const bool passed : {true, false}) {
      const int64_t wanted = passed ? pass[i] : fail[i];
      const auto child = index.find({trees[i], wanted});
      LINNET_REQUIRE(child != index.end(),
                     invalid_model("tree ", trees[i], " has no node ", wanted, ", a child of ", ids[i]));
      (passed ? node.pass : node.fail) = child->second;
    }
  }

  const std::vector<int64_t> vote_trees = reader.integers(prefix + "_treeids"),
                             vote_nodes = reader.integers(prefix + "_nodeids");
  const std::vector<int64_t> targets = reader.integers(prefix + "_ids");
  LINNET_ASSIGN(const std::vector<double> weights, numbers_or_tensor(reader, prefix + "_weights"));
  LINNET_TRY(require_count(vote_trees.size(), targets.size(), prefix + "_treeids"));
  LINNET_TRY(require_count(vote_nodes.size(), targets.size(), prefix + "_nodeids"));
  LINNET_TRY(require_count(weights.size(), targets.size(), prefix + "_weights"));
  raw.votes.reserve(targets.size());
  for (size_t i = 0; i < targets.size(); ++i) {
    const auto leaf = index.find({vote_trees[i], vote_nodes[i]});
    LINNET_REQUIRE(leaf != index.end(), invalid_model("a weight is for node ", vote_nodes[i], " of tree ",
                                                      vote_trees[i], ", which is not there"));
    raw.votes.push_back({leaf->second, targets[i], weights[i]});
  }
  return raw;
}

Result<RawTrees> parse_trees_by_index(NodeReader& reader) {
  reader.ignore("nodes_hitrates");
  const std::vector<int64_t> features = reader.integers("nodes_featureids"), roots = reader.integers("tree_roots");
  const std::vector<int64_t> pass = reader.integers("nodes_truenodeids"), fail = reader.integers("nodes_falsenodeids");
  const std::vector<int64_t> pass_leaf = reader.integers("nodes_trueleafs"),
                             fail_leaf = reader.integers("nodes_falseleafs");
  const std::vector<int64_t> missing = reader.integers("nodes_missing_value_tracks_true");
  const std::vector<int64_t> targets = reader.integers("leaf_targetids");
  LINNET_ASSIGN(const std::vector<double> modes, tensor_numbers(reader, "nodes_modes"));
  LINNET_ASSIGN(const std::vector<double> splits, tensor_numbers(reader, "nodes_splits"));
  LINNET_ASSIGN(const std::vector<double> weights, tensor_numbers(reader, "leaf_weights"));
  RawTrees raw;
  LINNET_ASSIGN(raw.members, tensor_numbers(reader, "membership_values"));
  const size_t count = features.size(), leaves = targets.size();
  LINNET_TRY(require_count(pass.size(), count, "nodes_truenodeids"));
  LINNET_TRY(require_count(fail.size(), count, "nodes_falsenodeids"));
  LINNET_TRY(require_count(pass_leaf.size(), count, "nodes_trueleafs"));
  LINNET_TRY(require_count(fail_leaf.size(), count, "nodes_falseleafs"));
  LINNET_TRY(require_count(modes.size(), count, "nodes_modes"));
  LINNET_TRY(require_count(splits.size(), count, "nodes_splits"));
  LINNET_TRY(require_count(weights.size(), leaves, "leaf_weights"));
  if (!missing.empty()) LINNET_TRY(require_count(missing.size(), count, "nodes_missing_value_tracks_true"));

  raw.nodes.resize(count + leaves);
  size_t member = 0;
  for (size_t i = 0; i < count; ++i) {
    RawTrees::Node& node = raw.nodes[i];
    LINNET_REQUIRE(modes[i] >= 0 && modes[i] < static_cast<double>(std::size(kModes)),
                   invalid_model("the node mode ", modes[i], " is not known"));
    node.test = static_cast<TreeTest>(static_cast<int>(modes[i]));
    node.nan_passes = !missing.empty() && missing[i] != 0;
    node.feature = features[i];
    if (node.test == TreeTest::member) {
      node.set_begin = member;
      while (member < raw.members.size() && raw.members[member] == raw.members[member]) ++member;
      node.set_end = member;
      LINNET_REQUIRE(member < raw.members.size(), invalid_model("'membership_values' has too few sets"));
      ++member;  // the NaN behind a set
    } else {
      node.value = splits[i];
    }
    for (const bool passed : {true, false}) {
      const int64_t child = passed ? pass[i] : fail[i];
      const bool leaf = (passed ? pass_leaf[i] : fail_leaf[i]) != 0;
      LINNET_REQUIRE(child >= 0 && static_cast<uint64_t>(child) < (leaf ? leaves : count),
                     invalid_model("node ", i, " refers to ", leaf ? "leaf " : "node ", child, ", which is not there"));
      (passed ? node.pass : node.fail) = static_cast<size_t>(child) + (leaf ? count : 0);
    }
  }
  for (size_t i = 0; i < leaves; ++i) {
    raw.nodes[count + i].leaf = true;
    raw.votes.push_back({count + i, targets[i], weights[i]});
  }
  for (const int64_t root : roots) {
    LINNET_REQUIRE(root >= 0 && static_cast<uint64_t>(root) < count, invalid_model("the root ", root, " is not there"));
    raw.roots.push_back(static_cast<size_t>(root));
  }
  return raw;
}

}  // namespace linnet
