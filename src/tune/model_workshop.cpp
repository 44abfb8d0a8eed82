#include "tune/model_workshop.h"

#include <algorithm>
#include <cmath>

#include "base/hash.h"
#include "base/mapped_file.h"
#include "base/sha256.h"
#include "graph/graph.h"
#include "optimize_model.h"
#include "quantize/static_quantize.h"

namespace linnet {
namespace {

namespace fs = std::filesystem;

// Inputs and outputs of samples that are kept in memory; those beyond are read and computed whenever they are needed.
constexpr size_t kKeptBytes = size_t{256} << 20;
constexpr size_t kTimedSamples = 8;
// The folder of files that are being judged; nothing else is ever removed.
constexpr const char* kCandidates = "tune.candidates";
constexpr size_t kRankingSamples = 4;
// Losses that differ by less are the same.
constexpr double kLossStep = 1e-6;

void add_bytes(Sha256& hash, std::string_view text) { hash.add(std::as_bytes(std::span(text))); }

void add_value(Sha256& hash, const Value& value) {
  if (value.is_sequence())
    for (const Value& element : value.sequence->values) add_value(hash, element);
  if (!value.is_tensor()) return;
  const Tensor& tensor = value.tensor;
  add_bytes(hash, concat(tensor, '\n'));
  if (tensor.dtype == DType::string) {
    for (int64_t i = 0; i < tensor.count(); ++i) add_bytes(hash, concat(tensor.ptr<std::string>()[i], '\n'));
  } else {
    hash.add({tensor.ptr<std::byte>(), tensor.bytes()});
  }
}

bool same_shapes(const std::vector<Value>& a, const std::vector<Value>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Value& x, const Value& y) {
    return x.is_tensor() && y.is_tensor() && x.tensor.shape == y.tensor.shape;
  });
}

size_t bytes_of(const std::vector<Value>& values) {
  size_t bytes = 0;
  for (const Value& value : values)
    if (value.is_tensor()) bytes += value.tensor.bytes();
  return bytes;
}

void collect_names(const Graph& graph, std::set<std::string, std::less<>>& names) {
  for (const NodeId id : graph.order()) {
    names.insert(graph.node(id).name);
    for (const auto& body : subgraphs_of(graph.node(id))) collect_names(*body, names);
  }
}

// Of the files one after the other.
Status hash_files(const std::vector<fs::path>& paths, std::string& sha256, uint64_t& bytes) {
  Sha256 hash;
  bytes = 0;
  for (const fs::path& path : paths) {
    LINNET_ASSIGN(const auto file, MappedFile::open(path));
    hash.add(file->bytes());
    bytes += file->bytes().size();
  }
  sha256 = hash.finish();
  return {};
}

std::optional<double> value_of(const Quality& quality, TuneMeasure measure) {
  switch (measure) {
    case TuneMeasure::cosine: return quality.overall.mean_cosine ? quality.overall.mean_cosine : quality.overall.equal;
    case TuneMeasure::top1: return quality.overall.top1_agreement;
    case TuneMeasure::accuracy: break;
  }
  return quality.task ? std::optional(quality.task->accuracy) : std::nullopt;
}

double rounded_loss(double reference, double value) { return std::round((reference - value) / kLossStep) * kLossStep; }

}  // namespace

Status hash_model(const fs::path& path, std::string& sha256, uint64_t& bytes) {
  std::vector<fs::path> files = {path};
  std::error_code failed;
  if (const fs::path data = path.string() + ".data"; fs::exists(data, failed)) files.push_back(data);
  return hash_files(files, sha256, bytes);
}

