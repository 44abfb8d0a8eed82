#include "quantize/explain.h"

#include <algorithm>
#include <cstdio>
#include <limits>
#include <set>

#include "quantize/activation_noise.h"
#include "quantize/node_names.h"
#include "quantize/step_times.h"
#include "save.h"

namespace linnet {
namespace {

constexpr size_t kTimedSamples = 4, kActivationSamples = 16, kSensitivitySamples = 8;
// What is slower by less is so by chance.
constexpr double kSlower = 1.05, kSlowerMilliseconds = 0.002;
constexpr size_t kTries = 4;
// How static quantisation says that a node is not needed any more, and names what it makes of a value.
constexpr std::string_view kLeftOut = "left out";
constexpr const char *kCodes = "_quantized", *kScale = "_scale", *kZeroPoint = "_zero_point",
                     *kFloats = "_DequantizeLinear_Output";

// At most so many of the samples, spread evenly.
Samples some_of(const Samples& all, size_t most) {
  Samples some = all;
  some.count = std::min(all.count, most);
  const auto at = [all, count = some.count](size_t i) { return i * all.count / count; };
  some.name = [all, at](size_t i) { return all.name(at(i)); };
  some.read = [all, at](size_t i, const Model& model) { return all.read(at(i), model); };
  return some;
}

std::string milliseconds(double time) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3f ms", time);
  return text;
}

class Explainer {
 public:
  Explainer(const std::shared_ptr<Engine>& engine, const ModelSource& source, const QuantizeOptions& options,
            const ExplainOptions& how, const Samples& samples, const Quantizer& quantize)
      : engine_(engine), source_(source), options_(options), how_(how), samples_(samples), quantize_(quantize) {
    written_load_ = options.load;
    written_load_.fixed_sizes.clear();  // they are in the graph
    written_load_.external_data.clear();
    written_load_.initializers.clear();
  }

  Result<QuantizeReport> run(const std::filesystem::path& path) {
    LINNET_TRY(open());
    if (how_.only_faster) LINNET_TRY(find_slower());
    LINNET_ASSIGN(QuantizeReport report, quantize_(options_with(leaving(left_)), path));
    written_ = {path, {}, nullptr};
    if (Status status = explain(report); !status.ok())
      return std::move(status).within("the result is written, but not explained");
    return report;
  }

 private:
  Status explain(QuantizeReport& report) {
    report.explanation.emplace();
    {
      LINNET_ASSIGN(LoadedGraph loaded, load_graph(written_, written_load_));
      LINNET_ASSIGN(const auto quantized, open_session(std::move(loaded)));
      LINNET_TRY(compare(*quantized, report));
      LINNET_TRY(time(*quantized, report));
    }
    LINNET_TRY(look_inside(report));
    return look_at_nodes_alone(report);
  }

  using Names = std::map<std::string, std::string>;
  using Left = std::map<std::string, std::string, std::less<>>;  // by first output: why it stays

  void tell(std::string_view doing, size_t done, size_t total) const {
    if (how_.progress) how_.progress(doing, done, total);
  }

  // The model as it is run, and what can be told to be wrong before anything is written.
  Status open() {
    LINNET_REQUIRE(samples_.count != 0, invalid_argument("there is no sample to explain with"));
    LINNET_REQUIRE(samples_.count != Samples::kUnknown,
                   invalid_argument("the number of samples to explain with has to be known"));
    LINNET_REQUIRE(how_.labels.empty() || how_.labels.size() == samples_.count,
                   invalid_argument("there are ", how_.labels.size(), " labels for ", samples_.count, " samples"));
    LINNET_ASSIGN(LoadedGraph loaded, load_graph(source_, options_.load));
    name_nodes(*loaded.graph);
    LINNET_ASSIGN(float_, open_session(std::move(loaded), options_.load));
    const Samples timed = some_of(samples_, kTimedSamples);
    QualityMeter meter = new_meter();
    for (size_t i = 0; i < timed.count; ++i) {
      LINNET_ASSIGN(timed_.emplace_back(), timed.read(i, float_->model()));
      LINNET_ASSIGN(const std::vector<Value> outputs, run(*float_, timed_.back(), timed.name(i)));
      LINNET_TRY(meter.check_labels(outputs));
    }
    LINNET_ASSIGN(const LoadedGraph reference, load_reference());
    names_.emplace(*reference.graph);
    return {};
  }

