// What the commands that load a model have in common: options, loading, and how an error is told.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "load.h"

namespace linnet::cli {

struct ModelOptions {
  std::string path;
  size_t threads = 0;
  uint64_t seed = 0;
  bool no_optimize = false;
  std::vector<std::string> disabled;
  std::string cache;  // folder
};

// `what` runs on them: "run A ".
void add_threads(CLI::App& command, const std::string& name, size_t& threads, const std::string& what = "run ");
// The options without the model itself.
void add_load_options(CLI::App& command, ModelOptions& options);
// MODEL, and those.
void add_model_options(CLI::App& command, ModelOptions& options);
// Checks of numbers: 0 or more, and more than 0.
CLI::Validator not_negative();
CLI::Validator positive();
// Refuses options that were given though they have no use: "--percdamp has no use without --method gptq".
struct Use {
  const char* option;
  bool has_use;
  const char* without;
};
Status refuse_useless(const CLI::App& command, std::span<const Use> uses);
// An option that takes one value and may be given again; it leaves the arguments after that value alone.
CLI::Option* add_repeatable(CLI::App& command, const std::string& name, std::vector<std::string>& values,
                            const std::string& help);

LoadOptions load_options(const ModelOptions& options);
// What --dim NAME=SIZE asks for, each.
Status fix_sizes(const std::vector<std::string>& texts, LoadOptions& options);
ModelSource model_source(const ModelOptions& options);
// A session with an engine of its own. `extra_outputs`: inner values that become outputs.
Result<std::unique_ptr<Session>> open_session(const ModelOptions& options, std::vector<std::string> extra_outputs = {});

// "linnet run: model.onnx: sentence" on stderr. Returns the exit code.
int report_error(const std::string& command, const std::string& subject, const Status& status);

}  // namespace linnet::cli
