// linnet dump: what loading makes of a model.
#include <cstdio>

#include "commands/command.h"
#include "graph_text.h"
#include "inputs.h"
#include "model_options.h"
#include "size_advice.h"

namespace linnet::cli {
namespace {

struct Options {
  ModelOptions model;
  InputOptions inputs;
  bool graph = false;
};

Result<std::string> optimized_graph(const Options& options) {
  const LoadOptions load = load_options(options.model);
  LINNET_ASSIGN(const LoadedGraph loaded, load_graph(model_source(options.model), load));
  // What has been compiled is optimized already.
  LINNET_TRY(loaded.packed ? infer_graph(*loaded.graph, *loaded.symbols).status()
                           : optimize(*loaded.graph, *loaded.symbols, load.optimize).status());
  return graph_text(*loaded.graph, *loaded.symbols);
}

Result<std::string> bound_program(const Options& options) {
  LINNET_ASSIGN(const std::unique_ptr<Session> session, open_session(options.model));
  const Model& model = session->model();
  LINNET_ASSIGN(const Inputs inputs,
                make_inputs(model.inputs, *model.program->symbols, options.inputs, options.model.seed));
  std::vector<Value> outputs(model.outputs.size());
  LINNET_TRY(explain(session->run(inputs.values, outputs), inputs, &model));
  return session->describe();
}

int run(const Options& options) {
  const Result<std::string> text = options.graph ? optimized_graph(options) : bound_program(options);
  if (!text.ok()) return report_error("dump", options.model.path, text.status());
  std::fputs(text->c_str(), stdout);
  return kSuccess;
}

}  // namespace

void add_dump(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("dump", "Show the program that a model becomes: steps, slots, and where each lies in memory");
  add_model_options(*command, options->model);
  add_input_options(*command, options->inputs);
  CLI::Option* graph =
      command->add_flag("--graph", options->graph, "show the optimized graph instead, with inferred types and shapes");
  for (const char* input : kInputOptions) graph->excludes(command->get_option(input));
  command->footer(
      "Examples:\n  linnet dump model.onnx --size batch=8\n  linnet dump model.onnx --graph --disable-pass fuse_gelu");
  command->callback([options, &exit_code] { exit_code = run(*options); });
}

}  // namespace linnet::cli