  QualityMeter new_meter(bool labelled = true) const {
    std::vector<std::string> names;
    for (const Model::Port& port : float_->model().outputs) names.push_back(port.name);
    return labelled ? QualityMeter(std::move(names), how_.labels, how_.labelled) : QualityMeter(std::move(names));
  }

  Result<std::unique_ptr<Session>> open_session(LoadedGraph loaded, const LoadOptions& load) {
    LINNET_ASSIGN(auto model, load_model(*engine_, std::move(loaded), load));
    return std::make_unique<Session>(engine_, std::move(model));
  }
  Result<std::unique_ptr<Session>> open_session(LoadedGraph loaded) {
    return open_session(std::move(loaded), written_load_);
  }

  Result<std::vector<Value>> run(Session& session, std::span<const Value> inputs, const std::string& sample) const {
    RunOptions run;
    run.stop = options_.stop;
    std::vector<Value> outputs(session.model().outputs.size());
    if (Status status = session.run(inputs, outputs, run); !status.ok()) return std::move(status).within(sample);
    return outputs;
  }

  using Leave = std::function<std::string(std::string_view output)>;
  static Leave leaving(const Left& left) {
    return [&left](std::string_view output) {
      const auto found = left.find(output);
      return found == left.end() ? std::string() : found->second;
    };
  }
  // The caller's options with something more to leave.
  QuantizeOptions options_with(Leave leave) const {
    QuantizeOptions out = options_;
    out.leave = [before = options_.leave, leave = std::move(leave)](std::string_view output) {
      std::string words = before ? before(output) : std::string();
      return words.empty() ? leave(output) : words;
    };
    return out;
  }

  // The quantised model in memory, with no other nodes than `leave` allows.
  Result<QuantizeReport> quantize_in_memory(Leave leave, LoadedGraph& loaded) const {
    QuantizeOptions options = options_with(std::move(leave));
    options.progress = nullptr;
    options.take = [&](LoadedGraph graph) {
      loaded = std::move(graph);
      return Status();
    };
    return quantize_(options, {});
  }

  // The model just before it is quantised: values have the names that they have afterwards.
  Result<LoadedGraph> load_reference() const {
    LoadedGraph loaded;
    LINNET_TRY(quantize_in_memory([](std::string_view) { return std::string("stays"); }, loaded).status());
    return loaded;
  }

  // The times of the report's nodes in both models.
  Result<StepTimesOfBoth> time_nodes(Session& quantized, std::vector<NodeReport>& rows) {
    LINNET_ASSIGN(StepTimesOfBoth times, time_steps(*float_, quantized, timed_, options_.stop));
    std::map<std::string_view, double> after;
    for (const auto& [step, time] : times.second.own)
      if (const std::string* node = names_->find(step)) after[*node] += time;
    for (NodeReport& row : rows) {
      const std::string_view node = NodeNames::without_operator(row.node);
      const auto x = times.first.own.find(node);
      const auto y = after.find(node);
      if (x != times.first.own.end()) row.milliseconds_before = x->second;
      if (y != after.end()) row.milliseconds_after = y->second;
    }
    return times;
  }

  // The quantised model's time beside the float one's, without the nodes in `left`; and its nodes.
  Result<double> time_without(const Left& left, std::vector<NodeReport>& rows) {
    LoadedGraph loaded;
    LINNET_ASSIGN(QuantizeReport report, quantize_in_memory(leaving(left), loaded));
    LINNET_ASSIGN(const auto quantized, open_session(std::move(loaded)));
    LINNET_ASSIGN(const StepTimesOfBoth times, time_nodes(*quantized, report.nodes));
    rows = std::move(report.nodes);
    return times.second.milliseconds / times.first.milliseconds;
  }

