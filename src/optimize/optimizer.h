// The ordered list of rewrites that turn a graph into one that runs faster and gives the same results.
#pragma once

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
  size_t fold_bytes = size_t{64} << 20;         // constant folding makes no value larger than this
};

// What a pass works with. Infos of existing values are set; new values may lack them until the next inference.
struct PassContext {
  SymbolTable& symbols;
  const OptimizeOptions& options;
  const GraphFacts& facts;
  bool top_level = true;  // of the model, not a subgraph
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
};

// Runs the passes in order, with inference between them where the graph changed, and leaves it sorted and inferred.
// An unknown name in `disabled` is an error.
Result<std::vector<PassReport>> optimize(Graph& graph, SymbolTable& symbols, const OptimizeOptions& options);

}  // namespace linnet
