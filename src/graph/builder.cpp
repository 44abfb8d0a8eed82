#include "graph/builder.h"

#include <algorithm>
#include <charconv>
#include <exception>
#include <set>
#include <tuple>
#include <unordered_map>

#include "graph/from_onnx.h"

namespace linnet {
namespace {

using Opsets = std::map<std::string, int, std::less<>>;

// Functions that call functions may multiply; this many nodes inlined is more than any model needs.
constexpr size_t kMaxInlinedNodes = size_t{1} << 18;
constexpr int kMaxDepth = 128;
// Before it, all initializers had to be listed as inputs and were constants none the less.
constexpr int64_t kOverridableIrVersion = 4;

std::string_view plain_domain(std::string_view domain) noexcept { return domain == "ai.onnx" ? "" : domain; }

std::string describe(const onnx::Node& node) {
  return concat("node '", node.name, "' (", node.domain, node.domain.empty() ? "" : ".", node.op_type, ")");
}

Result<Opsets> read_opsets(const std::vector<onnx::OperatorSetId>& imports) {
  Opsets opsets;
  for (const onnx::OperatorSetId& import : imports) {
    const std::string_view domain = plain_domain(import.domain);
    LINNET_REQUIRE(import.version > 0 && import.version <= INT32_MAX,
                   invalid_model("operator set '", domain, "' is imported in version ", import.version));
    const int newest = domain.empty() ? kMaxOpset : domain == "ai.onnx.ml" ? kMaxMlOpset : INT32_MAX;
    LINNET_REQUIRE(import.version <= newest,
                   unsupported("the model needs version ", import.version, " of the operators of ",
                               domain.empty() ? "ai.onnx" : domain, "; ", newest, " is the newest that is supported"));
    opsets[std::string(domain)] = static_cast<int>(import.version);
  }
  return opsets;
}

// A function being inlined.
struct Call {
  const onnx::Function* function;
  std::vector<Attribute> attributes;  // as given, then defaults
  const Call* caller;                 // the function whose body the call stands in
};

// Where names are looked up: a graph, or the body of a function that is being inlined into one.
struct Scope {
  Graph* graph;
  const Opsets* opsets;
  const Call* call = nullptr;
  Scope* around = nullptr;  // of the graph that this one is a subgraph in
  std::string prefix{};     // of names that come from functions
  std::unordered_map<std::string_view, ValueId> names{};
  std::vector<std::pair<ValueId, ValueId>> captured{};  // value around, value here
  std::set<std::string_view> awaited{};                 // outputs of the function that no node has made yet
};

class Depth {
 public:
  explicit Depth(int& depth) noexcept : depth_(++depth) {}
  Depth(const Depth&) = delete;
  Depth& operator=(const Depth&) = delete;
  ~Depth() { --depth_; }
  bool fine() const noexcept { return depth_ <= kMaxDepth; }

 private:
  int& depth_;
};

class Builder {
 public:
  Builder(onnx::Model& model, const onnx::DataSource& source, SymbolTable& symbols)
      : model_(model), source_(source), symbols_(symbols) {}

  Result<std::shared_ptr<Graph>> build() {
    for (onnx::Function& f : model_.functions) {
      const bool is_new = functions_.try_emplace({plain_domain(f.domain), f.name, f.overload}, &f).second;
      LINNET_REQUIRE(is_new, invalid_model("the function '", f.name, "' of domain '", f.domain, "' is defined twice"));
    }
    LINNET_ASSIGN(const Opsets opsets, read_opsets(model_.opset_import));
    auto graph = std::make_shared<Graph>();
    top_ = graph.get();
    Scope scope{graph.get(), &opsets};
    LINNET_TRY(fill(scope, *model_.graph));
    return graph;
  }

 private:
  bool at_top(const Scope& scope) const noexcept { return scope.graph == top_; }

