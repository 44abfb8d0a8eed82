#include "ops/upgrade/raise.h"

#include <algorithm>

#include "base/checked.h"

namespace linnet {
namespace {

// The rank of a value where it is known.
std::optional<size_t> rank_of(const Graph& graph, ValueId value) {
  if (const Tensor* constant = graph.constant(value)) return constant->shape.rank();
  const ValueInfo& info = graph.value(value).info;
  return info.ranked ? std::optional(info.shape.size()) : std::nullopt;
}

ValueId add_before(Graph& graph, std::string_view type, std::vector<ValueId> inputs, int version,
                   std::vector<Attribute> attributes = {}) {
  Node node;
  node.op_type = type;
  node.version = version;
  node.name = concat(graph.value(inputs[0]).name, "/", type);
  node.inputs = std::move(inputs);
  node.attributes = std::move(attributes);
  std::string name = node.name;
  return graph.add_node(std::move(node), std::move(name));
}

// The second operand was aligned at an axis of the first: ones behind it say the same.
// https://github.com/onnx/onnx/blob/main/docs/Changelog.md#Add-6
Status aligned_operand(Graph& graph, NodeId id, int version) {
  Node& node = graph.node(id);
  const bool slope = node.op_type == "PRelu";
  const bool has_axis = slope || node.find("axis");
  int64_t axis = slope ? 1 : node.int_or("axis", 0);
  for (const std::string_view name : {"axis", "broadcast"}) node.erase(name);
  const ValueId second = node.input(1);
  const Tensor* constant = graph.constant(second);
  if (!has_axis || (constant && constant->count() == 1)) return {};
  const std::optional<size_t> rank = rank_of(graph, node.input(0)), own = rank_of(graph, second);
  LINNET_REQUIRE(rank && own, unsupported("the ranks of its operands are not known"));
  if (axis < 0) axis += static_cast<int64_t>(*rank);
  const int64_t ones = static_cast<int64_t>(*rank) - axis - static_cast<int64_t>(*own);
  if (ones <= 0 || *own == 0) return {};
  ValueId aligned;
  if (constant) {
    Tensor tensor = *constant;
    for (int64_t i = 0; i < ones; ++i) tensor.shape.push_back(1);
    aligned = graph.add_constant(graph.value(second).name + "/aligned", std::move(tensor));
  } else {
    std::vector<int64_t> shape(*own, 0);  // as they are
    shape.insert(shape.end(), static_cast<size_t>(ones), 1);
    const ValueId to = graph.add_ints(graph.value(second).name + "/shape", std::move(shape));
    aligned = add_before(graph, "Reshape", {second, to}, version);
  }
  graph.set_input(id, 1, aligned);
  return {};
}

// All axes from `axis` on were one.
// https://github.com/onnx/onnx/blob/main/docs/Changelog.md#Softmax-11
Status softmax_axis(Graph& graph, NodeId id, int version) {
  Node& node = graph.node(id);
  const int64_t axis = node.int_or("axis", 1);
  const std::optional<size_t> rank = rank_of(graph, node.inputs[0]);
  node.set("axis", int64_t{-1});
  if (axis == -1 || (rank && axis == static_cast<int64_t>(*rank) - 1)) return {};
  const ValueId x = node.inputs[0], y = node.outputs[0];
  const ValueId shape = add_before(graph, "Shape", {x}, version);
  const ValueId flat = add_before(graph, "Flatten", {x}, version, {{"axis", axis}});
  const ValueId made = graph.add_value(graph.value(y).name + "/flat");
  graph.set_input(id, 0, flat);
  graph.set_outputs(id, {made});
  Node back;
  back.op_type = "Reshape";
  back.version = version;
  back.name = graph.value(y).name + "/Reshape";
  back.inputs = {made, shape};
  back.outputs = {y};
  graph.add_node(std::move(back));
  return {};
}

Status dropout_ratio(Graph& graph, NodeId id, int version) {
  Node& node = graph.node(id);
  const bool bool_mask = node.version >= 10;
  node.erase("ratio");
  const ValueId mask = node.output(1);
  if (bool_mask || mask == kNoValue) return {};
  const ValueInfo& info = graph.value(mask).info;
  const ValueId made = graph.add_value(graph.value(mask).name + "/bool");
  graph.set_outputs(id, {node.outputs[0], made});
  Node cast;
  cast.op_type = "Cast";
  cast.version = version;
  cast.name = graph.value(mask).name + "/Cast";
  cast.inputs = {made};
  cast.outputs = {mask};
  cast.set("to", static_cast<int64_t>(info.dtype == DType::undefined ? DType::f32 : info.dtype));
  graph.add_node(std::move(cast));
  return {};
}

Status split_count(Graph& graph, NodeId id, int) {
  Node& node = graph.node(id);
  if (node.input(1) == kNoValue) node.set("num_outputs", static_cast<int64_t>(node.outputs.size()));
  return {};
}

Status batch_norm_spatial(Graph& graph, NodeId id, int) {
  Node& node = graph.node(id);
  LINNET_REQUIRE(node.int_or("spatial", 1) != 0, unsupported("statistics for each position have no newer form"));
  node.erase("spatial");
  return {};
}

// The further outputs belonged to training.
Status batch_norm_outputs(Graph& graph, NodeId id, int) {
  const Node& node = graph.node(id);
  for (size_t o = 1; o < node.outputs.size(); ++o)
    LINNET_REQUIRE(node.outputs[o] == kNoValue || graph.use_count(node.outputs[o]) == 0,
                   unsupported("its outputs for training are used and have no newer form"));
  graph.set_outputs(id, {node.outputs[0]});
  return {};
}

// Scale and bias were one number for each group.
Status group_norm_scale(Graph& graph, NodeId id, int) {
  const ValueInfo info = graph.value(graph.node(id).input(0)).info;
  const int64_t groups = graph.node(id).int_or("num_groups", 0);
  const bool known = info.ranked && info.shape.size() >= 2 && info.shape[1].known();
  for (size_t i = 1; i < 3; ++i) {
    const ValueId value = graph.node(id).input(i);
    const Tensor* given = graph.constant(value);
    LINNET_REQUIRE(
        known && given && groups > 0 && info.shape[1].value() % groups == 0 && given->count() == groups,
        unsupported("its scale and bias have no newer form unless they are constants and the channels known"));
    const int64_t times = info.shape[1].value() / groups;
    LINNET_ASSIGN(Tensor repeated, make_tensor_uninitialized(given->dtype, Shape{info.shape[1].value()}));
    const size_t width = element_size(given->dtype);
    for (int64_t c = 0; c < repeated.count(); ++c)
      std::memcpy(repeated.ptr<std::byte>() + static_cast<size_t>(c) * width,
                  given->ptr<std::byte>() + static_cast<size_t>(c / times) * width, width);
    graph.set_input(id, i, graph.add_constant(graph.value(value).name + "/channels", std::move(repeated)));
  }
  return {};
}

Status grid_mode(Graph& graph, NodeId id, int) {
  Node& node = graph.node(id);
  const std::string mode(node.string_or("mode", "bilinear"));
  node.set("mode", mode == "bilinear" ? std::string("linear") : mode == "bicubic" ? std::string("cubic") : mode);
  return {};
}

// Upgrading says with "simple", which no operator set has, that rounding depends on whether an axis shrinks.
Status resize_rounding(Graph& graph, NodeId id) {
  Node& node = graph.node(id);
  if (node.op_type != "Resize" || node.string_or("nearest_mode", "") != "simple") return {};
  const Tensor* scales = graph.constant(node.input(2));
  const SymShape &from = graph.value(node.inputs[0]).info.shape, &to = graph.value(node.outputs[0]).info.shape;
  const bool sizes_known = from.known() && to.known() && !from.empty() && from.size() == to.size();
  bool shrinks = false, grows = false;
  for (int64_t i = 0; scales && i < scales->count(); ++i) {
    shrinks |= number_at(*scales, i) < 1;
    grows |= number_at(*scales, i) > 1;
  }
  for (size_t i = 0; !scales && sizes_known && i < from.size(); ++i) {
    shrinks |= to[i].value() < from[i].value();
    grows |= to[i].value() > from[i].value();
  }
  if (node.string_or("mode", "nearest") != "nearest") {
    node.erase("nearest_mode");
    return {};
  }
  LINNET_REQUIRE((scales || sizes_known) && !(shrinks && grows),
                 unsupported("its axes may shrink and grow, which rounds in two ways"));
  node.set("nearest_mode", std::string(shrinks ? "ceil" : "floor"));
  return {};
}

// Operator sets 11 and 12 want roi and scales, empty where they say nothing.
void resize_inputs(Graph& graph, NodeId id, int version) {
  if (graph.node(id).op_type != "Resize" || version < 11 || version >= 13) return;
  for (const size_t i : {1, 2}) {
    if (graph.node(id).input(i) != kNoValue) continue;
    Tensor empty;
    empty.dtype = DType::f32;
    empty.shape = Shape{0};
    graph.set_input(id, i, graph.add_constant(graph.node(id).name + "/empty", std::move(empty)));
  }
}

Status none_newer(Graph&, NodeId, int) { return unsupported("it has no newer form"); }

struct Raise {
  std::string_view name;
  int below;  // the operator set that changed the meaning
  Status (*rewrite)(Graph& graph, NodeId node, int version);
};

constexpr Raise kRaises[] = {
    {"Add", 7, aligned_operand},
    {"Sub", 7, aligned_operand},
    {"Mul", 7, aligned_operand},
    {"Div", 7, aligned_operand},
    {"Pow", 7, aligned_operand},
    {"PRelu", 7, aligned_operand},
    {"And", 7, aligned_operand},
    {"Or", 7, aligned_operand},
    {"Xor", 7, aligned_operand},
    {"Equal", 7, aligned_operand},
    {"Greater", 7, aligned_operand},
    {"Less", 7, aligned_operand},
    {"Scan", 9, none_newer},
    {"Dropout", 12, dropout_ratio},
    {"BatchNormalization", 9, batch_norm_spatial},
    {"Softmax", 13, softmax_axis},
    {"LogSoftmax", 13, softmax_axis},
    {"Hardmax", 13, softmax_axis},
    {"BatchNormalization", 14, batch_norm_outputs},
    {"Split", 18, split_count},
    {"GridSample", 20, grid_mode},
    {"GroupNormalization", 21, group_norm_scale},
};

Status raise_node(Graph& graph, NodeId id, int version) {
  Node& node = graph.node(id);
  if (!node.domain.empty()) return {};
  if (node.version < 6 && version >= 6) node.erase("consumed_inputs");
  if (node.version < 7 && version >= 7) node.erase("is_test");
  for (const Raise& raise : kRaises)
    if (raise.name == node.op_type && node.version < raise.below && raise.below <= version)
      LINNET_TRY(raise.rewrite(graph, id, version));
  LINNET_TRY(resize_rounding(graph, id));
  resize_inputs(graph, id, version);
  graph.node(id).version = version;
  return {};
}

}  // namespace

int newest_version(const Graph& graph) {
  int version = 0;
  for (const NodeId id : graph.order()) {
    const Node& node = graph.node(id);
    if (node.domain.empty()) version = std::max(version, node.version);
    for (const std::shared_ptr<Graph>& body : subgraphs_of(node)) version = std::max(version, newest_version(*body));
  }
  return version;
}

Status raise_graph(Graph& graph, int version) {
  const std::vector<NodeId> order = graph.order();
  for (const NodeId id : order) {
    const std::string path = graph.node_path(id);
    const int from = graph.node(id).version;
    if (Status status = raise_node(graph, id, version); !status.ok())
      return std::move(status)
          .within(concat("cannot be said in operator set ", version, " what it means in ", from))
          .at_node(path);
    for (const std::shared_ptr<Graph>& body : subgraphs_of(graph.node(id))) LINNET_TRY(raise_graph(*body, version));
  }
  return graph.sort();
}

}  // namespace linnet
