#include "optimize/convert_floats.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/nearest_name.h"
#include "ops/operator_types.h"

namespace linnet {
namespace {

constexpr std::string_view kKept[] = {
    "BitCast",
    "CumSum",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "EyeLike",
    "IsInf",
    "Max",
    "Min",
    "Multinomial",
    "NonMaxSuppression",
    "OneHot",
    "QuantizeLinear",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
    "Range",
    "Resize",
    "RoiAlign",
    "TfIdfVectorizer",
    "TopK",
    "Upsample",
};

Result<Tensor> converted(const Tensor& from, DType to) {
  LINNET_ASSIGN(Tensor out, make_tensor_uninitialized(to, from.shape));
  const float greatest = to == DType::f16 ? 65504.0f : 3.3895314e38f;
  const float least = to == DType::f16 ? 0x1p-24f : 0x1p-133f;
  const auto* source = static_cast<const std::byte*>(from.data);
  for (int64_t i = 0; i < from.count(); ++i) {
    float value;
    std::memcpy(&value, source + static_cast<size_t>(i) * sizeof value, sizeof value);
    if (std::isfinite(value)) value = std::clamp(value, -greatest, greatest);
    if (value != 0.0f && std::fabs(value) < least) value = std::copysign(least, value);
    if (to == DType::f16)
      out.ptr<f16>()[i] = f16(value);
    else
      out.ptr<bf16>()[i] = bf16(value);
  }
  return out;
}

bool holds_floats(const ValueInfo& info) noexcept { return info.dtype == DType::f32; }

bool runs_any_type(const Node& node) {
  return node.domain.empty() &&
         (node.op_type == "If" || node.op_type == "Loop" || node.op_type == "Scan" || node.op_type == "SequenceMap");
}

// The nodes that turn the sums of integer products into the numbers that they stand for. The sums, and often the
// products of scales, lie outside the range of 16-bit floats.
class SumScaling {
 public:
  explicit SumScaling(const Graph& graph) : graph_(graph) {
    for (const NodeId id : graph.order()) {
      const Node& node = graph.node(id);
      if (node.is("ConvInteger") || node.is("MatMulInteger"))
        sums_.insert(node.outputs[0]);
      else if (node.is("DynamicQuantizeLinear"))
        scales_.insert(node.output(1));
      else if (node.is("Mul"))
        visit_product(id, node);
      else if (node.domain.empty() &&
               std::find(std::begin(kKeepSums), std::end(kKeepSums), node.op_type) != std::end(kKeepSums))
        visit(id, node);
    }
  }

  bool has(NodeId id) const { return nodes_.contains(id); }

 private:
  static constexpr std::string_view kKeepSums[] = {"Add",       "Cast",    "Reshape",  "Sub",
                                                   "Transpose", "Squeeze", "Unsqueeze"};

  void visit(NodeId id, const Node& node) {
    for (const ValueId value : node.inputs) {
      if (!sums_.contains(value)) continue;
      nodes_.insert(id);
      sums_.insert(node.outputs[0]);
    }
  }

  // A scaled sum may be scaled in further steps.
  void visit_product(NodeId id, const Node& node) {
    if (is_scale(node.inputs[0]) && is_scale(node.inputs[1])) scales_.insert(node.outputs[0]);
    for (const size_t i : {0, 1}) {
      const ValueId other = node.inputs[1 - i];
      if (!sums_.contains(node.inputs[i]) && !(scaled_.contains(node.inputs[i]) && is_scale(other))) continue;
      nodes_.insert(id);
      scaled_.insert(node.outputs[0]);
      if (is_scale(other)) keep_product(other);
    }
  }

  bool is_scale(ValueId value) const { return graph_.constant(value) || scales_.contains(value); }

  void keep_product(ValueId value) {
    const NodeId maker = graph_.value(value).producer;
    if (maker == kNoNode || !graph_.node(maker).is("Mul") || !nodes_.insert(maker).second) return;
    for (const ValueId factor : graph_.node(maker).inputs) keep_product(factor);
  }

  const Graph& graph_;
  std::set<ValueId> sums_, scaled_;
  std::set<ValueId> scales_;  // of quantised inputs, and products of scales
  std::set<NodeId> nodes_;
};

// A Transpose that brings the first axis into the matrices of a product behind it: ONNX Runtime 1.32 crashes when it
// fuses the two in 16 bits.
bool brings_first_axis_into_product(const Graph& graph, const Node& node) {
  const std::vector<int64_t>* perm = node.is("Transpose") ? node.ints("perm") : nullptr;
  if (!perm || perm->size() < 3) return false;
  const size_t batch = perm->size() - 2;
  for (size_t i = 0; i < batch; ++i)
    if ((*perm)[i] != static_cast<int64_t>(i) + 1) return false;
  const std::vector<NodeId>& users = graph.uses(node.outputs[0]);
  return std::any_of(users.begin(), users.end(), [&](NodeId user) {
    return graph.node(user).is("MatMul") || graph.node(user).is("FusedMatMul", "com.microsoft");
  });
}

class Converter {
 public:
  explicit Converter(const FloatConversion& conversion) : conversion_(conversion) {}

