// linnet tune: the form of a model that suits limits on quality, time, size and memory.
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "child_process.h"
#include "commands/command.h"
#include "files/tensor_file.h"
#include "interrupts.h"
#include "labels.h"
#include "model_options.h"
#include "quantize_options.h"
#include "samples.h"
#include "terminal.h"
#include "tune/tune.h"
#include "tune_report.h"

namespace linnet::cli {
namespace {

namespace fs = std::filesystem;

struct Arguments {
  std::string model, samples, calibration, output, labels, measure, prefer = "speed", report, memory = "process";
  double max_loss = 0.01, p95_ms = NAN, size_mb = NAN, ram_mb = NAN, budget = 300;
  std::vector<size_t> threads = {1};
  bool resume = false, json = false;
};

// The peak of a process that does nothing but load the model and run it on the first sample.
class ProcessMemory {
 public:
  explicit ProcessMemory(fs::path folder) : folder_(std::move(folder)) {}

  // Samples that leave a copy of the first one here.
  Samples watch(Samples samples) {
    const auto read = samples.read;
    samples.read = [this, read](size_t index, const Model& model) -> Result<std::vector<Value>> {
      LINNET_ASSIGN(std::vector<Value> values, read(index, model));
      if (index == 0 && names_.empty()) {
        for (const Model::Port& port : model.inputs) names_.push_back(port.name);
        values_ = values;
      }
      return values;
    };
    return samples;
  }

  Result<uint64_t> measure(const fs::path& model, size_t threads) {
    Result<uint64_t> peak = peak_of(model, threads);
    if (!peak.ok() && stop_on_interrupt().stop_requested()) return error(Code::cancelled, "tuning was cancelled");
    if (!peak.ok())
      return std::move(peak).status().within(
          "the memory of a process cannot be measured, --memory engine would do without");
    return peak;
  }

 private:
  Result<uint64_t> peak_of(const fs::path& model, size_t threads) {
    std::error_code failed;
    if (!fs::exists(folder_, failed)) {
      fs::create_directories(folder_, failed);
      for (size_t i = 0; i < names_.size(); ++i) {
        LINNET_REQUIRE(values_[i].is_tensor(), unsupported("the input '", names_[i], "' is no tensor"));
        LINNET_TRY(write_tensor_file(folder_ / (file_name_of(names_[i]) + ".npy"), values_[i].tensor));
      }
    }
    LINNET_ASSIGN(const std::string text, run_linnet({"bench", model.string(), "--inputs", folder_.string(),
                                                      "--threads", std::to_string(threads), "--warmup", "0",
                                                      "--min-runs", "1", "--min-seconds", "0", "--json"}));
    const auto json = nlohmann::json::parse(text, nullptr, false);
    LINNET_REQUIRE(json.is_object() && json.value("peak_rss_bytes", uint64_t{0}) != 0,
                   unsupported("this system does not tell it"));
    return json["peak_rss_bytes"].get<uint64_t>();
  }

