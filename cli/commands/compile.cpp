// linnet compile: a model as it is after loading, in a file that is mapped and run.
#include <charconv>
#include <cstdio>
#include <filesystem>

#include "commands/command.h"
#include "model_options.h"

namespace linnet::cli {
namespace {

struct Options {
  ModelOptions model;
  std::string output;
  std::vector<std::string> sizes;
};

int run(const Options& options) {
  LoadOptions load = load_options(options.model);
  for (const std::string& text : options.sizes) {
    const size_t at = text.rfind('=');
    int64_t size = 0;
    const char* begin = text.data() + (at == std::string::npos ? text.size() : at + 1);
    const auto [end, failed] = std::from_chars(begin, text.data() + text.size(), size);
    if (failed != std::errc() || end != text.data() + text.size())
      return report_error("compile", options.model.path, invalid_argument("--dim wants NAME=SIZE, not '", text, "'"));
    load.fixed_sizes[text.substr(0, at)] = size;
  }
  Engine engine(options.model.threads);
  const Status status = compile_model(engine, model_source(options.model), load, options.output);
  return status.ok() ? kSuccess : report_error("compile", options.model.path, status);
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
