#include "graph/export.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <set>
#include <unordered_map>

#include "onnx/tensor_data.h"

namespace linnet {
namespace {

using onnx::AttributeType;

constexpr int64_t kIrVersion = 10;
constexpr size_t kShared = 128;  // bytes from which on equal constants are written once

// By type, shape and elements; constants that are not to be compared are equal to themselves alone.
struct ConstantLess {
  bool by_elements;

  bool operator()(const Tensor* a, const Tensor* b) const {
    if (a->dtype != b->dtype) return a->dtype < b->dtype;
    if (!(a->shape == b->shape))
      return std::lexicographical_compare(a->shape.begin(), a->shape.end(), b->shape.begin(), b->shape.end());
    if (!by_elements || a->dtype == DType::string || a->bytes() < kShared) return std::less<>()(a, b);
    return a->data != b->data && std::memcmp(a->data, b->data, a->bytes()) < 0;
  }
};
using ConstantNames = std::map<const Tensor*, std::string_view, ConstantLess>;

class Exporter {
 public:
  Exporter(const SymbolTable& symbols, const ExportOptions& options) : symbols_(symbols), options_(options) {}

  onnx::Model run(const Graph& graph) {
    model_.ir_version = kIrVersion;
    model_.producer_name = "linnet";
    if (const auto standard = graph.opsets.find(""); standard != graph.opsets.end()) opsets_[""] = standard->second;
    for (const GraphPort& port : graph.inputs)
      for (const Dim& dim : graph.value(port.value).info.shape)
        if (!dim.known() && !dim.unknown()) named_.insert(dim.symbol());
    Scope scope{graph, nullptr, {}, constants()};
    std::vector<GraphPort> overridable;  // but what nothing uses any more is no initializer, and no input without one
    for (const GraphPort& port : graph.overridable)
      if (graph.constant(port.value)) overridable.push_back(port);
    for (const GraphPort& port : overridable) take(scope, port.value, port.name);
    take_ports(scope);
    onnx::Graph exported = convert(scope);
    for (const GraphPort& port : overridable) exported.input.push_back(value_info(scope, port.value));
    model_.graph = std::move(exported);
    for (const auto& [domain, version] : opsets_) model_.opset_import.push_back({keep(domain), version});
    return std::move(model_);
  }

 private:
  struct Scope {
    const Graph& graph;
    const Scope* around;
    std::unordered_map<ValueId, std::string_view> names;
    ConstantNames constants;
  };

  ConstantNames constants() const { return ConstantNames(ConstantLess{!options_.constant}); }

  std::string_view keep(std::string_view text) { return model_.keep(std::string(text)); }

  void take(Scope& scope, ValueId value, const std::string& name) {
    scope.names.emplace(value, keep(name));
    used_.insert(name);
  }

  // Names of inputs and outputs stay, unless a value that a body captures has one: operators may look for them there
  // too.
  void take_ports(Scope& scope) {
    std::set<std::string_view> captured;
    for (const ValueId value : scope.graph.captures)
      if (value != kNoValue) captured.insert(scope.names.at(value));
    for (const auto* ports : {&scope.graph.inputs, &scope.graph.outputs}) {
      for (const GraphPort& port : *ports) {
        if (!port.name.empty() && !captured.contains(port.name) && !scope.names.contains(port.value))
          take(scope, port.value, port.name);
        used_.insert(port.name);
      }
    }
  }

  // The name of a value; the first time, its own when no other value has that.
  std::string_view name_of(Scope& scope, ValueId value) {
    if (value == kNoValue) return keep("");
    if (const auto known = scope.names.find(value); known != scope.names.end()) return known->second;
    return scope.names.emplace(value, unused_name(scope.graph.value(value).name)).first->second;
  }

  std::string_view unused_name(const std::string& wanted) {
    const std::string own = wanted.empty() ? "value" : wanted;
    std::string name = own;
    for (size_t i = 1; !used_.insert(name).second; ++i) name = concat(own, "_", i);
    return keep(name);
  }

  onnx::Graph convert(Scope& scope) {
    const Graph& graph = scope.graph;
    onnx::Graph out;
    out.name = keep(graph.name.empty() ? "graph" : graph.name);
    for (const GraphPort& port : graph.inputs) out.input.push_back(value_info(scope, port.value));
    add_initializers(scope, out);
    for (const NodeId id : graph.order()) {
      const Node& node = graph.node(id);
      out.node.push_back(convert(scope, node));
      for (const ValueId value : node.outputs)
        if (value != kNoValue && graph.value(value).info.dtype != DType::undefined && !graph.is_output(value))
          out.value_info.push_back(value_info(scope, value));
    }
    for (const GraphPort& port : graph.outputs) out.output.push_back(output(scope, port, out));
    return out;
  }

