// linnet check: runs models over their test data and compares.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "commands/command.h"
#include "compare.h"
#include "model_options.h"
#include "print_value.h"
#include "value_file.h"

namespace linnet::cli {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::vector<std::string> paths;
  double rtol = -1, atol = -1;  // below 0: from meta.json, else the backend runner's defaults
  bool json = false, verbose = false;
  ModelOptions model;  // its path is that of the folder at hand
};

struct Outcome {
  std::string status = "pass", message;
  double max_abs = 0, max_rel = 0;
};

Tolerance tolerance_of(const fs::path& folder, const Options& options) {
  Tolerance t{1e-3, 1e-7};
  std::ifstream file(folder / "meta.json");
  if (const auto meta = nlohmann::json::parse(file, nullptr, false); meta.is_object()) {
    t.rtol = meta.value("rtol", t.rtol);
    t.atol = meta.value("atol", t.atol);
  }
  if (options.rtol >= 0) t.rtol = options.rtol;
  if (options.atol >= 0) t.atol = options.atol;
  return t;
}

// How far apart the numbers are, and how far they may be.
std::string distance_text(const Difference& d, const Value& expected, const Tolerance& tolerance) {
  if (d.max_abs == 0) return {};
  return concat("; at most ", number_text(d.max_abs), " apart, with numbers up to ", number_text(greatest(expected)),
                "; tolerances: ", number_text(tolerance.atol), " + ", number_text(tolerance.rtol), " of the number");
}

Status check_set(Session& session, const fs::path& set, const Tolerance& tolerance, Outcome& outcome) {
  const Model& model = session.model();
  LINNET_ASSIGN(std::vector<std::optional<Value>> given, read_value_set(set, "input_", model.inputs));
  LINNET_ASSIGN(const std::vector<std::optional<Value>> expected, read_value_set(set, "output_", model.outputs));
  std::vector<Value> inputs;
  for (std::optional<Value>& value : given) inputs.push_back(std::move(value).value_or(Value()));
  std::vector<Value> outputs(model.outputs.size());
  LINNET_TRY(session.run(inputs, outputs));
  std::string missing;
  for (size_t k = 0; k < outputs.size(); ++k) {
    if (!expected[k]) {
      missing += concat(missing.empty() ? "'" : ", '", model.outputs[k].name, "'");
      continue;
    }
    const Difference d = compare(outputs[k], *expected[k], tolerance);
    outcome.max_abs = std::max(outcome.max_abs, d.max_abs);
    outcome.max_rel = std::max(outcome.max_rel, d.max_rel);
    if (d.equal) continue;
    if (outcome.status == "pass")
      outcome.message = concat(set.filename().string(), ": output '", model.outputs[k].name, "' ", d.message,
                               distance_text(d, *expected[k], tolerance));
    outcome.status = "fail";
  }
  if (missing.empty() || !outcome.message.empty()) return {};
  const bool none = std::none_of(expected.begin(), expected.end(), [](const auto& value) { return value.has_value(); });
  outcome.message = none ? concat(set.filename().string(), " has no output_*.pb: it ran, and nothing was compared")
                         : concat(set.filename().string(), " has no output_*.pb of ", missing, ": not compared");
  return {};
}

Status check_folder(const fs::path& folder, const Options& options, Outcome& outcome) {
  LINNET_REQUIRE(fs::is_directory(folder), invalid_argument("not a folder with model.onnx and test_data_set_0"));
  ModelOptions model = options.model;
  model.path = (folder / "model.onnx").string();
  LINNET_ASSIGN(const std::unique_ptr<Session> session, open_session(model));
  std::vector<fs::path> sets;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored))
    if (entry.path().filename().string().starts_with("test_data_set_")) sets.push_back(entry.path());
  std::sort(sets.begin(), sets.end());
  if (sets.empty()) return error(Code::not_found, "there is no test_data_set_* in ", folder.string());
  const Tolerance tolerance = tolerance_of(folder, options);
  for (const fs::path& set : sets) LINNET_TRY(check_set(*session, set, tolerance, outcome));
  return {};
}

int run(const Options& options) {
  nlohmann::json results = nlohmann::json::array();
  size_t passed = 0;
  for (const std::string& path : options.paths) {
    Outcome outcome;
    if (const Status status = check_folder(path, options, outcome); !status.ok()) {
      outcome.status = status.code() == Code::unsupported ? "unsupported" : "error";
      outcome.message = std::string(status.message());
    }
    passed += outcome.status == "pass";
    if (options.json) {
      results.push_back({{"path", path},
                         {"status", outcome.status},
                         {"max_abs", outcome.max_abs},
                         {"max_rel", outcome.max_rel},
                         {"message", outcome.message}});
    } else {
      std::printf("%-11s %s", outcome.status.c_str(), path.c_str());
      if (options.verbose) std::printf("  max_abs %.3g max_rel %.3g", outcome.max_abs, outcome.max_rel);
      std::printf("%s%s\n", outcome.message.empty() ? "" : "  ", outcome.message.c_str());
    }
    std::fflush(stdout);
  }
  if (options.json) std::printf("%s\n", results.dump(1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  return passed == options.paths.size() ? kSuccess : kFailed;
}

}  // namespace

void add_check(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("check", "Run models over their test data and compare the outputs");
  command->add_option("PATH", options->paths, "folders with model.onnx and test_data_set_*/{input,output}_*.pb")
      ->required();
  command->add_option("--rtol", options->rtol, "relative tolerance (default: meta.json's, else 1e-3)")
      ->check(not_negative());
  command->add_option("--atol", options->atol, "absolute tolerance (default: meta.json's, else 1e-7)")
      ->check(not_negative());
  options->model.threads = 1;
  add_load_options(*command, options->model);
  command->add_flag("--json", options->json, "print an array of results");
  command->add_flag("--verbose", options->verbose, "print the greatest differences");
  command->footer("Example:\n  linnet check models/bert models/resnet --threads 2");
  command->callback([options, &exit_code] { exit_code = run(*options); });
}

}  // namespace linnet::cli
