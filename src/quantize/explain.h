// Quantising with a look at what it does to the model: both are run on samples.
#pragma once

#include "quantize/calibration/observe.h"
#include "quantize/quantize.h"

namespace linnet {

struct ExplainOptions {
  std::vector<int64_t> labels;  // the samples' right answers, if known
  std::string labelled;         // the output that answers; see QualityMeter
  // Nodes that take longer than before stay in floats, as far as that makes the whole faster; the report says so.
  bool only_faster = false;
  // Quantise so many nodes alone, those of the noisiest weights first, and measure the outputs.
  size_t sensitivity = 0;
  std::function<void(std::string_view doing, size_t done, size_t total)> progress;
};

// One of the schemes, with all that the common options do not have.
using Quantizer =
    std::function<Result<QuantizeReport>(const QuantizeOptions& options, const std::filesystem::path& path)>;

// Quantises to `path`, and fills in what the report has for explanations. The outputs are compared on all samples,
// whose number is known; values inside, times and nodes alone are looked at on some of them, as the report says.
// Samples are asked for in any order.
Result<QuantizeReport> quantize_and_explain(const std::shared_ptr<Engine>& engine, const ModelSource& source,
                                            const QuantizeOptions& options, const ExplainOptions& how,
                                            const Samples& samples, const std::filesystem::path& path,
                                            const Quantizer& quantize);

}  // namespace linnet
