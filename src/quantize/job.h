// What all schemes have in common: the model that is rewritten, its weights, and what is told about them.
#pragma once

#include <map>
#include <set>

#include "base/function_ref.h"
#include "quantize/node_selection.h"
#include "quantize/quantize.h"
#include "quantize/weight.h"

namespace linnet {

// A weight in a graph, as constants.
struct QuantizedValues {
  ValueId codes = kNoValue, scale = kNoValue, zero_point = kNoValue;
};

// What `optimize` wrote for this engine alone is not for the schemes that take convolutions, which know one order of
// axes.
Status refuse_own_forms(const Graph& graph);

class QuantizeJob {
 public:
  // Loads the model and rewrites it with the basic passes; large constants are not folded. The graph is inferred.
  static Result<std::unique_ptr<QuantizeJob>> open(const ModelSource& source, const QuantizeOptions& options,
                                                   const std::filesystem::path& path);

  Graph& graph() noexcept { return *loaded_.graph; }
  const LoadedGraph& loaded() const noexcept { return loaded_; }
  SymbolTable& symbols() noexcept { return *loaded_.symbols; }
  const QuantizeOptions& options() const noexcept { return options_; }
  // Why the caller does not want the node; empty when it is wanted.
  std::string refusal(const Graph& graph, const Node& node) const;
  // The model itself; the job is over then.
  LoadedGraph take() { return std::move(loaded_); }

  // Hands each node that `knows` and the caller wants to `rewrite`, subgraphs' nodes before the node that has them.
  // It fills in the report: a result, or the reason why the node stays.
  using Knows = FunctionRef<bool(const Graph&, const Node&)>;
  using Rewrite = FunctionRef<Status(Graph&, NodeId, NodeReport&)>;
  // Other nodes that hold weights are reported as left, in the words of `scheme`.
  Status for_each_node(std::string_view scheme, Knows knows, Rewrite rewrite);

  // The float tensor that the value is, or that can be computed for it from constants: the value is a constant then.
  // Otherwise nothing, with the reason in the report.
  std::shared_ptr<const Tensor> float_constant(Graph& graph, ValueId value, NodeReport& report);

  // The scheme that the options ask for.
  WeightScheme scheme(std::optional<size_t> axis) const noexcept;
  // The weight quantised, once for all who ask for the same. Without a value where it cannot be; the report has why.
  Result<std::optional<QuantizedValues>> quantize(Graph& graph, ValueId weight, const WeightScheme& scheme,
                                                  NodeReport& report);
  // Another form of a weight, to be kept and counted in the same way: `make` is called where it is not there yet.
  using Make = FunctionRef<Result<QuantizedWeight>(const Tensor&)>;
  Result<std::optional<QuantizedValues>> quantize(Graph& graph, ValueId weight, std::string_view form,
                                                  NodeReport& report, Make make);

  // Whether the weight has been quantised in this form.
  bool has(const Graph& graph, ValueId weight, std::string_view form) const;

  // Cleans the graph up, infers it again and writes it; the report is complete then.
  Result<QuantizeReport> write();

 private:
  struct Made {
    std::shared_ptr<const Tensor> codes, scale, zero_point;
    double snr_db = 0;
    std::map<const Graph*, QuantizedValues> values;
  };
  struct Key {
    std::weak_ptr<const Tensor> weight;
    std::string form;
    bool operator<(const Key& other) const noexcept;
  };

  QuantizeJob(const QuantizeOptions& options, std::filesystem::path path) : options_(options), path_(std::move(path)) {}
  Status visit(Graph& graph, std::string_view scheme, Knows knows, Rewrite rewrite, size_t total, size_t& done);
  NodeReport new_report(const Graph& graph, NodeId id) const;
  void fix_defaults(const Graph& graph, const std::set<ValueId>& values);
  void release(Graph& graph, const std::set<ValueId>& values);

  const QuantizeOptions& options_;
  std::filesystem::path path_;
  LoadedGraph loaded_;
  NodeSelection selection_;
  QuantizeReport report_;
  std::map<Key, Made> made_;
};

}  // namespace linnet
