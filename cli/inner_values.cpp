#include "inner_values.h"

#include <algorithm>
#include <set>

#include "compare.h"

namespace linnet::cli {

Result<InnerValues> inner_values(const ModelOptions& options) {
  LINNET_ASSIGN(const LoadedGraph loaded, load_graph(model_source(options), load_options(options)));
  const Graph& graph = *loaded.graph;
  InnerValues found;
  for (const NodeId id : graph.order()) {
    const Node& node = graph.node(id);
    for (const ValueId v : node.outputs)
      if (v != kNoValue && !graph.value(v).name.empty())
        found.values.push_back({graph.value(v).name, graph.node_path(id), node.name, node.op_type});
  }
  for (ValueId v = 0; v < graph.value_count(); ++v)
    if (const Tensor* constant = graph.constant(v);
        constant && (constant->dtype == DType::f16 || (constant->dtype == DType::bf16 && found.floats == DType::f32)))
      found.floats = constant->dtype;
  return found;
}

std::vector<InnerValue> common_values(const InnerValues& values, const InnerValues& others) {
  std::set<std::string_view> names;
  for (const InnerValue& value : others.values) names.insert(value.name);
  std::vector<InnerValue> common;
  for (const InnerValue& value : values.values)
    if (names.contains(value.name)) common.push_back(value);
  return common;
}

Result<std::map<std::string, Value>> run_for(const ModelOptions& options, const std::vector<std::string>& inner,
                                             const std::map<std::string, Value>& inputs) {
  LINNET_ASSIGN(const std::unique_ptr<Session> session, open_session(options, inner));
  const Model& model = session->model();
  std::vector<Value> values, outputs(model.outputs.size());
  for (const Model::Port& port : model.inputs) {
    const auto found = inputs.find(port.name);
    LINNET_REQUIRE(found != inputs.end(),
                   invalid_argument("input '", port.name, "' is not an input of the first model"));
    LINNET_ASSIGN(values.emplace_back(), as_floats(found->second, port.info.dtype));
  }
  RunOptions run;
  for (const Model::Port& port : model.outputs)
    run.wanted.push_back(inner.empty() || std::count(inner.begin(), inner.end(), port.name) != 0);
  LINNET_TRY(session->run(values, outputs, run));
  std::map<std::string, Value> by_name;
  for (size_t k = 0; k < outputs.size(); ++k)
    if (run.wanted[k]) by_name[model.outputs[k].name] = std::move(outputs[k]);
  return by_name;
}

}  // namespace linnet::cli
