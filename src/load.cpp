#include "load.h"

#include <algorithm>

#include "base/hash.h"
#include "base/nearest_name.h"
#include "description.h"
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
    std::set<std::string> names;
    for (const GraphPort& port : graph.inputs)
      for (Dim& d : graph.value(port.value).info.shape) {
        if (!d.known() && !d.unknown()) names.insert(symbols.to_string(d));
        if (d != symbol) continue;
        d = size;
        found = true;
      }
    const std::vector<std::string_view> all(names.begin(), names.end());
    LINNET_REQUIRE(found, invalid_argument("no input has a size named '", name, "'", nearest_or_all(name, all)));
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
    if (found == kNoValue) {
      std::vector<std::string_view> names;
      for (ValueId v = 0; v < graph.value_count(); ++v) names.push_back(graph.value(v).name);
      return error(Code::not_found, "the model has no value named '", name, "'", did_you_mean(name, names));
    }
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

// Kept by its owner and aligned as kernels want it, else copied.
Result<std::span<const std::byte>> aligned_bytes(std::span<const std::byte> bytes, std::shared_ptr<const void>& owner) {
  if (owner && reinterpret_cast<uintptr_t>(bytes.data()) % AlignedBuffer::kAlignment == 0) return bytes;
  const auto copy = std::make_shared<AlignedBuffer>(bytes.size());
  LINNET_REQUIRE(copy->data(), error(Code::out_of_memory, "cannot allocate ", bytes.size(), " bytes"));
  std::copy(bytes.begin(), bytes.end(), copy->data());
  owner = copy;
  return std::span<const std::byte>(copy->data(), bytes.size());
}

std::string line_of(const std::filesystem::path& path, const FileIdentity& identity) {
  return concat(identity.size, ' ', identity.modified_ns, ' ', identity.inode, ' ', path.string(), '\n');
}

// What decides the result of loading, beside the files.
std::string text_of(const LoadOptions& options) {
  std::string text = concat("level ", static_cast<int>(options.optimize.level), " fold ", options.optimize.fold_bytes);
  for (const std::string& pass : options.optimize.disabled) text += concat("\nwithout ", pass);
  for (const auto& [name, size] : options.fixed_sizes) text += concat("\nsize ", name, " ", size);
  for (const std::string& name : options.extra_outputs) text += concat("\noutput ", name);
  return text;
}

compiled::Origin origin_of(const Model& model, const LoadOptions& options) {
  compiled::Origin origin;
  for (const auto& file : model.files) {
    origin.files += line_of(file->path(), file->identity());
    origin.content = hash_bytes(file->bytes(), origin.content);
    file->discard(file->bytes());
  }
  origin.options = text_of(options);
  return origin;
}

// Whether the files of a compiled model are what they were.
bool is_current(const compiled::Origin& origin, bool verify) {
  uint64_t content = 0;
  for (size_t at = 0; at < origin.files.size();) {
    const size_t end = origin.files.find('\n', at);
    if (end == std::string::npos) return false;
    const std::string line = origin.files.substr(at, end + 1 - at);
    size_t path = 0;
    for (int field = 0; field < 3 && path != std::string::npos; ++field) path = line.find(' ', path + (field != 0));
    if (path == std::string::npos) return false;
    const std::filesystem::path file(line.substr(path + 1, line.size() - path - 2));
    const auto identity = file_identity(file);
    if (!identity.ok() || line_of(file, *identity) != line) return false;
    at = end + 1;
    if (!verify) continue;
    const auto mapped = MappedFile::open(file);
    if (!mapped.ok()) return false;
    content = hash_bytes((*mapped)->bytes(), content);
    (*mapped)->discard((*mapped)->bytes());
  }
  return !origin.files.empty() && (!verify || content == origin.content);
}

// The rest of loading; `store`, when set, gets the compiled form.
Result<std::shared_ptr<const Model>> finish(Engine& engine, LoadedGraph loaded, const LoadOptions& options,
                                            const std::filesystem::path* store, Status* stored) {
  Graph& graph = *loaded.graph;
  Model& model = *loaded.model;
  LINNET_TRY(refuse_unknown(graph));
  if (loaded.packed) {
    LINNET_TRY(infer_graph(graph, *loaded.symbols).status());
  } else {
    LINNET_ASSIGN(const auto reports, optimize(graph, *loaded.symbols, options.optimize));
    if (options.log)
      for (const PassReport& r : reports)
        if (r.changes) options.log(Severity::verbose, r.to_string());
    graph.remove_unused();
  }
  LINNET_TRY(graph.sort());
  model.outputs = ports_of(graph, graph.outputs);
  LINNET_TRY(options.optimize.begin(0, store ? 2 : 1, "packing weights"));
  const RunParallel parallel(engine.pool(), engine.executor(), nullptr);
  Program::Options plan;
  plan.parallel = &parallel;
  plan.discard = [&](const Tensor& tensor) {
    for (const auto& file : model.files) file->discard({tensor.ptr<std::byte>(), tensor.bytes()});
  };
  if (loaded.packed) plan.supplied = &*loaded.packed;
  std::optional<compiled::Writer> writer;
  if (store) {
    writer.emplace(graph, *loaded.symbols);
    plan.made = &writer->record;
  }
  LINNET_ASSIGN(model.program, Program::build(graph, loaded.symbols, plan));
  if (writer) {
    LINNET_TRY(options.optimize.begin(1, 2, "writing"));
    write_description(model, writer->model());
    *stored = writer->write(*store, origin_of(model, options));
  }
  return std::shared_ptr<const Model>(std::move(loaded.model));
}

std::string hex(uint64_t number) {
  std::string text(16, '0');
  for (size_t i = 16; i-- > 0; number >>= 4) text[i] = "0123456789abcdef"[number & 15];
  return text;
}

