#include "model_options.h"

#include <charconv>
#include <cstdio>
#include <cstdlib>

#include "base/mapped_file.h"
#include "commands/command.h"
#include "terminal.h"

namespace linnet::cli {

CLI::Option* add_repeatable(CLI::App& command, const std::string& name, std::vector<std::string>& values,
                            const std::string& help) {
  return command.add_option(name, values, help + " (may be repeated)")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false);
}

void add_threads(CLI::App& command, const std::string& name, size_t& threads, const std::string& what) {
  constexpr size_t kMostThreads = 1024;
  command.add_option(name, threads, "threads to " + what + "on; 0: one for each core")
      ->check(CLI::Range(size_t{0}, kMostThreads))
      ->capture_default_str();
}

void add_load_options(CLI::App& command, ModelOptions& options) {
  add_threads(command, "--threads", options.threads);
  command.add_option("--seed", options.seed, "of random inputs and of random operators without a seed")
      ->check(not_negative())
      ->capture_default_str();
  CLI::Option* plain = command.add_flag("--no-optimize", options.no_optimize, "run the graph as the model has it");
  add_repeatable(command, "--disable-pass", options.disabled,
                 "leave out a rewrite, by name (see `linnet inspect --passes`)")
      ->excludes(plain);
}

void add_model_options(CLI::App& command, ModelOptions& options) {
  command.add_option("MODEL", options.path, "an .onnx file, or what `linnet compile` made of one")->required();
  add_load_options(command, options);
  command.add_option("--cache", options.cache, "folder to keep the compiled model in, for faster starts");
}

static CLI::Validator number_check(const char* kind, bool (*good)(double)) {
  return CLI::Validator(
      [=](const std::string& text) {
        char* end = nullptr;
        const double number = std::strtod(text.c_str(), &end);
        const bool is_number = end == text.c_str() + text.size() && !text.empty();
        return !is_number || good(number) ? std::string() : concat("wants a number ", kind, ", not ", text);
      },
      "", "");
}

CLI::Validator not_negative() {
  return number_check("of 0 or more", [](double x) { return x >= 0; });
}
CLI::Validator positive() {
  return number_check("above 0", [](double x) { return x > 0; });
}

Status refuse_useless(const CLI::App& command, std::span<const Use> uses) {
  for (const Use& use : uses)
    LINNET_REQUIRE(use.has_use || command.get_option(use.option)->count() == 0,
                   invalid_argument(use.option, " has no use without ", use.without));
  return {};
}

LoadOptions load_options(const ModelOptions& options) {
  LoadOptions load;
  load.log = [](Severity severity, std::string_view text) {
    if (severity < Severity::warning) return;
    clear_progress();
    std::fprintf(stderr, "linnet: warning: %s\n", printable(text).c_str());
  };
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
    LINNET_REQUIRE(failed == std::errc() && end == text.data() + text.size() && size > 0,
                   invalid_argument("--dim wants NAME=SIZE with a size of 1 or more, not '", text, "'"));
    options.fixed_sizes[text.substr(0, at)] = size;
  }
  return {};
}

ModelSource model_source(const ModelOptions& options) { return {options.path, {}, nullptr}; }

Result<std::unique_ptr<Session>> open_session(const ModelOptions& options, std::vector<std::string> extra_outputs) {
  if (options.no_optimize || !options.disabled.empty() || !options.cache.empty()) {
    LINNET_ASSIGN(const auto file, MappedFile::open(options.path));
    LINNET_REQUIRE(!compiled::is_container(file->bytes()),
                   invalid_argument("the model is compiled already, so that --no-optimize, --disable-pass and --cache "
                                    "have no use"));
  }
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
