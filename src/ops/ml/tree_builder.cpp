#include "ops/ml/tree_builder.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <utility>

namespace linnet {
namespace {

constexpr size_t kMostCovered = 1024;  // more targets are not worth the search

// The one test that all inner nodes can be expressed in by exchanging children, if there is one.
bool uniform_test(const RawTrees& raw, TreeTest& test) {
  bool strict = false, lax = false;
  for (const RawTrees::Node& node : raw.nodes) {
    if (node.leaf) continue;
    const bool negated = node.test == TreeTest::gt || node.test == TreeTest::gte;
    if (node.test > TreeTest::gt || (negated && node.value != node.value)) return false;
    (node.test == TreeTest::lt || node.test == TreeTest::gte ? strict : lax) = true;
  }
  test = strict ? TreeTest::lt : TreeTest::leq;
  return !(strict && lax);
}

// The votes of each leaf together, in their order. `next`: where those of a leaf begin.
void sort_votes(std::vector<RawTrees::Vote>& votes, std::vector<uint32_t> next) {
  const auto before = [](const RawTrees::Vote& a, const RawTrees::Vote& b) { return a.leaf < b.leaf; };
  if (std::is_sorted(votes.begin(), votes.end(), before)) return;
  std::vector<RawTrees::Vote> sorted(votes.size());
  for (const RawTrees::Vote& vote : votes) sorted[next[vote.leaf]++] = vote;
  votes = std::move(sorted);
}

template <class T>
class Builder {
 public:
  Builder(RawTrees& raw, size_t targets) : raw_(raw), out_(std::make_shared<BuiltTrees<T>>()) {
    out_->targets = targets;
  }

  Result<std::shared_ptr<BuiltTrees<T>>> build(TreeUse use) {
    uniform_ = uniform_test(raw_, out_->test);
    seen_.assign(raw_.nodes.size(), false);
    raw_of_.reserve(raw_.nodes.size());
    out_->nodes.reserve(raw_.nodes.size());
    for (const uint32_t root : raw_.roots) LINNET_TRY(add_tree(root));
    LINNET_TRY(check_votes());
    if (!uniform_) add_sets();
    out_->every_target_voted = covers_targets();
    const bool only_sums = use == TreeUse::sums || (use == TreeUse::sums_and_voted && out_->every_target_voted);
    if (only_sums && spread_votes()) return std::move(out_);
    LINNET_TRY(add_votes());
    return std::move(out_);
  }

 private:
  // Children lie side by side, and whole subtrees together.
  Status add_tree(uint32_t root) {
    std::vector<std::pair<uint32_t, uint32_t>> open;  // raw node, place
    LINNET_TRY(reserve(1));
    out_->roots.push_back(static_cast<uint32_t>(out_->nodes.size() - 1));
    open.emplace_back(root, out_->roots.back());
    while (!open.empty()) {
      const auto [id, place] = open.back();
      open.pop_back();
      LINNET_REQUIRE(id < raw_.nodes.size(), invalid_model("a tree refers to node ", id, ", which is not there"));
      const RawTrees::Node& node = raw_.nodes[id];
      raw_of_[place] = id;
      if (node.leaf) {
        out_->nodes[place] = {std::numeric_limits<T>::quiet_NaN(), 0, place - 1};
        if (!uniform_) out_->tests[place] = TreeTest::leq;
        continue;
      }
      LINNET_REQUIRE(!seen_[id], invalid_model("two paths lead to node ", id, " of a tree"));
      seen_[id] = true;
      LINNET_REQUIRE(node.feature >= 0 && static_cast<size_t>(node.feature) < kMostTreeNodes,
                     invalid_model("a tree tests feature ", node.feature));
      LINNET_TRY(reserve(2));
      const uint32_t child = static_cast<uint32_t>(out_->nodes.size()) - 2;
      uint32_t pass = node.pass, fail = node.fail;
      bool nan_passes = node.nan_passes;
      // x != NaN holds for every x.
      const bool exchange = uniform_ ? node.test == TreeTest::gt || node.test == TreeTest::gte
                                     : node.test == TreeTest::neq && node.value != node.value;
      if (exchange) {
        std::swap(pass, fail);
        nan_passes = uniform_ && !nan_passes;
      }
      if (!uniform_) out_->tests[place] = node.test;
      const uint32_t flag = nan_passes ? kTreeNanPasses : 0;
      out_->nan_passes |= nan_passes;
      out_->nodes[place] = {static_cast<T>(node.value), static_cast<uint32_t>(node.feature) | flag,
                            static_cast<uint32_t>(child)};
      open.emplace_back(fail, child + 1);
      open.emplace_back(pass, child);
    }
    return {};
  }

  Status reserve(size_t count) {
    LINNET_REQUIRE(out_->nodes.size() < kMostTreeNodes - count, unsupported("the trees have too many nodes"));
    out_->nodes.resize(out_->nodes.size() + count);
    raw_of_.resize(out_->nodes.size());
    if (!uniform_) out_->tests.resize(out_->nodes.size());
    return {};
  }

  Status check_votes() {
    LINNET_REQUIRE(raw_.votes.size() < kMostTreeNodes, unsupported("the trees have too many votes"));
    first_vote_.assign(raw_.nodes.size() + 1, 0);
    for (const RawTrees::Vote& vote : raw_.votes) {
      LINNET_REQUIRE(vote.leaf < raw_.nodes.size(),
                     invalid_model("a vote is for node ", vote.leaf, ", which is not there"));
      LINNET_REQUIRE(vote.target >= 0 && static_cast<size_t>(vote.target) < out_->targets,
                     invalid_model("a leaf votes for target ", vote.target, " of ", out_->targets));
      ++first_vote_[vote.leaf + 1];
    }
    for (size_t i = 0; i < raw_.nodes.size(); ++i) first_vote_[i + 1] += first_vote_[i];
    sort_votes(raw_.votes, first_vote_);
    return {};
  }

