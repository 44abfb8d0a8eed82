// What the schemes of `linnet quantize` have in common: their options and how their reports are told.
#pragma once

#include <CLI/CLI.hpp>

#include "quantize/explain.h"

namespace linnet::cli {

struct QuantizeArguments {
  std::string model, output, report;
  std::vector<std::string> include, exclude, sizes;
  std::string weight_type = "int8";
  bool symmetric = false, asymmetric = false, per_channel = false, reduce_range = false, json = false;
  size_t threads = 0;
  std::string samples, labels, label_output, sensitivity;
  bool only_faster = false;
};

// MODEL, --output, the nodes to take, --report and what explains, --json, --threads.
void add_quantize_options(CLI::App& command, QuantizeArguments& arguments);
// The weights' type and how they are scaled.
void add_weight_options(CLI::App& command, QuantizeArguments& arguments);

// A report goes to an .html or .json file in a folder that is there; empty: nowhere.
Status check_report_path(const std::string& path);
// Fills in what `arguments` says; the progress goes to the terminal.
Status read_arguments(const QuantizeArguments& arguments, QuantizeOptions& options);
// Quantises; where the arguments ask for explanations, on `--samples` or else on `samples`, if there are any.
Result<QuantizeReport> quantize_with(const QuantizeArguments& arguments, const std::shared_ptr<Engine>& engine,
                                     const QuantizeOptions& options, std::optional<Samples> samples,
                                     const Quantizer& scheme);
// Tells the report, or the error. Returns the exit code.
int tell(const QuantizeArguments& arguments, const Result<QuantizeReport>& report);

// The schemes.
void add_quantize_dynamic(CLI::App& app, int& exit_code);
void add_quantize_static(CLI::App& app, int& exit_code);
void add_quantize_weights(CLI::App& app, int& exit_code);

}  // namespace linnet::cli
