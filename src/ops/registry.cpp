#include "ops/registry.h"

#include <algorithm>
#include <vector>

namespace linnet {

#define LINNET_OPS(family) extern const std::span<const OpDef> family;
#include "ops/op_list.inc"
#undef LINNET_OPS

namespace {

struct Before {
  using Key = std::pair<std::string_view, std::string_view>;
  static Key key(const OpDef* d) { return {d->name, d->domain}; }
  bool operator()(const OpDef* a, const OpDef* b) const { return key(a) < key(b); }
  bool operator()(const OpDef* a, const Key& b) const { return key(a) < b; }
};

const std::vector<const OpDef*>& sorted_ops() {
  // Never destroyed: a thread may still load a model while the process exits.
  static const auto& ops = *[] {
    auto& sorted = *new std::vector<const OpDef*>;
#define LINNET_OPS(family) \
  for (const OpDef& def : family) sorted.push_back(&def);
#include "ops/op_list.inc"
#undef LINNET_OPS
    std::sort(sorted.begin(), sorted.end(), Before{});
    return &sorted;
  }();
  return ops;
}

}  // namespace

std::span<const OpDef* const> all_ops() noexcept { return sorted_ops(); }

const OpDef* find_op(std::string_view domain, std::string_view name) noexcept {
  if (domain == "ai.onnx") domain = "";
  const auto& ops = sorted_ops();
  const Before::Key key{name, domain};
  const auto it = std::lower_bound(ops.begin(), ops.end(), key, Before{});
  return it != ops.end() && Before::key(*it) == key ? *it : nullptr;
}

const OpDef* find_op(const Node& node) noexcept {
  return node.custom ? node.custom.get() : find_op(node.domain, node.op_type);
}

Result<std::unique_ptr<Op>> create_op(const Node& node) {
  const OpDef* def = find_op(node);
  if (!def)
    return unsupported("operator ", node.domain.empty() ? "ai.onnx" : node.domain, ".", node.op_type, " is not known");
  const auto within = [](size_t n, uint8_t least, uint8_t most) {
    return n >= least && (most == kAnyNumber || n <= most);
  };
  const auto miscounted = [&](size_t n, const char* what, const char* verb, int least, uint8_t most) {
    const std::string wanted = most == kAnyNumber ? concat(least, " or more")
                               : most == least    ? std::to_string(least)
                                                  : concat(least, " to ", int{most});
    return invalid_model("has ", n, what, n == 1 ? "; " : "s; ", def->name, verb, wanted);
  };
  if (!within(node.inputs.size(), def->min_inputs, def->max_inputs))
    return miscounted(node.inputs.size(), " input", " takes ", def->min_inputs, def->max_inputs);
  if (!within(node.outputs.size(), def->min_outputs, def->max_outputs))
    return miscounted(node.outputs.size(), " output", " gives ", def->min_outputs, def->max_outputs);
  for (size_t i = 0; i < def->min_inputs; ++i)
    if (node.inputs[i] == kNoValue) return invalid_model("leaves out input ", i, ", which ", def->name, " needs");
  if (def->max_inputs == kAnyNumber && def->min_inputs > 0)  // lists have no gaps
    for (size_t i = 0; i < node.inputs.size(); ++i)
      if (node.inputs[i] == kNoValue) return invalid_model("leaves out input ", i, " of ", node.inputs.size());
  if (def->max_outputs != kAnyNumber)
    for (size_t o = 0; o < def->min_outputs; ++o)
      if (node.outputs[o] == kNoValue) return invalid_model("leaves out output ", o, ", which is not optional");
  if (node.version < def->since)
    return unsupported(def->name, " of operator set ", node.version, " is not supported; the oldest is ", def->since);
  NodeReader reader(node);
  LINNET_ASSIGN(std::unique_ptr<Op> op, def->create(reader));
  LINNET_TRY(reader.finish());
  return op;
}

}  // namespace linnet