  // Of what stands at a place; inner nodes have none.
  std::span<const RawTrees::Vote> votes_at(size_t place) const {
    const uint32_t id = raw_of_[place];
    if (!raw_.nodes[id].leaf) return {};
    return std::span(raw_.votes).subspan(first_vote_[id], first_vote_[id + 1] - first_vote_[id]);
  }

  Status add_votes() {
    out_->vote_begin.reserve(out_->nodes.size() + 1);
    out_->votes.reserve(raw_.votes.size());
    for (size_t n = 0; n < out_->nodes.size(); ++n) {
      const std::span<const RawTrees::Vote> votes = votes_at(n);
      out_->vote_begin.push_back(static_cast<uint32_t>(out_->votes.size()));
      LINNET_REQUIRE(out_->votes.size() + votes.size() < kMostTreeNodes, unsupported("the trees have too many votes"));
      for (const RawTrees::Vote& vote : votes)
        out_->votes.push_back({static_cast<uint32_t>(vote.target), static_cast<T>(vote.weight)});
    }
    out_->vote_begin.push_back(static_cast<uint32_t>(out_->votes.size()));
    return {};
  }

  void add_sets() {
    out_->set_begin.push_back(0);
    for (const uint32_t id : raw_of_) {
      const RawTrees::Node& node = raw_.nodes[id];
      if (!node.leaf && node.test == TreeTest::member) {
        const size_t first = out_->members.size();
        for (size_t i = node.set_begin; i < node.set_end; ++i)
          if (raw_.members[i] == raw_.members[i]) out_->members.push_back(static_cast<T>(raw_.members[i]));
        std::sort(out_->members.begin() + static_cast<ptrdiff_t>(first), out_->members.end());
      }
      out_->set_begin.push_back(static_cast<uint32_t>(out_->members.size()));
    }
  }

  // One weight for each target in each leaf, if that is not too wasteful and no leaf votes twice for a target: adding
  // the two votes up first would round differently.
  bool spread_votes() {
    if (out_->targets > 8) return false;
    const size_t width = std::bit_ceil(out_->targets);
    size_t leaves = 0, count = 0;
    for (size_t n = 0; n < out_->nodes.size(); ++n) {
      if (!raw_.nodes[raw_of_[n]].leaf) continue;
      ++leaves;
      uint32_t seen = 0;
      for (const RawTrees::Vote& vote : votes_at(n)) {
        const uint32_t bit = 1u << vote.target;
        if (seen & bit) return false;
        seen |= bit;
        ++count;
      }
    }
    if (leaves == 0 || leaves * width > 4 * count + 64) return false;
    out_->width = width;
    out_->weights.assign(leaves * width, T{0});
    out_->vote_begin.reserve(out_->nodes.size());
    uint32_t leaf = 0;
    for (size_t n = 0; n < out_->nodes.size(); ++n) {
      out_->vote_begin.push_back(leaf);
      if (!raw_.nodes[raw_of_[n]].leaf) continue;
      for (const RawTrees::Vote& vote : votes_at(n))
        out_->weights[leaf * width + static_cast<size_t>(vote.target)] = static_cast<T>(vote.weight);
      ++leaf;
    }
    return true;
  }

  // Every target has a tree all of whose leaves vote for it.
  bool covers_targets() const {
    if (out_->targets > kMostCovered) return false;
    std::vector<bool> covered(out_->targets, false);
    std::vector<uint32_t> count(out_->targets), last(out_->targets);
    for (size_t t = 0; t < out_->roots.size(); ++t) {
      const size_t end = t + 1 < out_->roots.size() ? out_->roots[t + 1] : out_->nodes.size();
      uint32_t leaves = 0;
      std::fill(count.begin(), count.end(), 0u);
      std::fill(last.begin(), last.end(), 0u);
      for (size_t n = out_->roots[t]; n < end; ++n) {
        if (!raw_.nodes[raw_of_[n]].leaf) continue;
        ++leaves;
        for (const RawTrees::Vote& vote : votes_at(n)) {
          const auto target = static_cast<size_t>(vote.target);
          if (std::exchange(last[target], leaves) != leaves) ++count[target];
        }
      }
      for (size_t k = 0; k < out_->targets; ++k)
        if (count[k] == leaves) covered[k] = true;
      if (std::find(covered.begin(), covered.end(), false) == covered.end()) return true;
    }
    return false;
  }

  RawTrees& raw_;
  std::shared_ptr<BuiltTrees<T>> out_;
  bool uniform_ = false;
  std::vector<bool> seen_;
  std::vector<uint32_t> raw_of_;      // by place
  std::vector<uint32_t> first_vote_;  // by raw node, of the sorted votes
};

}  // namespace

template <class T>
Result<std::shared_ptr<BuiltTrees<T>>> build_trees(RawTrees raw, size_t targets, TreeUse use) {
  return Builder<T>(raw, targets).build(use);
}

template Result<std::shared_ptr<BuiltTrees<float>>> build_trees(RawTrees, size_t, TreeUse);
template Result<std::shared_ptr<BuiltTrees<double>>> build_trees(RawTrees, size_t, TreeUse);

}  // namespace linnet
