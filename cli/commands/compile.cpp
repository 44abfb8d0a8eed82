// linnet compile: a model as it is after loading, in a file that is mapped and run.
#include <cstdio>
#include <filesystem>

#include "commands/command.h"
#include "model_options.h"
#include "terminal.h"

namespace linnet::cli {
namespace {

struct Options {
  ModelOptions model;
  std::string output;
  std::vector<std::string> sizes;
};

int run(const Options& options) {
  LoadOptions load = load_options(options.model);
  if (const Status status = fix_sizes(options.sizes, load); !status.ok())
    return report_error("compile", options.model.path, status);
  Engine engine(options.model.threads);
  const Status status = compile_model(engine, model_source(options.model), load, options.output);
  if (!status.ok()) return report_error("compile", options.model.path, status);
  std::error_code failed;
  const uintmax_t bytes = std::filesystem::file_size(options.output, failed);
  std::printf("%s: %s\n", printable(options.output).c_str(), bytes_text(failed ? 0 : bytes).c_str());
  return kSuccess;
}

}  // namespace

void add_compile(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("compile", "Write a model optimized and packed, so that it starts at once");
  command->add_option("MODEL", options->model.path, "an .onnx file")->required();
  add_load_options(*command, options->model);
  command->add_option("-o,--output", options->output, "the file to write, usually named .linnet")->required();
  add_repeatable(*command, "--dim", options->sizes, "fix a size by its name, as in --dim batch=1");
  command->footer("Example:\n  linnet compile model.onnx -o model.linnet && linnet run model.linnet");
  command->callback([options, &exit_code] { exit_code = run(*options); });
}

}  // namespace linnet::cli