  Status fill(Scope& scope, onnx::Graph& from) {
    const Depth depth(depth_);
    LINNET_REQUIRE(depth.fine(), unsupported("subgraphs and functions within one another are nested too deeply"));
    Graph& graph = *scope.graph;
    graph.name = from.name;
    graph.opsets = *scope.opsets;
    LINNET_TRY(add_initializers(scope, from));
    LINNET_TRY(add_inputs(scope, from));
    LINNET_TRY(declare_outputs(scope, from.node));
    add_hints(scope, from.value_info);
    add_hints(scope, from.output);
    for (onnx::Node& node : from.node)
      if (Status status = add_node(scope, node); !status.ok()) return std::move(status).within(describe(node));
    for (const onnx::ValueInfo& output : from.output) {
      LINNET_ASSIGN(const ValueId value, resolve(scope, output.name));
      LINNET_REQUIRE(value != kNoValue, invalid_model("the graph's output '", output.name, "' is nowhere defined"));
      graph.outputs.push_back({std::string(output.name), value});
    }
    return graph.sort();
  }

  // ---- names

  Status declare(Scope& scope, std::string_view name, ValueId value) {
    LINNET_REQUIRE(!name.empty(), invalid_model("a graph's input or initializer has no name"));
    LINNET_REQUIRE(scope.names.try_emplace(name, value).second,
                   invalid_model("the name '", name, "' is defined twice"));
    return {};
  }

  Status add_initializers(Scope& scope, const onnx::Graph& from) {
    const auto add = [&](std::string_view name, Result<Tensor> tensor) -> Status {
      if (!tensor.ok()) return std::move(tensor).status();
      LINNET_REQUIRE(!name.empty(), invalid_model("an initializer has no name"));
      const ValueId value = scope.graph->add_constant(scope.prefix + std::string(name), std::move(tensor).value());
      scope.names[name] = value;  // of several initializers of one name, the last counts
      return {};
    };
    for (const onnx::Tensor& tensor : from.initializer)
      LINNET_TRY(add(tensor.name, onnx::to_initializer(tensor, source_)));
    for (const onnx::SparseTensor& tensor : from.sparse_initializer)
      LINNET_TRY(add(tensor.values.name, onnx::to_tensor(tensor, source_)));
    return {};
  }

  Status add_inputs(Scope& scope, const onnx::Graph& from) {
    Graph& graph = *scope.graph;
    for (const onnx::ValueInfo& input : from.input) {
      const std::string name(input.name);
      if (const auto constant = scope.names.find(input.name); constant != scope.names.end()) {
        LINNET_REQUIRE(graph.constant(constant->second), invalid_model("the input '", name, "' is listed twice"));
        if (at_top(scope) && model_.ir_version >= kOverridableIrVersion)
          graph.overridable.push_back({name, constant->second});
        continue;
      }
      ValueInfo info;
      if (input.type) {
        Result<ValueInfo> known = to_value_info(*input.type, symbols_);
        if (known.ok()) {
          info = std::move(known).value();
        } else if (at_top(scope)) {
          return std::move(known).status().within(concat("input '", name, "'"));
        }
      }
      const ValueId value = graph.add_value(scope.prefix + name, std::move(info));
      LINNET_TRY(declare(scope, input.name, value));
      graph.inputs.push_back({name, value});
    }
    return {};
  }

  // Before the nodes are added, so that their order in the file does not matter.
  Status declare_outputs(Scope& scope, const std::vector<onnx::Node>& nodes) {
    for (const onnx::Node& node : nodes) {
      for (const std::string_view name : node.output) {
        if (name.empty() || scope.awaited.erase(name) != 0) continue;
        const ValueId value = scope.graph->add_value(scope.prefix + std::string(name));
        if (!scope.names.try_emplace(name, value).second) {
          return invalid_model("the output '", name, "' has the name of another value").within(describe(node));
        }
      }
    }
    return {};
  }

