#include "quantize/replace.h"

#include <algorithm>

namespace linnet {

Replacement::Replacement(Graph& graph, NodeId id) : graph_(graph), id_(id), node_(graph.node(id)) {
  const auto first = std::find_if(node_.outputs.begin(), node_.outputs.end(), [](ValueId v) { return v != kNoValue; });
  LINNET_CHECK(first != node_.outputs.end());
  name_ = node_.name.empty() ? graph.value(*first).name : node_.name;
  type_ = graph.value(*first).info.dtype;
}

ValueId Replacement::add(std::string_view op_type, std::vector<ValueId> inputs, std::vector<Attribute> attributes,
                         std::string_view domain) {
  Node node;
  node.op_type = op_type;
  node.domain = domain;
  node.name = concat(name_, "_", op_type, made_ ? concat("_", made_) : std::string());
  ++made_;
  node.version = domain.empty() ? std::max(node_.domain.empty() ? node_.version : 0, 13) : 1;
  node.inputs = std::move(inputs);
  while (!node.inputs.empty() && node.inputs.back() == kNoValue) node.inputs.pop_back();
  node.attributes = std::move(attributes);
  return graph_.add_node(std::move(node), concat(name_, "_", op_type, "_output"));
}

ValueId Replacement::number(float value) {
  auto owner = std::make_shared<float>(value);
  return graph_.add_constant(name_ + "_number", Tensor{DType::f32, {}, owner.get(), owner});
}

ValueId Replacement::cast(ValueId value, DType type) {
  ValueInfo& info = graph_.value(value).info;
  if (info.dtype == type) return value;
  const ValueId to = add("Cast", {value}, {{"to", static_cast<int64_t>(type)}});
  graph_.value(to).info.dtype = type;
  return to;
}

ValueId Replacement::scaled_sum(ValueId a, float alpha, ValueId c, float beta) {
  if (alpha != 1) a = add("Mul", {a, number(alpha)});
  if (c != kNoValue) {
    c = cast(c, DType::f32);
    a = add("Add", {a, beta == 1 ? c : add("Mul", {c, number(beta)})});
  }
  graph_.value(a).info.dtype = DType::f32;
  return a;
}

void Replacement::finish(ValueId value) {
  // The output keeps its name: what made the new value makes the old one instead.
  const ValueId out = node_.outputs[0];
  const NodeId maker = graph_.value(value).producer;
  graph_.remove_node(id_);
  graph_.set_outputs(maker, {out});
}

void Replacement::widen() {
  std::vector<ValueId> inputs = graph_.node(id_).inputs, outputs = graph_.node(id_).outputs, made = outputs;
  for (ValueId& v : inputs)
    if (v != kNoValue && is_float(graph_.value(v).info.dtype)) v = cast(v, DType::f32);
  graph_.set_inputs(id_, std::move(inputs));
  for (ValueId& v : made) {
    if (v == kNoValue || graph_.value(v).info.dtype == DType::f32) continue;
    ValueInfo info = graph_.value(v).info;
    info.dtype = DType::f32;
    v = graph_.add_value(graph_.value(v).name + "_float32", std::move(info));
  }
  graph_.set_outputs(id_, made);
  for (size_t o = 0; o < made.size(); ++o) {
    if (made[o] == outputs[o]) continue;
    const ValueId narrow = cast(made[o], graph_.value(outputs[o]).info.dtype);
    graph_.set_outputs(graph_.value(narrow).producer, {outputs[o]});
  }
}

}  // namespace linnet
