// Ensembles of binary decision trees over rows of features.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "base/parallel.h"

namespace linnet {

enum class TreeTest : uint8_t { leq, lt, gte, gt, eq, neq, member };
enum class TreeAggregate : uint8_t { sum, min, max };

// A row goes to node `child` when its feature passes the test against `value`, and to `child + 1` when not. A leaf has
// a NaN as value, which no feature passes, feature 0 and its own index less one as child: it leads to itself.
template <class T>
struct TreeNode {
  T value;
  uint32_t feature;  // kTreeNanPasses may be set
  uint32_t child;
};
inline constexpr uint32_t kTreeNanPasses = 0x80000000u;  // a feature that is NaN passes this node's test

// Without gaps, like a node: both are written to files as they are.
template <class T>
struct TreeVote {
  std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t> target;
  T weight;
};
static_assert(sizeof(TreeVote<double>) == 16 && sizeof(TreeNode<double>) == 16 && sizeof(TreeNode<float>) == 12);

// Every child and every target is in range, and every path ends in a leaf: whoever builds the arrays has checked it.
template <class T>
struct TreeEnsembleView {
  std::span<const TreeNode<T>> nodes;
  std::span<const uint32_t> roots;
  // Empty when every node's test is `test`, which is then leq or lt; else one for each node. Leaves: any.
  std::span<const TreeTest> tests;
  TreeTest test = TreeTest::leq;
  bool nan_passes = false;  // some node has kTreeNanPasses
  // Of node n with test member: members[set_begin[n]] to members[set_begin[n + 1]], sorted. Empty when there is none.
  std::span<const uint32_t> set_begin;
  std::span<const T> members;
  // Leaf n votes votes[vote_begin[n]] to votes[vote_begin[n + 1]]. When width is not 0 (it is 1, 2, 4 or 8 then, and at
  // least `targets`), it adds weights[vote_begin[n] * width] and so on to the targets instead, of which the absent are
  // zeros.
  std::span<const uint32_t> vote_begin;
  std::span<const TreeVote<T>> votes;
  size_t targets = 1;
  size_t width = 0;
  std::span<const T> weights;
};

// scores[row * targets + k] is the sum (minimum, maximum) of the votes for target k in the leaves that the row reaches,
// in the order of the trees; 0 where there is none. voted, unless it is nullptr, tells for which targets there was one;
// min and max need it, and then width must be 0. Every feature of a node is below row_stride; rows of no features start
// with one number all the same. A stopped call leaves the scores unfinished.
template <class T>
void evaluate_trees(const TreeEnsembleView<T>& trees, const T* rows, size_t row_stride, size_t row_count,
                    TreeAggregate aggregate, T* scores, bool* voted, const Parallel& parallel) noexcept;

extern template void evaluate_trees(const TreeEnsembleView<float>&, const float*, size_t, size_t, TreeAggregate, float*,
                                    bool*, const Parallel&) noexcept;
extern template void evaluate_trees(const TreeEnsembleView<double>&, const double*, size_t, size_t, TreeAggregate,
                                    double*, bool*, const Parallel&) noexcept;

}  // namespace linnet