  FloatConversionReport report;
  std::set<std::string, std::less<>> unused;  // names of `keep` that nothing has

  // `wanted`: what values of floats become, unless a node keeps them; the graph's own ports are for the caller.
  // `captured`: the types that the graph around has for what this one captures.
  Status convert(Graph& graph, const std::map<ValueId, DType>& fixed, bool keeps_ports) {
    Scope scope{graph, SumScaling(graph), {}, {}};
    for (const auto& [value, type] : fixed) scope.types[value] = type;
    for (const GraphPort& port : graph.inputs) set_port(scope, port.value, keeps_ports);
    for (const GraphPort& port : graph.overridable) set_port(scope, port.value, keeps_ports);
    const std::vector<NodeId> order = graph.order();
    for (const NodeId id : order) LINNET_TRY(convert_node(scope, id));
    const std::vector<GraphPort> outputs = graph.outputs;
    for (size_t o = 0; o < outputs.size(); ++o) {
      const ValueInfo info = graph.value(outputs[o].value).info;
      if (!holds_floats(info) || info.kind != ValueKind::tensor) continue;
      LINNET_ASSIGN(const ValueId value, as(scope, outputs[o].value, keeps_ports ? DType::f32 : conversion_.to));
      graph.outputs[o].value = value;
    }
    return graph.sort();
  }

 private:
  struct Scope {
    Graph& graph;
    SumScaling scaling;
    std::map<ValueId, DType> types;  // of values that were floats: what they are now
    std::map<std::pair<ValueId, DType>, ValueId> made;
  };

  void set_port(Scope& scope, ValueId value, bool keeps_ports) {
    ValueInfo& info = scope.graph.value(value).info;
    if (!holds_floats(info)) return;
    const bool stays = keeps_ports || info.kind != ValueKind::tensor || scope.graph.value(value).constant;
    scope.types[value] = stays ? DType::f32 : conversion_.to;
    if (!stays) info.dtype = conversion_.to;
  }

  bool keeps(const Graph& graph, NodeId id) {
    const Node& node = graph.node(id);
    for (const std::string& name : {node.op_type, node.name}) {
      if (conversion_.keep.contains(name)) {
        unused.erase(name);
        return true;
      }
    }
    if (std::find(std::begin(kKept), std::end(kKept), node.op_type) != std::end(kKept) || node.domain == "ai.onnx.ml" ||
        node.custom || brings_first_axis_into_product(graph, node))
      return true;
    if (!node.captures.empty() || !subgraphs_of(node).empty())
      if (!runs_any_type(node)) return true;
    const OperatorTypes* types = types_of(node.domain, node.op_type);
    if (types && !types->types.has(conversion_.to)) return true;
    for (const auto* values : {&node.inputs, &node.outputs})  // no cast makes a sequence another
      for (const ValueId v : *values)
        if (v != kNoValue && holds_floats(graph.value(v).info) && graph.value(v).info.kind != ValueKind::tensor)
          return true;
    return false;
  }

  static bool has_floats(const Graph& graph, const Node& node) {
    for (const auto* values : {&node.inputs, &node.outputs})
      for (const ValueId v : *values)
        if (v != kNoValue && holds_floats(graph.value(v).info)) return true;
    return false;
  }

  // The value as the type that is asked for: itself, another constant, or a cast.
  Result<ValueId> as(Scope& scope, ValueId value, DType type) {
    Graph& graph = scope.graph;
    const auto known = scope.types.find(value);
    const DType now = known == scope.types.end() ? DType::f32 : known->second;
    if (now == type) return value;
    const auto found = scope.made.find({value, type});
    if (found != scope.made.end()) return found->second;
    const std::string name = concat(graph.value(value).name, "/", dtype_name(type));
    ValueInfo info = graph.value(value).info;
    info.dtype = type;
    ValueId made;
    if (const std::shared_ptr<const Tensor> constant = graph.value(value).constant;
        constant && known == scope.types.end()) {
      std::shared_ptr<const Tensor>& to = constants_[constant];
      if (!to) {
        LINNET_ASSIGN(Tensor tensor, converted(*constant, type));
        to = std::make_shared<const Tensor>(std::move(tensor));
        ++report.constants;
      }
      made = graph.add_value(name, info);
      graph.value(made).constant = to;
    } else {
      Node cast;
      cast.op_type = "Cast";
      cast.version = 13;
      cast.name = name;
      cast.inputs = {value};
      cast.set("to", static_cast<int64_t>(type));
      made = graph.add_node(std::move(cast), name, info);
      ++report.casts;
    }
    return scope.made[{value, type}] = made;
  }

