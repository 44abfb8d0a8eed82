// Which values of a graph static quantisation quantises, and how they hang together.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/function_ref.h"
#include "graph/graph.h"
#include "quantize/static_quantize.h"

namespace linnet {

enum class InputKind : uint8_t {
  plain,       // stays as it is
  activation,  // quantised by its measured range
  constant,    // a constant in the place of an activation
  weight,
  bias,  // becomes int32, by the scales of input and weight
};

struct MarkedInput {
  InputKind kind = InputKind::plain;
  std::optional<size_t> axis = std::nullopt;  // of a weight: that of its output channels
};

struct MarkedNode {
  std::vector<ValueId> values;  // the node's inputs before any rewrite
  std::vector<MarkedInput> inputs;
  std::vector<ValueId> outputs;  // those that are quantised
};

struct Marks {
  std::map<NodeId, MarkedNode> nodes;
  std::map<NodeId, std::string> refused;  // why a wanted node is not marked
  // By quantised activation: the value whose quantisation it shares, or itself.
  std::map<ValueId, ValueId> activations;
  // Activations that only a Relu or Clip reads, which covers their range; by value, its output.
  std::map<ValueId, ValueId> covered;

  // Whose range decides the quantisation of an activation.
  ValueId root(ValueId value) const;
};

// Whether static quantisation has a rule for the node.
bool is_static_operator(const Node& node) noexcept;
// Whether it is a product of activations and weights.
bool multiplies(const Node& node) noexcept;

// `wanted`: nodes that may be quantised, of those with a rule. The graph is sorted and inferred.
Marks mark_graph(const Graph& graph, StaticFormat format, FunctionRef<bool(const Node&)> wanted);

}  // namespace linnet
