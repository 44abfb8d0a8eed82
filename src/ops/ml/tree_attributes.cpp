#include "ops/ml/tree_attributes.h"

#include <algorithm>
#include <limits>
#include <tuple>

namespace linnet {
namespace {

Status require_count(size_t count, size_t wanted, std::string_view name) {
  LINNET_REQUIRE(count == wanted,
                 invalid_model("attribute '", name, "' has ", count, " elements; ", wanted, " are needed"));
  return {};
}

// Empty when the attribute is absent.
template <class T>
Status view_list(NodeReader& reader, std::string_view name, std::span<const T>& list) {
  const Attribute* attribute = reader.attribute(name);
  if (!attribute) return {};
  const auto* elements = std::get_if<std::vector<T>>(&attribute->data);
  LINNET_REQUIRE(elements, invalid_model("attribute '", name, "' has a wrong type"));
  list = *elements;
  return {};
}

// The same of a list that has to have `count` elements.
template <class T>
Status view_list(NodeReader& reader, std::string_view name, size_t count, std::span<const T>& list) {
  LINNET_TRY(view_list(reader, name, list));
  return require_count(list.size(), count, name);
}

// Where a node sends what is missing; may be left out.
Status view_missing(NodeReader& reader, size_t count, std::span<const int64_t>& list) {
  constexpr std::string_view kName = "nodes_missing_value_tracks_true";
  LINNET_TRY(view_list(reader, kName, list));
  return list.empty() ? Status() : require_count(list.size(), count, kName);
}

Status view_tensor(NodeReader& reader, std::string_view name, NumberList& list) {
  const Tensor* tensor = reader.tensor(name);
  if (!tensor) return {};
  LINNET_REQUIRE(dtype_bits(tensor->dtype) != 0 && tensor->dtype != DType::c64 && tensor->dtype != DType::c128,
                 invalid_model("attribute '", name, "' holds no numbers"));
  list.tensor = tensor;
  return {};
}

Status view_tensor(NodeReader& reader, std::string_view name, size_t count, NumberList& list) {
  LINNET_TRY(view_tensor(reader, name, list));
  return require_count(list.size(), count, name);
}

Status view_numbers(NodeReader& reader, const std::string& name, size_t count, NumberList& list) {
  LINNET_ASSIGN(list, numbers_or_tensor(reader, name));
  return require_count(list.size(), count, name);
}

// Finds nodes by tree and id. Models number the nodes of a tree in a row, so it keeps runs of consecutive ids.
class NodeIndex {
 public:
  Status build(std::span<const int64_t> trees, std::span<const int64_t> ids) {
    for (size_t i = 0; i < ids.size(); ++i) {
      const bool continues = i > 0 && trees[i] == trees[i - 1] && ids[i - 1] != INT64_MAX && ids[i] == ids[i - 1] + 1;
      if (!continues) runs_.push_back({trees[i], ids[i], static_cast<uint32_t>(i), 0});
      ++runs_.back().count;
    }
    std::sort(runs_.begin(), runs_.end());
    for (size_t r = 1; r < runs_.size(); ++r)
      LINNET_REQUIRE(!runs_[r - 1].has(runs_[r].tree, runs_[r].id),
                     invalid_model("node ", runs_[r].id, " of tree ", runs_[r].tree, " is there twice"));
    return {};
  }

  // The first node of each tree.
  std::vector<uint32_t> roots() const {
    std::vector<uint32_t> roots;
    for (size_t r = 0; r < runs_.size(); ++r) {
      if (r == 0 || runs_[r].tree != runs_[r - 1].tree) roots.push_back(runs_[r].begin);
      roots.back() = std::min(roots.back(), runs_[r].begin);
    }
    std::sort(roots.begin(), roots.end());
    return roots;
  }

  bool find(int64_t tree, int64_t id, uint32_t& node) {
    if (runs_.empty()) return false;
    if (!runs_[last_].has(tree, id)) {
      const auto behind = std::upper_bound(runs_.begin(), runs_.end(), Run{tree, id, 0, 0});
      if (behind == runs_.begin()) return false;
      last_ = static_cast<size_t>(behind - runs_.begin()) - 1;
      if (!runs_[last_].has(tree, id)) return false;
    }
    node = runs_[last_].begin + static_cast<uint32_t>(id - runs_[last_].id);
    return true;
  }

 private:
  struct Run {
    int64_t tree, id;  // of its first node
    uint32_t begin, count;