std::filesystem::path cached_path(const ModelSource& source, const LoadOptions& options) {
  std::error_code failed;
  std::filesystem::path whole = std::filesystem::weakly_canonical(source.path, failed);
  if (failed) whole = source.path;
  const std::string text = concat(whole.string(), '\n', text_of(options));
  return options.cache_folder / (hex(hash_bytes(std::as_bytes(std::span(text)))) + ".linnet");
}

// From the cache, or into it. What is wrong with the cache is no error: the model is loaded without it.
Result<std::shared_ptr<const Model>> load_cached(Engine& engine, const ModelSource& source,
                                                 const LoadOptions& options) {
  const auto log = [&](const Status& status) {
    if (options.log) options.log(Severity::info, concat("cache: ", status.message()));
  };
  const std::filesystem::path path = cached_path(source, options);
  LoadOptions plain = options;
  plain.cache_folder.clear();
  if (std::error_code failed; std::filesystem::exists(path, failed)) {
    LoadOptions of_compiled = plain;
    of_compiled.fixed_sizes.clear();
    of_compiled.extra_outputs.clear();
    Result<LoadedGraph> loaded = load_graph({path, {}, nullptr}, of_compiled);
    if (!loaded.ok()) {
      log(loaded.status());
    } else if (loaded->packed && loaded->origin.options == text_of(options) &&
               is_current(loaded->origin, options.verify_cache)) {
      Result<std::shared_ptr<const Model>> model = finish(engine, std::move(*loaded), of_compiled, nullptr, nullptr);
      if (model.ok()) return model;
      log(model.status());
    }
  }
  LINNET_ASSIGN(LoadedGraph loaded, load_graph(source, plain));
  const bool is_compiled = loaded.packed.has_value();
  std::error_code failed;
  std::filesystem::create_directories(options.cache_folder, failed);
  Status stored;
  LINNET_ASSIGN(auto model, finish(engine, std::move(loaded), plain, is_compiled ? nullptr : &path, &stored));
  if (!stored.ok() && options.log)
    options.log(Severity::warning, concat("the compiled model could not be kept in the cache: ", stored.message()));
  return model;
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
  const bool is_compiled = compiled::is_container(bytes);
  compiled::Container container;
  if (is_compiled) {
    LINNET_REQUIRE(options.initializers.empty(),
                   invalid_argument("a compiled model's initializers cannot be replaced"));
    LINNET_ASSIGN(bytes, aligned_bytes(bytes, owner));
    LINNET_ASSIGN(container, compiled::open_container(bytes));
    external = onnx::ExternalData();
    external.supply(std::string(compiled::kPayload), {container.payload, owner});
  }
  LINNET_ASSIGN(onnx::Model proto, onnx::read_model(is_compiled ? container.description : bytes));
  if (is_compiled) loaded.origin = compiled::take_origin(proto);
  read_description(proto, *loaded.model);
  loaded.model->seed = options.seed;
  std::vector<std::shared_ptr<const MappedFile>>& files = loaded.model->files;
  const auto discard = [&](onnx::Bytes part) {
    for (const auto& file : files) file->discard(part);
    for (const auto& file : external.files()) file->discard(part);
  };
  LINNET_ASSIGN(loaded.graph,
                build_graph(proto, onnx::DataSource{owner, &external, discard, is_compiled}, *loaded.symbols));
  files.insert(files.end(), external.files().begin(), external.files().end());
  loaded.model->bytes = owner;
  Graph& graph = *loaded.graph;
  LINNET_TRY(fix_sizes(graph, *loaded.symbols, options));
  LINNET_TRY(replace_initializers(graph, options));
  if (!options.operators.empty()) use_custom_operators(graph, options);
  if (is_compiled) {
    LINNET_ASSIGN(loaded.packed, compiled::packed_forms(proto, graph, container.payload));
  } else {
    LINNET_TRY(upgrade_graph(graph));
  }
  LINNET_TRY(add_outputs(graph, options));
  loaded.model->inputs = ports_of(graph, graph.inputs);
  loaded.model->outputs = ports_of(graph, graph.outputs);
  return loaded;
}

std::map<std::string, std::vector<std::string>> unknown_operators(const Graph& graph) {
  std::map<std::string, std::vector<std::string>> unknown;
  find_unknown(graph, unknown);
  return unknown;
}

Result<std::shared_ptr<const Model>> load_model(Engine& engine, const ModelSource& source, const LoadOptions& options) {
  if (!options.cache_folder.empty() && !source.path.empty() && options.initializers.empty() &&
      options.external_data.empty() && options.operators.empty())
    return load_cached(engine, source, options);
  LINNET_ASSIGN(LoadedGraph loaded, load_graph(source, options));
  return load_model(engine, std::move(loaded), options);
}

Result<std::shared_ptr<const Model>> load_model(Engine& engine, LoadedGraph loaded, const LoadOptions& options) {
  return finish(engine, std::move(loaded), options, nullptr, nullptr);
}

Status compile_model(Engine& engine, const ModelSource& source, const LoadOptions& options,
                     const std::filesystem::path& path) {
  LINNET_ASSIGN(LoadedGraph loaded, load_graph(source, options));
  LINNET_REQUIRE(!loaded.packed, invalid_argument("the model is compiled already"));
  LINNET_REQUIRE(options.operators.empty(), unsupported("models with operators of the caller cannot be compiled"));
  std::error_code failed;
  LINNET_REQUIRE(source.path.empty() || !std::filesystem::equivalent(source.path, path, failed),
                 invalid_argument("the model cannot be compiled into its own file"));
  Status stored;
  LINNET_TRY(finish(engine, std::move(loaded), options, &path, &stored).status());
  return stored;
}

}  // namespace linnet
