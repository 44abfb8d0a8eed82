// The graph that loading builds and passes edit: nodes and values by integer id, topologically ordered on demand.
//
// A subgraph (the body of If, Loop, Scan) is closed: what it uses of the scope around it arrives through `captures`,
// so that passes, inference and execution see every dependency as an ordinary edge.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "tensor/tensor.h"
#include "tensor/value_info.h"

namespace linnet {

using ValueId = uint32_t;
using NodeId = uint32_t;
inline constexpr ValueId kNoValue = 0xffffffffu;  // an optional input or output that is left out
inline constexpr NodeId kNoNode = 0xffffffffu;

class Graph;
struct OpDef;  // ops/op.h

struct Attribute {
  using Data =
      std::variant<int64_t, float, std::string, std::vector<int64_t>, std::vector<float>, std::vector<std::string>,
                   Tensor, std::vector<Tensor>, std::shared_ptr<Graph>, std::vector<std::shared_ptr<Graph>>, ValueInfo>;
  std::string name;
  Data data;
};

struct Node {
  std::string domain;  // "" is ai.onnx
  std::string op_type;
  std::string name;  // as in the model; may be empty or not unique
  int version = 0;   // of the domain's operator set that the node was written for
  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;
  std::vector<Attribute> attributes;
  std::vector<ValueId> captures;  // values of this graph that the node's subgraphs use, in the order of Graph::captures
  std::shared_ptr<const OpDef> custom;  // of an operator that the caller supplies; null for those of the registry

  bool is(std::string_view type, std::string_view in_domain = "") const noexcept {
    return op_type == type && domain == in_domain;
  }
  const Attribute* find(std::string_view attribute) const noexcept;
  Attribute* find(std::string_view attribute) noexcept;
  void set(std::string_view attribute, Attribute::Data data);  // adds or replaces
  void erase(std::string_view attribute);
  // Attribute values with a default for when it is absent or of another type.
  int64_t int_or(std::string_view attribute, int64_t fallback) const noexcept;
  float float_or(std::string_view attribute, float fallback) const noexcept;
  std::string_view string_or(std::string_view attribute, std::string_view fallback) const noexcept;
  const std::vector<int64_t>* ints(std::string_view attribute) const noexcept;
  // Input i, or kNoValue when there are fewer.
  ValueId input(size_t i) const noexcept { return i < inputs.size() ? inputs[i] : kNoValue; }
  ValueId output(size_t i) const noexcept { return i < outputs.size() ? outputs[i] : kNoValue; }
};

struct GraphValue {
  std::string name;
  ValueInfo info;                          // inferred; before inference, what the model declares (a hint)
  std::shared_ptr<const Tensor> constant;  // set for initializers and folded values
  NodeId producer = kNoNode;
};

struct GraphPort {
  std::string name;  // stays when `value` is replaced
  ValueId value = kNoValue;
};

class Graph {
 public:
  std::string name;
  std::vector<GraphPort> inputs;  // without initializers, except those of `overridable`
  std::vector<GraphPort> outputs;
  std::vector<ValueId>
      captures;  // of a subgraph: this graph's value for each of the node's captures; kNoValue if unused
  std::map<std::string, int, std::less<>> opsets;  // imported operator sets by domain
  // Initializers that are also graph inputs (they may be replaced at load): name and value.
  std::vector<GraphPort> overridable;

  // --- reading
  size_t value_count() const noexcept { return values_.size(); }
  const GraphValue& value(ValueId id) const { return values_[id]; }
  GraphValue& value(ValueId id) { return values_[id]; }
  size_t node_count() const noexcept { return nodes_.size(); }  // removed nodes included
  const Node& node(NodeId id) const { return *nodes_[id]; }
  // For attributes, name and version. Edges change through the functions below only.
  Node& node(NodeId id) { return *nodes_[id]; }
  bool alive(NodeId id) const noexcept { return nodes_[id] != nullptr; }
  // Live nodes, each after the producers of its inputs. Valid after sort(), until an edit.
  const std::vector<NodeId>& order() const noexcept { return order_; }
  // Nodes that use the value as input or capture: one entry for each use.
  const std::vector<NodeId>& uses(ValueId id) const { return uses_[id]; }
  bool is_output(ValueId id) const noexcept;
  bool is_input(ValueId id) const noexcept;
  // Uses by nodes plus one for each graph output.
  size_t use_count(ValueId id) const noexcept;
  // The node that makes the value, or nullptr for inputs, captures and constants.
  const Node* producer(ValueId id) const noexcept;
  // The constant's tensor, or nullptr.
  const Tensor* constant(ValueId id) const noexcept { return id == kNoValue ? nullptr : values_[id].constant.get(); }
  // "graph-name/node-name (OpType)", with the index where the node has no name.
  std::string node_path(NodeId id) const;

  // --- editing
  ValueId add_value(std::string value_name, ValueInfo info = {});
  ValueId add_constant(std::string value_name, Tensor tensor);
  ValueId add_ints(std::string value_name, std::vector<int64_t> elements);  // a 1-D int64 constant
  void set_constant(ValueId id, Tensor tensor);                             // the value has no producer any more
  // Adds the node and registers it as producer of its outputs. Goes to the end of the order until the next sort().
  NodeId add_node(Node node);
  // A node of one output, whose value is made here and returned.
  ValueId add_node(Node node, std::string output_name, ValueInfo info = {});
  void remove_node(NodeId id);
  void set_input(NodeId id, size_t index, ValueId value);
  void set_inputs(NodeId id, std::vector<ValueId> values);
  void set_outputs(NodeId id, std::vector<ValueId> values);
  void set_captures(NodeId id, std::vector<ValueId> values);
  // Every use of `from`, by nodes and graph outputs, becomes a use of `to`.
  void replace_uses(ValueId from, ValueId to);
  // Recomputes order(), stable with respect to the previous one. Fails on a cycle, naming a node on it.
  Status sort();
  // Removes nodes none of whose outputs are used, and forgets constants that nothing uses. Returns how many nodes went.
  size_t remove_unused();

 private:
  void drop_use(ValueId value, NodeId user);

  std::vector<GraphValue> values_;
  std::vector<std::vector<NodeId>> uses_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::vector<NodeId> order_;
};

// Subgraphs of a node, in the order of its attributes.
std::vector<std::shared_ptr<Graph>> subgraphs_of(const Node& node);

}  // namespace linnet
