// linnet quantize: a model with weights, and where wanted arithmetic, of a few bits.
#include "commands/command.h"
#include "quantize_options.h"

namespace linnet::cli {

void add_quantize_dynamic(CLI::App& app, int& exit_code) {
  auto arguments = std::make_shared<QuantizeArguments>();
  CLI::App* command = app.add_subcommand("dynamic", "8-bit weights; activations are quantised as they are computed");
  add_quantize_options(*command, *arguments);
  add_weight_options(*command, *arguments);
  command->footer(
      "Example:\n  linnet quantize dynamic model.onnx -o model.int8.onnx --per-channel --exclude '*/lm_head/*'");
  command->callback([arguments, &exit_code] {
    QuantizeOptions options;
    const Status status = read_arguments(*arguments, options);
    exit_code =
        tell(*arguments, status.ok() ? quantize_dynamic({arguments->model, {}, nullptr}, options, arguments->output)
                                     : Result<QuantizeReport>(status.copy()));
  });
}

void add_quantize(CLI::App& app, int& exit_code) {
  CLI::App* command = app.add_subcommand("quantize", "Write a model in lower precision");
  command->require_subcommand(1);
  add_quantize_dynamic(*command, exit_code);
  add_quantize_static(*command, exit_code);
}

}  // namespace linnet::cli
