// Small questions that fusion patterns ask of a graph.
#pragma once

#include <cmath>
#include <optional>
#include <vector>

#include "graph/graph.h"

namespace linnet {

// The only node that uses the value, when the value is no graph output. kNoNode otherwise.
inline NodeId sole_user(const Graph& graph, ValueId value) {
  if (value == kNoValue || graph.is_output(value) || graph.uses(value).size() != 1) return kNoNode;
  return graph.uses(value)[0];
}

// The node that makes the value when it is of this type, else nullptr.
inline const Node* made_by(const Graph& graph, ValueId value, std::string_view type, std::string_view domain = "") {
  const Node* node = graph.producer(value);
  return node && node->is(type, domain) ? node : nullptr;
}
// The same, where nothing else uses the value.
inline const Node* made_only_for_one(const Graph& graph, ValueId value, std::string_view type,
                                     std::string_view domain = "") {
  return sole_user(graph, value) != kNoNode ? made_by(graph, value, type, domain) : nullptr;
}

// The value's sizes when it has that many axes, else nullptr. Until a value is added.
inline const SymShape* shape_of(const Graph& graph, ValueId value, size_t rank) {
  if (value == kNoValue) return nullptr;
  const ValueInfo& info = graph.value(value).info;
  return info.ranked && info.shape.size() == rank ? &info.shape : nullptr;
}

// The number when the value is a float constant of one element.
inline std::optional<float> scalar(const Graph& graph, ValueId value) {
  const Tensor* t = graph.constant(value);
  if (!t || t->count() != 1 || !is_float(t->dtype)) return std::nullopt;
  return static_cast<float>(number_at(*t, 0));
}
// As exactly as the constant's type holds it.
inline bool is_scalar(const Graph& graph, ValueId value, double wanted, double tolerance = 1e-4) {
  const std::optional<float> number = scalar(graph, value);
  if (number && graph.constant(value)->dtype == DType::f16) tolerance = 1e-3;
  if (number && graph.constant(value)->dtype == DType::bf16) tolerance = 8e-3;
  return number && std::fabs(static_cast<double>(*number) - wanted) <= tolerance * std::fabs(wanted);
}

// For a commutative node: the other input when one of the two satisfies the predicate.
template <class Predicate>
ValueId other_input(const Node& node, Predicate&& is_wanted) {
  if (node.inputs.size() != 2) return kNoValue;
  if (is_wanted(node.inputs[1])) return node.inputs[0];
  if (is_wanted(node.inputs[0])) return node.inputs[1];
  return kNoValue;
}

// x and the number when the node is x number or x / number, of x's shape; x is no constant. kNoValue for others, and
// for a factor that no float is.
struct Scaled {
  ValueId x = kNoValue;
  float factor = 1.0f;
};
inline Scaled as_scaled(const Graph& graph, const Node& node) {
  if (!node.is("Mul") && !node.is("Div")) return {};
  const ValueId x =
      node.is("Div") ? node.inputs[0] : other_input(node, [&](ValueId v) { return scalar(graph, v).has_value(); });
  if (x == kNoValue || graph.constant(x)) return {};
  const ValueId number = node.inputs[0] == x ? node.inputs[1] : node.inputs[0];
  const std::optional<float> value = scalar(graph, number);
  const ValueInfo& info = graph.value(x).info;
  if (!value || info.dtype != DType::f32 || !info.ranked || graph.constant(number)->shape.rank() > info.shape.size())
    return {};
  const float factor = node.is("Div") ? 1.0f / *value : *value;
  return std::isfinite(factor) && factor != 0.0f ? Scaled{x, factor} : Scaled{};
}

// The one axis, from 0, that a Softmax or LogSoftmax normalises; nothing where the rank is unknown, or where several
// axes count as one, as they did before operator set 13: all from `axis` on, by default all but the first.
inline std::optional<int64_t> softmax_axis(const Graph& graph, const Node& softmax) {
  const ValueInfo& info = graph.value(softmax.outputs[0]).info;
  if (!info.ranked) return std::nullopt;
  const int64_t rank = static_cast<int64_t>(info.shape.size()),
                given = softmax.int_or("axis", softmax.version < 13 ? 1 : -1);
  const int64_t axis = given < 0 ? given + rank : given;
  if (softmax.version < 13 && axis != rank - 1) return std::nullopt;
  return axis;
}

// The sum of rewrite(id) over all nodes in the order in which they now stand; those that it removes on the way are left
// out, and so are those that it adds.
template <class Rewrite>
size_t rewrite_nodes(const Graph& graph, Rewrite&& rewrite) {
  size_t changes = 0;
  const std::vector<NodeId> order = graph.order();
  for (const NodeId id : order)
    if (graph.alive(id)) changes += rewrite(id);
  return changes;
}

// Where nodes stand in a sorted graph that a pass is changing: a fusion may only take a value that is there before it.
class NodePlaces {
 public:
  explicit NodePlaces(const Graph& graph) : places_(graph.node_count(), 0) {
    for (size_t i = 0; i < graph.order().size(); ++i) places_[graph.order()[i]] = i;
  }
  // A node added by the pass, which takes the place of another.
  void take(NodeId made, NodeId replaced) { places_.resize(made + 1, places_[replaced]); }
  bool is_before(const Graph& graph, ValueId value, NodeId node) const {
    const NodeId producer = graph.value(value).producer;
    return producer == kNoNode || places_[producer] < places_[node];
  }

 private:
  std::vector<size_t> places_;
};

inline NodeId node_id(const Graph& graph, ValueId output) { return graph.value(output).producer; }

}  // namespace linnet