  // A value that has another name already, because it is an input or two outputs, is copied.
  onnx::ValueInfo output(Scope& scope, const GraphPort& port, onnx::Graph& out) {
    onnx::ValueInfo info = value_info(scope, port.value);
    if (scope.around || info.name == port.name) return info;
    onnx::Node copy;
    copy.op_type = "Identity";
    copy.input = {info.name};
    copy.output = {keep(port.name)};
    info.name = copy.output[0];
    out.node.push_back(std::move(copy));
    return info;
  }

  void add_initializers(Scope& scope, onnx::Graph& out) {
    for (ValueId value = 0; value < scope.graph.value_count(); ++value) {
      const Tensor* constant = scope.graph.constant(value);
      const bool named = scope.names.contains(value);
      if (!constant || (!named && scope.graph.use_count(value) == 0)) continue;
      if (const std::string_view shared = named ? std::string_view() : find_constant(&scope, constant); shared.data())
        scope.names.emplace(value, shared);
      else
        add_initializer(scope, *constant, name_of(scope, value), out);
    }
    if (scope.around || options_.constant) return;
    std::vector<std::pair<const Tensor*, std::string>> within;
    collect_constants(scope.graph, within);
    std::set<const Tensor*, ConstantLess> seen(ConstantLess{true});
    for (const auto& [constant, name] : within)
      if (!seen.insert(constant).second && !find_constant(&scope, constant).data())
        add_initializer(scope, *constant, unused_name(name), out);
  }

  void add_initializer(Scope& scope, const Tensor& constant, std::string_view name, onnx::Graph& out) {
    scope.constants.emplace(&constant, name);
    out.initializer.push_back(onnx::from_tensor(constant, name));
    if (options_.constant) options_.constant(constant, out.initializer.back());
  }

  // Those of the graphs within a graph which may be written around them.
  static void collect_constants(const Graph& graph, std::vector<std::pair<const Tensor*, std::string>>& constants) {
    for (const NodeId id : graph.order())
      for (const auto& body : subgraphs_of(graph.node(id))) {
        for (ValueId value = 0; value < body->value_count(); ++value)
          if (const Tensor* constant = body->constant(value);
              constant && constant->bytes() >= kShared && !body->uses(value).empty() && !body->is_output(value))
            constants.emplace_back(constant, body->value(value).name);
        collect_constants(*body, constants);
      }
  }

  static std::string_view find_constant(const Scope* scope, const Tensor* constant) {
    for (; scope; scope = scope->around)
      if (const auto found = scope->constants.find(constant); found != scope->constants.end()) return found->second;
    return {};
  }

  // ---- nodes

  onnx::Node convert(Scope& scope, const Node& node) {
    onnx::Node out;
    out.name = keep(node.name);
    out.op_type = keep(node.op_type);
    if (!node.domain.empty()) out.domain = keep(node.domain);
    if (options_.node_versions) out.doc_string = keep(std::to_string(node.version));
    for (const ValueId value : node.inputs) out.input.push_back(name_of(scope, value));
    for (const ValueId value : node.outputs) out.output.push_back(name_of(scope, value));
    for (const Attribute& attribute : node.attributes) {
      out.attribute.emplace_back();
      out.attribute.back().name = keep(attribute.name);
      std::visit([&](const auto& data) { set(scope, node, out.attribute.back(), data); }, attribute.data);
    }
    int64_t& version = opsets_[node.domain];
    version = std::max<int64_t>(version, node.version);
    return out;
  }

  std::vector<std::string_view> keep_all(const std::vector<std::string>& texts) {
    std::vector<std::string_view> kept;
    for (const std::string& text : texts) kept.push_back(keep(text));
    return kept;
  }

