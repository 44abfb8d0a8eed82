// Searches for the form of a model that suits limits on quality, time and memory: which level of optimisation,
// precision, scheme, exclusions and threads. Candidates are judged on samples and timed on this engine.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "quantize/calibration/observe.h"
#include "tune/recipe.h"

namespace linnet {

// What the loss of a candidate is the loss of. Outputs are compared with those of the model that is tuned.
enum class TuneMeasure : uint8_t {
  cosine,    // the mean over the samples of the outputs' cosine, of the worst output
  top1,      // the share of rows of an output whose greatest element is at the same place
  accuracy,  // the share of samples with the right answer; needs labels
};
std::string_view measure_name(TuneMeasure measure) noexcept;  // "cosine"

// What is wanted of the result, among what keeps the limits.
enum class TunePreference : uint8_t { speed, size, quality, memory };

struct TuneLimits {
  double loss = 0.01;  // what the measure may lose: its value for the model that is tuned, less that of the candidate
  std::optional<double> p95_ms;
  std::optional<uint64_t> bytes;   // of the model's files
  std::optional<uint64_t> memory;  // bytes, as TunePoint::memory
};

struct TuneProgress {
  enum class Stage : uint8_t { preparing, candidates, timing, writing };
  Stage stage = Stage::preparing;
  size_t done = 0, total = 0;  // 0: unknown
  std::string_view what;
};

struct TuneOptions {
  TuneLimits limits;
  std::optional<TuneMeasure> measure;  // without it: accuracy where there are labels, else cosine
  TunePreference preference = TunePreference::speed;
  std::vector<int64_t> labels;  // by sample; none or all
  std::vector<size_t> threads = {1};
  double budget_seconds = 300;  // after that nothing new is begun
  bool resume = false;          // take up what an earlier search in the folder has measured
  // Where the result, the state of the search and, while it runs, candidates go. It is made if need be.
  std::filesystem::path folder;
  std::filesystem::path output;  // the model; empty: model.onnx in the folder
  // Of the process that runs the model on a number of threads, and how that was measured. Without it: what the engine
  // has reserved.
  std::function<Result<uint64_t>(const std::filesystem::path& model, size_t threads)> process_memory;
  std::function<void(const TuneProgress&)> progress;
  const StopToken* stop = nullptr;
};

struct TuneInput {
  std::filesystem::path model;
  Samples samples;                     // to judge and time with
  std::filesystem::path samples_path;  // as commands are told of them
  std::optional<Samples> calibration;  // for ranges of activations; without it the samples
  std::filesystem::path calibration_path;
};

// Of runs in turns with those of other candidates.
struct TuneTimes {
  double median_ms = 0, p95_ms = 0;
  double spread_ms = 0;  // between the quartiles
  size_t runs = 0;
};

struct TuneCandidate {
  enum class Fate : uint8_t { failed, not_applicable, same, too_large, too_lossy, too_much_memory, kept };

  std::vector<std::string> arguments;  // of `linnet`, without files
  std::string key;                     // the same, shorter
  Fate fate = Fate::failed;
  std::string reason;  // why it was not timed
  uint64_t bytes = 0;
  std::string sha256;      // of the model's file
  uint64_t quantized = 0;  // nodes
  // What was measured before it was given up.
  std::optional<double> loss;
  std::string quality;  // JSON of Quality; empty where it was not judged
  std::optional<uint64_t> memory;
};
std::string_view fate_name(TuneCandidate::Fate fate) noexcept;

// A candidate on a number of threads.
struct TunePoint {
  size_t candidate = 0, threads = 1;
  TuneTimes times;
  bool front = false;   // no other point is as good in every respect and better in one
  bool within = false;  // all limits are kept
  bool left = false;    // was beaten while others ran on: its times are of an earlier part of the search
};

struct TuneReport {
  std::string engine, isa, measure;
  std::filesystem::path model, samples_path, calibration_path;
  std::string model_sha256, samples_sha256;
  uint64_t model_bytes = 0;
  size_t samples = 0;
  double reference = 1;  // the measure's value for the model that is tuned
  TuneLimits limits;
  std::string memory_of;  // "process" or "engine"
  std::vector<TuneCandidate> candidates;
  std::vector<TunePoint> points;
  std::optional<size_t> chosen;   // a point
  std::optional<size_t> nearest;  // without one: the candidate that is least beyond the limits, of those timed if any
  std::string beyond;             // and beyond which limits, by how much
  bool out_of_time = false;       // the budget ended before the candidates
  double seconds = 0;
  std::filesystem::path output;
  std::string command;  // that writes the chosen model again

  std::string to_json() const;
  // Of the chosen model: what is needed to know and to reproduce it.
  std::string manifest() const;
};

// Without a chosen point no model is written, and what an earlier search in the folder has chosen is removed. Cancelled
// or out of time, the folder has what the search knows, for another one to go on with.
Result<TuneReport> tune(const TuneInput& input, const TuneOptions& options);

}  // namespace linnet
