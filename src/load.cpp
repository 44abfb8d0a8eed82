#include "load.h"

#include "graph/builder.h"
#include "onnx/reader.h"
#include "ops/registry.h"
#include "ops/upgrade/upgrade.h"

namespace linnet {
namespace {

void find_unknown(const Graph& graph, std::map<std::string, std::vector<std::string>>& unknown) {
  for (const NodeId id : graph.order()) {
    const Node& node = graph.node(id);
    if (!find_op(node))
      unknown[(node.domain.empty() ? "ai.onnx" : node.domain) + "." + node.op_type].push_back(graph.node_path(id));
    for (const auto& body : subgraphs_of(node)) find_unknown(*body, unknown);
  }
}

// Gives nodes the operators that the caller supplies. Those that replace one of the registry get a domain of their own,
// so that no rewrite takes them for it.
void use_custom_operators(Graph& graph, const LoadOptions& options) {
  for (const NodeId id : graph.order()) {
    Node& node = graph.node(id);
    for (const std::shared_ptr<const OpDef>& def : options.operators) {
      const std::string_view domain = def->domain == "ai.onnx" ? std::string_view() : def->domain;
      if (def->name != node.op_type || domain != node.domain) continue;
      const bool replaces = find_op(node.domain, node.op_type) != nullptr;
      if (replaces && !(def->flags & OpDef::kReplaces)) continue;
      node.custom = def;
      if (replaces) node.domain = "replaced:" + node.domain;
      break;
    }
    for (const auto& body : subgraphs_of(node)) use_custom_operators(*body, options);
  }
}

// Every operator that this build does not know, in one message.
Status refuse_unknown(const Graph& graph) {
  const auto unknown = unknown_operators(graph);
  if (unknown.empty()) return {};
  std::string list;
  for (const auto& [name, nodes] : unknown) {
    list += concat(list.empty() ? "" : "; ", name, " at ", nodes.front());
    if (nodes.size() > 1) list += concat(" and ", nodes.size() - 1, " more");
  }
  return unsupported("the model uses operators that are not supported: ", list);
}

// The declared sizes of this name become numbers.
Status fix_sizes(Graph& graph, SymbolTable& symbols, const LoadOptions& options) {
  for (const auto& [name, size] : options.fixed_sizes) {
    LINNET_REQUIRE(size >= 0, invalid_argument("size '", name, "' is fixed to ", size));
    const Dim symbol = symbols.named(name);
    bool found = false;
    for (const GraphPort& port : graph.inputs)
      for (Dim& d : graph.value(port.value).info.shape)
        if (d == symbol) {
          d = size;
          found = true;
        }
    LINNET_REQUIRE(found, invalid_argument("no input has a size named '", name, "'"));
  }
  return {};
}

// In the graph and those within it, which share constants.
void replace_constant(Graph& graph, const std::shared_ptr<const Tensor>& from,
                      const std::shared_ptr<const Tensor>& to) {
  for (ValueId v = 0; v < graph.value_count(); ++v)
    if (graph.value(v).constant == from) graph.value(v).constant = to;
  for (const NodeId id : graph.order())
    for (const auto& body : subgraphs_of(graph.node(id))) replace_constant(*body, from, to);
}

Status replace_initializers(Graph& graph, const LoadOptions& options) {
  for (const auto& [name, tensor] : options.initializers) {
    bool found = false;
    for (ValueId v = 0; v < graph.value_count() && !found; ++v) {
      const GraphValue& value = graph.value(v);
      if (value.name != name || !value.constant) continue;
      LINNET_REQUIRE(
          value.constant->dtype == tensor.dtype && value.constant->shape == tensor.shape,
          invalid_argument("initializer '", name, "' is ", *value.constant, " and cannot be replaced by ", tensor));
      replace_constant(graph, std::shared_ptr(value.constant), std::make_shared<const Tensor>(tensor));
      found = true;
    }
    LINNET_REQUIRE(found, invalid_argument("the model has no initializer named '", name, "'"));
  }
  return {};
}

Status add_outputs(Graph& graph, const LoadOptions& options) {
  for (const std::string& name : options.extra_outputs) {
    ValueId found = kNoValue;
    for (ValueId v = 0; v < graph.value_count() && found == kNoValue; ++v)
      if (graph.value(v).name == name) found = v;
    if (found == kNoValue) return error(Code::not_found, "the model has no value named '", name, "'");
    bool already = false;
    for (const GraphPort& port : graph.outputs) already |= port.name == name;
    if (!already) graph.outputs.push_back({name, found});
  }
  return {};
}

std::vector<Model::Port> ports_of(const Graph& graph, const std::vector<GraphPort>& ports) {
  std::vector<Model::Port> out;
  for (const GraphPort& port : ports) out.push_back({port.name, graph.value(port.value).info});
  return out;
}

void describe_model(const onnx::Model& proto, Model& model) {
  model.ir_version = proto.ir_version;
  model.model_version = proto.model_version;
  model.producer_name = proto.producer_name;
  model.producer_version = proto.producer_version;
  model.domain = proto.domain;
  model.description = proto.doc_string;
  if (proto.graph) model.graph_name = proto.graph->name;
  for (const auto& p : proto.metadata_props) model.metadata.emplace_back(p.key, p.value);
  for (const auto& o : proto.opset_import) model.opsets.emplace_back(o.domain, static_cast<int>(o.version));
}

}  // namespace

Result<LoadedGraph> load_graph(const ModelSource& source, const LoadOptions& options) {
  LoadedGraph loaded;
  loaded.model = std::make_shared<Model>();
  loaded.symbols = std::make_shared<SymbolTable>(true);
  std::span<const std::byte> bytes = source.bytes;
  std::shared_ptr<const void> owner = source.owner;
  const MappedFile::Mode mode = options.copy_file ? MappedFile::Mode::copy : MappedFile::Mode::map;
  onnx::ExternalData external =
      source.path.empty() ? onnx::ExternalData(source.open) : onnx::ExternalData(source.path, mode);
  if (!source.path.empty()) {
    LINNET_ASSIGN(const auto file, MappedFile::open(source.path, mode));
    bytes = file->bytes();
    owner = file;
    loaded.model->files.push_back(file);
  }
  for (const auto& [location, content] : options.external_data) external.supply(location, content);
  LINNET_ASSIGN(const onnx::Model proto, onnx::read_model(bytes));
  describe_model(proto, *loaded.model);
  loaded.model->seed = options.seed;
  std::vector<std::shared_ptr<const MappedFile>>& files = loaded.model->files;
  const auto discard = [&](onnx::Bytes part) {
    for (const auto& file : files) file->discard(part);
    for (const auto& file : external.files()) file->discard(part);
  };
  LINNET_ASSIGN(loaded.graph, build_graph(proto, onnx::DataSource{owner, &external, discard}, *loaded.symbols));
  files.insert(files.end(), external.files().begin(), external.files().end());
  loaded.model->bytes = owner;
  Graph& graph = *loaded.graph;
  LINNET_TRY(fix_sizes(graph, *loaded.symbols, options));
  LINNET_TRY(replace_initializers(graph, options));
  if (!options.operators.empty()) use_custom_operators(graph, options);
  LINNET_TRY(upgrade_graph(graph));
  LINNET_TRY(add_outputs(graph, options));
  return loaded;
}

std::map<std::string, std::vector<std::string>> unknown_operators(const Graph& graph) {
  std::map<std::string, std::vector<std::string>> unknown;
  find_unknown(graph, unknown);
  return unknown;
}

Result<std::shared_ptr<const Model>> load_model(Engine& engine, const ModelSource& source, const LoadOptions& options) {
  LINNET_ASSIGN(LoadedGraph loaded, load_graph(source, options));
  Graph& graph = *loaded.graph;
  Model& model = *loaded.model;
  LINNET_TRY(refuse_unknown(graph));
  model.inputs = ports_of(graph, graph.inputs);
  LINNET_ASSIGN(const auto reports, optimize(graph, *loaded.symbols, options.optimize));
  if (options.log)
    for (const PassReport& r : reports)
      if (r.changes)
        options.log(Severity::verbose, concat("pass ", r.pass, ": ", r.changes, " changes in ", r.milliseconds, " ms"));
  graph.remove_unused();
  LINNET_TRY(graph.sort());
  model.outputs = ports_of(graph, graph.outputs);
  const RunParallel parallel(engine.pool(), engine.executor(), nullptr);
  Program::Options plan;
  plan.parallel = &parallel;
  plan.discard = [&](const Tensor& tensor) {
    for (const auto& file : model.files) file->discard({tensor.ptr<std::byte>(), tensor.bytes()});
  };
  LINNET_ASSIGN(model.program, Program::build(graph, loaded.symbols, plan));
  return std::shared_ptr<const Model>(std::move(loaded.model));
}

}  // namespace linnet
