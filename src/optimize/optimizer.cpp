#include "optimize/optimizer.h"

#include <algorithm>
#include <chrono>

#include "base/nearest_name.h"

namespace linnet {

#define LINNET_PASS(function, level) Result<size_t> function(Graph& graph, PassContext& context);
#include "optimize/pass_list.inc"
#undef LINNET_PASS

namespace {

constexpr Pass kPasses[] = {
#define LINNET_PASS(function, level) {#function, OptimizationLevel::level, function},
#include "optimize/pass_list.inc"
#undef LINNET_PASS
};

Result<size_t> run_pass(const Pass& pass, Graph& graph, SymbolTable& symbols, const OptimizeOptions& options,
                        const GraphFacts& facts, bool top_level, std::vector<NearMiss>* misses) {
  PassContext context{symbols, options, facts, top_level, misses};
  LINNET_ASSIGN(size_t changes, pass.run(graph, context));
  LINNET_TRY(graph.sort());
  const GraphFacts none;
  for (const NodeId id : graph.order()) {
    for (const std::shared_ptr<Graph>& body : subgraphs_of(graph.node(id))) {
      LINNET_ASSIGN(const size_t inner, run_pass(pass, *body, symbols, options, none, false, misses));
      changes += inner;
    }
  }
  return changes;
}

}  // namespace

std::span<const Pass> all_passes() noexcept { return kPasses; }

Result<std::vector<PassReport>> optimize(Graph& graph, SymbolTable& symbols, const OptimizeOptions& options) {
  std::vector<std::string_view> names;
  for (const Pass& pass : kPasses) names.push_back(pass.name);
  for (const std::string& name : options.disabled)
    LINNET_REQUIRE(std::count(names.begin(), names.end(), name) != 0,
                   invalid_argument("there is no pass named '", name, "'", did_you_mean(name, names)));
  std::vector<PassReport> reports;
  LINNET_ASSIGN(GraphFacts facts, infer_graph(graph, symbols));
  for (const Pass& pass : kPasses) {
    LINNET_TRY(options.begin(static_cast<size_t>(&pass - kPasses), std::size(kPasses), pass.name));
    if (pass.level > options.level || options.disabled.contains(pass.name)) continue;
    const auto begin = std::chrono::steady_clock::now();
    std::vector<NearMiss> misses;
    Result<size_t> changes = run_pass(pass, graph, symbols, options, facts, true, options.explain ? &misses : nullptr);
    if (!changes.ok()) return std::move(changes).status().within(concat("pass ", pass.name));
    if (*changes != 0) {
      graph.remove_unused();
      LINNET_TRY(graph.sort());
      Result<GraphFacts> again = infer_graph(graph, symbols);
      if (!again.ok()) return std::move(again).status().within(concat("after pass ", pass.name));
      facts = std::move(*again);
    }
    const std::chrono::duration<double, std::milli> spent = std::chrono::steady_clock::now() - begin;
    reports.push_back({std::string(pass.name), *changes, spent.count(), std::move(misses)});
  }
  return reports;
}

}  // namespace linnet
