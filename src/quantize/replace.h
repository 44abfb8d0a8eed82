// Puts several nodes in the place of one.
#pragma once

#include <string>

#include "graph/graph.h"

namespace linnet {

class Replacement {
 public:
  // Names of new nodes and values start with the node's.
  Replacement(Graph& graph, NodeId id);

  const Node& node() const noexcept { return node_; }  // as it was
  Graph& graph() const noexcept { return graph_; }
  DType type() const noexcept { return type_; }  // of its first output

  ValueId add(std::string_view op_type, std::vector<ValueId> inputs, std::vector<Attribute> attributes = {},
              std::string_view domain = "");
  // A new constant of the numbers as floats.
  ValueId number(float value);
  // As float, or as another type of floats; the value itself where it is of that type.
  ValueId cast(ValueId value, DType type);
  // alpha a + beta c in float32, as Gemm has it; without c where that is kNoValue.
  ValueId scaled_sum(ValueId a, float alpha, ValueId c, float beta);
  // The node stays, and computes with float32: its inputs and outputs of other floats are cast.
  void widen();
  // The node goes, and everybody uses the value, which a new node made, instead of its only output.
  void finish(ValueId value);

 private:
  Graph& graph_;
  NodeId id_;
  Node node_;
  std::string name_;
  DType type_;
  size_t made_ = 0;
};

}  // namespace linnet
