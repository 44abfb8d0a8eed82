// linnet quantize static: weights and activations as integers, by ranges that samples of inputs tell.
#include "commands/command.h"
#include "model_options.h"
#include "quantize/static_quantize.h"
#include "quantize_options.h"
#include "samples.h"
#include "terminal.h"

namespace linnet::cli {
namespace {

struct Arguments : QuantizeArguments {
  std::string calibration, format = "qdq", activation_type = "int8", method = "minmax";
  StaticOptions how;
};

Result<QuantizeReport> quantize(const CLI::App& command, Arguments& arguments) {
  const std::string& method = arguments.method;
  const Use uses[] = {{"--percentile", method == "percentile", "--calibrate-method percentile"},
                      {"--num-bins", method == "entropy", "--calibrate-method entropy"},
                      {"--num-quantized-bins", method == "entropy", "--calibrate-method entropy"},
                      {"--moving-average", method == "minmax", "--calibrate-method minmax"},
                      {"--smooth-quant-alpha", arguments.how.smooth, "--smooth-quant"}};
  LINNET_TRY(refuse_useless(command, uses));
  QuantizeOptions options;
  LINNET_TRY(read_arguments(arguments, options));
  StaticOptions& how = arguments.how;
  how.format = arguments.format == "qdq" ? StaticFormat::qdq : StaticFormat::q_operator;
  how.activation_type = *parse_dtype(arguments.activation_type);
  how.range.method = *parse_calibration(arguments.method);
  how.sample_progress = [](size_t done, size_t total) {
    show_progress(concat("calibrating, sample ", done + 1, " of ", total));
  };
  LINNET_ASSIGN(const Samples samples, find_samples(arguments.calibration));
  if (arguments.only_faster || !arguments.sensitivity.empty()) how.memory = std::make_shared<RememberedValues>();
  const auto engine = std::make_shared<Engine>(arguments.threads);
  return quantize_with(arguments, engine, options, samples,
                       [&](const QuantizeOptions& common, const std::filesystem::path& path) {
                         return quantize_static(engine, {arguments.model, {}, nullptr}, common, how, samples, path);
                       });
}

}  // namespace

void add_quantize_static(CLI::App& app, int& exit_code) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("static", "8-bit weights and activations, by ranges measured on samples");
  add_quantize_options(*command, *arguments);
  add_weight_options(*command, *arguments);
  command
      ->add_option("--calibrate", arguments->calibration,
                   "folder of samples: an .npz archive or a subfolder of tensor files each, or a tensor file each "
                   "where the model has one input")
      ->required();
  command->add_option("--format", arguments->format, "qdq or qoperator")
      ->check(CLI::IsMember({"qdq", "qoperator"}))
      ->capture_default_str();
  command->add_option("--activation-type", arguments->activation_type, "int8, uint8, int16 or uint16")
      ->check(CLI::IsMember({"int8", "uint8", "int16", "uint16"}))
      ->capture_default_str();
  command->add_flag("--activation-symmetric", arguments->how.activation_symmetric, "zero points in the middle");
  command
      ->add_option("--calibrate-method", arguments->method, "how ranges are chosen: minmax, entropy, percentile or mse")
      ->check(CLI::IsMember({"minmax", "entropy", "percentile", "mse"}))
      ->capture_default_str();
  command->add_option("--percentile", arguments->how.range.percentile, "of elements that a range covers")
      ->check(CLI::Range(0.0, 100.0))
      ->capture_default_str();
  command->add_option("--num-bins", arguments->how.range.num_bins, "entropy: bins of the distribution")
      ->check(CLI::Range(2, 8192))
      ->capture_default_str();
  command
      ->add_option("--num-quantized-bins", arguments->how.range.num_quantized_bins,
                   "entropy: bins that they are merged to; a range is narrower only where these are fewer")
      ->check(CLI::Range(2, 8192))
      ->capture_default_str();
  command->add_flag("--moving-average", arguments->how.range.moving_average,
                    "minmax: the mean of the samples' ranges, not their union");
  command->add_flag("--symmetric-range", arguments->how.range.symmetric, "ranges equally far to both sides of zero");
  command->add_flag("--equalise", arguments->how.equalise,
                    "scale weights of Convs behind each other against each other first, so that their channels are "
                    "alike");
  command->add_flag("--smooth-quant", arguments->how.smooth,
                    "make the channels of what MatMul and Gemm read alike first, by their weights");
  command
      ->add_option("--smooth-quant-alpha", arguments->how.smooth_alpha,
                   "how much of the activations' outliers goes into the weights")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command->add_flag_callback(
      "--no-bias-correction", [arguments] { arguments->how.bias_correction = false; },
      "leave biases alone, which otherwise make up for what rounding the weights does to the mean of a result");
  command->footer(
      "Examples:\n  linnet quantize static model.onnx -o model.int8.onnx --calibrate samples/ --calibrate-method "
      "percentile --per-channel\n  linnet quantize static model.onnx -o model.int8.onnx --calibrate samples/ --report "
      "report.html --samples others/ --labels classes.txt");
  command->callback([command, arguments, &exit_code] { exit_code = tell(*arguments, quantize(*command, *arguments)); });
}

}  // namespace linnet::cli
