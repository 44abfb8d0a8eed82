// Nodes by name: how steps of a run, of the model and of what was made of it, are known to be the same node's.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "graph/graph.h"

namespace linnet {

// Nodes without a name, subgraphs' included, get that of their first output.
void name_nodes(Graph& graph);
// Of nodes of one name, subgraphs' included, the first added keeps it; the others' get a number behind it.
void make_names_unique(Graph& graph);

class NodeNames {
 public:
  // Of a model's nodes, which have names.
  explicit NodeNames(const Graph& graph) { add(graph); }

  // The node's path without its operator, of the node's path.
  static std::string_view without_operator(std::string_view path);
  // Whose step this is: that of the node itself, or of one that was put in its place or beside its output, whose name
  // then starts with the node's or the output's. Without operators; nothing where there is no such node.
  const std::string* find(std::string_view step) const;

 private:
  void add(const Graph& graph);

  std::map<std::string, std::string, std::less<>> nodes_;  // by their own paths, and by their outputs'
};

}  // namespace linnet