    bool has(int64_t of_tree, int64_t node) const noexcept {
      return of_tree == tree && node >= id && static_cast<uint64_t>(node) - static_cast<uint64_t>(id) < count;
    }
    bool operator<(const Run& other) const noexcept { return std::tie(tree, id) < std::tie(other.tree, other.id); }
  };
  std::vector<Run> runs_;
  size_t last_ = 0;  // neighbours in the lists are mostly of one tree
};

constexpr std::string_view kModes[] = {"BRANCH_LEQ", "BRANCH_LT",  "BRANCH_GTE",   "BRANCH_GT",
                                       "BRANCH_EQ",  "BRANCH_NEQ", "BRANCH_MEMBER"};

int32_t saturated(int64_t number) noexcept {
  return static_cast<int32_t>(std::clamp<int64_t>(number, INT32_MIN, INT32_MAX));
}

Result<RawTrees> trees_by_id(const TreeLists& lists) {
  LINNET_REQUIRE(lists.ids.size() < kMostTreeNodes, unsupported("the trees have too many nodes"));
  NodeIndex index;
  LINNET_TRY(index.build(lists.trees, lists.ids));
  RawTrees raw;
  raw.nodes.resize(lists.ids.size());
  raw.roots = index.roots();
  for (size_t i = 0; i < raw.nodes.size(); ++i) {
    RawTrees::Node& node = raw.nodes[i];
    const std::string& name = lists.mode_names[i];
    node.leaf = name == "LEAF";
    if (node.leaf) continue;
    const auto* mode = std::find(std::begin(kModes), std::end(kModes) - 1, name);
    LINNET_REQUIRE(mode != std::end(kModes) - 1, invalid_model("the node mode '", name, "' is not known"));
    node.test = static_cast<TreeTest>(mode - std::begin(kModes));
    node.nan_passes = !lists.missing.empty() && lists.missing[i] != 0;
    node.value = lists.values[i];
    node.feature = saturated(lists.features[i]);
    for (const bool passed : {true, false}) {
      const int64_t wanted = passed ? lists.pass[i] : lists.fail[i];
      LINNET_REQUIRE(index.find(lists.trees[i], wanted, passed ? node.pass : node.fail),
                     invalid_model("tree ", lists.trees[i], " has no node ", wanted, ", a child of ", lists.ids[i]));
    }
  }
  raw.votes.resize(lists.targets.size());
  for (size_t i = 0; i < raw.votes.size(); ++i) {
    RawTrees::Vote& vote = raw.votes[i];
    vote.target = saturated(lists.targets[i]);
    vote.weight = lists.weights[i];
    LINNET_REQUIRE(index.find(lists.vote_trees[i], lists.vote_nodes[i], vote.leaf),
                   invalid_model("a weight is for node ", lists.vote_nodes[i], " of tree ", lists.vote_trees[i],
                                 ", which is not there"));
  }
  return raw;
}

Result<RawTrees> trees_by_index(const TreeLists& lists) {
  RawTrees raw;
  for (size_t i = 0; i < lists.members.size(); ++i) raw.members.push_back(lists.members[i]);
  // The NaN behind the last set may be left out.
  if (!raw.members.empty() && raw.members.back() == raw.members.back())
    raw.members.push_back(std::numeric_limits<double>::quiet_NaN());
  const size_t count = lists.features.size(), leaves = lists.targets.size();
  LINNET_REQUIRE(count + leaves < kMostTreeNodes && raw.members.size() < kMostTreeNodes,
                 unsupported("the trees have too many nodes"));
  raw.nodes.resize(count + leaves);
  uint32_t member = 0;
  for (size_t i = 0; i < count; ++i) {
    RawTrees::Node& node = raw.nodes[i];
    const double mode = lists.modes[i];
    LINNET_REQUIRE(mode >= 0 && mode < static_cast<double>(std::size(kModes)),
                   invalid_model("the node mode ", mode, " is not known"));
    node.test = static_cast<TreeTest>(static_cast<int>(mode));
    node.nan_passes = !lists.missing.empty() && lists.missing[i] != 0;
    node.feature = saturated(lists.features[i]);
    if (node.test == TreeTest::member) {
      node.set_begin = member;
      while (member < raw.members.size() && raw.members[member] == raw.members[member]) ++member;
      node.set_end = member;
      LINNET_REQUIRE(member < raw.members.size(), invalid_model("'membership_values' has too few sets"));
      ++member;  // the NaN behind a set
    } else {
      node.value = lists.values[i];
    }
    for (const bool passed : {true, false}) {
      const int64_t child = passed ? lists.pass[i] : lists.fail[i];
      const bool leaf = (passed ? lists.pass_leaf[i] : lists.fail_leaf[i]) != 0;
      LINNET_REQUIRE(child >= 0 && static_cast<uint64_t>(child) < (leaf ? leaves : count),
                     invalid_model("node ", i, " refers to ", leaf ? "leaf " : "node ", child, ", which is not there"));
      (passed ? node.pass : node.fail) = static_cast<uint32_t>(static_cast<size_t>(child) + (leaf ? count : 0));
    }
  }
  for (size_t i = 0; i < leaves; ++i) {
    raw.nodes[count + i].leaf = true;
    raw.votes.push_back({static_cast<uint32_t>(count + i), saturated(lists.targets[i]), lists.weights[i]});
  }
  for (const int64_t root : lists.roots) {
    LINNET_REQUIRE(root >= 0 && static_cast<uint64_t>(root) < count, invalid_model("the root ", root, " is not there"));
    raw.roots.push_back(static_cast<uint32_t>(root));
  }
  return raw;
}

}  // namespace

Result<NumberList> numbers_or_tensor(NodeReader& reader, const std::string& name) {
  NumberList list, tensor;
  LINNET_TRY(view_list(reader, name, list.floats));
  LINNET_TRY(view_tensor(reader, name + "_as_tensor", tensor));
  if (tensor.size() == 0) return list;
  LINNET_REQUIRE(list.floats.empty(), invalid_model("has both '", name, "' and '", name, "_as_tensor'"));
  return tensor;
}

int64_t TreeLists::greatest_feature() const {
  int64_t greatest = -1;
  for (size_t i = 0; i < features.size(); ++i)
    if (!by_id || mode_names[i] != "LEAF") greatest = std::max(greatest, features[i]);
  return greatest;
}

Result<TreeLists> parse_trees_by_id(NodeReader& reader, const std::string& prefix) {
  TreeLists lists;
  lists.by_id = true;
  reader.ignore("nodes_hitrates");
  reader.ignore("nodes_hitrates_as_tensor");
  LINNET_TRY(view_list(reader, "nodes_nodeids", lists.ids));
  const size_t count = lists.ids.size();
  LINNET_TRY(view_list(reader, "nodes_treeids", count, lists.trees));
  LINNET_TRY(view_list(reader, "nodes_featureids", count, lists.features));
  LINNET_TRY(view_list(reader, "nodes_truenodeids", count, lists.pass));
  LINNET_TRY(view_list(reader, "nodes_falsenodeids", count, lists.fail));
  LINNET_TRY(view_list(reader, "nodes_modes", count, lists.mode_names));
  LINNET_TRY(view_numbers(reader, "nodes_values", count, lists.values));
  LINNET_TRY(view_missing(reader, count, lists.missing));
  LINNET_TRY(view_list(reader, prefix + "_ids", lists.targets));
  const size_t votes = lists.targets.size();
  LINNET_TRY(view_list(reader, prefix + "_treeids", votes, lists.vote_trees));
  LINNET_TRY(view_list(reader, prefix + "_nodeids", votes, lists.vote_nodes));
  LINNET_TRY(view_numbers(reader, prefix + "_weights", votes, lists.weights));
  return lists;
}

Result<TreeLists> parse_trees_by_index(NodeReader& reader) {
  TreeLists lists;
  reader.ignore("nodes_hitrates");
  LINNET_TRY(view_list(reader, "nodes_featureids", lists.features));
  const size_t count = lists.features.size();
  LINNET_TRY(view_list(reader, "tree_roots", lists.roots));
  LINNET_TRY(view_list(reader, "nodes_truenodeids", count, lists.pass));
  LINNET_TRY(view_list(reader, "nodes_falsenodeids", count, lists.fail));
  LINNET_TRY(view_list(reader, "nodes_trueleafs", count, lists.pass_leaf));
  LINNET_TRY(view_list(reader, "nodes_falseleafs", count, lists.fail_leaf));
  LINNET_TRY(view_tensor(reader, "nodes_modes", count, lists.modes));
  LINNET_TRY(view_tensor(reader, "nodes_splits", count, lists.values));
  LINNET_TRY(view_missing(reader, count, lists.missing));
  LINNET_TRY(view_tensor(reader, "membership_values", lists.members));
  LINNET_TRY(view_list(reader, "leaf_targetids", lists.targets));
  LINNET_TRY(view_tensor(reader, "leaf_weights", lists.targets.size(), lists.weights));
  return lists;
}

Result<RawTrees> raw_trees(const TreeLists& lists) { return lists.by_id ? trees_by_id(lists) : trees_by_index(lists); }

}  // namespace linnet
