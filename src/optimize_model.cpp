#include "optimize_model.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

#include "base/json_text.h"
#include "base/nearest_name.h"

namespace linnet {
namespace {

size_t count_nodes(const Graph& graph) {
  size_t count = graph.order().size();
  for (const NodeId id : graph.order())
    for (const auto& body : subgraphs_of(graph.node(id))) count += count_nodes(*body);
  return count;
}

// A size that has a name gets its number wherever an input has that name.
Status fix_shape(Graph& graph, const std::string& name, const Shape& shape) {
  const auto port =
      std::find_if(graph.inputs.begin(), graph.inputs.end(), [&](const GraphPort& p) { return p.name == name; });
  if (port == graph.inputs.end()) {
    std::vector<std::string_view> names;
    for (const GraphPort& p : graph.inputs) names.push_back(p.name);
    return error(Code::not_found, "the model has no input named '", name, "'", nearest_or_all(name, names));
  }
  const ValueInfo declared = graph.value(port->value).info;
  LINNET_REQUIRE(declared.kind == ValueKind::tensor,
                 invalid_argument("input '", name, "' is no tensor and has no shape"));
  LINNET_REQUIRE(!declared.ranked || declared.shape.size() == shape.rank(),
                 invalid_argument("input '", name, "' has rank ", declared.shape.size(), ", not ", shape.rank()));
  for (size_t i = 0; i < shape.rank() && declared.ranked; ++i) {
    const Dim dim = declared.shape[i];
    LINNET_REQUIRE(!dim.known() || dim.is(shape[i]), invalid_argument("size ", i, " of input '", name, "' is ",
                                                                      dim.value(), " and cannot become ", shape[i]));
    for (const GraphPort& other : graph.inputs)
      for (Dim& d : graph.value(other.value).info.shape)
        if (d == dim) d = shape[i];
  }
  graph.value(port->value).info = ValueInfo::tensor(declared.dtype, SymShape(shape));
  return {};
}

// Of the names that are to stay in float those that the graph has.
std::set<std::string_view> known_names(const Graph& graph, const OptimizeModelOptions& options) {
  std::set<std::string_view> known;
  if (options.floats)
    for (const std::string& name : options.floats->keep)
      if (has_node_or_operator(graph, name)) known.insert(name);
  return known;
}

// What the level promises: other runtimes have no operators of this engine's own.
Status refuse_own_operators(const Graph& graph) {
  for (const NodeId id : graph.order()) {
    LINNET_REQUIRE(graph.node(id).domain != "linnet",
                   error(Code::invalid_argument, graph.node_path(id),
                         " is an operator of this engine alone: the model was optimized at the level 'all' already"));
    for (const auto& body : subgraphs_of(graph.node(id))) LINNET_TRY(refuse_own_operators(*body));
  }
  return {};
}

}  // namespace

std::string OptimizeModelReport::to_json() const {
  std::string out =
      concat("{\"nodes_before\": ", nodes_before, ", \"nodes_after\": ", nodes_after,
             ", \"bytes_before\": ", bytes_before, ", \"bytes_after\": ", bytes_after,
             ", \"converted_constants\": ", floats.constants, ", \"casts\": ", floats.casts, ", \"kept_float\": [");
  const char* comma = "";
  for (const std::string& node : floats.kept) {
    append_json(out += std::exchange(comma, ", "), node);
  }
  out += "], \"passes\": [";
  comma = "";
  for (const PassReport& pass : passes) {
    append_json(out += concat(std::exchange(comma, ",\n  "), "{\"pass\": "), pass.pass);
    append_json(out += concat(", \"changes\": ", pass.changes, ", \"ms\": "), pass.milliseconds);
    out += '}';
  }
  return out + "]}\n";
}

Result<OptimizeModelReport> optimize_model(const ModelSource& source, const OptimizeModelOptions& options,
                                           const std::filesystem::path& path) {
  OptimizeModelReport report;
  LINNET_TRY(require_folder_of(path));
  LINNET_ASSIGN(LoadedGraph loaded, load_graph(source, options.load));
  LINNET_REQUIRE(!loaded.packed, invalid_argument("a compiled model cannot be optimized again: optimize its source"));
  LINNET_REQUIRE(options.load.operators.empty(), unsupported("models with operators of the caller cannot be saved"));
  Graph& graph = *loaded.graph;
  for (const auto& file : loaded.model->files) report.bytes_before += file->identity().size;
  if (source.path.empty()) report.bytes_before += source.bytes.size();
  report.nodes_before = count_nodes(graph);
  for (const auto& [name, shape] : options.shapes) LINNET_TRY(fix_shape(graph, name, shape));
  const OptimizationLevel level = options.load.optimize.level;
  // This engine's own operators are chosen by the types that they meet, so after the conversion.
  OptimizeOptions passes = options.load.optimize;
  if (options.floats) passes.level = std::min(level, OptimizationLevel::extended);
  const std::set<std::string_view> kept = known_names(graph, options);
  // Without passes a model may have operators that nobody here knows.
  if (level > OptimizationLevel::none) {
    LINNET_ASSIGN(report.passes, optimize(graph, *loaded.symbols, passes));
    if (options.load.log)
      for (const PassReport& pass : report.passes)
        if (pass.changes != 0) options.load.log(Severity::verbose, pass.to_string());
  }
  const auto check_stop = [&]() -> Status {
    if (options.stop && options.stop->stop_requested()) return error(Code::cancelled, "optimizing was cancelled");
    return {};
  };
  LINNET_TRY(check_stop());
  if (options.floats) {
    for (const std::string_view name : kept)
      LINNET_REQUIRE(has_node_or_operator(graph, name),
                     error(Code::not_found, "'", name, "' cannot stay in 32-bit floats: once the graph is rewritten ",
                           "there is no such node. At the level 'none', or 'basic', it may stay"));
    LINNET_ASSIGN(report.floats, convert_floats(graph, *loaded.symbols, *options.floats));
    if (level == OptimizationLevel::all) {
      LINNET_ASSIGN(const std::vector<PassReport> more, optimize(graph, *loaded.symbols, options.load.optimize));
      report.passes.insert(report.passes.end(), more.begin(), more.end());
    }
  }
  if (level < OptimizationLevel::all) LINNET_TRY(refuse_own_operators(graph));
  LINNET_TRY(check_stop());
  graph.remove_unused();
  LINNET_TRY(graph.sort());
  report.nodes_after = count_nodes(graph);
  if (options.before_writing) LINNET_TRY(options.before_writing(loaded));
  LINNET_TRY(options.load.optimize.begin(0, 1, "writing"));
  LINNET_ASSIGN(report.bytes_after, save_model(loaded, path, options.save));
  return report;
}

}  // namespace linnet
