// linnet inspect: what a model is, what it needs, and whether this build can run it.
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
#include "commands/command.h"
#include "doubtful_scales.h"
#include "inputs.h"
#include "model_options.h"
#include "model_summary.h"
#include "onnx/reader.h"
#include "operator_table.h"
#include "ops/registry.h"
#include "print_value.h"
#include "run/binding.h"
#include "size_advice.h"
#include "terminal.h"

namespace linnet::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  ModelOptions model;
  InputOptions inputs;
  bool json = false, passes = false, operators = false;
};

constexpr const char* kLevels[] = {"none", "basic", "extended", "all"};

int list_passes(bool json) {
  if (json) {
    Json list = Json::array();
    for (const Pass& pass : all_passes())
      list.push_back({{"name", pass.name}, {"level", kLevels[static_cast<int>(pass.level)]}});
    std::printf("%s\n", list.dump(1).c_str());
    return kSuccess;
  }
  std::vector<std::vector<std::string>> rows;
  for (const Pass& pass : all_passes()) rows.push_back({std::string(pass.name), kLevels[static_cast<int>(pass.level)]});
  std::printf("passes, in their order, and the level they belong to\n%s", table(rows).c_str());
  return kSuccess;
}

// Operators that are unknown, or known but not with these attributes: name to the nodes (and why).
void find_refused(const Graph& graph, std::map<std::string, std::vector<std::string>>& refused) {
  for (const NodeId id : graph.order()) {
    const Node& node = graph.node(id);
    for (const auto& body : subgraphs_of(node)) find_refused(*body, refused);
    if (!find_op(node)) continue;
    if (const auto op = create_op(node); !op.ok())
      refused[(node.domain.empty() ? "ai.onnx" : node.domain) + "." + node.op_type].push_back(
          concat(graph.node_path(id), ": ", op.status().message()));
  }
}

Json ports_json(const std::vector<Model::Port>& ports, const SymbolTable& symbols) {
  Json list = Json::array();
  for (const Model::Port& port : ports) list.push_back({{"name", port.name}, {"type", type_text(port.info, symbols)}});
  return list;
}

void describe_file(const ModelSummary& summary, Json& report) {
  Json operators = Json::object(), parameters = Json::object(), external = Json::object();
  std::vector<std::pair<std::string, OperatorCount>> counts(summary.operators.begin(), summary.operators.end());
  std::stable_sort(counts.begin(), counts.end(), [](const auto& a, const auto& b) {
    return a.second.main + a.second.inner > b.second.main + b.second.inner;
  });
  for (const auto& [name, count] : counts) operators[name] = {{"main", count.main}, {"inner", count.inner}};
  const auto count_json = [](const TensorCount& c) {
    return Json{{"tensors", c.tensors}, {"elements", c.elements}, {"bytes", c.bytes}};
  };
  for (const auto& [dtype, count] : summary.parameters)
    parameters[dtype == DType::undefined ? "unknown" : to_string(dtype)] = count_json(count);
  for (const auto& [location, count] : summary.external) external[location] = count_json(count);
  report["operators"] = operators;
  report["functions"] = Json::array();
  for (const auto& [name, overloads] : summary.functions) report["functions"].push_back(name);
  report["parameters"] = parameters;
  report["external_data"] = external;
}

void describe_model(const Model& model, Json& report) {
  report["graph"] = model.graph_name;
  report["producer"] = model.producer_name;
  report["producer_version"] = model.producer_version;
  report["ir_version"] = model.ir_version;
  report["model_version"] = model.model_version;
  report["domain"] = model.domain;
  report["description"] = model.description;
  report["opsets"] = Json::object();
  for (const auto& [domain, version] : model.opsets) report["opsets"][domain.empty() ? "ai.onnx" : domain] = version;
  report["metadata"] = Json::object();
  for (const auto& [key, value] : model.metadata) report["metadata"][key] = value;
}

