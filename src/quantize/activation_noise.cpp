#include "quantize/activation_noise.h"

#include <algorithm>
#include <set>

#include "quality/errors.h"

namespace linnet {
namespace {

constexpr size_t kBatch = 32;

// A session that gives these values, and nothing else.
class Probe {
 public:
  static Result<Probe> open(const std::shared_ptr<Engine>& engine, LoadedGraph loaded, const LoadOptions& load,
                            const std::vector<std::string>& names) {
    Graph& graph = *loaded.graph;
    std::map<std::string_view, ValueId> values;
    for (ValueId v = 0; v < graph.value_count(); ++v) values.emplace(graph.value(v).name, v);
    std::vector<GraphPort> ports;
    for (const std::string& name : names) ports.push_back({name, values.at(name)});
    graph.outputs = std::move(ports);
    LINNET_ASSIGN(auto model, load_model(*engine, std::move(loaded), load));
    return Probe(std::make_unique<Session>(engine, std::move(model)));
  }

  const Model& model() const { return session_->model(); }

  Result<std::vector<Value>> run(const std::vector<Value>& inputs, const StopToken* stop) {
    RunOptions options;
    options.stop = stop;
    std::vector<Value> outputs(model().outputs.size());
    LINNET_TRY(session_->run(inputs, outputs, options));
    return outputs;
  }

 private:
  explicit Probe(std::unique_ptr<Session> session) : session_(std::move(session)) {}
  std::unique_ptr<Session> session_;
};

}  // namespace

Result<std::map<std::string, double>> measure_noise(const std::shared_ptr<Engine>& engine, const ActivationNoise& what,
                                                    const LoadOptions& load, const Samples& samples,
                                                    const ObserveOptions& options) {
  const std::vector<std::pair<std::string, std::string>> all(what.values.begin(), what.values.end());
  std::map<std::string, double> found;
  const size_t batches = (all.size() + kBatch - 1) / kBatch;
  for (size_t batch = 0; batch < batches; ++batch) {
    std::vector<std::string> names, others;
    for (size_t i = batch; i < all.size(); i += batches) {
      names.push_back(all[i].first);
      others.push_back(all[i].second);
    }
    LINNET_ASSIGN(LoadedGraph reference, what.reference());
    LINNET_ASSIGN(LoadedGraph quantized, what.quantized());
    LINNET_ASSIGN(Probe a, Probe::open(engine, std::move(reference), load, names));
    LINNET_ASSIGN(Probe b, Probe::open(engine, std::move(quantized), load, others));
    std::vector<FloatErrors> errors(names.size());
    for (size_t i = 0; i < samples.count; ++i) {
      if (options.progress) options.progress(batch * samples.count + i, batches * samples.count);
      LINNET_ASSIGN(const std::vector<Value> inputs, samples.read(i, a.model()));
      LINNET_ASSIGN(const std::vector<Value> expected, a.run(inputs, options.stop));
      LINNET_ASSIGN(const std::vector<Value> actual, b.run(inputs, options.stop));
      for (size_t k = 0; k < errors.size(); ++k) {
        const Tensor &x = expected[k].tensor, &y = actual[k].tensor;
        if (has_float_elements(x) && has_float_elements(y)) {
          errors[k].add(x, y);
        } else {
          errors[k].comparable = false;
        }
      }
    }
    for (size_t k = 0; k < errors.size(); ++k)
      if (errors[k].comparable) found.emplace(names[k], errors[k].snr_db());
  }
  return found;
}

}  // namespace linnet
