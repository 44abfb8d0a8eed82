#include "quantize/node_names.h"

#include <algorithm>
#include <set>

namespace linnet {
namespace {

void collect_names(const Graph& graph, std::set<std::string>& names) {
  for (const NodeId id : graph.order()) {
    names.insert(graph.node(id).name);
    for (const auto& body : subgraphs_of(graph.node(id))) collect_names(*body, names);
  }
}

void name_nodes(Graph& graph, std::set<std::string>& names) {
  for (const NodeId id : graph.order()) {
    Node& node = graph.node(id);
    for (const auto& body : subgraphs_of(node)) name_nodes(*body, names);
    const auto first = std::find_if(node.outputs.begin(), node.outputs.end(), [](ValueId v) { return v != kNoValue; });
    if (!node.name.empty() || first == node.outputs.end()) continue;
    node.name = graph.value(*first).name;
    while (!names.insert(node.name).second) node.name += '_';
  }
}

void make_names_unique(Graph& graph, std::set<std::string>& names) {
  for (NodeId id = 0; id < graph.node_count(); ++id) {
    if (!graph.alive(id)) continue;
    std::string& name = graph.node(id).name;
    const std::string own = name;
    for (size_t i = 1; !name.empty() && !names.insert(name).second; ++i) name = concat(own, "_", i);
  }
  for (const NodeId id : graph.order())
    for (const auto& body : subgraphs_of(graph.node(id))) make_names_unique(*body, names);
}

std::string in_graph(const Graph& graph, const std::string& name) {
  return graph.name.empty() ? name : concat(graph.name, "/", name);
}

}  // namespace

void name_nodes(Graph& graph) {
  std::set<std::string> names;
  collect_names(graph, names);
  name_nodes(graph, names);
}

void make_names_unique(Graph& graph) {
  std::set<std::string> names;
  make_names_unique(graph, names);
}

std::string_view NodeNames::without_operator(std::string_view path) { return path.substr(0, path.rfind(" (")); }

const std::string* NodeNames::find(std::string_view step) const {
  for (;;) {
    if (const auto found = nodes_.find(step); found != nodes_.end()) return &found->second;
    const size_t end = step.rfind('_');
    if (end == std::string_view::npos) return nullptr;
    step = step.substr(0, end);
  }
}

void NodeNames::add(const Graph& graph) {
  for (const NodeId id : graph.order()) {
    const std::string name = in_graph(graph, graph.node(id).name);
    nodes_.insert_or_assign(name, name);
    for (const ValueId v : graph.node(id).outputs)
      if (v != kNoValue) nodes_.emplace(in_graph(graph, graph.value(v).name), name);
    for (const auto& body : subgraphs_of(graph.node(id))) add(*body);
  }
}

}  // namespace linnet
