// Runs a model over samples and looks at values inside it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "load.h"
#include "quantize/calibration/observer.h"

namespace linnet {

// Read one at a time, so that memory does not depend on their number.
struct Samples {
  static constexpr size_t kUnknown = SIZE_MAX;
  size_t count = 0;                               // kUnknown: until `read` gives no inputs
  std::function<std::string(size_t index)> name;  // for messages
  // The model's inputs by position. Called in order, from 0 again for each time that all samples are needed.
  std::function<Result<std::vector<Value>>(size_t index, const Model& model)> read;
};

// What to learn of a value beside its least and greatest elements.
struct Watch {
  bool histogram = false;
  bool channels = false;    // the means along axis 1
  bool magnitudes = false;  // those along the last axis
  bool products = false;    // of the channels along the last axis with each other
};

struct ObserveOptions {
  const StopToken* stop = nullptr;
  std::function<void(size_t done, size_t total)> progress;
};

// The graph and the bodies inside it, each behind the one that it is in. As long as no node with a body goes.
std::vector<Graph*> graphs_of(Graph& graph);

// A value of one of a model's graphs, whose number is that in graphs_of.
struct PlacedValue {
  size_t graph = 0;
  ValueId value = kNoValue;
  auto operator<=>(const PlacedValue&) const = default;
};

using Observations = std::map<PlacedValue, Observer>;

// Observers of values of floats of any width, which may be inputs and outputs; of values in a body each time that it
// runs. The graph runs without any rewrite.
Result<Observations> observe(const std::shared_ptr<Engine>& engine, LoadedGraph loaded,
                             const std::map<PlacedValue, Watch>& values, const Samples& samples,
                             const ObserveOptions& options);

}  // namespace linnet
