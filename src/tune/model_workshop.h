// The workshop of real models: writes files, runs samples, takes times.
#pragma once

#include <chrono>
#include <map>
#include <set>

#include "quality/quality.h"
#include "quantize/quantize.h"
#include "tune/tune.h"
#include "tune/workshop.h"

namespace linnet {

// Of the model's file and the external data beside it, one after the other.
Status hash_model(const std::filesystem::path& path, std::string& sha256, uint64_t& bytes);

// Writes the model that the recipe makes; `report` says what became of its nodes.
Result<MadeModel> make_model(const std::shared_ptr<Engine>& engine, const TuneInput& input, const Recipe& recipe,
                             const Samples& calibration, const StopToken* stop, const std::filesystem::path& path,
                             QuantizeReport* report = nullptr);

class ModelWorkshop final : public Workshop {
 public:
  // Loads the model and runs it on the samples.
  static Result<std::unique_ptr<ModelWorkshop>> open(const TuneInput& input, const TuneOptions& options);
  ~ModelWorkshop() override;

  const std::string& model_sha256() const noexcept { return model_sha256_; }
  uint64_t model_bytes() const noexcept { return model_bytes_; }
  // Of all that the samples, and those for calibration, hold.
  const std::string& samples_sha256() const noexcept { return samples_sha256_; }
  const Samples& calibration() const { return input_.calibration ? *input_.calibration : input_.samples; }
  const std::shared_ptr<Engine>& engine() const noexcept { return engine_; }
  TuneMeasure measure() const noexcept { return measure_; }
  double reference() const noexcept { return reference_; }  // the measure's value for the model itself

  double seconds() override;
  Result<MadeModel> make(const Recipe& recipe) override;
  Result<Judgement> judge(const Recipe& recipe) override;
  Result<std::vector<std::string>> rank(const Recipe& recipe, double deadline) override;
  Result<uint64_t> memory(const Recipe& recipe, size_t threads) override;
  void discard(const Recipe& recipe) override;
  Status load(const Recipe& recipe) override;
  void unload(const Recipe& recipe) override;
  Result<double> run_ms(const Recipe& recipe, size_t threads, size_t round) override;

 private:
  struct Running {
    std::map<size_t, std::unique_ptr<Session>> sessions;  // by threads
    std::vector<Value> outputs;
  };

  ModelWorkshop(const TuneInput& input, const TuneOptions& options) : input_(input), options_(options) {}
  Status prepare();
  Result<std::vector<Value>> inputs_of(size_t sample) const;
  Result<std::vector<Value>> reference_of(size_t sample) const;
  std::filesystem::path path_of(const Recipe& recipe) const;
  // Makes the model if it is not there.
  Result<std::filesystem::path> file_of(const Recipe& recipe);
  Result<std::shared_ptr<const Model>> model_of(const Recipe& recipe);
  Result<Quality> judge_file(const std::filesystem::path& path, size_t samples) const;
  QualityMeter meter(bool labelled) const;

  const TuneInput& input_;
  const TuneOptions& options_;
  std::shared_ptr<Engine> engine_;
  std::unique_ptr<Session> original_;
  std::set<std::string, std::less<>> node_names_;
  std::string model_sha256_, samples_sha256_;
  uint64_t model_bytes_ = 0;
  TuneMeasure measure_ = TuneMeasure::cosine;
  double reference_ = 1;
  std::vector<std::vector<Value>> inputs_, references_;  // of the first samples, as many as memory is set aside for
  std::map<std::string, Running> running_;
  std::map<size_t, std::shared_ptr<Engine>> engines_;  // by threads
};

}  // namespace linnet
