#include "quantize/static_quantize.h"

#include <algorithm>
#include <cmath>

#include "quantize/bias_correction.h"
#include "quantize/equalisation.h"
#include "quantize/job.h"
#include "quantize/smoothing.h"
#include "quantize/static_writer.h"

namespace linnet {
namespace {

constexpr float kMask = 9999;

// Why a value cannot be quantised by what was seen of it; empty when it can.
std::string complaint(const Observer& observer, DType type) {
  if (observer.not_numbers() != 0) return "is not a number somewhere in the calibration data";
  if (observer.infinities() != 0) return "is infinite somewhere in the calibration data";
  if (observer.count() == 0) return "had no elements in the calibration data";
  // Masks are added to scores: steps as coarse as they are great would leave nothing of the scores.
  const float magnitude = std::max(-observer.least(), observer.greatest());
  if (magnitude > (dtype_bits(type) == 16 ? kMask * 256 : kMask)) return concat("reaches ", magnitude, ", as masks do");
  return {};
}

uint32_t levels_of(DType type) { return dtype_bits(type) == 16 ? 65536 : 256; }

Status check(const StaticOptions& how) {
  const DType type = how.activation_type;
  const bool wide = type == DType::u16 || type == DType::i16;
  LINNET_REQUIRE(wide || type == DType::u8 || type == DType::i8,
                 invalid_argument("activations become 8- or 16-bit integers, not ", dtype_name(type)));
  LINNET_REQUIRE(!wide || how.format == StaticFormat::qdq,
                 unsupported("there are no operators on ", dtype_name(type), " activations: use the format qdq"));
  LINNET_REQUIRE(how.range.percentile > 0 && how.range.percentile <= 100,
                 invalid_argument("the percentile has to be above 0 and at most 100"));
  LINNET_REQUIRE(how.range.num_quantized_bins >= 2 && how.range.num_bins >= how.range.num_quantized_bins,
                 invalid_argument("entropy takes at least as many bins as quantised ones, and 2 of those"));
  LINNET_REQUIRE(how.smooth_alpha >= 0 && how.smooth_alpha <= 1, invalid_argument("alpha has to be from 0 to 1"));
  return {};
}

// Observes what is not remembered.
Result<Observations> recall(const std::shared_ptr<Engine>& engine, LoadedGraph loaded, const QuantizeJob& job,
                            const std::map<ValueId, Watch>& wanted, const StaticOptions& how, const Samples& samples) {
  const Graph& graph = *job.loaded().graph;
  RememberedValues* const memory = how.smooth ? nullptr : how.memory.get();
  Observations known;
  std::map<ValueId, Watch> missing;
  for (const auto& [v, watch] : wanted) {
    const auto found = memory ? memory->find(graph.value(v).name) : RememberedValues::iterator();
    if (memory && found != memory->end() && (found->second.first.channels || !watch.channels)) {
      known.emplace(v, found->second.second);
    } else {
      missing.emplace(v, watch);
    }
  }
  if (missing.empty()) return known;
  ObserveOptions observing;
  observing.stop = job.options().stop;
  observing.progress = how.sample_progress;
  LINNET_ASSIGN(Observations seen, observe(engine, std::move(loaded), missing, samples, observing));
  if (memory)
    for (const auto& [v, observer] : seen)
      memory->insert_or_assign(graph.value(v).name, std::pair(missing.at(v), observer));
  known.merge(seen);
  return known;
}

// Ranges go to `codes`.
Result<Measured> measure(const std::shared_ptr<Engine>& engine, LoadedGraph loaded, const QuantizeJob& job,
                         const Marks& marks, const StaticOptions& how, const Samples& samples, ActivationCodes& codes) {
  const Graph& graph = *job.loaded().graph;
  std::map<ValueId, Watch> wanted;
  const Watch for_range{needs_histogram(how.range.method), false};
  for (const auto& [id, node] : marks.nodes) {
    for (size_t i = 0; i < node.inputs.size(); ++i)
      if (node.inputs[i].kind == InputKind::activation) wanted.emplace(marks.root(node.values[i]), for_range);
    for (const ValueId v : node.outputs) wanted.emplace(marks.root(v), for_range);
  }
  const std::map<ValueId, Watch> ranges = wanted;
  if (how.bias_correction)
    for (const auto& [id, node] : marks.nodes)
      if (corrects_bias(graph, graph.node(id))) wanted[node.values[0]].channels = true;
  for (const auto& [v, watch] : wanted) LINNET_CHECK(loaded.graph->value(v).name == graph.value(v).name);
  LINNET_ASSIGN(const Observations observations, recall(engine, std::move(loaded), job, wanted, how, samples));
  Measured measured;
  for (const auto& [v, observer] : observations) {
    if (wanted.at(v).channels) measured.means.emplace(v, observer.channel_means());
    if (!ranges.contains(v)) continue;
    if (std::string words = complaint(observer, how.activation_type); !words.empty()) {
      measured.complaints.emplace(v, concat("the value '", graph.value(v).name, "' ", words));
      continue;
    }
    ValueRange range = choose_range(observer, how.range, levels_of(how.activation_type));
    if (const Node* producer = graph.producer(v); producer && producer->is("Softmax")) range = {0, 1};
    codes.set_range(v, range.least, range.greatest, how.activation_symmetric);
  }
  return measured;
}

// In both graphs; `load` gives one more of them, which is run.
Status smooth_graph(const std::shared_ptr<Engine>& engine, QuantizeJob& job, QuantizeJob& twin,
                    const StaticOptions& how, const Samples& samples, FunctionRef<Result<LoadedGraph>()> load) {
  const auto wanted = [&](const Node& node) { return job.selects(node); };
  const std::vector<SmoothPlace> places = find_smooth_places(job.graph(), wanted);
  if (places.empty()) return {};
  LINNET_ASSIGN(LoadedGraph loaded, load());
  std::map<ValueId, Watch> watched;
  for (const SmoothPlace& place : places) watched[place.value].magnitudes = true;
  ObserveOptions observing;
  observing.stop = job.options().stop;
  observing.progress = how.sample_progress;
  LINNET_ASSIGN(const Observations observations, observe(engine, std::move(loaded), watched, samples, observing));
  for (Graph* graph : {&job.graph(), &twin.graph()}) {
    for (const SmoothPlace& place : places)
      if (const std::vector<float>& seen = observations.at(place.value).magnitudes(); !seen.empty())
        LINNET_TRY(smooth(*graph, place, seen, how.smooth_alpha));
    LINNET_TRY(graph->sort());
  }
  return {};
}

}  // namespace

Result<QuantizeReport> quantize_static(const std::shared_ptr<Engine>& engine, const ModelSource& source,
                                       const QuantizeOptions& options, const StaticOptions& how, const Samples& samples,
                                       const std::filesystem::path& path) {
  LINNET_TRY(check(how));
  LINNET_ASSIGN(const auto job, QuantizeJob::open(source, options, path));
  Graph& graph = job->graph();
  LINNET_ASSIGN(auto twin, QuantizeJob::open(source, options, path));  // the same graph: running it takes it apart
  if (how.equalise)
    for (Graph* each : {&graph, &twin->graph()}) LINNET_TRY(equalise_layers(*each).status());
  const auto load_again = [&]() -> Result<LoadedGraph> {
    LINNET_ASSIGN(const auto again, QuantizeJob::open(source, options, path));
    if (how.equalise) LINNET_TRY(equalise_layers(again->graph()).status());
    return again->take();
  };
  if (how.smooth) LINNET_TRY(smooth_graph(engine, *job, *twin, how, samples, load_again));
  const Marks marks = mark_graph(graph, how.format, [&](const Node& node) { return job->selects(node); });

  const bool wide = dtype_bits(how.activation_type) == 16;
  ActivationCodes codes(graph, how.activation_type, std::max(graph.opsets[""], wide ? 21 : 13));
  LINNET_ASSIGN(const Measured measured, measure(engine, twin->take(), *job, marks, how, samples, codes));

  StaticWriter writer(*job, marks, measured, codes, how.format);
  LINNET_TRY(
      job->for_each_node([](const Graph&, const Node& node) { return is_static_operator(node); },
                         [&](Graph& g, NodeId id, NodeReport& report) { return writer.rewrite(g, id, report); }));
  return job->write();
}

}  // namespace linnet
