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

// Names are not unique beyond a graph.
std::string name_of(const std::vector<Graph*>& graphs, const PlacedValue& place) {
  return concat(place.graph, ' ', graphs[place.graph]->value(place.value).name);
}

// Observes what is not remembered.
Result<Observations> recall(const std::shared_ptr<Engine>& engine, LoadedGraph loaded, const QuantizeJob& job,
                            const std::vector<Graph*>& graphs, const std::map<PlacedValue, Watch>& wanted,
                            const StaticOptions& how, const Samples& samples) {
  RememberedValues* const memory = how.smooth ? nullptr : how.memory.get();
  Observations known;
  std::map<PlacedValue, Watch> missing;
  for (const auto& [v, watch] : wanted) {
    const auto found = memory ? memory->find(name_of(graphs, v)) : RememberedValues::iterator();
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
      memory->insert_or_assign(name_of(graphs, v), std::pair(missing.at(v), observer));
  known.merge(seen);
  return known;
}

// Weights that are stored as other floats, behind a Cast for instance, become constants.
Status fold_weights(QuantizeJob& job, Graph& graph) {
  const std::vector<NodeId> order = graph.order();
  for (const NodeId id : order) {
    if (!graph.alive(id) || !multiplies(graph.node(id)) || !job.refusal(graph, graph.node(id)).empty()) continue;
    const std::vector<ValueId> inputs = graph.node(id).inputs;
    NodeReport unused;
    for (const ValueId v : inputs) job.float_constant(graph, v, unused);
  }
  return graph.sort();
}

// One of the model's graphs.
struct StaticPart {
  Graph* graph;
  Marks marks;
  ActivationCodes codes;
  Measured measured;
  StaticWriter writer;

  StaticPart(QuantizeJob& job, Graph& of, const StaticOptions& how)
      : graph(&of),
        marks(mark_graph(of, how.format, [&](const Node& node) { return job.refusal(of, node).empty(); })),
        codes(of, how.activation_type, std::max(of.opsets[""], dtype_bits(how.activation_type) == 16 ? 21 : 13)),
        writer(job, marks, measured, codes, how.format) {}

  // Values whose range matters.
  std::map<ValueId, Watch> ranges(const StaticOptions& how) const {
    std::map<ValueId, Watch> wanted;
    const Watch for_range{needs_histogram(how.range.method), false};
    for (const auto& [id, node] : marks.nodes) {
      for (size_t i = 0; i < node.inputs.size(); ++i)
        if (node.inputs[i].kind == InputKind::activation) wanted.emplace(marks.root(node.values[i]), for_range);
      for (const ValueId v : node.outputs) wanted.emplace(marks.root(v), for_range);
    }
    return wanted;
  }

  void set_range(ValueId v, const Observer& observer, const StaticOptions& how) {
    if (std::string words = complaint(observer, how.activation_type); !words.empty()) {
      measured.complaints.emplace(v, concat("the value '", graph->value(v).name, "' ", words));
      return;
    }
    ValueRange range = choose_range(observer, how.range, levels_of(how.activation_type));
    // No probability is rare enough to be cut off, and 0 is exact.
    if (const Node* producer = graph->producer(v); producer && producer->is("Softmax"))
      range = {0, observer.greatest()};
    codes.set_range(v, range.least, range.greatest, how.activation_symmetric);
  }
};

Status measure(const std::shared_ptr<Engine>& engine, LoadedGraph loaded, const QuantizeJob& job,
               std::span<const std::unique_ptr<StaticPart>> parts, const std::vector<Graph*>& graphs,
               const StaticOptions& how, const Samples& samples) {
  std::map<PlacedValue, Watch> wanted;
  for (size_t g = 0; g < parts.size(); ++g) {
    const StaticPart& part = *parts[g];
    for (const auto& [v, watch] : part.ranges(how)) wanted.emplace(PlacedValue{g, v}, watch);
    if (!how.bias_correction) continue;
    for (const auto& [id, node] : part.marks.nodes)
      if (corrects_bias(*part.graph, part.graph->node(id))) wanted[{g, node.values[0]}].channels = true;
  }
  const std::vector<Graph*> twins = graphs_of(*loaded.graph);
  for (const auto& [v, watch] : wanted) LINNET_CHECK(name_of(twins, v) == name_of(graphs, v));
  LINNET_ASSIGN(const Observations observations, recall(engine, std::move(loaded), job, graphs, wanted, how, samples));
  for (size_t g = 0; g < parts.size(); ++g) {
    StaticPart& part = *parts[g];
    for (const auto& [v, watch] : part.ranges(how)) part.set_range(v, observations.at({g, v}), how);
    for (auto at = observations.lower_bound({g, 0}); at != observations.end() && at->first.graph == g; ++at)
      if (wanted.at(at->first).channels) part.measured.means.emplace(at->first.value, at->second.channel_means());
  }
  return {};
}

// In both graphs; `load` gives one more of them, which is run.
Status smooth_graphs(const std::shared_ptr<Engine>& engine, QuantizeJob& job, QuantizeJob& twin,
                     const StaticOptions& how, const Samples& samples, FunctionRef<Result<LoadedGraph>()> load) {
  const std::vector<Graph*> graphs = graphs_of(job.graph()), twins = graphs_of(twin.graph());
  std::vector<std::vector<SmoothPlace>> places;
  std::map<PlacedValue, Watch> watched;
  for (Graph* graph : graphs) {
    places.push_back(find_smooth_places(*graph, [&](const Node& node) { return job.refusal(*graph, node).empty(); }));
    for (const SmoothPlace& place : places.back()) watched[{places.size() - 1, place.value}].magnitudes = true;
  }
  if (watched.empty()) return {};
  LINNET_ASSIGN(LoadedGraph loaded, load());
  ObserveOptions observing;
  observing.stop = job.options().stop;
  observing.progress = how.sample_progress;
  LINNET_ASSIGN(const Observations observations, observe(engine, std::move(loaded), watched, samples, observing));
  for (size_t g = 0; g < graphs.size(); ++g) {
    for (Graph* graph : {graphs[g], twins[g]}) {
      for (const SmoothPlace& place : places[g])
        if (const std::vector<float>& seen = observations.at({g, place.value}).magnitudes(); !seen.empty())
          LINNET_TRY(smooth(*graph, place, seen, how.smooth_alpha));
      LINNET_TRY(graph->sort());
    }
  }
  return {};
}

Status equalise_graphs(Graph& whole) {
  for (Graph* graph : graphs_of(whole)) LINNET_TRY(equalise_layers(*graph).status());
  return {};
}

}  // namespace