  // What the model says of values, where it makes sense; inference decides.
  void add_hints(Scope& scope, const std::vector<onnx::ValueInfo>& infos) {
    for (const onnx::ValueInfo& info : infos) {
      const auto found = scope.names.find(info.name);
      if (found == scope.names.end() || !info.type) continue;
      GraphValue& value = scope.graph->value(found->second);
      if (value.constant || value.info.dtype != DType::undefined) continue;
      if (Result<ValueInfo> hint = to_value_info(*info.type, symbols_); hint.ok()) value.info = std::move(hint).value();
    }
  }

  // The value of a name as this scope's graph has it; one from a graph around is captured, or shared when constant.
  Result<ValueId> resolve(Scope& scope, std::string_view name) {
    if (name.empty()) return kNoValue;
    if (const auto here = scope.names.find(name); here != scope.names.end()) return here->second;
    if (!scope.around) return invalid_model("the value '", name, "' is used but nothing defines it");
    LINNET_ASSIGN(const ValueId outer, resolve(*scope.around, name));
    ValueId value = kNoValue;
    if (outer != kNoValue) {
      const GraphValue& from = scope.around->graph->value(outer);
      const std::shared_ptr<const Tensor> constant = from.constant;
      value = scope.graph->add_value(from.name, from.info);
      if (constant) {
        scope.graph->value(value).constant = constant;
      } else {
        scope.captured.emplace_back(outer, value);
      }
    }
    scope.names.emplace(name, value);
    return value;
  }

  // ---- nodes

  Status add_node(Scope& scope, onnx::Node& from) {
    LINNET_REQUIRE(!from.op_type.empty(), invalid_model("it has no operator"));
    Node node;
    node.domain = plain_domain(from.domain);
    node.op_type = from.op_type;
    if (!from.name.empty()) node.name = scope.prefix + std::string(from.name);
    LINNET_TRY(add_attributes(scope, from, node));
    for (const std::string_view name : from.input) {
      LINNET_ASSIGN(const ValueId value, resolve(scope, name));
      node.inputs.push_back(value);
    }
    for (const std::string_view name : from.output)
      node.outputs.push_back(name.empty() ? kNoValue : scope.names.at(name));
    while (!node.inputs.empty() && node.inputs.back() == kNoValue) node.inputs.pop_back();

    const auto function = functions_.find({std::string_view(node.domain), from.op_type, from.overload});
    if (function != functions_.end()) return inline_call(scope, *function->second, std::move(node));
    LINNET_REQUIRE(from.overload.empty(), invalid_model("no function has its overload '", from.overload, "'"));
    if (node.is("Constant")) return set_constant(*scope.graph, node);
    const auto opset = scope.opsets->find(node.domain);
    LINNET_REQUIRE(opset != scope.opsets->end() || !node.domain.empty(),
                   invalid_model("the model does not say which version of the ONNX operators it uses"));
    node.version = opset != scope.opsets->end() ? opset->second : 1;
    if (source_.compiled)
      std::from_chars(from.doc_string.data(), from.doc_string.data() + from.doc_string.size(), node.version);
    scope.graph->add_node(std::move(node));
    return {};
  }

  Status set_constant(Graph& graph, const Node& node) {
    LINNET_REQUIRE(node.attributes.size() == 1 && node.outputs.size() == 1 && node.outputs[0] != kNoValue,
                   invalid_model("a Constant needs one attribute and one output"));
    LINNET_ASSIGN(Tensor tensor, constant_of(node.attributes[0]));
    graph.set_constant(node.outputs[0], std::move(tensor));
    return {};
  }

