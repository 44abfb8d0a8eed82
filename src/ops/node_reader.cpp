#include "ops/op.h"

namespace linnet {

const Attribute* NodeReader::take(std::string_view name) {
  for (size_t i = 0; i < node_.attributes.size(); ++i) {
    if (node_.attributes[i].name != name) continue;
    seen_[i] = true;
    return &node_.attributes[i];
  }
  return nullptr;
}

template <class T>
const T* NodeReader::get(std::string_view name) {
  const Attribute* attribute = take(name);
  if (!attribute) return nullptr;
  const T* value = std::get_if<T>(&attribute->data);
  if (!value && wrong_.empty()) wrong_ = name;
  return value;
}

bool NodeReader::has(std::string_view name) { return take(name) != nullptr; }

int64_t NodeReader::integer(std::string_view name, int64_t fallback) {
  const int64_t* value = get<int64_t>(name);
  return value ? *value : fallback;
}

float NodeReader::number(std::string_view name, float fallback) {
  const float* value = get<float>(name);
  return value ? *value : fallback;
}

std::string NodeReader::text(std::string_view name, std::string_view fallback) {
  const std::string* value = get<std::string>(name);
  return value ? *value : std::string(fallback);
}

std::vector<int64_t> NodeReader::integers(std::string_view name, std::vector<int64_t> fallback) {
  const auto* value = get<std::vector<int64_t>>(name);
  return value ? *value : fallback;
}

std::vector<float> NodeReader::numbers(std::string_view name, std::vector<float> fallback) {
  const auto* value = get<std::vector<float>>(name);
  return value ? *value : fallback;
}

std::vector<std::string> NodeReader::texts(std::string_view name, std::vector<std::string> fallback) {
  const auto* value = get<std::vector<std::string>>(name);
  return value ? *value : fallback;
}

const Tensor* NodeReader::tensor(std::string_view name) { return get<Tensor>(name); }
const ValueInfo* NodeReader::type(std::string_view name) { return get<ValueInfo>(name); }

DType NodeReader::dtype(std::string_view name, DType fallback) {
  const int64_t* value = get<int64_t>(name);
  if (!value || *value == 0) return fallback;  // the standard writes 0 for a type that is not given
  if (is_dtype(*value)) return static_cast<DType>(*value);
  if (wrong_.empty()) wrong_ = name;
  return fallback;
}

const Graph* NodeReader::graph(std::string_view name) {
  const auto* value = get<std::shared_ptr<Graph>>(name);
  return value ? value->get() : nullptr;
}

int NodeReader::subgraph(std::string_view name) {
  const Graph* wanted = graph(name);
  if (!wanted) return -1;
  int k = 0;
  for (const std::shared_ptr<Graph>& g : subgraphs_of(node_)) {
    if (g.get() == wanted) return k;
    ++k;
  }
  return -1;
}

Status NodeReader::finish() const {
  if (!wrong_.empty()) return invalid_model("attribute '", wrong_, "' has a wrong type or value");
  for (size_t i = 0; i < seen_.size(); ++i)
    if (!seen_[i]) return invalid_model("attribute '", node_.attributes[i].name, "' is not known to ", node_.op_type);
  return {};
}

}  // namespace linnet
