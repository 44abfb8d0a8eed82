#include "tune/tune.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "base/file.h"
#include "base/mapped_file.h"
#include "kernels/isa.h"
#include "tune/model_workshop.h"
#include "tune/search.h"

namespace linnet {
namespace {

namespace fs = std::filesystem;

Status check_limits(const TuneLimits& limits) {
  LINNET_REQUIRE(limits.loss >= 0 && limits.loss <= 1,
                 invalid_argument("the limit on the loss has to be from 0 to 1, not ", limits.loss));
  LINNET_REQUIRE(!limits.p95_ms || (*limits.p95_ms > 0 && std::isfinite(*limits.p95_ms)),
                 invalid_argument("no model runs in ", limits.p95_ms.value_or(0), " ms: the limit has to be above 0"));
  LINNET_REQUIRE(!limits.bytes || *limits.bytes > 0, invalid_argument("no model is a file of 0 bytes"));
  LINNET_REQUIRE(!limits.memory || *limits.memory > 0, invalid_argument("no model runs in 0 bytes of memory"));
  return {};
}

Status check(const TuneInput& input, const TuneOptions& options) {
  LINNET_TRY(check_limits(options.limits));
  LINNET_REQUIRE(input.samples.count != 0, invalid_argument("there are no samples to judge by"));
  LINNET_REQUIRE(!input.calibration || input.calibration->count != 0,
                 invalid_argument("there are no samples to calibrate with"));
  LINNET_REQUIRE(options.labels.empty() || options.labels.size() == input.samples.count,
                 invalid_argument("there are ", options.labels.size(), " labels for ", input.samples.count,
                                  " samples: each sample needs one"));
  LINNET_REQUIRE(options.measure != TuneMeasure::accuracy || !options.labels.empty(),
                 invalid_argument("accuracy cannot be measured without labels"));
  LINNET_REQUIRE(!options.threads.empty(), invalid_argument("no number of threads is given"));
  for (const size_t threads : options.threads)
    LINNET_REQUIRE(threads >= 1 && threads <= 1024,
                   invalid_argument("a model runs on 1 to 1024 threads, not on ", threads));
  LINNET_REQUIRE(options.budget_seconds > 0, invalid_argument("the budget has to be more than 0 seconds"));
  return {};
}

bool is_inside(const fs::path& path, const fs::path& folder) {
  std::error_code failed;
  const fs::path inner = fs::weakly_canonical(path, failed), outer = fs::weakly_canonical(folder, failed);
  if (failed || outer.empty()) return false;
  const auto [a, b] = std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end());
  return a == outer.end();
}

// Nothing that is read may be written to, or be found by the next search among the samples.
Status check_places(const TuneInput& input, const TuneOptions& options) {
  std::error_code failed;
  LINNET_REQUIRE(!fs::equivalent(input.model, options.output, failed),
                 invalid_argument("the result would replace '", input.model.string(), "', which is read for it"));
  for (const fs::path& samples : {input.samples_path, input.calibration_path})
    for (const fs::path& place : {options.folder, options.output})
      LINNET_REQUIRE(samples.empty() || !is_inside(place, samples),
                     invalid_argument("'", place.string(), "' is inside the samples, '", samples.string(),
                                      "', and would become one of them: choose another place for the result"));
  LINNET_REQUIRE(!fs::is_directory(options.output, failed),
                 invalid_argument("'", options.output.string(), "' is a folder, not a file to write the model to"));
  return {};
}

Status make_folder(const fs::path& folder) {
  std::error_code failed;
  fs::create_directories(folder, failed);
  LINNET_REQUIRE(!failed, error(Code::io, "cannot make the folder '", folder.string(), "': ", failed.message()));
  return {};
}

std::string identity_of(const ModelWorkshop& workshop, const TuneReport& report, const TuneOptions& options) {
  std::string text = concat(report.engine, ' ', report.isa, ' ', report.measure, ' ', workshop.model_sha256(), ' ',
                            workshop.samples_sha256(), ' ', options.process_memory ? "process" : "engine");
  for (const int64_t label : options.labels) text += concat(' ', label);
  return text;
}

// The chosen model, made again where it belongs. The recipe must give the very file that was measured.
Status write_chosen(ModelWorkshop& workshop, const Search& search, const TuneInput& input, const TuneOptions& options,
                    TuneReport& report) {
  const std::string name = options.output.string();
  if (options.progress) options.progress({TuneProgress::Stage::writing, 0, 1, name});
  const size_t chosen = report.points[*report.chosen].candidate;
  LINNET_ASSIGN(const MadeModel made, make_model(workshop.engine(), input, search.recipe(chosen),
                                                 workshop.calibration(), options.stop, options.output));
  LINNET_REQUIRE(made.sha256 == report.candidates[chosen].sha256,
                 error(Code::internal, "making the model again gave another file: ", report.candidates[chosen].key));
  report.output = options.output;
  const fs::path& samples = input.calibration ? input.calibration_path : input.samples_path;
  report.command = command_line(report.candidates[chosen].arguments, input.model.string(), options.output.string(),
                                samples.empty() ? "SAMPLES" : samples.string());
  const std::string manifest = report.manifest();
  return write_file(options.folder / "manifest.json", std::as_bytes(std::span(manifest)));
}

// What an earlier search in the folder has chosen: the model, if it still is the one of the manifest, and that.
Status remove_earlier(const TuneOptions& options) {
  const fs::path manifest = options.folder / "manifest.json";
  std::error_code failed;
  if (!fs::exists(manifest, failed)) return {};
  std::string sha256, text;
  uint64_t bytes = 0;
  {
    LINNET_ASSIGN(const auto file, MappedFile::open(manifest));
    text.assign(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
  }
  const size_t result = text.find("\"result\"");
  if (result != std::string::npos && fs::exists(options.output, failed)) {
    LINNET_TRY(hash_model(options.output, sha256, bytes));
    if (text.find(sha256, result) != std::string::npos)
      for (const char* end : {"", ".data"}) fs::remove(options.output.string() + end, failed);
  }
  fs::remove(manifest, failed);
  LINNET_REQUIRE(!failed, error(Code::io, "cannot remove '", manifest.string(),
                                "', which tells of an earlier search: ", failed.message()));
  return {};
}

}  // namespace

std::string_view measure_name(TuneMeasure measure) noexcept {
  constexpr std::string_view kNames[] = {"cosine", "top1", "accuracy"};
  return kNames[static_cast<size_t>(measure)];
}

std::string_view fate_name(TuneCandidate::Fate fate) noexcept {
  constexpr std::string_view kNames[] = {"failed",    "not applicable",  "same file", "too large",
                                         "too lossy", "too much memory", "timed"};
  return kNames[static_cast<size_t>(fate)];
}

Result<TuneReport> tune(const TuneInput& input, const TuneOptions& asked) {
  TuneOptions options = asked;
  if (options.output.empty()) options.output = options.folder / "model.onnx";
  std::sort(options.threads.begin(), options.threads.end());
  options.threads.erase(std::unique(options.threads.begin(), options.threads.end()), options.threads.end());
  LINNET_TRY(check(input, options));
  LINNET_TRY(check_places(input, options));
  LINNET_ASSIGN(const auto workshop, ModelWorkshop::open(input, options));
  LINNET_REQUIRE(workshop->measure() != TuneMeasure::accuracy || workshop->reference() > 0,
                 invalid_argument("the model itself gives none of the labels: are they the samples', in their order?"));

  TuneReport report;
  report.engine = LINNET_VERSION;
  report.isa = isa_name(current_isa());
  report.measure = measure_name(workshop->measure());
  report.model = input.model;
  report.samples_path = input.samples_path;
  report.calibration_path = input.calibration_path;
  report.model_sha256 = workshop->model_sha256();
  report.model_bytes = workshop->model_bytes();
  report.samples_sha256 = workshop->samples_sha256();
  report.samples = input.samples.count;
  report.reference = workshop->reference();
  report.limits = options.limits;
  report.memory_of = options.process_memory ? "process" : "engine";

  if (!options.resume) LINNET_TRY(make_folder(options.folder));
  const fs::path beside = options.output.parent_path();
  std::error_code failed;
  LINNET_REQUIRE(asked.output.empty() || beside.empty() || fs::is_directory(beside, failed),
                 error(Code::not_found, "there is no folder '", beside.string(), "' for the result"));
  TuneState state(options.folder / "tune.state", identity_of(*workshop, report, options));
  LINNET_TRY(options.resume ? state.resume() : state.begin());
  const double started = workshop->seconds();
  Search search(*workshop, options, state);
  LINNET_TRY(search.run(report));
  report.seconds = workshop->seconds() - started;
  LINNET_TRY(report.chosen ? write_chosen(*workshop, search, input, options, report) : remove_earlier(options));
  LINNET_TRY(state.save(true));
  return report;
}

}  // namespace linnet
