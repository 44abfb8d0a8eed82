// Writes models in lower precision: weights as integers and, depending on the scheme, the arithmetic too. What is
// written is a standard model, where needed with operators of com.microsoft, that other runtimes load.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "load.h"
#include "quality/quality.h"
#include "quantize/blocks.h"
#include "quantize/gptq.h"

namespace linnet {

struct Samples;

struct QuantizeOptions {
  // Nodes by name, by operator type, or by pattern ("*" any characters, "?" one); without `include`, all that the
  // scheme knows. A name that is no node's or operator's of the model is an error; any operator may be excluded.
  std::vector<std::string> include, exclude;
  DType weight_type = DType::i8;         // or u8
  std::optional<bool> weight_symmetric;  // without it: int8 is, uint8 is not
  bool per_channel = false;              // a scale for each output channel, not one for a whole weight
  bool reduce_range = false;             // weights of 7 bits, for runtimes whose sums saturate
  LoadOptions load;                      // fixed sizes, external data, disabled passes
  std::function<void(size_t done, size_t total, std::string_view node)> progress;  // called before each node
  const StopToken* stop = nullptr;
  // Why the node whose first output has this name stays as it is, beyond `include` and `exclude`; empty: it need not.
  std::function<std::string(std::string_view output)> leave;
  // Takes the model in place of a file, whose size then stays 0.
  std::function<Status(LoadedGraph)> take;
};

// What became of a node that the scheme knows, or that holds weights which it leaves.
struct NodeReport {
  std::string node;    // its path
  std::string name;    // as `exclude` takes it; its first output's where the model gives none
  std::string result;  // the operator that it became; empty: it stays as it was
  std::string reason;  // why it stays
  std::string note;    // what else there is to know of the result
  // Of its weights: 10 log10(sum of squares / sum of squared errors), infinite when exact; bytes with scales.
  std::optional<double> weight_snr_db;
  uint64_t bytes_before = 0, bytes_after = 0;  // 0 where a node before it had the same weights
  std::string output;                          // the name of its first output
  // What running both models on samples tells (explain.h), where it does.
  std::optional<double> activation_snr_db;  // of its output, all that is quantised before it included
  std::optional<double> milliseconds_before, milliseconds_after;
  std::optional<OutputQuality> alone;  // of the model with no other node quantised: the worst of the outputs
};

// What explaining tells of the whole model.
struct Explanation {
  Quality quality;                                         // beside the model as it was
  double milliseconds_before = 0, milliseconds_after = 0;  // a run, with this many threads
  size_t threads = 0;
  std::vector<std::string> without_numbers;  // names of samples for which the model as it was gives no finite number
  size_t timed_samples = 0, activation_samples = 0, sensitivity_samples = 0;  // of them
};

struct QuantizeReport {
  std::vector<NodeReport> nodes;
  uint64_t bytes_before = 0, bytes_after = 0;  // of the models, external data included
  std::optional<Explanation> explanation;

  size_t quantized() const noexcept;
  std::string to_json() const;
};

// Each reads the model, quantises it and writes the result to `path`, whole or not at all.

// Weights are integers, activations become them as they are computed: MatMul, Gemm, Conv, Attention, LSTM, GRU, and
// tables that Gather reads.
Result<QuantizeReport> quantize_dynamic(const ModelSource& source, const QuantizeOptions& options,
                                        const std::filesystem::path& path);

struct WeightOptions : QuantizeOptions {
  BlockScheme blocks;
  bool embeddings = false;  // tables of embeddings too
  int accuracy_level = 0;   // of MatMulNBits: 4 lets a runtime round activations to 8 bits
  // The method gptq wants samples, on which the model runs as it is. Memory does not depend on their number.
  GptqOptions gptq;
  const Samples* samples = nullptr;                                // calibration/observe.h
  std::function<void(size_t done, size_t total)> sample_progress;  // called before each sample
};

// Weights in blocks of few bits, all arithmetic in floats: MatMul, Gemm and, where asked for, tables that Gather reads.
Result<QuantizeReport> quantize_weights(Engine& engine, const ModelSource& source, const WeightOptions& options,
                                        const std::filesystem::path& path);

}  // namespace linnet
