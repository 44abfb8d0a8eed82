#include "quantize/calibration/observe.h"

#include <cstring>

#include "ops/op.h"

namespace linnet {
namespace {

// Passes a value on and shows it to an observer.
struct ObserveDef : OpDef {
  std::vector<Observer*> observers;
};

class Observe final : public Op {
 public:
  Status parse(NodeReader& reader) {
    def_ = std::static_pointer_cast<const ObserveDef>(reader.custom());
    observer_ = def_->observers[static_cast<size_t>(reader.integer("observer", 0))];
    return {};
  }
  Status infer(InferContext& context) const override {
    context.set_info(0, context.info(0));
    return {};
  }
  bool can_overwrite(size_t, size_t) const override { return true; }
  Status run(RunContext& context) const override {
    const Tensor& in = context.in(0);
    observer_->add(in.as<float>());
    if (in.bytes() != 0 && context.out(0).data != in.data) std::memcpy(context.out(0).data, in.data, in.bytes());
    return {};
  }

 private:
  std::shared_ptr<const ObserveDef> def_;
  Observer* observer_ = nullptr;
};

std::shared_ptr<ObserveDef> observe_def() {
  auto def = std::make_shared<ObserveDef>();
  static_cast<OpDef&>(*def) = {"linnet.calibration",    "Observe", 1, 1, 1, 1, 1, create<Observe>,
                               OpDef::kNonDeterministic};
  return def;
}

}  // namespace

Result<Observations> observe(const std::shared_ptr<Engine>& engine, LoadedGraph loaded, std::span<const ValueId> values,
                             const Samples& samples, const ObserveOptions& options) {
  LINNET_REQUIRE(samples.count != 0, invalid_argument("there is no calibration data: no sample was found"));
  Observations observations;
  const std::shared_ptr<ObserveDef> def = observe_def();
  Graph& graph = *loaded.graph;
  for (const ValueId v : values) {
    const auto [at, added] = observations.emplace(v, Observer(options.histograms));
    if (!added) continue;
    Node node;
    node.domain = def->domain;
    node.op_type = def->name;
    node.version = 1;
    node.custom = def;
    node.set("observer", static_cast<int64_t>(def->observers.size()));
    node.outputs = {graph.add_value(concat(graph.value(v).name, "_observed"), graph.value(v).info)};
    const ValueId observed = node.outputs[0];
    def->observers.push_back(&at->second);
    graph.replace_uses(v, observed);
    node.inputs = {v};
    graph.add_node(std::move(node));
  }
  LINNET_TRY(graph.sort());

  LoadOptions load;
  load.optimize.level = OptimizationLevel::none;
  LINNET_ASSIGN(const auto model, load_model(*engine, std::move(loaded), load));
  Session session(engine, model);
  RunOptions run;
  run.stop = options.stop;
  std::vector<Value> outputs(model->outputs.size());
  for (size_t i = 0; i < samples.count; ++i) {
    if (options.progress) options.progress(i, samples.count);
    LINNET_ASSIGN(const std::vector<Value> inputs, samples.read(i, *model));
    LINNET_TRY(session.run(inputs, outputs, run));
    for (Value& output : outputs) output = Value();
  }
  return observations;
}

}  // namespace linnet
