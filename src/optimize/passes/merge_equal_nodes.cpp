// Common subexpressions: nodes with the same operator, attributes and inputs become one; equal small constants too.
#include <cstring>
#include <unordered_map>

#include "ops/registry.h"
#include "optimize/optimizer.h"

namespace linnet {
namespace {

constexpr size_t kMostCompared = 4096;  // bytes of a constant, or of a tensor or list attribute, that are compared

void append_bytes(std::string& key, const void* data, size_t size) { key.append(static_cast<const char*>(data), size); }

bool append_tensor(std::string& key, const Tensor& tensor) {
  if (tensor.dtype == DType::string || tensor.bytes() > kMostCompared) return false;
  key += tensor.to_string();
  append_bytes(key, tensor.data, tensor.bytes());
  return true;
}

template <class T>
bool append_list(std::string& key, const std::vector<T>& list) {
  if (list.size() > kMostCompared / sizeof(T)) return false;
  append_bytes(key, list.data(), list.size() * sizeof(T));
  return true;
}

// Text that equal attributes share. False when the attribute cannot be compared.
bool append_attribute(std::string& key, const Attribute& a) {
  key += concat('\0', a.name, '=', a.data.index(), ':');
  if (const auto* i = std::get_if<int64_t>(&a.data)) return append_bytes(key, i, sizeof *i), true;
  if (const auto* f = std::get_if<float>(&a.data)) return append_bytes(key, f, sizeof *f), true;
  if (const auto* s = std::get_if<std::string>(&a.data)) return key += *s, true;
  if (const auto* v = std::get_if<std::vector<int64_t>>(&a.data)) return append_list(key, *v);
  if (const auto* v = std::get_if<std::vector<float>>(&a.data)) return append_list(key, *v);
  if (const auto* t = std::get_if<Tensor>(&a.data)) return append_tensor(key, *t);
  return false;
}

}  // namespace

Result<size_t> merge_equal_nodes(Graph& graph, PassContext&) {
  size_t changes = 0;
  std::unordered_map<std::string, ValueId> constants;
  for (ValueId v = 0; v < graph.value_count(); ++v) {
    const Tensor* tensor = graph.constant(v);
    std::string key;
    if (!tensor || graph.uses(v).empty() || !append_tensor(key, *tensor)) continue;
    const auto [it, added] = constants.try_emplace(std::move(key), v);
    if (added || graph.is_output(v)) continue;
    graph.replace_uses(v, it->second);
    ++changes;
  }
  std::unordered_map<std::string, NodeId> nodes;
  const std::vector<NodeId> order = graph.order();
  for (const NodeId id : order) {
    const Node& node = graph.node(id);
    const OpDef* def = find_op(node);
    if (!def || (def->flags & OpDef::kNonDeterministic) || !node.captures.empty()) continue;
    std::string key = node.domain + "." + node.op_type;
    append_bytes(key, node.inputs.data(), node.inputs.size() * sizeof(ValueId));
    key += concat('\0', node.outputs.size());
    bool comparable = true;
    for (const Attribute& a : node.attributes) comparable = comparable && append_attribute(key, a);
    if (!comparable) continue;
    const auto [it, added] = nodes.try_emplace(std::move(key), id);
    if (added) continue;
    const Node& first = graph.node(it->second);
    bool mergeable = true;  // the first must make all that the second makes, and only one of them be a graph output
    for (size_t o = 0; o < node.outputs.size(); ++o) {
      if (node.outputs[o] == kNoValue) continue;
      mergeable = mergeable && first.outputs[o] != kNoValue && !graph.is_output(node.outputs[o]);
    }
    if (!mergeable) continue;
    for (size_t o = 0; o < node.outputs.size(); ++o)
      if (node.outputs[o] != kNoValue) graph.replace_uses(node.outputs[o], first.outputs[o]);
    graph.remove_node(id);
    ++changes;
  }
  return changes;
}

}  // namespace linnet