  Status add_attributes(Scope& scope, onnx::Node& from, Node& node) {
    std::vector<std::shared_ptr<Graph>> bodies;
    std::vector<std::vector<std::pair<ValueId, ValueId>>> captured;
    const auto add_body = [&](onnx::Graph& message) -> Result<std::shared_ptr<Graph>> {
      bodies.push_back(std::make_shared<Graph>());
      Scope inner{bodies.back().get(), scope.opsets, scope.call, &scope, scope.prefix};
      LINNET_TRY(fill(inner, message));
      captured.push_back(std::move(inner.captured));
      return bodies.back();
    };
    const auto data_of = [&](onnx::Attribute& attribute) -> Result<Attribute::Data> {
      if (attribute.type == onnx::AttributeType::graph) {
        LINNET_REQUIRE(attribute.g, invalid_model("its graph is missing"));
        LINNET_ASSIGN(std::shared_ptr<Graph> body, add_body(*attribute.g));
        return Attribute::Data(std::move(body));
      }
      if (!scope.call) {  // nobody reads it again, as the body of a function is
        if (attribute.type == onnx::AttributeType::reals) return Attribute::Data(std::move(attribute.floats));
        if (attribute.type == onnx::AttributeType::integers) return Attribute::Data(std::move(attribute.ints));
      }
      if (attribute.type != onnx::AttributeType::graphs) return to_attribute_data(attribute, source_, symbols_);
      std::vector<std::shared_ptr<Graph>> list;
      for (onnx::Graph& message : attribute.graphs) {
        LINNET_ASSIGN(std::shared_ptr<Graph> body, add_body(message));
        list.push_back(std::move(body));
      }
      return Attribute::Data(std::move(list));
    };
    for (onnx::Attribute& attribute : from.attribute) {
      LINNET_REQUIRE(!node.find(attribute.name), invalid_model("the attribute '", attribute.name, "' is given twice"));
      if (!attribute.ref_attr_name.empty()) {
        LINNET_TRY(refer(scope, attribute, node));
        continue;
      }
      Result<Attribute::Data> data = data_of(attribute);
      if (!data.ok()) return std::move(data).status().within(concat("attribute '", attribute.name, "'"));
      node.attributes.push_back({std::string(attribute.name), std::move(data).value()});
    }
    connect_captures(node, bodies, captured);
    return {};
  }

  // An attribute that stands for one of the function's; absent when the caller gives none and there is no default.
  static Status refer(const Scope& scope, const onnx::Attribute& attribute, Node& node) {
    LINNET_REQUIRE(scope.call, invalid_model("the attribute '", attribute.name, "' refers to '",
                                             attribute.ref_attr_name, "', but the node is not in a function"));
    for (const Attribute& given : scope.call->attributes)
      if (given.name == attribute.ref_attr_name) node.attributes.push_back({std::string(attribute.name), given.data});
    return {};
  }

  static void connect_captures(Node& node, const std::vector<std::shared_ptr<Graph>>& bodies,
                               const std::vector<std::vector<std::pair<ValueId, ValueId>>>& captured) {
    for (const auto& list : captured) {
      for (const auto& [outer, inner] : list)
        if (std::find(node.captures.begin(), node.captures.end(), outer) == node.captures.end())
          node.captures.push_back(outer);
    }
    for (size_t k = 0; k < bodies.size(); ++k) {
      bodies[k]->captures.assign(node.captures.size(), kNoValue);
      for (const auto& [outer, inner] : captured[k]) {
        const auto at = std::find(node.captures.begin(), node.captures.end(), outer) - node.captures.begin();
        bodies[k]->captures[static_cast<size_t>(at)] = inner;
      }
    }
  }

  // ---- functions

  Status inline_call(Scope& scope, onnx::Function& function, Node node) {
    const Depth depth(depth_);
    LINNET_REQUIRE(depth.fine(), unsupported("subgraphs and functions within one another are nested too deeply"));
    Status status = inline_body(scope, function, std::move(node));
    if (status.ok()) return status;
    return std::move(status).within(concat("function '", function.name, "'"));
  }

