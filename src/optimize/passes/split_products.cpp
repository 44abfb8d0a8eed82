// A product by a constant matrix whose columns are then split, by Split, by Slices, or by Gathers of an axis that a
// Reshape makes of them, becomes a linnet.GroupedMatMul that writes each part where it belongs; packed queries, keys
// and values are such, and gated layers that keep both halves in one matrix, whose activation and product go in, too.
#include <algorithm>

#include "optimize/activations.h"
#include "optimize/match.h"
#include "optimize/optimizer.h"
#include "optimize/products.h"

namespace linnet {
namespace {

constexpr int64_t kUnit = 16;  // parts are whole panels of the packed matrix

struct Part {
  int64_t begin = 0, size = 0;
  ValueId value = kNoValue;
};

std::optional<int64_t> integer(const Graph& graph, ValueId value, int64_t fallback) {
  if (value == kNoValue) return fallback;
  const Tensor* t = graph.constant(value);
  return t && t->count() == 1 && is_integer(t->dtype) ? std::optional(integer_at(*t, 0)) : std::nullopt;
}

bool is_last(int64_t axis, size_t rank) { return axis == -1 || axis == static_cast<int64_t>(rank) - 1; }

// Reshape to [..., parts, size], Unsqueeze, Transpose and Squeeze that bring the parts to the front and keep the others
// in order, then a Gather for each: nn.MultiheadAttention's way. Nothing where it is another.
std::vector<Part> gathered_parts(const Graph& graph, ValueId value) {
  constexpr int kParts = -1, kOne = -2;  // what an axis is, beside that of the value
  const SymShape from = graph.value(value).info.shape;
  const NodeId first = sole_user(graph, value);
  if (first == kNoNode || !graph.node(first).is("Reshape")) return {};
  value = graph.node(first).outputs[0];
  const SymShape* apart = shape_of(graph, value, from.size() + 1);
  if (!apart || !std::equal(from.begin(), from.end() - 1, apart->begin())) return {};
  const Dim count = (*apart)[from.size() - 1], size = apart->back();
  if (!count.known() || !size.known()) return {};
  std::vector<int> axes, wanted = {kParts};
  for (size_t i = 0; i + 1 < from.size(); ++i) axes.push_back(static_cast<int>(i));
  wanted.insert(wanted.end(), axes.begin(), axes.end());
  wanted.push_back(static_cast<int>(from.size()));
  axes.insert(axes.end(), {kParts, static_cast<int>(from.size())});
  for (NodeId user = sole_user(graph, value); user != kNoNode && axes != wanted; user = sole_user(graph, value)) {
    const Node& node = graph.node(user);
    const int64_t rank = static_cast<int64_t>(axes.size());
    if (const std::vector<int64_t>* permutation = node.is("Transpose") ? node.ints("perm") : nullptr) {
      std::vector<int> moved;
      for (const int64_t axis : *permutation) moved.push_back(axes[static_cast<size_t>(axis)]);
      axes = std::move(moved);
    } else if (const auto axis = integer(graph, node.input(1), rank); node.is("Unsqueeze") && axis) {
      const int64_t at = *axis < 0 ? *axis + rank + 1 : *axis;
      if (at < 0 || at > rank) return {};
      axes.insert(axes.begin() + static_cast<ptrdiff_t>(at), kOne);
    } else if (node.is("Squeeze") && axis) {
      const int64_t at = *axis < 0 ? *axis + rank : *axis;
      if (at < 0 || at >= rank || axes[static_cast<size_t>(at)] != kOne) return {};
      axes.erase(axes.begin() + static_cast<ptrdiff_t>(at));
    } else {
      return {};
    }
    value = node.outputs[0];
  }
  if (axes != wanted || graph.is_output(value)) return {};
  std::vector<Part> parts;
  for (const NodeId user : graph.uses(value)) {
    const Node& node = graph.node(user);
    const auto index = node.is("Gather") && node.inputs[0] == value ? integer(graph, node.inputs[1], 0) : std::nullopt;
    if (!index || node.int_or("axis", 0) != 0 || !graph.constant(node.inputs[1])->shape.empty()) return {};
    const int64_t part = *index < 0 ? *index + count.value() : *index;
    parts.push_back({part * size.value(), size.value(), node.outputs[0]});
  }
  return parts;
}

// The parts in order, where together they are all of the value's columns and nothing else reads it.
std::vector<Part> parts_of(const Graph& graph, ValueId value, int64_t columns) {
  const size_t rank = graph.value(value).info.shape.size();
  std::vector<Part> parts = gathered_parts(graph, value);
  if (graph.is_output(value)) return {};
  for (const NodeId user : parts.empty() ? graph.uses(value) : std::vector<NodeId>()) {
    const Node& node = graph.node(user);
    if (node.is("Split") && is_last(node.int_or("axis", 0), rank) && graph.uses(value).size() == 1) {
      int64_t at = 0;
      for (const ValueId out : node.outputs) {
        const SymShape* shape = shape_of(graph, out, rank);
        if (!shape || !shape->back().known()) return {};
        parts.push_back({at, shape->back().value(), out});
        at += shape->back().value();
      }
    } else if (node.is("Slice") && node.input(0) == value) {
      const auto begin = integer(graph, node.input(1), 0), end = integer(graph, node.input(2), 0),
                 axis = integer(graph, node.input(3), 0), step = integer(graph, node.input(4), 1);
      if (!begin || !end || !axis || step != 1 || !is_last(*axis, rank)) return {};
      const auto within = [&](int64_t i) { return std::clamp<int64_t>(i < 0 ? i + columns : i, 0, columns); };
      parts.push_back({within(*begin), within(*end) - within(*begin), node.outputs[0]});
    } else {
      return {};
    }
  }
  std::sort(parts.begin(), parts.end(), [](const Part& a, const Part& b) { return a.begin < b.begin; });
  int64_t at = 0;
  for (const Part& part : parts) {
    if (part.begin != at || part.size <= 0) return {};
    at += part.size;
  }
  if (at != columns) parts.clear();
  return parts;
}

// What is left of activation(a) b: the activation's node and the product's, where the two parts are nothing but that.
struct Gate {
  NodeId activation = kNoNode, product = kNoNode;
  size_t activated = 0;
};
Gate gate_of(const Graph& graph, const std::vector<Part>& parts) {
  if (parts.size() != 2 || parts[0].size != parts[1].size) return {};
  for (const size_t side : {0, 1}) {
    const ValueId x = parts[side].value, other = parts[1 - side].value;
    const NodeId activation = sole_user(graph, x), product = sole_user(graph, other);
    if (activation == kNoNode || product == kNoNode || !graph.node(product).is("Mul")) continue;
    const Node& node = graph.node(activation);
    if (node.input(0) != x || !as_activation(graph, node) || sole_user(graph, node.outputs[0]) != product) continue;
    return {activation, product, side};
  }
  return {};
}

bool split(Graph& graph, NodeId id, const PassContext& context) {
  const Node& node = graph.node(id);
  const std::optional<ConstantProduct> product = as_constant_product(graph, node);
  if (!product || product->activated || graph.constant(product->matrix)->count() == 0) return false;
  const std::vector<Part> parts = parts_of(graph, node.outputs[0], product->columns);
  if (parts.size() < 2 || parts.size() > kMostProducts) return false;
  for (const Part& part : parts) {
    if (part.size % kUnit == 0) continue;
    context.miss(graph, id, "its columns are split into ", part.size, ", no multiple of ", kUnit);
    return false;
  }
  Node made = grouped_matmul(*product, node.name);
  std::vector<int64_t> columns;
  for (const Part& part : parts) columns.push_back(part.size);
  made.set("columns", std::move(columns));
  std::vector<NodeId> gone = {id};
  for (const Part& part : parts) gone.push_back(node_id(graph, part.value));
  if (const Gate gate = gate_of(graph, parts); gate.product != kNoNode) {
    as_activation(graph, graph.node(gate.activation))->apply(made);
    made.set("gated", int64_t{1});
    if (gate.activated != 0) made.set("gate", int64_t{1});
    made.outputs = graph.node(gate.product).outputs;
    gone.insert(gone.end(), {gate.activation, gate.product});
  } else {
    for (const Part& part : parts) made.outputs.push_back(part.value);
  }
  for (const NodeId part : gone)
    if (graph.alive(part)) graph.remove_node(part);
  graph.add_node(std::move(made));
  return true;
}

}  // namespace

Result<size_t> split_products(Graph& graph, PassContext& context) {
  return rewrite_nodes(graph, [&](NodeId id) { return split(graph, id, context); });
}

}  // namespace linnet
