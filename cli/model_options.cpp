#include "model_options.h"

#include <charconv>
#include <cstdio>

#include "commands/command.h"
#include "terminal.h"

namespace linnet::cli {

CLI::Option* add_repeatable(CLI::App& command, const std::string& name, std::vector<std::string>& values,
                            const std::string& help) {
  return command.add_option(name, values, help)->allow_extra_args(false);
}

void add_threads(CLI::App& command, const std::string& name, size_t& threads) {
  constexpr size_t kMostThreads = 1024;
  command.add_option(name, threads, "threads to run on; 0: one for each core")
      ->check(CLI::Range(size_t{0}, kMostThreads))
      ->capture_default_str();
}

void add_load_options(CLI::App& command, ModelOptions& options) {
  add_threads(command, "--threads", options.threads);
  command.add_option("--seed", options.seed, "of random inputs and of random operators without a seed")
      ->capture_default_str();
  command.add_flag("--no-optimize", options.no_optimize, "run the graph as the model has it");
  add_repeatable(command, "--disable-pass", options.disabled,
                 "leave out a rewrite, by name (see `linnet inspect --passes`)");
}

void add_model_options(CLI::App& command, ModelOptions& options) {
  command.add_option("MODEL", options.path, "an .onnx file, or what `linnet compile` made of one")->required();
  add_load_options(command, options);
  command.add_option("--cache", options.cache, "folder to keep the compiled model in, for faster starts");
}

LoadOptions load_options(const ModelOptions& options) {
  LoadOptions load;
  if (options.no_optimize) load.optimize.level = OptimizationLevel::none;
  load.optimize.disabled.insert(options.disabled.begin(), options.disabled.end());
  load.seed = options.seed;
  load.cache_folder = options.cache;
  return load;
}

Status fix_sizes(const std::vector<std::string>& texts, LoadOptions& options) {
  for (const std::string& text : texts) {
    const size_t at = text.rfind('=');
    int64_t size = 0;
    const char* begin = text.data() + (at == std::string::npos ? text.size() : at + 1);
    const auto [end, failed] = std::from_chars(begin, text.data() + text.size(), size);
    LINNET_REQUIRE(failed == std::errc() && end == text.data() + text.size(),
                   invalid_argument("--dim wants NAME=SIZE, not '", text, "'"));
    options.fixed_sizes[text.substr(0, at)] = size;
  }
  return {};
}

ModelSource model_source(const ModelOptions& options) { return {options.path, {}, nullptr}; }

Result<std::unique_ptr<Session>> open_session(const ModelOptions& options, std::vector<std::string> extra_outputs) {
  auto engine = std::make_shared<Engine>(options.threads);
  LoadOptions load = load_options(options);
  load.extra_outputs = std::move(extra_outputs);
  LINNET_ASSIGN(const auto model, load_model(*engine, model_source(options), load));
  return std::make_unique<Session>(std::move(engine), model);
}

int report_error(const std::string& command, const std::string& subject, const Status& status) {
  clear_progress();
  std::fprintf(stderr, "linnet %s: %s: %s\n", command.c_str(), printable(subject).c_str(),
               printable(status.message()).c_str());
  return kError;
}

}  // namespace linnet::cli
