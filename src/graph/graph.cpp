#include "graph/graph.h"

#include <algorithm>

namespace linnet {

const Attribute* Node::find(std::string_view attribute) const noexcept {
  for (const Attribute& a : attributes)
    if (a.name == attribute) return &a;
  return nullptr;
}

Attribute* Node::find(std::string_view attribute) noexcept {
  return const_cast<Attribute*>(static_cast<const Node*>(this)->find(attribute));
}

void Node::set(std::string_view attribute, Attribute::Data data) {
  if (Attribute* found = find(attribute)) {
    found->data = std::move(data);
  } else {
    attributes.push_back({std::string(attribute), std::move(data)});
  }
}

void Node::erase(std::string_view attribute) {
  std::erase_if(attributes, [&](const Attribute& a) { return a.name == attribute; });
}

namespace {
template <class T>
const T* get(const Node& node, std::string_view attribute) noexcept {
  const Attribute* found = node.find(attribute);
  return found ? std::get_if<T>(&found->data) : nullptr;
}
}  // namespace

int64_t Node::int_or(std::string_view attribute, int64_t fallback) const noexcept {
  const int64_t* found = get<int64_t>(*this, attribute);
  return found ? *found : fallback;
}

float Node::float_or(std::string_view attribute, float fallback) const noexcept {
  const float* found = get<float>(*this, attribute);
  return found ? *found : fallback;
}

std::string_view Node::string_or(std::string_view attribute, std::string_view fallback) const noexcept {
  const std::string* found = get<std::string>(*this, attribute);
  return found ? std::string_view(*found) : fallback;
}

const std::vector<int64_t>* Node::ints(std::string_view attribute) const noexcept {
  return get<std::vector<int64_t>>(*this, attribute);
}

bool Graph::is_output(ValueId id) const noexcept {
  return std::any_of(outputs.begin(), outputs.end(), [&](const GraphPort& p) { return p.value == id; });
}

bool Graph::is_input(ValueId id) const noexcept {
  return std::any_of(inputs.begin(), inputs.end(), [&](const GraphPort& p) { return p.value == id; });
}

size_t Graph::use_count(ValueId id) const noexcept {
  return uses_[id].size() + static_cast<size_t>(std::count_if(outputs.begin(), outputs.end(),
                                                              [&](const GraphPort& p) { return p.value == id; }));
}

const Node* Graph::producer(ValueId id) const noexcept {
  if (id == kNoValue || values_[id].producer == kNoNode) return nullptr;
  return nodes_[values_[id].producer].get();
}

std::string Graph::node_path(NodeId id) const {
  const Node& n = node(id);
  std::string path = name.empty() ? "" : name + "/";
  path += n.name.empty() ? "#" + std::to_string(id) : n.name;
  return path + " (" + (n.domain.empty() ? "" : n.domain + ".") + n.op_type + ")";
}

ValueId Graph::add_value(std::string value_name, ValueInfo info) {
  values_.push_back({std::move(value_name), std::move(info), nullptr, kNoNode});
  uses_.emplace_back();
  return static_cast<ValueId>(values_.size() - 1);
}

ValueId Graph::add_constant(std::string value_name, Tensor tensor) {
  const ValueId id = add_value(std::move(value_name));
  set_constant(id, std::move(tensor));
  return id;
}

ValueId Graph::add_ints(std::string value_name, std::vector<int64_t> elements) {
  auto owner = std::make_shared<std::vector<int64_t>>(std::move(elements));
  Tensor tensor{DType::i64, Shape{static_cast<int64_t>(owner->size())}, owner->data(), owner};
  return add_constant(std::move(value_name), std::move(tensor));
}

void Graph::set_constant(ValueId id, Tensor tensor) {
  GraphValue& v = values_[id];
  v.info = ValueInfo::tensor(tensor.dtype, tensor.shape);
  v.constant = std::make_shared<const Tensor>(std::move(tensor));
  v.producer = kNoNode;
}

NodeId Graph::add_node(Node node) {
  const NodeId id = static_cast<NodeId>(nodes_.size());
  nodes_.push_back(std::make_unique<Node>(std::move(node)));
  const Node& n = *nodes_.back();
  for (const ValueId v : n.inputs)
    if (v != kNoValue) uses_[v].push_back(id);
  for (const ValueId v : n.captures)
    if (v != kNoValue) uses_[v].push_back(id);
  for (const ValueId v : n.outputs)
    if (v != kNoValue) values_[v].producer = id;
  order_.push_back(id);
  return id;
}

ValueId Graph::add_node(Node node, std::string output_name, ValueInfo info) {
  const ValueId out = add_value(std::move(output_name), std::move(info));
  node.outputs = {out};
  add_node(std::move(node));
  return out;
}

void Graph::drop_use(ValueId value, NodeId user) {
  if (value == kNoValue) return;
  std::vector<NodeId>& users = uses_[value];
  if (const auto it = std::find(users.begin(), users.end(), user); it != users.end()) users.erase(it);
}

void Graph::remove_node(NodeId id) {
  const Node& n = *nodes_[id];
  for (const ValueId v : n.inputs) drop_use(v, id);
  for (const ValueId v : n.captures) drop_use(v, id);
  for (const ValueId v : n.outputs)
    if (v != kNoValue && values_[v].producer == id) values_[v].producer = kNoNode;
  nodes_[id].reset();
  std::erase(order_, id);
}

void Graph::set_input(NodeId id, size_t index, ValueId value) {
  Node& n = *nodes_[id];
  if (index >= n.inputs.size()) n.inputs.resize(index + 1, kNoValue);
  drop_use(n.inputs[index], id);
  n.inputs[index] = value;
  if (value != kNoValue) uses_[value].push_back(id);
}

void Graph::set_inputs(NodeId id, std::vector<ValueId> values) {
  Node& n = *nodes_[id];
  for (const ValueId v : n.inputs) drop_use(v, id);
  n.inputs = std::move(values);
  for (const ValueId v : n.inputs)
    if (v != kNoValue) uses_[v].push_back(id);
}

void Graph::set_outputs(NodeId id, std::vector<ValueId> values) {
  Node& n = *nodes_[id];
  for (const ValueId v : n.outputs)
    if (v != kNoValue && values_[v].producer == id) values_[v].producer = kNoNode;
  n.outputs = std::move(values);
  for (const ValueId v : n.outputs)
    if (v != kNoValue) values_[v].producer = id;
}

void Graph::set_captures(NodeId id, std::vector<ValueId> values) {
  Node& n = *nodes_[id];
  for (const ValueId v : n.captures) drop_use(v, id);
  n.captures = std::move(values);
  for (const ValueId v : n.captures)
    if (v != kNoValue) uses_[v].push_back(id);
}

void Graph::replace_uses(ValueId from, ValueId to) {
  if (from == to) return;
  for (const NodeId user : uses_[from]) {
    Node& n = *nodes_[user];
    std::replace(n.inputs.begin(), n.inputs.end(), from, to);
    std::replace(n.captures.begin(), n.captures.end(), from, to);
  }
  uses_[to].insert(uses_[to].end(), uses_[from].begin(), uses_[from].end());
  uses_[from].clear();
  for (GraphPort& port : outputs)
    if (port.value == from) port.value = to;
}

Status Graph::sort() {
  // Kahn's algorithm; ready nodes are taken in their previous order, so that a sorted graph stays as it is.
  std::vector<uint32_t> position(nodes_.size(), 0), missing(nodes_.size(), 0);
  for (size_t i = 0; i < order_.size(); ++i) position[order_[i]] = static_cast<uint32_t>(i);
  const auto for_each_input = [&](NodeId id, auto&& visit) {
    for (const ValueId v : nodes_[id]->inputs)
      if (v != kNoValue && values_[v].producer != kNoNode) visit(values_[v].producer);
    for (const ValueId v : nodes_[id]->captures)
      if (v != kNoValue && values_[v].producer != kNoNode) visit(values_[v].producer);
  };
  std::vector<uint32_t> ready;  // a heap of positions, least first
  for (const NodeId id : order_) {
    for_each_input(id, [&](NodeId) { ++missing[id]; });
    if (missing[id] == 0) ready.push_back(position[id]);
  }
  const auto later = std::greater<uint32_t>();
  std::make_heap(ready.begin(), ready.end(), later);
  std::vector<NodeId> sorted;
  sorted.reserve(order_.size());
  while (!ready.empty()) {
    std::pop_heap(ready.begin(), ready.end(), later);
    const NodeId id = order_[ready.back()];
    ready.pop_back();
    sorted.push_back(id);
    for (const ValueId out : nodes_[id]->outputs) {
      if (out == kNoValue || values_[out].producer != id) continue;
      for (const NodeId user : uses_[out]) {
        if (--missing[user] == 0) {
          ready.push_back(position[user]);
          std::push_heap(ready.begin(), ready.end(), later);
        }
      }
    }
  }
  if (sorted.size() != order_.size()) {
    for (const NodeId id : order_)
      if (missing[id] != 0) return invalid_model("node ", node_path(id), " depends on its own output (a cycle)");
  }
  order_ = std::move(sorted);
  return {};
}

size_t Graph::remove_unused() {
  size_t removed = 0;
  for (size_t i = order_.size(); i-- > 0;) {
    const NodeId id = order_[i];
    const Node& n = *nodes_[id];
    const bool used =
        std::any_of(n.outputs.begin(), n.outputs.end(), [&](ValueId v) { return v != kNoValue && use_count(v) != 0; });
    if (used) continue;
    for (const ValueId v : n.inputs) drop_use(v, id);
    for (const ValueId v : n.captures) drop_use(v, id);
    for (const ValueId v : n.outputs)
      if (v != kNoValue && values_[v].producer == id) values_[v].producer = kNoNode;
    nodes_[id].reset();
    ++removed;
  }
  std::erase_if(order_, [&](NodeId id) { return !alive(id); });
  for (ValueId v = 0; v < values_.size(); ++v)
    if (values_[v].constant && use_count(v) == 0) values_[v].constant.reset();
  return removed;
}

std::vector<std::shared_ptr<Graph>> subgraphs_of(const Node& node) {
  std::vector<std::shared_ptr<Graph>> graphs;
  for (const Attribute& a : node.attributes) {
    if (const auto* one = std::get_if<std::shared_ptr<Graph>>(&a.data)) graphs.push_back(*one);
    if (const auto* many = std::get_if<std::vector<std::shared_ptr<Graph>>>(&a.data))
      graphs.insert(graphs.end(), many->begin(), many->end());
  }
  return graphs;
}

}  // namespace linnet
