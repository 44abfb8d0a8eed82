// Walking one tree is a chain of dependent loads. Several walks side by side (rows through one tree, or one row through
// several trees) keep the machine busy; a walk that has arrived turns in place at its leaf until the others have, too.
#include "kernels/tree/tree_ensemble.h"

#include <algorithm>
#include <utility>

namespace linnet {
namespace {

constexpr size_t kLanes = 8;  // as many walks as the registers hold
constexpr size_t kBlockRows =
    64;  // so that a tree is loaded once for many rows, whose features stay in the first cache

// The next node of a walk. Without kTests, every test is < (kStrict) or <=.
template <class T, bool kTests, bool kStrict, bool kNan>
struct Step {
  const TreeEnsembleView<T>& trees;

  uint32_t operator()(uint32_t at, const T* row) const noexcept {
    const TreeNode<T>& node = trees.nodes[at];
    const T x = row[kNan || kTests ? node.feature & ~kTreeNanPasses : node.feature];
    bool pass = kTests ? passes(at, node.value, x) : kStrict ? x < node.value : x <= node.value;
    if (kNan || kTests) pass |= (x != x) & ((node.feature & kTreeNanPasses) != 0);
    return node.child + static_cast<uint32_t>(!pass);
  }

  bool passes(uint32_t at, T value, T x) const noexcept {
    if (value != value) return false;  // a leaf
    switch (trees.tests[at]) {
      case TreeTest::leq: return x <= value;
      case TreeTest::lt: return x < value;
      case TreeTest::gte: return x >= value;
      case TreeTest::gt: return x > value;
      case TreeTest::eq: return x == value;
      case TreeTest::neq: return x != value;
      case TreeTest::member: break;
    }
    return x == x && std::binary_search(trees.members.begin() + trees.set_begin[at],
                                        trees.members.begin() + trees.set_begin[at + 1], x);
  }
};

// leaves[l] is where the walk from roots[l] with features rows[l] ends.
template <class S, class T, size_t... L>
void walk_lanes(const S& step, const uint32_t* roots, const T* const* rows, uint32_t* leaves,
                std::index_sequence<L...>) noexcept {
  uint32_t at[] = {roots[L]...};
  const T* const row[] = {rows[L]...};
  uint32_t moved = 1;
  while (moved != 0) {
    const uint32_t next[] = {step(at[L], row[L])...};
    moved = ((next[L] ^ at[L]) | ...);
    ((at[L] = next[L]), ...);
  }
  ((leaves[L] = at[L]), ...);
}

template <class S, class T>
void walk(const S& step, const uint32_t* roots, const T* const* rows, size_t count, uint32_t* leaves) noexcept {
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    walk_lanes(step, roots + i, rows + i, leaves + i, std::make_index_sequence<kLanes>());
  for (; i < count; ++i) walk_lanes(step, roots + i, rows + i, leaves + i, std::index_sequence<0>());
}

template <class T>
void walk(const TreeEnsembleView<T>& trees, const uint32_t* roots, const T* const* rows, size_t count,
          uint32_t* leaves) noexcept {
  const bool strict = trees.test == TreeTest::lt;
  if (!trees.tests.empty()) {
    walk(Step<T, true, false, true>{trees}, roots, rows, count, leaves);
  } else if (trees.nan_passes) {
    if (strict) {
      walk(Step<T, false, true, true>{trees}, roots, rows, count, leaves);
    } else {
      walk(Step<T, false, false, true>{trees}, roots, rows, count, leaves);
    }
  } else if (strict) {
    walk(Step<T, false, true, false>{trees}, roots, rows, count, leaves);
  } else {
    walk(Step<T, false, false, false>{trees}, roots, rows, count, leaves);
  }
}

template <class T>
void add_votes(const TreeEnsembleView<T>& trees, uint32_t leaf, TreeAggregate aggregate, T* scores,
               bool* voted) noexcept {
  const TreeVote<T>* vote = trees.votes.data() + trees.vote_begin[leaf];
  const TreeVote<T>* const end = trees.votes.data() + trees.vote_begin[leaf + 1];
  if (aggregate == TreeAggregate::sum) {
    if (voted) {
      for (; vote != end; ++vote) {
        scores[vote->target] += vote->weight;
        voted[vote->target] = true;
      }
    } else {
      for (; vote != end; ++vote) scores[vote->target] += vote->weight;
    }
    return;
  }
  for (; vote != end; ++vote) {
    T& score = scores[vote->target];
    const bool better = aggregate == TreeAggregate::min ? vote->weight < score : vote->weight > score;
    if (!voted[vote->target] || better) score = vote->weight;
    voted[vote->target] = true;
  }
}

// Few rows: each goes through kBlockRows trees at a time.
template <class T>
void evaluate_row(const TreeEnsembleView<T>& trees, const T* row, TreeAggregate aggregate, T* scores,
                  bool* voted) noexcept {
  const T* rows[kBlockRows];
  uint32_t leaves[kBlockRows];
  std::fill_n(rows, kBlockRows, row);
  for (size_t first = 0; first < trees.roots.size(); first += kBlockRows) {
    const size_t count = std::min(kBlockRows, trees.roots.size() - first);
    walk(trees, trees.roots.data() + first, rows, count, leaves);
    for (size_t i = 0; i < count; ++i) add_votes(trees, leaves[i], aggregate, scores, voted);
  }
}

// Many rows: each tree takes up to kBlockRows of them at a time.
template <class T>
void evaluate_block(const TreeEnsembleView<T>& trees, const T* const* rows, size_t count, TreeAggregate aggregate,
                    T* scores, bool* voted) noexcept {
  uint32_t roots[kBlockRows];
  uint32_t leaves[kBlockRows];
  for (const uint32_t root : trees.roots) {
    std::fill_n(roots, count, root);
    walk(trees, roots, rows, count, leaves);
    for (size_t i = 0; i < count; ++i)
      add_votes(trees, leaves[i], aggregate, scores + i * trees.targets, voted ? voted + i * trees.targets : nullptr);
  }
}

// The leaves that rows (one tree) or trees (one row) have reached, added in order to the row's sums.
template <size_t W, class T>
void add_weights(const TreeEnsembleView<T>& trees, const uint32_t* leaves, size_t count, T* sums,
                 size_t sums_step) noexcept {
  for (size_t i = 0; i < count; ++i, sums += sums_step) {
    const T* w = trees.weights.data() + size_t{trees.vote_begin[leaves[i]]} * W;
    for (size_t k = 0; k < W; ++k) sums[k] += w[k];
  }
}

// evaluate_row and evaluate_block for sums where each leaf has W weights.
template <size_t W, class T>
void sum_rows(const TreeEnsembleView<T>& trees, const T* const* rows, size_t count, T* scores) noexcept {
  T sums[kBlockRows * W] = {};
  uint32_t roots[kBlockRows];
  uint32_t leaves[kBlockRows];
  if (count < kLanes) {
    const T* same[kBlockRows];
    for (size_t row = 0; row < count; ++row) {
      std::fill_n(same, kBlockRows, rows[row]);
      for (size_t first = 0; first < trees.roots.size(); first += kBlockRows) {
        const size_t part = std::min(kBlockRows, trees.roots.size() - first);
        walk(trees, trees.roots.data() + first, same, part, leaves);
        add_weights<W>(trees, leaves, part, sums + row * W, 0);
      }
    }
  } else {
    for (const uint32_t root : trees.roots) {
      std::fill_n(roots, count, root);
      walk(trees, roots, rows, count, leaves);
      add_weights<W>(trees, leaves, count, sums, W);
    }
  }
  for (size_t row = 0; row < count; ++row) std::copy_n(sums + row * W, trees.targets, scores + row * trees.targets);
}

template <class T>
void sum_rows(const TreeEnsembleView<T>& trees, const T* const* rows, size_t count, T* scores) noexcept {
  switch (trees.width) {
    case 1: return sum_rows<1>(trees, rows, count, scores);
    case 2: return sum_rows<2>(trees, rows, count, scores);
    case 4: return sum_rows<4>(trees, rows, count, scores);
    default: return sum_rows<8>(trees, rows, count, scores);
  }
}

}  // namespace

template <class T>
void evaluate_trees(const TreeEnsembleView<T>& trees, const T* rows, size_t row_stride, size_t row_count,
                    TreeAggregate aggregate, T* scores, bool* voted, const Parallel& parallel) noexcept {
  const size_t targets = trees.targets;
  std::fill_n(scores, row_count * targets, T{0});
  if (voted) std::fill_n(voted, row_count * targets, false);
  const double row_ns = 15.0 * static_cast<double>(trees.roots.size());
  parallel.for_range(row_count, grain_for(row_ns), [&](size_t begin, size_t end, size_t) {
    for (size_t first = begin; first < end;) {
      if (parallel.stopped()) return;
      const size_t count = std::min(kBlockRows, end - first);
      bool* flags = voted ? voted + first * targets : nullptr;
      T* sums = scores + first * targets;
      const T* pointers[kBlockRows];
      for (size_t i = 0; i < count; ++i) pointers[i] = rows + (first + i) * row_stride;
      if (trees.width != 0) {
        sum_rows(trees, pointers, count, sums);
      } else if (count < kLanes) {
        for (size_t i = 0; i < count; ++i)
          evaluate_row(trees, pointers[i], aggregate, sums + i * targets, flags ? flags + i * targets : nullptr);
      } else {
        evaluate_block(trees, pointers, count, aggregate, sums, flags);
      }
      first += count;
    }
  });
}

template void evaluate_trees(const TreeEnsembleView<float>&, const float*, size_t, size_t, TreeAggregate, float*, bool*,
                             const Parallel&) noexcept;
template void evaluate_trees(const TreeEnsembleView<double>&, const double*, size_t, size_t, TreeAggregate, double*,
                             bool*, const Parallel&) noexcept;

}  // namespace linnet
