// linnet quantize: a model with weights, and where wanted arithmetic, of a few bits.
#include <algorithm>
#include <cstdint>
#include <cstdio>

#include "commands/command.h"
#include "model_options.h"
#include "quantize_options.h"
#include "samples.h"
#include "terminal.h"

namespace linnet::cli {

void add_quantize_dynamic(CLI::App& app, int& exit_code) {
  auto arguments = std::make_shared<QuantizeArguments>();
  CLI::App* command = app.add_subcommand("dynamic", "8-bit weights; activations are quantised as they are computed");
  add_quantize_options(*command, *arguments);
  add_weight_options(*command, *arguments);
  command->footer(
      "Examples:\n  linnet quantize dynamic model.onnx -o model.int8.onnx --per-channel --exclude '*/lm_head/*'\n"
      "  linnet quantize dynamic model.onnx -o model.int8.onnx --samples inputs/ --only-faster --report report.html");
  command->callback([arguments, &exit_code] {
    QuantizeOptions options;
    const Status status = read_arguments(*arguments, options);
    const auto scheme = [&](const QuantizeOptions& how, const std::filesystem::path& path) {
      return quantize_dynamic({arguments->model, {}, nullptr}, how, path);
    };
    const auto engine = std::make_shared<Engine>(arguments->threads);
    exit_code = tell(*arguments, status.ok() ? quantize_with(*arguments, engine, options, std::nullopt, scheme)
                                             : Result<QuantizeReport>(status.copy()));
  });
}

void add_quantize_weights(CLI::App& app, int& exit_code) {
  struct Arguments : QuantizeArguments {
    WeightOptions options;
    std::string method = "nearest", calibration;
    size_t calibration_mb = 256;
  };
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("weights", "weights in blocks of few bits; activations stay floats");
  add_quantize_options(*command, *arguments);
  BlockScheme& blocks = arguments->options.blocks;
  command->add_option("--bits", blocks.bits, "of a weight")->check(CLI::IsMember({4, 8}))->capture_default_str();
  command->add_option("--block", blocks.block, "weights that share a scale")
      ->check(CLI::IsMember({16, 32, 64, 128, 256}))
      ->capture_default_str();
  command->add_flag("--asymmetric", arguments->asymmetric, "a zero point for each block");
  command
      ->add_option(
          "--method", arguments->method,
          "nearest; hqq: zero points that suit most weights of a block; gptq: weights make up for each other's "
          "errors, by what the model computes for samples")
      ->check(CLI::IsMember({"nearest", "hqq", "gptq"}))
      ->capture_default_str();
  command->add_option("--calibrate", arguments->calibration,
                      "gptq: folder of samples: an .npz archive or a subfolder of tensor files each, or a tensor file "
                      "each where the model has one input");
  GptqOptions& gptq = arguments->options.gptq;
  command->add_option("--percdamp", gptq.percdamp, "gptq: damping, as a part of the mean square of inputs")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command->add_flag("--actorder", gptq.actorder, "gptq: round the columns with the greatest inputs first");
  command->add_flag_callback(
      "--no-shrinkage", [arguments] { arguments->options.gptq.shrink = false; },
      "gptq: take the samples at their word, however few they are");
  command
      ->add_option("--calibration-memory", arguments->calibration_mb,
                   "gptq: MB for what is kept of the samples; beyond that they are run again")
      ->check(not_negative())
      ->capture_default_str();
  command->add_flag("--mse", blocks.mse,
                    "nearest: ranges narrower than the weights where that has less errors; gptq always has such");
  command->add_flag("--embeddings", arguments->options.embeddings, "tables of embeddings too");
  command->add_option("--accuracy-level", arguments->options.accuracy_level, "4: activations may be rounded to 8 bits")
      ->check(CLI::IsMember({0, 4}))
      ->capture_default_str();
  command->footer(
      "Examples:\n  linnet quantize weights model.onnx -o model.q4.onnx --block 64 --method hqq --embeddings\n"
      "  linnet quantize weights model.onnx -o model.q4.onnx --samples inputs/ --sensitivity 20 --report report.html");
  command->callback([command, arguments, &exit_code] {
    WeightOptions& options = arguments->options;
    options.blocks.symmetric = !arguments->asymmetric;
    const auto quantize = [&]() -> Result<QuantizeReport> {
      const bool by_samples = arguments->method == "gptq";
      const Use uses[] = {{"--calibrate", by_samples, "--method gptq"},
                          {"--percdamp", by_samples, "--method gptq"},
                          {"--actorder", by_samples, "--method gptq"},
                          {"--no-shrinkage", by_samples, "--method gptq"},
                          {"--calibration-memory", by_samples, "--method gptq"},
                          {"--mse", arguments->method != "hqq", "--method nearest or gptq"}};
      LINNET_TRY(refuse_useless(*command, uses));
      LINNET_TRY(read_arguments(*arguments, options));
      if (arguments->method == "hqq") options.blocks.method = BlockMethod::half_quadratic;
      std::optional<Samples> samples;
      if (by_samples) {
        LINNET_REQUIRE(!arguments->calibration.empty(),
                       invalid_argument("--method gptq wants samples of the model's inputs: --calibrate FOLDER"));
        LINNET_ASSIGN(samples, find_samples(arguments->calibration));
        options.blocks.method = BlockMethod::gptq;
        options.samples = &*samples;
        options.gptq.memory = std::min(arguments->calibration_mb, SIZE_MAX >> 20) << 20;
        options.sample_progress = [](size_t done, size_t total) {
          show_progress(concat("calibrating, sample ", done + 1, " of ", total));
        };
      }
      const auto engine = std::make_shared<Engine>(arguments->threads);
      return quantize_with(*arguments, engine, options, samples,
                           [&](const QuantizeOptions& common, const std::filesystem::path& path) {
                             WeightOptions all = options;
                             static_cast<QuantizeOptions&>(all) = common;
                             return quantize_weights(*engine, {arguments->model, {}, nullptr}, all, path);
                           });
    };
    exit_code = tell(*arguments, quantize());
  });
}

void add_quantize(CLI::App& app, int& exit_code) {
  CLI::App* command = app.add_subcommand("quantize", "Write a model in lower precision: dynamic, static or weights");
  command->require_subcommand(0, 1);
  add_quantize_dynamic(*command, exit_code);
  add_quantize_static(*command, exit_code);
  add_quantize_weights(*command, exit_code);
  command->allow_extras();
  command->footer(
      "Example:\n  linnet quantize dynamic model.onnx -o model.int8.onnx\n\nOptions are those of a scheme: linnet "
      "quantize dynamic --help");
  command->callback([command, &exit_code] {
    if (!command->get_subcommands().empty()) return;
    std::fputs(
        "linnet quantize: say how, before the model: dynamic (8-bit weights; needs no samples), static (8-bit weights "
        "and activations, by samples) or weights (4 or 8 bits in blocks; activations stay floats), as in linnet "
        "quantize dynamic model.onnx -o model.int8.onnx\n",
        stderr);
    exit_code = kError;
  });
}

}  // namespace linnet::cli
