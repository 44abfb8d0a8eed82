// Samples of a model's inputs that a caller's functions give, or that a task asks for.
#pragma once

#include "c_api/task.h"
#include "quantize/calibration/observe.h"

namespace linnet::c_api {

// As linnet_quantize_options has them. `may_post`: a task asks for them by messages where there is neither function;
// `calibration`: they are those that linnet_tune_options has beside the ones to judge by.
struct SampleFunctions {
  size_t count = 0;
  decltype(linnet_quantize_options::sample) sample = nullptr;
  decltype(linnet_quantize_options::next) next = nullptr;
  void* user = nullptr;
  bool may_post = true, calibration = false;
};

// None where nobody gives any. `task`: NULL for a call that is carried out at once; it must live as long as the
// samples.
Result<Samples> samples_of(const SampleFunctions& functions, SharedTask* task);

// The same for the model, in memory where their number is not known: they can be read in any order then. Before each
// that is read `stop`, which may be NULL, is looked at, and tell(index) is called.
Result<Samples> with_known_count(Samples samples, const ModelSource& source, const LoadOptions& load,
                                 const StopToken* stop, FunctionRef<void(size_t)> tell);

Result<std::vector<int64_t>> labels_of(const int64_t* labels, size_t count);

}  // namespace linnet::c_api
