// How far quantising moves the values inside a model.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/function_ref.h"
#include "quantize/calibration/observe.h"

namespace linnet {

struct ActivationNoise {
  // The float model, as often as it is asked for.
  FunctionRef<Result<LoadedGraph>()> reference;
  FunctionRef<Result<LoadedGraph>()> quantized;
  std::map<std::string, std::string> values;  // by name in the float model: the name in the quantised one
};

// Signal to noise in decibels, by name, of those that are floats and can be compared on all samples. The models run
// once for so many values that at most some are held at a time, far from each other, so that fusions happen as ever.
Result<std::map<std::string, double>> measure_noise(const std::shared_ptr<Engine>& engine, const ActivationNoise& what,
                                                    const LoadOptions& load, const Samples& samples,
                                                    const ObserveOptions& options);

}  // namespace linnet
