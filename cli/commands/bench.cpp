// linnet bench: load, first run and steady runs of a model, as figures.
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include <sys/resource.h>

#include "commands/command.h"
#include "inputs.h"
#include "model_options.h"
#include "size_advice.h"
#include "terminal.h"
#include "value_file.h"

namespace linnet::cli {
namespace {

struct Options {
  ModelOptions model;
  InputOptions inputs;
  std::string save_outputs;
  int warmup = 3, min_runs = 10;
  double min_seconds = 1;
  bool json = false;
};

double now_ms() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_nsec) * 1e-6;
}

double cpu_ms() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e3 +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-3;
}

// A line of /proc/self/status in bytes; 0 where there is none.
int64_t status_bytes(const std::string& key) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(key + ":")) return std::atoll(line.c_str() + key.size() + 1) * 1024;
  return 0;
}

Status bench(const Options& options, double process_start, nlohmann::json& report) {
  const double load_start = now_ms();
  LINNET_ASSIGN(const std::unique_ptr<Session> session, open_session(options.model));
  const Model& model = session->model();
  const double load_ms = now_ms() - load_start;

  LINNET_ASSIGN(const Inputs made,
                make_inputs(model.inputs, *model.program->symbols, options.inputs, options.model.seed));
  const std::vector<Value>& inputs = made.values;
  std::vector<Value> outputs(model.outputs.size());
  const double first_start = now_ms();
  LINNET_TRY(explain(session->run(inputs, outputs), made, &model));
  const double first_end = now_ms();
  for (int i = 0; i < options.warmup; ++i) LINNET_TRY(session->run(inputs, outputs));

  report["load_ms"] = load_ms;
  report["first_run_ms"] = first_end - first_start;
  report["start_to_first_output_ms"] = first_end - process_start;
  report["peak_rss_bytes"] = status_bytes("VmHWM");
  report["rss_bytes"] = status_bytes("VmRSS");
  report["anon_bytes"] = status_bytes("RssAnon");

  std::vector<double> times;
  times.reserve(1 << 16);
  const double cpu_start = cpu_ms(), start = now_ms();
  for (double begin = start;
       begin - start < options.min_seconds * 1e3 || static_cast<int>(times.size()) < options.min_runs;) {
    LINNET_TRY(session->run(inputs, outputs));
    const double end = now_ms();
    times.push_back(end - begin);
    begin = end;
  }
  const double cpu = cpu_ms() - cpu_start;
  std::sort(times.begin(), times.end());
  const auto quantile = [&](double q) { return times[static_cast<size_t>(q * static_cast<double>(times.size() - 1))]; };
  report["p50_ms"] = quantile(0.5);
  report["p90_ms"] = quantile(0.9);
  report["p99_ms"] = quantile(0.99);
  report["min_ms"] = times.front();
  report["runs"] = times.size();
  report["cpu_ms_per_run"] = cpu / static_cast<double>(times.size());
  if (!options.save_outputs.empty()) {
    std::error_code failed;
    std::filesystem::create_directories(options.save_outputs, failed);
    LINNET_REQUIRE(!failed, error(Code::io, "cannot create folder '", options.save_outputs, "': ", failed.message()));
    for (size_t k = 0; k < outputs.size(); ++k)
      LINNET_TRY(write_value_file(value_path(options.save_outputs, model.outputs[k].name, outputs[k]),
                                  model.outputs[k].name, outputs[k]));
  }
  return {};
}

void print_text(const nlohmann::json& report) {
  constexpr std::pair<const char*, const char*> kTimes[] = {{"load_ms", "load"},
                                                            {"first_run_ms", "first run"},
                                                            {"start_to_first_output_ms", "start to first output"},
                                                            {"min_ms", "fastest run"},
                                                            {"p50_ms", "median"},
                                                            {"p90_ms", "p90"},
                                                            {"p99_ms", "p99"},
                                                            {"cpu_ms_per_run", "processor's time a run"}};
  constexpr std::pair<const char*, const char*> kBytes[] = {{"peak_rss_bytes", "memory, at its peak"},
                                                            {"rss_bytes", "memory, before the timed runs"},
                                                            {"anon_bytes", "of that not backed by files"}};
  std::vector<std::vector<std::string>> rows;
  for (const auto& [key, label] : kTimes) rows.push_back({label, ms_text(report[key].get<double>()) + " ms"});
  rows.push_back({"timed runs", report["runs"].dump()});
  for (const auto& [key, label] : kBytes) rows.push_back({label, bytes_text(report[key].get<uint64_t>())});
  std::printf("%s", table(rows, {false, true}).c_str());
}

int run(const Options& options, double main_start) {
  double process_start = main_start;
  if (const char* start = std::getenv("PANEL_START_NS")) process_start = std::atof(start) * 1e-6;
  nlohmann::json report;
  if (const Status status = bench(options, process_start, report); !status.ok())
    return report_error("bench", options.model.path, status);
  if (options.json) {
    std::printf("%s\n", report.dump().c_str());
  } else {
    print_text(report);
  }
  return kSuccess;
}

}  // namespace

void add_bench(CLI::App& app, int& exit_code) {
  const double main_start = now_ms();
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("bench", "Measure loading, the first run and steady runs of a model");
  options->model.threads = 1;
  add_model_options(*command, options->model);
  add_input_options(*command, options->inputs);
  command->add_option("--warmup", options->warmup, "runs after the first that are not timed")
      ->check(not_negative())
      ->capture_default_str();
  command->add_option("--min-seconds", options->min_seconds, "time runs for at least this long")
      ->check(not_negative())
      ->capture_default_str();
  command->add_option("--min-runs", options->min_runs, "time at least this many runs")
      ->check(not_negative())
      ->capture_default_str();
  command->add_option("--save-outputs", options->save_outputs,
                      "folder to write one .npy per output to (.pb for sequences and maps)");
  command->add_flag("--json", options->json, "print one JSON object");
  command->footer("Example:\n  linnet bench model.onnx --inputs inputs/ --threads 2 --json");
  command->callback([options, &exit_code, main_start] { exit_code = run(*options, main_start); });
}

}  // namespace linnet::cli