Result<MadeModel> make_model(const std::shared_ptr<Engine>& engine, const TuneInput& input, const Recipe& recipe,
                             const Samples& calibration, const StopToken* stop, const fs::path& path,
                             QuantizeReport* report) {
  const ModelSource source{input.model, {}, nullptr};
  MadeModel made;
  if (recipe.scheme == Recipe::Scheme::optimize) {
    OptimizeModelOptions options;
    options.load.optimize.level = recipe.level;
    if (recipe.half) options.floats.emplace();
    options.stop = stop;
    LINNET_TRY(optimize_model(source, options, path).status());
  } else {
    WeightOptions options;
    options.include = recipe.include;
    options.exclude = recipe.exclude;
    options.weight_type = recipe.weight_type;
    options.per_channel = recipe.per_channel;
    options.blocks = recipe.blocks;
    options.embeddings = recipe.embeddings;
    options.accuracy_level = recipe.accuracy_level;
    if (recipe.blocks.method == BlockMethod::gptq) options.samples = &calibration;
    options.stop = stop;
    StaticOptions ranges;
    ranges.activation_type = recipe.activation_type;
    ranges.range = recipe.range;
    ranges.equalise = recipe.equalise;
    ranges.smooth = recipe.smooth;
    ranges.bias_correction = recipe.bias_correction;
    LINNET_ASSIGN(QuantizeReport quantized, recipe.scheme == Recipe::Scheme::dynamic
                                                ? quantize_dynamic(source, options, path)
                                            : recipe.scheme == Recipe::Scheme::weights
                                                ? quantize_weights(*engine, source, options, path)
                                                : quantize_static(engine, source, options, ranges, calibration, path));
    made.quantized = quantized.quantized();
    if (report) *report = std::move(quantized);
  }
  LINNET_TRY(hash_model(path, made.sha256, made.bytes));
  return made;
}

Result<std::unique_ptr<ModelWorkshop>> ModelWorkshop::open(const TuneInput& input, const TuneOptions& options) {
  std::unique_ptr<ModelWorkshop> workshop(new ModelWorkshop(input, options));
  LINNET_TRY(workshop->prepare());
  return workshop;
}

ModelWorkshop::~ModelWorkshop() {
  running_.clear();
  std::error_code ignored;
  fs::remove_all(options_.folder / kCandidates, ignored);
}

Status ModelWorkshop::prepare() {
  for (const size_t threads : options_.threads) engines_.try_emplace(threads, std::make_shared<Engine>(threads));
  engine_ = engines_.rbegin()->second;
  const ModelSource source{input_.model, {}, nullptr};
  LINNET_ASSIGN(LoadedGraph loaded, load_graph(source, {}));
  LINNET_REQUIRE(!loaded.packed, invalid_argument("a compiled model cannot be tuned: tune its source"));
  collect_names(*loaded.graph, node_names_);
  std::vector<fs::path> files;
  for (const auto& file : loaded.model->files) files.push_back(file->path());
  LINNET_TRY(hash_files(files, model_sha256_, model_bytes_));
  LINNET_ASSIGN(const auto model, load_model(*engine_, std::move(loaded), {}));
  original_ = std::make_unique<Session>(engine_, model);

  Sha256 hash;
  size_t kept = 0;
  QualityMeter itself = meter(true);
  std::vector<std::string> poor;
  for (size_t i = 0; i < input_.samples.count; ++i) {
    if (options_.progress)
      options_.progress({TuneProgress::Stage::preparing, i, input_.samples.count, input_.samples.name(i)});
    Result<std::vector<Value>> inputs = inputs_of(i);
    if (!inputs.ok()) return std::move(inputs).status().within(input_.samples.name(i));
    for (const Value& value : *inputs) add_value(hash, value);
    LINNET_ASSIGN(std::vector<Value> outputs, reference_of(i));
    LINNET_TRY(itself.add(outputs, outputs));
    if (without_numbers(outputs)) poor.push_back(input_.samples.name(i));
    kept += bytes_of(*inputs) + bytes_of(outputs);
    if (kept > kKeptBytes && i >= kTimedSamples) continue;
    if (inputs_.size() != i) continue;
    inputs_.push_back(std::move(*inputs));
    references_.push_back(std::move(outputs));
  }
  LINNET_REQUIRE(poor.empty(), invalid_argument("the model itself gives no finite number for ", list_of_names(poor),
                                                ": there is nothing to judge by, leave such samples out"));
  for (size_t i = 0; input_.calibration && i < input_.calibration->count; ++i) {
    Result<std::vector<Value>> inputs = input_.calibration->read(i, *model);
    if (!inputs.ok()) return std::move(inputs).status().within(input_.calibration->name(i));
    for (const Value& value : *inputs) add_value(hash, value);
  }
  samples_sha256_ = hash.finish();
  measure_ = options_.measure.value_or(options_.labels.empty() ? TuneMeasure::cosine : TuneMeasure::accuracy);
  const std::optional<double> reference = value_of(itself.result(), measure_);
  LINNET_REQUIRE(reference, invalid_argument("the quality cannot be measured as ", measure_name(measure_),
                                             ": the model has no output of that kind"));
  reference_ = *reference;
  return {};
}

