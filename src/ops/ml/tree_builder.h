// From the attributes of the tree operators to arrays that are safe to walk.
#pragma once

#include <memory>
#include <vector>

#include "base/result.h"
#include "kernels/tree/tree_ensemble.h"

namespace linnet {

inline constexpr size_t kMostTreeNodes = 0x7fffffff;

// An ensemble as models describe it; nothing of it is trusted. Nodes are named by their index in `nodes`, of which
// there are fewer than kMostTreeNodes; features and targets beyond an int32_t are the greatest or least, which no
// ensemble has.
struct RawTrees {
  struct Node {
    double value = 0;
    int32_t feature = 0;
    uint32_t pass = 0, fail = 0;          // children of an inner node
    uint32_t set_begin = 0, set_end = 0;  // of `members`, for TreeTest::member
    TreeTest test = TreeTest::leq;
    bool leaf = false;
    bool nan_passes = false;
  };
  struct Vote {
    uint32_t leaf;
    int32_t target;
    double weight;
  };
  std::vector<Node> nodes;
  std::vector<uint32_t> roots;
  std::vector<double> members;
  std::vector<Vote> votes;  // a leaf's votes count in this order; votes of inner nodes are ignored
};

template <class T>
struct BuiltTrees {
  std::vector<TreeNode<T>> nodes;
  std::vector<uint32_t> roots;
  std::vector<TreeTest> tests;
  TreeTest test = TreeTest::leq;
  bool nan_passes = false;
  std::vector<uint32_t> set_begin;
  std::vector<T> members;
  std::vector<uint32_t> vote_begin;
  std::vector<TreeVote<T>> votes;
  size_t targets = 1;
  size_t width = 0;
  std::vector<T> weights;
  bool every_target_voted = false;  // every row gets a vote for every target

  TreeEnsembleView<T> view() const noexcept {
    return {nodes, roots, tests, test, nan_passes, set_begin, members, vote_begin, votes, targets, width, weights};
  }
};

// What will be asked of evaluate_trees: only sums; sums, and which targets were voted for; or minima and maxima.
enum class TreeUse : uint8_t { sums, sums_and_voted, extremes };

// Fails unless every child, feature and target is in range and no inner node is reached twice.
template <class T>
Result<std::shared_ptr<BuiltTrees<T>>> build_trees(RawTrees raw, size_t targets, TreeUse use);

extern template Result<std::shared_ptr<BuiltTrees<float>>> build_trees(RawTrees, size_t, TreeUse);
extern template Result<std::shared_ptr<BuiltTrees<double>>> build_trees(RawTrees, size_t, TreeUse);

}  // namespace linnet