// Bytes of the buffers that a run on the engine's threads needs with inputs of default sizes. `made`: such inputs
// exist.
Result<size_t> arena_bytes(Engine& engine, const Model& model, const Options& options, bool* made) {
  LINNET_ASSIGN(const Inputs inputs,
                make_inputs(model.inputs, *model.program->symbols, options.inputs, options.model.seed));
  *made = true;
  Binding binding(*model.program);
  MemoryPlanner planner;
  const RunParallel parallel(engine.pool(), engine.executor(), nullptr);
  LINNET_TRY(explain(binding.bind(inputs.values, {}, {}, parallel, planner), inputs, nullptr));
  return binding.arena_bytes;
}

// `declared`: outputs as the model file has them, whose names of sizes mean more than inferred ones.
Status load_fully(const Options& options, const std::vector<Model::Port>& declared, Json& report) {
  Engine engine(options.model.threads);
  LINNET_ASSIGN(const auto model, load_model(engine, model_source(options.model), load_options(options.model)));
  for (size_t k = 0; k < model->outputs.size() && k < declared.size(); ++k)
    if (!declared[k].info.ranked)
      report["outputs"][k]["type"] = type_text(model->outputs[k].info, *model->program->symbols);
  report["steps"] = model->program->steps.size();
  Json memory{{"constants", model->program->constant_bytes()}, {"packed", model->program->packed_bytes()}};
  bool made = false;
  if (const Result<size_t> arena = arena_bytes(engine, *model, options, &made); arena.ok()) {
    memory["arena"] = *arena;
  } else if (!options.inputs.sizes.empty() || !options.inputs.random_shapes.empty()) {
    return arena.status();
  } else {
    report["arena_unknown"] =
        made ? std::string(arena.status().message()) : "depends on inputs that have no default; give --random-shape";
  }
  report["memory"] = memory;
  return {};
}

// Fills `report`; an error of code unsupported means that the model is fine but cannot run here.
Status inspect(const Options& options, Json& report) {
  LINNET_ASSIGN(const auto file, MappedFile::open(options.model.path));
  onnx::Bytes message = file->bytes();
  if (compiled::is_container(message)) {
    LINNET_ASSIGN(const compiled::Container container, compiled::open_container(message));
    message = container.description;
  }
  LINNET_ASSIGN(const onnx::Model proto, onnx::read_model(message));
  LINNET_ASSIGN(const LoadedGraph loaded, load_graph(model_source(options.model), load_options(options.model)));
  const Graph& graph = *loaded.graph;
  const auto ports = [&](const std::vector<GraphPort>& from) {
    std::vector<Model::Port> to;
    for (const GraphPort& port : from)
      to.push_back({port.name, port.value == kNoValue ? ValueInfo() : graph.value(port.value).info});
    return to;
  };
  describe_model(*loaded.model, report);
  report["inputs"] = ports_json(ports(graph.inputs), *loaded.symbols);
  report["outputs"] = ports_json(ports(graph.outputs), *loaded.symbols);
  describe_file(summarize(proto), report);
  std::map<std::string, std::vector<std::string>> refused = unknown_operators(graph);
  find_refused(graph, refused);
  report["unsupported"] = refused;
  // A compiled model's constants may have no elements.
  report["warnings"] = loaded.packed ? std::vector<std::string>() : doubtful_scales(graph);
  return refused.empty() ? load_fully(options, ports(graph.outputs), report) : Status();
}

std::string text_of(const Json& value) {
  return printable(value.is_string() ? value.get<std::string>() : value.dump());
}

// Vocabularies and the like are kept in metadata. A character of more bytes is not cut.
std::string shortened(std::string text) {
  constexpr size_t kMost = 100;
  if (text.size() <= kMost) return text;
  size_t end = kMost;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return concat(text.substr(0, end), "... (", text.size(), " bytes; --json tells all)");
}

void print_section(const char* title, const std::vector<std::vector<std::string>>& rows,
                   const std::vector<bool>& right = {}) {
  if (!rows.empty()) std::printf("%s\n%s", title, table(rows, right).c_str());
}

