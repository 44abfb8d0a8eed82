// How long the steps of two models take on the same samples.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "quantize/node_names.h"
#include "run/session.h"

namespace linnet {

struct StepTimes {
  double milliseconds = 0;                         // a run
  std::map<std::string, double, std::less<>> own;  // of it by step's path without its operator, without inner steps
};

struct StepTimesOfBoth {
  StepTimes first, second;
};

// Medians of rounds in which both models run each sample; a run is the mean over the samples.
Result<StepTimesOfBoth> time_steps(Session& first, Session& second, std::span<const std::vector<Value>> samples,
                                   const StopToken* stop);

}  // namespace linnet