  template <class T>
  void set(Scope& scope, const Node& node, onnx::Attribute& out, const T& data) {
    if constexpr (std::is_same_v<T, int64_t>) {
      out.type = AttributeType::integer;
      out.i = data;
    } else if constexpr (std::is_same_v<T, float>) {
      out.type = AttributeType::real;
      out.f = data;
    } else if constexpr (std::is_same_v<T, std::string>) {
      out.type = AttributeType::string;
      out.s = keep(data);
    } else if constexpr (std::is_same_v<T, std::vector<int64_t>>) {
      out.type = AttributeType::integers;
      out.ints = data;
    } else if constexpr (std::is_same_v<T, std::vector<float>>) {
      out.type = AttributeType::reals;
      out.floats = data;
    } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
      out.type = AttributeType::strings;
      out.strings = keep_all(data);
    } else if constexpr (std::is_same_v<T, Tensor>) {
      out.type = AttributeType::tensor;
      out.t = std::make_unique<onnx::Tensor>(onnx::from_tensor(data, {}));
    } else if constexpr (std::is_same_v<T, std::vector<Tensor>>) {
      out.type = AttributeType::tensors;
      for (const Tensor& tensor : data) out.tensors.push_back(onnx::from_tensor(tensor, {}));
    } else if constexpr (std::is_same_v<T, std::shared_ptr<Graph>>) {
      out.type = AttributeType::graph;
      out.g = std::make_unique<onnx::Graph>(body(scope, node, *data));
    } else if constexpr (std::is_same_v<T, std::vector<std::shared_ptr<Graph>>>) {
      out.type = AttributeType::graphs;
      for (const std::shared_ptr<Graph>& graph : data) out.graphs.push_back(body(scope, node, *graph));
    } else {
      out.type = AttributeType::type_proto;
      out.tp = std::make_unique<onnx::Type>(type_of(data));
    }
  }

  // What the body captures has the names of the graph around it.
  onnx::Graph body(Scope& around, const Node& node, const Graph& graph) {
    Scope scope{graph, &around, {}, constants()};
    for (size_t i = 0; i < graph.captures.size(); ++i)
      if (graph.captures[i] != kNoValue) scope.names.emplace(graph.captures[i], name_of(around, node.captures[i]));
    take_ports(scope);
    return convert(scope);
  }

  // ---- types

  onnx::ValueInfo value_info(Scope& scope, ValueId value) {
    onnx::ValueInfo out;
    out.name = name_of(scope, value);
    const ValueInfo& info = scope.graph.value(value).info;
    if (info.dtype != DType::undefined || info.kind != ValueKind::tensor) out.type = type_of(info);
    return out;
  }

  onnx::Type type_of(const ValueInfo& info) {
    onnx::Type type;
    const auto element = [&] {
      return std::make_unique<onnx::Type>(type_of(info.element ? *info.element : ValueInfo::tensor(info.dtype)));
    };
    switch (info.kind) {
      case ValueKind::sequence: type.sequence_type.emplace().elem_type = element(); break;
      case ValueKind::optional: type.optional_type.emplace().elem_type = element(); break;
      case ValueKind::map:
        type.map_type.emplace().key_type = static_cast<int32_t>(info.key);
        type.map_type->value_type = element();
        break;
      case ValueKind::tensor: {
        onnx::TensorType& tensor = type.tensor_type.emplace();
        tensor.elem_type = static_cast<int32_t>(info.dtype);
        if (!info.ranked) break;
        tensor.shape.emplace();
        for (const Dim& dim : info.shape) {
          onnx::Dimension& out = tensor.shape->dim.emplace_back();
          if (dim.known())
            out.dim_value = dim.value();
          else if (!dim.unknown())
            set_name(out, dim);
        }
      }
    }
    return type;
  }

  // Sizes of one name are the same to who reads the file. Unnamed ones are written "d7", which a model may have as a
  // name, too; what is long is cut short.
  void set_name(onnx::Dimension& out, Dim dim) {
    const std::string text = symbols_.to_string(dim);
    bool confusable = text.find("...") != text.npos || text.find('?') != text.npos;
    for (size_t at = text.find('d'); at != text.npos && !confusable; at = text.find('d', at + 1)) {
      const bool begins = at == 0 || text[at - 1] == '(' || text[at - 1] == ' ';
      confusable = begins && at + 1 < text.size() && text[at + 1] >= '0' && text[at + 1] <= '9';
    }
    if (!confusable || named_.contains(dim.symbol())) out.dim_param = keep(text);
  }

  const SymbolTable& symbols_;
  const ExportOptions& options_;
  onnx::Model model_;
  std::set<std::string, std::less<>> used_;
  std::map<std::string, int64_t> opsets_;
  std::set<uint32_t> named_;  // sizes of inputs: all of them have names of the model's
};

}  // namespace

onnx::Model export_model(const Graph& graph, const SymbolTable& symbols, const ExportOptions& options) {
  return Exporter(symbols, options).run(graph);
}

}  // namespace linnet