Result<QuantizeReport> quantize_static(const std::shared_ptr<Engine>& engine, const ModelSource& source,
                                       const QuantizeOptions& options, const StaticOptions& how, const Samples& samples,
                                       const std::filesystem::path& path) {
  LINNET_TRY(check(how));
  LINNET_ASSIGN(const auto job, QuantizeJob::open(source, options, path));
  Graph& graph = job->graph();
  LINNET_TRY(refuse_own_forms(graph));
  LINNET_ASSIGN(auto twin, QuantizeJob::open(source, options, path));  // the same graph: running it takes it apart
  if (how.equalise)
    for (Graph* each : {&graph, &twin->graph()}) LINNET_TRY(equalise_graphs(*each));
  const auto load_again = [&]() -> Result<LoadedGraph> {
    LINNET_ASSIGN(const auto again, QuantizeJob::open(source, options, path));
    if (how.equalise) LINNET_TRY(equalise_graphs(again->graph()));
    return again->take();
  };
  if (how.smooth) LINNET_TRY(smooth_graphs(engine, *job, *twin, how, samples, load_again));

  const std::vector<Graph*> graphs = graphs_of(graph);
  std::vector<std::unique_ptr<StaticPart>> parts;
  std::map<const Graph*, StaticPart*> part_of;
  for (Graph* each : graphs) {
    LINNET_TRY(fold_weights(*job, *each));
    parts.push_back(std::make_unique<StaticPart>(*job, *each, how));
    part_of.emplace(each, parts.back().get());
  }
  LINNET_TRY(measure(engine, twin->take(), *job, parts, graphs, how, samples));
  LINNET_TRY(job->for_each_node(
      "static", [](const Graph&, const Node& node) { return is_static_operator(node); },
      [&](Graph& g, NodeId id, NodeReport& report) { return part_of.at(&g)->writer.rewrite(g, id, report); }));
  return job->write();
}

}  // namespace linnet