  Status convert_node(Scope& scope, NodeId id) {
    Graph& graph = scope.graph;
    const bool stays = keeps(graph, id) || scope.scaling.has(id);
    if (stays && has_floats(graph, graph.node(id))) report.kept.push_back(graph.node_path(id));
    const DType type = stays ? DType::f32 : conversion_.to;
    for (size_t i = 0; i < graph.node(id).inputs.size(); ++i) {
      const ValueId value = graph.node(id).inputs[i];
      if (value == kNoValue || !holds_floats(original(scope, value)) ||
          graph.value(value).info.kind != ValueKind::tensor)
        continue;
      LINNET_ASSIGN(const ValueId now, as(scope, value, type));
      if (now != value) graph.set_input(id, i, now);
    }
    for (const ValueId value : graph.node(id).outputs)
      if (value != kNoValue && holds_floats(graph.value(value).info)) scope.types[value] = type;
    if (!stays) LINNET_TRY(convert_attributes(graph.node(id)));
    return convert_bodies(scope, id, stays);
  }

  static ValueInfo original(const Scope& scope, ValueId value) {
    ValueInfo info = scope.graph.value(value).info;
    if (scope.types.contains(value)) info.dtype = DType::f32;
    return info;
  }

  Status convert_attributes(Node& node) {
    if (node.is("Cast") && node.int_or("to", 0) == static_cast<int64_t>(DType::f32))
      node.set("to", static_cast<int64_t>(conversion_.to));
    if (!node.is("ConstantOfShape")) return {};
    const Attribute* value = node.find("value");
    const Tensor* tensor = value ? std::get_if<Tensor>(&value->data) : nullptr;
    Tensor zero{DType::f32, Shape{1}, &zero_, nullptr};
    if (tensor && tensor->dtype != DType::f32) return {};
    LINNET_ASSIGN(Tensor to, converted(tensor ? *tensor : zero, conversion_.to));
    node.set("value", std::move(to));
    return {};
  }

  // What a body captures has the type that it has around it; a node that stays gets what it captures as it was.
  Status convert_bodies(Scope& scope, NodeId id, bool stays) {
    Graph& graph = scope.graph;
    const std::vector<std::shared_ptr<Graph>> bodies = subgraphs_of(graph.node(id));
    if (bodies.empty()) return {};
    std::vector<ValueId> captures = graph.node(id).captures;
    for (ValueId& value : captures) {
      if (!stays || value == kNoValue || !holds_floats(original(scope, value))) continue;
      if (graph.value(value).info.kind != ValueKind::tensor) continue;
      LINNET_ASSIGN(value, as(scope, value, DType::f32));
    }
    graph.set_captures(id, captures);
    if (stays) return {};
    for (const std::shared_ptr<Graph>& body : bodies) {
      std::map<ValueId, DType> fixed;
      for (size_t i = 0; i < body->captures.size(); ++i) {
        if (body->captures[i] == kNoValue || captures[i] == kNoValue) continue;
        const auto type = scope.types.find(captures[i]);
        if (type != scope.types.end()) fixed[body->captures[i]] = type->second;
        // A constant of the graph around is one for the body, too, which converts it there.
        if (graph.constant(captures[i]) && holds_floats(graph.value(captures[i]).info))
          fixed.try_emplace(body->captures[i], DType::f32);
      }
      LINNET_TRY(convert(*body, fixed, false));
    }
    return {};
  }

  const FloatConversion& conversion_;
  std::map<std::shared_ptr<const Tensor>, std::shared_ptr<const Tensor>> constants_;
  float zero_ = 0;
};

void collect_names(const Graph& graph, std::set<std::string_view>& names) {
  for (const NodeId id : graph.order()) {
    const Node& node = graph.node(id);
    names.insert({node.name, node.op_type});
    for (const auto& body : subgraphs_of(node)) collect_names(*body, names);
  }
}

}  // namespace

std::span<const std::string_view> operators_kept_in_float() noexcept { return kKept; }

bool has_node_or_operator(const Graph& graph, std::string_view name) {
  std::set<std::string_view> names;
  collect_names(graph, names);
  return names.contains(name);
}

Result<FloatConversionReport> convert_floats(Graph& graph, SymbolTable& symbols, const FloatConversion& conversion) {
  LINNET_REQUIRE(conversion.to == DType::f16 || conversion.to == DType::bf16,
                 invalid_argument("floats become float16 or bfloat16, not ", dtype_name(conversion.to)));
  Converter converter(conversion);
  converter.unused = conversion.keep;
  LINNET_TRY(infer_graph(graph, symbols).status());
  LINNET_TRY(converter.convert(graph, {}, conversion.keep_io));
  if (!converter.unused.empty()) {
    const std::string& name = *converter.unused.begin();
    std::set<std::string_view> names;
    collect_names(graph, names);
    const std::vector<std::string_view> all(names.begin(), names.end());
    return error(Code::not_found, "no operator or node is named '", name, "'", did_you_mean(name, all));
  }
  graph.remove_unused();
  Result<GraphFacts> again = infer_graph(graph, symbols);
  if (!again.ok()) return std::move(again).status().within("after the conversion of floats");
  return std::move(converter.report);
}

}  // namespace linnet
