// Which nodes the caller wants quantised.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "graph/graph.h"

namespace linnet {

// Whether the whole text is what the pattern says: "*" stands for any characters, "?" for one.
bool matches_pattern(std::string_view pattern, std::string_view text) noexcept;

class NodeSelection {
 public:
  NodeSelection() = default;  // everything
  // A name that is no pattern must be that of a node in the graph or its subgraphs, or of its operator; an operator
  // that the graph does not have may be excluded.
  static Result<NodeSelection> make(const Graph& graph, std::vector<std::string> include,
                                    std::vector<std::string> exclude);

  // Why the node is not wanted; empty when it is.
  std::string refusal(const Node& node) const;

 private:
  std::vector<std::string> include_, exclude_;
};

}  // namespace linnet
