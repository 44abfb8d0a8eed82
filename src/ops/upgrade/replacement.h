// For rewrites that say a node in others.
#pragma once

#include "ops/upgrade/upgrade.h"

namespace linnet {

// Takes the node away and rebuilds what it computed from its first input, of nodes of the standard's operator set
// `version`.
class Replacement {
 public:
  Replacement(Graph& graph, NodeId id, int version = 17) : graph_(graph), old_(graph.node(id)), version_(version) {
    graph_.remove_node(id);
  }

  const Node& node() const { return old_; }
  ValueId x() const { return old_.input(0); }

  ValueId apply(std::string_view op, std::vector<ValueId> inputs, std::vector<Attribute> attributes = {}) {
    return graph_.add_node(make(op, std::move(inputs), std::move(attributes)), next_name());
  }
  // The last step: it makes the node's output, or one of several.
  void finish(std::string_view op, std::vector<ValueId> inputs, std::vector<Attribute> attributes = {}) {
    Node last = make(op, std::move(inputs), std::move(attributes));
    last.outputs = old_.outputs;
    graph_.add_node(std::move(last));
  }
  void finish_output(size_t output, std::string_view op, std::vector<ValueId> inputs) {
    Node last = make(op, std::move(inputs), {});
    last.outputs = {old_.output(output)};
    graph_.add_node(std::move(last));
  }
  // A constant of x's element type.
  ValueId constant(const std::vector<float>& elements, const Shape& shape) {
    auto owner = std::make_shared<std::vector<float>>(elements);
    const ValueId value = graph_.add_constant(next_name(), Tensor{DType::f32, shape, owner->data(), owner});
    return apply("CastLike", {value, x()});
  }
  ValueId as_float(ValueId value) { return apply("Cast", {value}, {{"to", int64_t{1}}}); }
  ValueId ints(std::vector<int64_t> elements) { return graph_.add_ints(next_name(), std::move(elements)); }

 private:
  Node make(std::string_view op, std::vector<ValueId> inputs, std::vector<Attribute> attributes) const {
    Node made;
    made.attributes = std::move(attributes);
    made.op_type = op;
    made.name = old_.name;
    made.version = version_;
    made.inputs = std::move(inputs);
    return made;
  }
  std::string next_name() { return old_.name + "/" + old_.op_type + std::to_string(count_++); }

  Graph& graph_;
  Node old_;
  int version_, count_ = 0;
};

}  // namespace linnet
