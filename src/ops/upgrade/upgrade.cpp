#include "ops/upgrade/upgrade.h"

#include <string>

namespace linnet {

#define LINNET_UPGRADES(family) extern const std::span<const Upgrade> family;
#include "ops/upgrade/upgrade_list.inc"
#undef LINNET_UPGRADES

namespace {

// The next upgrade for the node, or nullptr when it is in the newest form.
const Upgrade* next_upgrade(const Node& node) noexcept {
  const Upgrade* next = nullptr;
  const auto consider = [&](std::span<const Upgrade> family) {
    for (const Upgrade& u : family)
      if (u.name == node.op_type && u.domain == node.domain && node.version < u.below &&
          (!next || u.below < next->below))
        next = &u;
  };
#define LINNET_UPGRADES(family) consider(family);
#include "ops/upgrade/upgrade_list.inc"
#undef LINNET_UPGRADES
  return next;
}

}  // namespace

std::vector<const Upgrade*> all_upgrades() {
  std::vector<const Upgrade*> all;
#define LINNET_UPGRADES(family) \
  for (const Upgrade& upgrade : family) all.push_back(&upgrade);
#include "ops/upgrade/upgrade_list.inc"
#undef LINNET_UPGRADES
  return all;
}

Status upgrade_graph(Graph& graph) {
  // By index: rewrites append nodes, which are then visited too.
  for (NodeId id = 0; id < graph.node_count(); ++id) {
    while (graph.alive(id)) {
      const Upgrade* upgrade = next_upgrade(graph.node(id));
      if (!upgrade) break;
      const std::string path = graph.node_path(id);
      if (Status status = upgrade->rewrite(graph, id); !status.ok()) return std::move(status).at_node(path);
      if (graph.alive(id)) graph.node(id).version = upgrade->below;
    }
    if (!graph.alive(id)) continue;
    for (const std::shared_ptr<Graph>& body : subgraphs_of(graph.node(id))) LINNET_TRY(upgrade_graph(*body));
  }
  return graph.sort();
}

void attribute_to_input(Graph& graph, NodeId node, std::string_view attribute, size_t index) {
  const std::vector<int64_t>* values = graph.node(node).ints(attribute);
  if (!values) return;
  const ValueId constant = graph.add_ints(graph.node(node).name + "/" + std::string(attribute), *values);
  graph.node(node).erase(attribute);
  graph.set_input(node, index, constant);
}

void float_attribute_to_input(Graph& graph, NodeId node, std::string_view attribute, size_t index) {
  const Attribute* found = graph.node(node).find(attribute);
  const float* value = found ? std::get_if<float>(&found->data) : nullptr;
  if (!value) return;
  auto owner = std::make_shared<float>(*value);
  const ValueId constant = graph.add_constant(graph.node(node).name + "/" + std::string(attribute),
                                              Tensor{DType::f32, {}, owner.get(), owner});
  graph.node(node).erase(attribute);
  graph.set_input(node, index, constant);
}

}  // namespace linnet