QualityMeter ModelWorkshop::meter(bool labelled) const {
  std::vector<std::string> names;
  for (const Model::Port& port : original_->model().outputs) names.push_back(port.name);
  return QualityMeter(std::move(names), labelled ? options_.labels : std::vector<int64_t>());
}

Result<std::vector<Value>> ModelWorkshop::inputs_of(size_t sample) const {
  if (sample < inputs_.size()) return inputs_[sample];
  return input_.samples.read(sample, original_->model());
}

Result<std::vector<Value>> ModelWorkshop::reference_of(size_t sample) const {
  if (sample < references_.size()) return references_[sample];
  LINNET_ASSIGN(const std::vector<Value> inputs, inputs_of(sample));
  std::vector<Value> outputs(original_->model().outputs.size());
  RunOptions run;
  run.stop = options_.stop;
  if (Status status = original_->run(inputs, outputs, run); !status.ok())
    return std::move(status).within(input_.samples.name(sample));
  return outputs;
}

// ---- making

fs::path ModelWorkshop::path_of(const Recipe& recipe) const {
  const std::string key = recipe.key();
  const uint64_t number = hash_bytes(std::as_bytes(std::span(key)));
  // A file of the same name as the result: the name of external data is in the file.
  return options_.folder / kCandidates / std::to_string(number) / options_.output.filename();
}

double ModelWorkshop::seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Result<MadeModel> ModelWorkshop::make(const Recipe& recipe) {
  const fs::path path = path_of(recipe);
  std::error_code failed;
  fs::create_directories(path.parent_path(), failed);
  LINNET_REQUIRE(!failed,
                 error(Code::io, "cannot make the folder '", path.parent_path().string(), "': ", failed.message()));
  return make_model(engine_, input_, recipe, calibration(), options_.stop, path);
}

void ModelWorkshop::discard(const Recipe& recipe) {
  std::error_code ignored;
  fs::remove_all(path_of(recipe).parent_path(), ignored);
}

Result<fs::path> ModelWorkshop::file_of(const Recipe& recipe) {
  fs::path path = path_of(recipe);
  std::error_code failed;
  if (!fs::exists(path, failed)) LINNET_TRY(make(recipe).status());
  return path;
}

Result<std::shared_ptr<const Model>> ModelWorkshop::model_of(const Recipe& recipe) {
  LINNET_ASSIGN(const fs::path path, file_of(recipe));
  return load_model(*engine_, {path, {}, nullptr}, {});
}

// ---- judging

Result<Quality> ModelWorkshop::judge_file(const fs::path& path, size_t samples) const {
  LINNET_ASSIGN(const auto model, load_model(*engine_, {path, {}, nullptr}, {}));
  Session session(engine_, model);
  RunOptions run;
  run.stop = options_.stop;
  QualityMeter meter = this->meter(samples == input_.samples.count);
  for (size_t i = 0; i < samples; ++i) {
    LINNET_ASSIGN(const std::vector<Value> inputs, inputs_of(i));
    LINNET_ASSIGN(const std::vector<Value> reference, reference_of(i));
    std::vector<Value> outputs(model->outputs.size());
    if (Status status = session.run(inputs, outputs, run); !status.ok())
      return std::move(status).within(input_.samples.name(i));
    LINNET_TRY(meter.add(reference, outputs));
  }
  return meter.result();
}

Result<Judgement> ModelWorkshop::judge(const Recipe& recipe) {
  LINNET_ASSIGN(const fs::path path, file_of(recipe));
  LINNET_ASSIGN(const Quality quality, judge_file(path, input_.samples.count));
  const std::optional<double> value = value_of(quality, measure_);
  LINNET_REQUIRE(value, invalid_argument("its outputs cannot be compared"));
  return Judgement{rounded_loss(reference_, *value), quality.to_json()};
}