  fs::path folder_;
  std::vector<std::string> names_;
  std::vector<Value> values_;
};

// A bar of the time that may be used.
void show(const TuneProgress& progress, double part) {
  constexpr size_t kWidth = 24;
  const auto full = static_cast<size_t>(std::min(part, 1.0) * kWidth);
  std::string line = "[" + std::string(full, '#') + std::string(kWidth - full, '.') + "] ";
  switch (progress.stage) {
    case TuneProgress::Stage::preparing: line += "reading samples"; break;
    case TuneProgress::Stage::candidates: line += "candidate"; break;
    case TuneProgress::Stage::timing: line += "timing, round"; break;
    case TuneProgress::Stage::writing: line += "writing"; break;
  }
  line += concat(" ", progress.done + 1);
  if (progress.total != 0) line += concat(" of ", progress.total);
  line += concat(": ", progress.what);
  constexpr size_t kMost = 100;
  show_progress(std::string_view(line).substr(0, kMost));
}

Status write_text(const fs::path& path, const std::string& text) {
  return write_file(path, std::as_bytes(std::span(text)));
}

Result<TuneReport> run_search(const Arguments& arguments, TuneOptions& options) {
  const auto megabytes = [](double mb, const char* name) -> Result<std::optional<uint64_t>> {
    if (std::isnan(mb)) return std::optional<uint64_t>();
    LINNET_REQUIRE(mb > 0 && mb < 1e12, invalid_argument(name, " has to be more than 0"));
    return std::optional(static_cast<uint64_t>(std::llround(mb * 1e6)));
  };
  LINNET_TRY(check_report_path(arguments.report));
  options.limits.loss = arguments.max_loss;
  if (!std::isnan(arguments.p95_ms)) options.limits.p95_ms = arguments.p95_ms;
  LINNET_ASSIGN(options.limits.bytes, megabytes(arguments.size_mb, "--size-mb"));
  LINNET_ASSIGN(options.limits.memory, megabytes(arguments.ram_mb, "--ram-mb"));
  if (!arguments.measure.empty())
    options.measure = arguments.measure == "cosine" ? TuneMeasure::cosine
                      : arguments.measure == "top1" ? TuneMeasure::top1
                                                    : TuneMeasure::accuracy;
  LINNET_REQUIRE(arguments.labels.empty() || options.measure.value_or(TuneMeasure::accuracy) == TuneMeasure::accuracy,
                 invalid_argument("--labels is for accuracy, and --measure asks for ", arguments.measure));
  options.preference = arguments.prefer == "size"      ? TunePreference::size
                       : arguments.prefer == "quality" ? TunePreference::quality
                       : arguments.prefer == "memory"  ? TunePreference::memory
                                                       : TunePreference::speed;
  options.threads = arguments.threads;
  options.budget_seconds = arguments.budget;
  options.resume = arguments.resume;
  options.stop = &stop_on_interrupt();

  TuneInput input;
  input.model = arguments.model;
  input.samples_path = arguments.samples;
  LINNET_ASSIGN(Samples samples, find_samples(arguments.samples));
  if (!arguments.labels.empty()) {
    LINNET_ASSIGN(options.labels, read_labels(arguments.labels, samples));
  }
  if (!arguments.calibration.empty()) {
    input.calibration_path = arguments.calibration;
    LINNET_ASSIGN(input.calibration, find_samples(arguments.calibration));
  }
  ProcessMemory memory(options.folder / "tune.candidates" / "inputs");
  input.samples = memory.watch(std::move(samples));
  if (arguments.memory == "process")
    options.process_memory = [&](const fs::path& model, size_t threads) { return memory.measure(model, threads); };

  using Clock = std::chrono::steady_clock;
  const Clock::time_point begin = Clock::now();
  Clock::time_point shown;
  options.progress = [&](const TuneProgress& progress) {
    const Clock::time_point now = Clock::now();
    if (now - shown < std::chrono::milliseconds(100)) return;
    shown = now;
    show(progress, std::chrono::duration<double>(now - begin).count() / options.budget_seconds);
  };
  return tune(input, options);
}

int tell(const Arguments& arguments, const TuneOptions& options, const TuneReport& report) {
  clear_progress();
  const std::string json = report.to_json();
  const auto as = [&](const fs::path& path) { return path.extension() == ".json" ? json : tune_page(report); };
  std::vector<fs::path> files = {options.folder / "report.html", options.folder / "report.json"};
  if (!arguments.report.empty()) files.emplace_back(arguments.report);
  for (const fs::path& path : files)
    if (const Status status = write_text(path, as(path)); !status.ok())
      return report_error("tune", path.string(), status);
  std::fputs((arguments.json ? json : tune_text(report)).c_str(), stdout);
  return report.chosen ? kSuccess : kFailed;
}

int run(const Arguments& arguments) {
  TuneOptions options;
  const fs::path output = arguments.output;
  if (output.extension() == ".onnx") {
    options.output = output;
    options.folder = fs::path(output).replace_extension(".tune");
  } else {
    options.folder = output;
  }
  const Result<TuneReport> report = run_search(arguments, options);
  if (report.ok()) return tell(arguments, options, *report);
  if (report.status().code() == Code::cancelled) {
    clear_progress();
    std::error_code failed;
    const bool begun = fs::exists(options.folder / "tune.state", failed);
    std::fprintf(stderr, "linnet tune: %s: interrupted%s\n", printable(arguments.model).c_str(),
                 begun ? "; the same command with --resume goes on" : " before the search began");
    return kInterrupted;
  }
  return report_error("tune", arguments.model, report.status());
}

}  // namespace

void add_tune(CLI::App& app, int& exit_code) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command =
      app.add_subcommand("tune", "Find the form of a model that suits limits on quality, time and size");
  command->add_option("MODEL", arguments->model, "an .onnx file")->required();
  command
      ->add_option("--samples", arguments->samples,
                   "folder of inputs to judge by, as `linnet quantize static` takes it")
      ->required();
  command->add_option("--calibrate", arguments->calibration,
                      "folder of inputs to calibrate with; default: the samples");
  command
      ->add_option("-o,--output", arguments->output,
                   "folder for the result, or the .onnx file to write, with a folder named .tune beside it")
      ->required();
  command->add_option("--labels", arguments->labels,
                      "file with the right answer of each sample: a number a line, or the sample's name and a number");
  command
      ->add_option("--measure", arguments->measure,
                   "cosine, top1, or accuracy; default: accuracy with --labels, else cosine")
      ->check(CLI::IsMember({"cosine", "top1", "accuracy"}));
  command->add_option("--max-loss", arguments->max_loss, "how much less than the model's the measure may be")
      ->capture_default_str();
  command->add_option("--p95-ms", arguments->p95_ms, "the time that 95 of 100 runs may take at most");
  command->add_option("--size-mb", arguments->size_mb, "size of the file at most, in 1,000,000 bytes");
  command->add_option("--ram-mb", arguments->ram_mb, "memory of the process at most, in 1,000,000 bytes");
  command->add_option("--memory", arguments->memory, "process: its peak is measured; engine: what the engine keeps")
      ->check(CLI::IsMember({"process", "engine"}))
      ->capture_default_str();
  command
      ->add_option("--prefer", arguments->prefer,
                   "what counts among those that keep the limits: speed, size, quality or memory")
      ->check(CLI::IsMember({"speed", "size", "quality", "memory"}))
      ->capture_default_str();
  command->add_option("--threads", arguments->threads, "numbers of threads to try, as in --threads 1,2")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->capture_default_str();
  command->add_option("--budget", arguments->budget, "seconds after which nothing new is begun")->capture_default_str();
  command->add_flag("--resume", arguments->resume, "go on with a search that was interrupted, or ran out of time");
  command->add_option("--report", arguments->report, "write the report to this .html or .json file, too");
  command->add_flag("--json", arguments->json, "print the report as one JSON object");
  command->footer(
      "Examples:\n  linnet tune model.onnx --samples inputs/ -o tuned --max-loss 0.005 --threads 1,2\n  linnet tune "
      "model.onnx --samples inputs/ -o small.onnx --prefer size --labels labels.csv --max-loss 0.01\nExit codes: 0 "
      "found; 1 no candidate keeps the limits; 2 an error; 130 interrupted.");
  command->callback([arguments, &exit_code] { exit_code = run(*arguments); });
}

}  // namespace linnet::cli
