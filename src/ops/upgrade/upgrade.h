// Rewrites nodes of old operator sets to the one form that each operator implements.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "graph/graph.h"

namespace linnet {

// Applies to nodes of operator sets before `below`. The rewrite edits the graph so that what the node stood for is said
// in the form of operator set `below`: it changes attributes and inputs in place, or replaces the node by several. It
// needs no types or shapes. The driver sets the node's version afterwards, when the node is still there.
struct Upgrade {
  std::string_view domain;
  std::string_view name;
  int below;
  Status (*rewrite)(Graph& graph, NodeId node);
};
inline constexpr int kEveryVersion = 1000;  // `below`, for nodes of any operator set

std::vector<const Upgrade*> all_upgrades();
// Rewrites all nodes of the graph and of its subgraphs until none is old.
Status upgrade_graph(Graph& graph);

// --- for rewrites

// Turns an integer-list attribute into a constant int64 input at `index`; does nothing when it is absent.
void attribute_to_input(Graph& graph, NodeId node, std::string_view attribute, size_t index);
// Turns a float attribute into a scalar input at `index`; does nothing when it is absent.
void float_attribute_to_input(Graph& graph, NodeId node, std::string_view attribute, size_t index);

}  // namespace linnet