  Status inline_body(Scope& scope, onnx::Function& function, Node node) {
    for (const Call* call = scope.call; call; call = call->caller)
      LINNET_REQUIRE(call->function != &function, invalid_model("it calls itself"));
    inlined_nodes_ += function.node.size();
    LINNET_REQUIRE(inlined_nodes_ <= kMaxInlinedNodes, unsupported("inlining it makes the graph too large"));
    LINNET_REQUIRE(node.inputs.size() <= function.input.size() && node.outputs.size() <= function.output.size(),
                   invalid_model("it is called with more inputs or outputs than it has"));
    Call call{&function, {}, scope.call};
    LINNET_TRY(bind_attributes(function, node, call));
    LINNET_ASSIGN(const Opsets opsets, read_opsets(function.opset_import));

    Graph& graph = *scope.graph;
    Scope body{&graph, &opsets, &call};
    body.prefix = (node.name.empty() ? scope.prefix + node.op_type : node.name) + "/";
    for (size_t i = 0; i < function.input.size(); ++i) LINNET_TRY(declare(body, function.input[i], node.input(i)));
    std::vector<std::pair<std::string_view, ValueId>> copies;  // outputs that are inputs, or another output again
    for (size_t i = 0; i < function.output.size(); ++i) {
      const std::string_view name = function.output[i];
      if (node.output(i) == kNoValue) continue;
      if (body.names.try_emplace(name, node.outputs[i]).second) {
        body.awaited.insert(name);
      } else {
        copies.emplace_back(name, node.outputs[i]);
      }
    }
    LINNET_TRY(declare_outputs(body, function.node));
    LINNET_REQUIRE(body.awaited.empty(), invalid_model("no node makes its output '", *body.awaited.begin(), "'"));
    for (onnx::Node& inner : function.node)
      if (Status status = add_node(body, inner); !status.ok()) return std::move(status).within(describe(inner));
    for (const auto& [name, to] : copies) {
      const ValueId from = body.names.at(name);
      LINNET_REQUIRE(from != kNoValue, invalid_model("its output '", name, "' is an input that the call leaves out"));
      Node copy;
      copy.op_type = "Identity";
      copy.name = body.prefix + std::string(name);
      copy.version = 1;
      copy.inputs = {from};
      copy.outputs = {to};
      graph.add_node(std::move(copy));
    }
    return {};
  }

  Status bind_attributes(const onnx::Function& function, Node& node, Call& call) {
    const auto declared = [&](const std::string& name) {
      return std::find(function.attribute.begin(), function.attribute.end(), name) != function.attribute.end() ||
             std::any_of(function.attribute_proto.begin(), function.attribute_proto.end(),
                         [&](const onnx::Attribute& a) { return a.name == name; });
    };
    LINNET_REQUIRE(subgraphs_of(node).empty(), unsupported("graphs as attributes of functions are not supported"));
    for (const Attribute& given : node.attributes)
      LINNET_REQUIRE(declared(given.name), invalid_model("it has no attribute '", given.name, "'"));
    for (const onnx::Attribute& otherwise : function.attribute_proto) {
      if (node.find(otherwise.name)) continue;
      LINNET_ASSIGN(Attribute::Data data, to_attribute_data(otherwise, source_, symbols_));
      node.attributes.push_back({std::string(otherwise.name), std::move(data)});
    }
    call.attributes = std::move(node.attributes);
    return {};
  }

  onnx::Model& model_;
  const onnx::DataSource& source_;
  SymbolTable& symbols_;
  std::map<std::tuple<std::string_view, std::string_view, std::string_view>, onnx::Function*> functions_;
  const Graph* top_ = nullptr;
  size_t inlined_nodes_ = 0;
  int depth_ = 0;  // of subgraphs and functions within one another
};

}  // namespace

Result<std::shared_ptr<Graph>> build_graph(onnx::Model& model, const onnx::DataSource& source, SymbolTable& symbols) {
  LINNET_REQUIRE(model.graph, invalid_model("the model has no graph"));
  try {
    return Builder(model, source, symbols).build();
  } catch (const std::exception&) {
    return error(Code::out_of_memory, "not enough memory to build the model's graph");
  }
}

}  // namespace linnet