  // All nodes that are slower stay, or the half of them that loses most, or the half of that: between floats and
  // integers lie conversions, which may take more than is saved.
  Status find_slower() {
    const auto loss = [](const NodeReport& row) {
      if (row.result.empty() || !row.milliseconds_before || !row.milliseconds_after) return 0.0;
      const double before = *row.milliseconds_before, after = *row.milliseconds_after;
      return after > before * kSlower && after > before + kSlowerMilliseconds ? after - before : 0.0;
    };
    std::vector<NodeReport> rows, others;
    tell("timing nodes", 0, kTries + 1);
    LINNET_ASSIGN(const double all, time_without({}, rows));
    std::erase_if(rows, [&](const NodeReport& row) { return loss(row) == 0; });
    std::stable_sort(rows.begin(), rows.end(),
                     [&](const NodeReport& a, const NodeReport& b) { return loss(a) > loss(b); });
    for (size_t tries = 0; tries < kTries && !rows.empty(); ++tries, rows.resize(rows.size() / 2)) {
      left_.clear();
      for (const NodeReport& row : rows)
        left_.emplace(row.output, concat("slower as ", row.result, ": ", milliseconds(*row.milliseconds_after),
                                         " instead of ", milliseconds(*row.milliseconds_before)));
      tell("timing nodes", tries + 1, kTries + 1);
      LINNET_ASSIGN(const double time, time_without(left_, others));
      if (time < all) return {};
    }
    left_.clear();
    return {};
  }

  Status compare(Session& quantized, QuantizeReport& report) {
    QualityMeter meter = new_meter();
    for (size_t i = 0; i < samples_.count; ++i) {
      tell("comparing outputs", i, samples_.count);
      LINNET_ASSIGN(const std::vector<Value> inputs, samples_.read(i, float_->model()));
      LINNET_ASSIGN(const std::vector<Value> expected, run(*float_, inputs, samples_.name(i)));
      LINNET_ASSIGN(const std::vector<Value> actual, run(quantized, inputs, samples_.name(i)));
      LINNET_TRY(meter.add(expected, actual));
      if (without_numbers(expected)) report.explanation->without_numbers.push_back(samples_.name(i));
    }
    report.explanation->quality = meter.result();
    return {};
  }

  Status time(Session& quantized, QuantizeReport& report) {
    tell("timing", 0, 1);
    LINNET_ASSIGN(const StepTimesOfBoth times, time_nodes(quantized, report.nodes));
    Explanation& explanation = *report.explanation;
    explanation.milliseconds_before = times.first.milliseconds;
    explanation.milliseconds_after = times.second.milliseconds;
    explanation.threads = engine_->threads();
    explanation.timed_samples = timed_.size();
    return {};
  }

  // The nodes' outputs, by their names in the float model: those in the quantised one. Codes that are not made floats
  // again where they are used are to be, by the named scales: they go to `codes`.
  Result<Names> find_activations(const QuantizeReport& report, Names& codes) {
    LINNET_ASSIGN(const LoadedGraph written, load_graph(written_, written_load_));
    LINNET_ASSIGN(const LoadedGraph reference, load_reference());
    const std::map<std::string, ValueId> before = values_of(*reference.graph), after = values_of(*written.graph);
    // Of nodes that were left out: whose codes stand for what they would have made.
    Names from;
    std::set<std::string> covered;
    for (const NodeReport& row : report.nodes) {
      const auto v = before.find(row.output);
      const Node* node = v == before.end() ? nullptr : reference.graph->producer(v->second);
      if (row.result == kLeftOut && node)
        covered.insert(from[row.output] = reference.graph->value(node->input(0)).name);
    }
    Names found;
    for (const NodeReport& row : report.nodes) {
      if (!before.contains(row.output)) continue;  // in a subgraph
      const auto left_out = from.find(row.output);
      const std::string& name = left_out == from.end() ? row.output : left_out->second;
      if (left_out == from.end()) {
        if (after.contains(name)) found.emplace(name, name);
        if (after.contains(name) || covered.contains(name)) continue;
      }
      if (!after.contains(name + kFloats)) {
        const std::string& scale = after.contains(name + kScale) ? name : row.output;
        if (!after.contains(name + kCodes) || !after.contains(scale + kScale) || !after.contains(scale + kZeroPoint))
          continue;
        codes[name] = scale;
      }
      found.emplace(row.output, name + kFloats);
    }
    return found;
  }

  static std::map<std::string, ValueId> values_of(const Graph& graph) {
    std::map<std::string, ValueId> values;
    for (ValueId v = 0; v < graph.value_count(); ++v)
      if (graph.value(v).producer != kNoNode || graph.constant(v)) values.emplace(graph.value(v).name, v);
    return values;
  }

