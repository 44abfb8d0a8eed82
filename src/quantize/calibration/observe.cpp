#include "quantize/calibration/observe.h"

#include <cstring>

#include "ops/op.h"
#include "quantize/weight.h"

namespace linnet {
namespace {

// Passes a value on and shows it to an observer.
struct ObserveDef : OpDef {
  std::vector<std::pair<Observer*, Watch>> observers;
};

class Observe final : public Op {
 public:
  Status parse(NodeReader& reader) {
    def_ = std::static_pointer_cast<const ObserveDef>(reader.custom());
    watched_ = def_->observers[static_cast<size_t>(reader.integer("observer", 0))];
    return {};
  }
  Status infer(InferContext& context) const override {
    context.set_info(0, context.info(0));
    return {};
  }
  bool can_overwrite(size_t, size_t) const override { return true; }
  Status run(RunContext& context) const override {
    const Tensor& in = context.in(0);
    const auto& [observer, watch] = watched_;
    LINNET_ASSIGN(const Tensor floats, as_float(in));
    const auto elements = floats.as<float>();
    observer->add(elements);
    if (watch.channels && in.shape.rank() >= 2)
      observer->add_channels(elements, static_cast<size_t>(in.shape[1]),
                             static_cast<size_t>(in.shape.count(2, in.shape.rank())));
    if (in.shape.rank() != 0) {
      const auto width = static_cast<size_t>(in.shape.back());
      if (watch.magnitudes) observer->add_magnitudes(elements, width);
      if (watch.products) observer->products().add(elements, width, context.parallel);
    }
    if (in.bytes() != 0 && context.out(0).data != in.data) std::memcpy(context.out(0).data, in.data, in.bytes());
    return {};
  }

 private:
  std::shared_ptr<const ObserveDef> def_;
  std::pair<Observer*, Watch> watched_;
};

Status no_samples() { return invalid_argument("there is no calibration data: no sample was found"); }

void add_graphs(Graph& graph, std::vector<Graph*>& to) {
  to.push_back(&graph);
  for (const NodeId id : graph.order())
    for (const auto& body : subgraphs_of(graph.node(id))) add_graphs(*body, to);
}

std::shared_ptr<ObserveDef> observe_def() {
  auto def = std::make_shared<ObserveDef>();
  static_cast<OpDef&>(*def) = {"linnet.calibration",    "Observe", 1, 1, 1, 1, 1, create<Observe>,
                               OpDef::kNonDeterministic};
  return def;
}

}  // namespace

std::vector<Graph*> graphs_of(Graph& graph) {
  std::vector<Graph*> graphs;
  add_graphs(graph, graphs);
  return graphs;
}

Result<Observations> observe(const std::shared_ptr<Engine>& engine, LoadedGraph loaded,
                             const std::map<PlacedValue, Watch>& values, const Samples& samples,
                             const ObserveOptions& options) {
  LINNET_REQUIRE(samples.count != 0, no_samples());
  Observations observations;
  const std::shared_ptr<ObserveDef> def = observe_def();
  const std::vector<Graph*> graphs = graphs_of(*loaded.graph);
  for (const auto& [place, watch] : values) {
    Graph& graph = *graphs[place.graph];
    const ValueId v = place.value;
    const auto at = observations.emplace(place, Observer(watch.histogram)).first;
    Node node;
    node.domain = def->domain;
    node.op_type = def->name;
    node.version = 1;
    node.custom = def;
    node.set("observer", static_cast<int64_t>(def->observers.size()));
    node.outputs = {graph.add_value(concat(graph.value(v).name, "_observed"), graph.value(v).info)};
    const ValueId observed = node.outputs[0];
    def->observers.emplace_back(&at->second, watch);
    graph.replace_uses(v, observed);
    node.inputs = {v};
    graph.add_node(std::move(node));
  }
  for (Graph* graph : graphs) LINNET_TRY(graph->sort());

  LoadOptions load;
  load.optimize.level = OptimizationLevel::none;
  LINNET_ASSIGN(const auto model, load_model(*engine, std::move(loaded), load));
  Session session(engine, model);
  RunOptions run;
  run.stop = options.stop;
  std::vector<Value> outputs(model->outputs.size());
  for (size_t i = 0; i < samples.count; ++i) {
    const bool known = samples.count != Samples::kUnknown;
    if (options.progress) options.progress(i, known ? samples.count : 0);
    const Result<std::vector<Value>> inputs = samples.read(i, *model);
    if (!known && inputs.ok() && inputs->empty()) {
      LINNET_REQUIRE(i != 0, no_samples());
      break;
    }
    Status status = inputs.ok() ? session.run(*inputs, outputs, run) : inputs.status();
    if (!status.ok()) return std::move(status).within(samples.name(i));
    for (Value& output : outputs) output = Value();
  }
  return observations;
}

}  // namespace linnet