// Each node is quantised alone and judged on a few samples; where that takes too long the precision of weights tells.
Result<std::vector<std::string>> ModelWorkshop::rank(const Recipe& recipe, double deadline) {
  struct Node {
    std::string name;
    double snr = INFINITY, loss = 0;
  };
  const fs::path path = options_.folder / kCandidates / options_.output.filename();
  QuantizeReport report;
  LINNET_TRY(make_model(engine_, input_, recipe, calibration(), options_.stop, path, &report).status());
  std::vector<Node> nodes;
  for (const NodeReport& row : report.nodes) {
    if (row.result.empty() || row.name.empty() || !node_names_.contains(row.name)) continue;
    const double snr = row.weight_snr_db.value_or(INFINITY);
    const auto known = std::find_if(nodes.begin(), nodes.end(), [&](const Node& n) { return n.name == row.name; });
    if (known == nodes.end()) {
      nodes.push_back({row.name, snr, 0});
    } else {
      known->snr = std::min(known->snr, snr);
    }
  }
  Samples few = calibration();
  few.count = std::min(few.count, kRankingSamples);
  const double begin = seconds();
  bool measured = true;
  for (size_t i = 0; measured && i < nodes.size(); ++i) {
    if (options_.progress) options_.progress({TuneProgress::Stage::candidates, i, nodes.size(), nodes[i].name});
    Recipe alone = recipe;
    alone.include = {nodes[i].name};
    alone.exclude.clear();
    LINNET_TRY(make_model(engine_, input_, alone, few, options_.stop, path).status());
    LINNET_ASSIGN(const Quality quality, judge_file(path, std::min(input_.samples.count, kRankingSamples)));
    nodes[i].loss = 1 - value_of(quality, TuneMeasure::cosine).value_or(0);
    const double each = (seconds() - begin) / static_cast<double>(i + 1);
    measured = begin + each * static_cast<double>(nodes.size()) < deadline;
  }
  std::vector<std::pair<double, size_t>> order;
  for (size_t i = 0; i < nodes.size(); ++i) order.emplace_back(measured ? -nodes[i].loss : nodes[i].snr, i);
  std::sort(order.begin(), order.end());
  std::vector<std::string> names;
  for (const auto& [harm, i] : order) names.push_back(std::move(nodes[i].name));
  return names;
}

Result<uint64_t> ModelWorkshop::memory(const Recipe& recipe, size_t threads) {
  LINNET_ASSIGN(const fs::path path, file_of(recipe));
  if (options_.process_memory) return options_.process_memory(path, threads);
  LINNET_ASSIGN(const auto model, model_of(recipe));
  Session session(engines_.at(threads), model);
  LINNET_ASSIGN(const std::vector<Value> inputs, inputs_of(0));
  std::vector<Value> outputs(model->outputs.size());
  RunOptions run;
  run.stop = options_.stop;
  LINNET_TRY(session.run(inputs, outputs, run));
  return model->program->constant_bytes() + model->program->packed_bytes() + session.arena_bytes();
}

// ---- timing

Status ModelWorkshop::load(const Recipe& recipe) {
  LINNET_ASSIGN(const auto model, model_of(recipe));
  Running& running = running_[recipe.key()];
  running.outputs.resize(model->outputs.size());
  for (const auto& [threads, engine] : engines_) {
    running.sessions[threads] = std::make_unique<Session>(engine, model);
    // What new shapes cost once is not part of a run.
    for (size_t i = 0; i < std::min(inputs_.size(), kTimedSamples); ++i)
      if (i == 0 || !same_shapes(inputs_[i], inputs_[i - 1])) LINNET_TRY(run_ms(recipe, threads, i).status());
  }
  return {};
}

void ModelWorkshop::unload(const Recipe& recipe) { running_.erase(recipe.key()); }

Result<double> ModelWorkshop::run_ms(const Recipe& recipe, size_t threads, size_t round) {
  Running& running = running_.at(recipe.key());
  const std::vector<Value>& inputs = inputs_[round % std::min(inputs_.size(), kTimedSamples)];
  RunOptions run;
  run.stop = options_.stop;
  const double begin = seconds();
  LINNET_TRY(running.sessions.at(threads)->run(inputs, running.outputs, run));
  return (seconds() - begin) * 1e3;
}

}  // namespace linnet
