// The ordered list of rewrites that turn a graph into one that runs faster and gives the same results.
#pragma once

#include <functional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "infer/infer.h"

namespace linnet {

enum class OptimizationLevel : int {
  none = 0,      // the graph as the model has it
  basic = 1,     // rewrites that leave standard operators: folding, duplicates, no-ops
  extended = 2,  // and fusions into operators beyond the standard
  all = 3,       // and the layout that this engine prefers
};

struct OptimizeOptions {
  OptimizationLevel level = OptimizationLevel::all;
  std::set<std::string, std::less<>> disabled;  // passes, by name
  size_t fold_bytes = size_t{64} << 20;         // what folded constants may take beyond those that they replace
  bool explain = false;                         // collect what almost fitted a pass, and why it did not
  // Called before each pass and each later stage of loading, `done` of `total`; a failure ends all.
  std::function<Status(size_t done, size_t total, std::string_view what)> before;

  Status begin(size_t done, size_t total, std::string_view what) const {
    return before ? before(done, total, what) : Status();
  }
};

// A place where a pass found most of what it looks for.
struct NearMiss {
  std::string node;  // its path
  std::string reason;
};

// What a pass works with. Infos of existing values are set; new values may lack them until the next inference.
struct PassContext {
  SymbolTable& symbols;
  const OptimizeOptions& options;
  const GraphFacts& facts;
  bool top_level = true;                    // of the model, not a subgraph
  std::vector<NearMiss>* misses = nullptr;  // set when somebody wants to know

  // Says why a pattern that begins at the node was left alone: a sentence's end, "its input is used elsewhere, too".
  // For what a reader would have expected to match, not for every node.
  template <class... Parts>
  void miss(const Graph& graph, NodeId node, const Parts&... reason) const {
    if (misses) misses->push_back({graph.node_path(node), concat(reason...)});
  }
};

// A pass edits a sorted, inferred graph and returns how often it changed something. Subgraphs are visited by the
// driver.
struct Pass {
  std::string_view name;  // a verb: fuse_conv_batch_norm
  OptimizationLevel level;
  Result<size_t> (*run)(Graph& graph, PassContext& context);
};

std::span<const Pass> all_passes() noexcept;

struct PassReport {
  std::string pass;
  size_t changes = 0;
  double milliseconds = 0;
  std::vector<NearMiss> misses;  // with OptimizeOptions::explain

  std::string to_string() const { return concat("pass ", pass, ": ", changes, " changes in ", milliseconds, " ms"); }
};

// Runs the passes in order, with inference between them where the graph changed, and leaves it sorted and inferred.
// An unknown name in `disabled` is an error.
Result<std::vector<PassReport>> optimize(Graph& graph, SymbolTable& symbols, const OptimizeOptions& options);

}  // namespace linnet