void print_text(const Json& report) {
  std::vector<std::vector<std::string>> rows;
  for (const char* key :
       {"graph", "producer", "producer_version", "ir_version", "model_version", "domain", "description"})
    if (const std::string text = text_of(report[key]); !text.empty()) rows.push_back({key, text});
  std::string opsets;
  for (const auto& [domain, version] : report["opsets"].items())
    opsets += concat(opsets.empty() ? "" : ", ", domain, " ", version.get<int>());
  rows.push_back({"opsets", printable(opsets)});
  print_section("model", rows);

  const auto pairs = [&](const char* key) {
    rows.clear();
    for (const auto& [name, value] : report[key].items()) rows.push_back({printable(name), shortened(text_of(value))});
    print_section(key, rows);
  };
  const auto ports = [&](const char* key) {
    rows.clear();
    for (const Json& port : report[key]) rows.push_back({text_of(port["name"]), text_of(port["type"])});
    print_section(key, rows);
  };
  pairs("metadata");
  ports("inputs");
  ports("outputs");

  rows.clear();
  for (const auto& [name, count] : report["operators"].items()) {
    const size_t inner = count["inner"].get<size_t>();
    rows.push_back(
        {count["main"].dump(), printable(name), inner ? concat("and ", inner, " in subgraphs and functions") : ""});
  }
  print_section("operators", rows, {true});
  for (const auto& [key, title] :
       {std::pair{"parameters", "parameters"}, std::pair{"external_data", "external data"}}) {
    rows.clear();
    for (const auto& [name, count] : report[key].items())
      rows.push_back({printable(name), concat(count["tensors"].get<size_t>(), " tensors"),
                      concat(count["elements"].get<uint64_t>(), " elements"),
                      bytes_text(count["bytes"].get<uint64_t>())});
    print_section(title, rows, {false, true, true, true});
  }
  if (report.contains("memory")) {
    rows.clear();
    for (const auto& [name, bytes] : report["memory"].items())
      rows.push_back({name, bytes_text(bytes.get<uint64_t>())});
    print_section("memory to run, with symbolic sizes of 1 unless given", rows, {false, true});
    if (report.contains("arena_unknown"))
      std::printf("  arena not known: %s\n", text_of(report["arena_unknown"]).c_str());
  }
  rows.clear();
  for (const auto& [name, nodes] : report["unsupported"].items())
    for (const Json& node : nodes) rows.push_back({printable(name), text_of(node)});
  print_section("not supported", rows);
  rows.clear();
  for (const Json& warning : report["warnings"]) rows.push_back({text_of(warning)});
  print_section("warnings", rows);
}

int run(const Options& options) {
  if (options.passes) return list_passes(options.json);
  if (options.operators) {
    std::printf("%s\n", options.json ? operators_json().dump(1).c_str() : operators_text().c_str());
    return kSuccess;
  }
  if (options.model.path.empty()) {
    std::fprintf(stderr, "linnet inspect: give a model, --passes or --operators\n");
    return kError;
  }
  Json report;
  const Status status = inspect(options, report);
  if (!status.ok() && status.code() != Code::unsupported) return report_error("inspect", options.model.path, status);
  if (!status.ok() && !report.contains("unsupported")) {
    report_error("inspect", options.model.path, status);
    return kFailed;
  }
  if (!status.ok()) report["unsupported"]["model"] = {std::string(status.message())};
  if (options.json) {
    std::printf("%s\n", report.dump(1, ' ', false, Json::error_handler_t::replace).c_str());
  } else {
    print_text(report);
  }
  return report["unsupported"].empty() ? kSuccess : kFailed;
}

}  // namespace

void add_inspect(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("inspect", "Tell what a model is, what it needs, and what of it cannot run");
  CLI::Option* model =
      command->add_option("MODEL", options->model.path, "an .onnx file, or what `linnet compile` made of one");
  add_load_options(*command, options->model);
  add_repeatable(*command, "--size", options->inputs.sizes, "batch=1: a symbolic size that memory is planned for");
  add_repeatable(*command, "--random-shape", options->inputs.random_shapes,
                 "name=1x3x224x224: an input's shape that memory is planned for");
  command->add_flag("--passes", options->passes, "list the rewrites that --disable-pass knows")->excludes(model);
  command->add_flag("--operators", options->operators, "list the operators, their types and what computes them")
      ->excludes(model, command->get_option("--passes"));
  command->add_flag("--json", options->json, "print one JSON object");
  command->footer("Examples:\n  linnet inspect model.onnx --size batch=8\n  linnet inspect --operators");
  command->callback([options, &exit_code] { exit_code = run(*options); });
}

}  // namespace linnet::cli