  // With the codes of these values as floats.
  Result<LoadedGraph> load_written(const Names& codes) const {
    LINNET_ASSIGN(LoadedGraph loaded, load_graph(written_, written_load_));
    Graph& graph = *loaded.graph;
    const std::map<std::string, ValueId> values = values_of(graph);
    for (const auto& [name, scale] : codes) {
      Node node;
      node.op_type = "DequantizeLinear";
      node.version = graph.opsets[""];
      node.inputs = {values.at(name + kCodes), values.at(scale + kScale), values.at(scale + kZeroPoint)};
      graph.add_node(std::move(node), name + kFloats);
    }
    LINNET_TRY(graph.sort());
    return loaded;
  }

  Status look_inside(QuantizeReport& report) {
    Names codes;
    LINNET_ASSIGN(Names values, find_activations(report, codes));
    const auto reference = [this] { return load_reference(); };
    const auto written = [&] { return load_written(codes); };
    const Samples some = some_of(samples_, kActivationSamples);
    ObserveOptions observing;
    observing.stop = options_.stop;
    observing.progress = [this](size_t done, size_t total) { tell("comparing values inside", done, total); };
    LINNET_ASSIGN(const auto noise,
                  measure_noise(engine_, {reference, written, std::move(values)}, written_load_, some, observing));
    for (NodeReport& row : report.nodes)
      if (const auto found = noise.find(row.output); found != noise.end()) row.activation_snr_db = found->second;
    report.explanation->activation_samples = some.count;
    return {};
  }

  Status look_at_nodes_alone(QuantizeReport& report) {
    std::vector<NodeReport*> nodes;
    for (NodeReport& row : report.nodes)
      if (!row.result.empty()) nodes.push_back(&row);
    const auto snr = [](const NodeReport* row) {
      return row->weight_snr_db.value_or(std::numeric_limits<double>::infinity());
    };
    std::stable_sort(nodes.begin(), nodes.end(),
                     [&](const NodeReport* a, const NodeReport* b) { return snr(a) < snr(b); });
    nodes.resize(std::min(nodes.size(), how_.sensitivity));
    if (nodes.empty()) return {};
    const Samples some = some_of(samples_, kSensitivitySamples);
    report.explanation->sensitivity_samples = some.count;
    std::vector<std::vector<Value>> inputs(some.count), expected(some.count);
    for (size_t i = 0; i < some.count; ++i) {
      LINNET_ASSIGN(inputs[i], some.read(i, float_->model()));
      LINNET_ASSIGN(expected[i], run(*float_, inputs[i], some.name(i)));
    }
    for (size_t n = 0; n < nodes.size(); ++n) {
      tell("one node at a time", n, nodes.size());
      const auto leave = [&](std::string_view output) {
        return std::string(output == nodes[n]->output ? "" : "another is looked at");
      };
      LoadedGraph loaded;
      LINNET_ASSIGN(const QuantizeReport alone, quantize_in_memory(leave, loaded));
      if (alone.quantized() == 0) continue;  // it is quantised only beside others
      LINNET_ASSIGN(const auto session, open_session(std::move(loaded)));
      QualityMeter meter = new_meter(false);
      for (size_t i = 0; i < some.count; ++i) {
        LINNET_ASSIGN(const std::vector<Value> outputs, run(*session, inputs[i], some.name(i)));
        LINNET_TRY(meter.add(expected[i], outputs));
      }
      nodes[n]->alone = meter.result().overall;
    }
    return {};
  }

  const std::shared_ptr<Engine>& engine_;
  const ModelSource& source_;
  const QuantizeOptions& options_;
  const ExplainOptions& how_;
  const Samples& samples_;
  const Quantizer& quantize_;
  LoadOptions written_load_;
  ModelSource written_;
  std::unique_ptr<Session> float_;
  std::vector<std::vector<Value>> timed_;
  std::optional<NodeNames> names_;
  Left left_;
};

}  // namespace

Result<QuantizeReport> quantize_and_explain(const std::shared_ptr<Engine>& engine, const ModelSource& source,
                                            const QuantizeOptions& options, const ExplainOptions& how,
                                            const Samples& samples, const std::filesystem::path& path,
                                            const Quantizer& quantize) {
  LINNET_TRY(require_folder_of(path));
  return Explainer(engine, source, options, how, samples, quantize).run(path);
}

}  // namespace linnet
