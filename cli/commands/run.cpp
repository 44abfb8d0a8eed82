// linnet run: one run of a model, its outputs printed or saved.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "commands/command.h"
#include "inputs.h"
#include "model_options.h"
#include "print_value.h"
#include "size_advice.h"
#include "terminal.h"
#include "value_file.h"

namespace linnet::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

struct Options {
  ModelOptions model;
  InputOptions inputs;
  std::vector<std::string> outputs;
  std::string save_outputs;
  double timeout_ms = 0;
  bool json = false;
};

struct Output {
  std::string name;
  Value value;
};

std::string quoted(const std::string& text) { return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace); }

Status save(const fs::path& folder, const std::vector<Output>& outputs) {
  std::error_code failed;
  fs::create_directories(folder, failed);
  LINNET_REQUIRE(!failed, error(Code::io, "cannot create folder '", folder.string(), "': ", failed.message()));
  std::set<fs::path> written;
  for (const Output& output : outputs) {
    const fs::path path = value_path(folder, output.name, output.value);
    LINNET_REQUIRE(written.insert(path).second, invalid_argument("two outputs would be saved as ", path.string(),
                                                                 "; save one at a time with --output"));
    LINNET_TRY(write_value_file(path, output.name, output.value));
  }
  return {};
}

Status print_json(const Model& model, const Inputs& inputs, const std::vector<Output>& outputs, double milliseconds) {
  std::string out = concat("{\"milliseconds\":", fixed(milliseconds, 3), ",\"inputs\":[");
  for (size_t i = 0; i < inputs.values.size(); ++i)
    out += concat(i ? "," : "", "{\"name\":", quoted(model.inputs[i].name), ",\"type\":\"", type_text(inputs.values[i]),
                  "\",\"source\":", quoted(inputs.sources[i]), "}");
  out += "],\"outputs\":[";
  for (size_t k = 0; k < outputs.size(); ++k) {
    Result<std::string> text = json_text(outputs[k].value);
    if (!text.ok()) return std::move(text).status().within(concat("output '", outputs[k].name, "'"));
    out += concat(k ? "," : "", "{\"name\":", quoted(outputs[k].name), ",", std::string_view(*text).substr(1));
  }
  std::printf("%s]}\n", out.c_str());
  return {};
}

void print_text(const Model& model, const Inputs& inputs, const std::vector<Output>& outputs, double milliseconds) {
  std::vector<std::vector<std::string>> rows;
  for (size_t i = 0; i < inputs.values.size(); ++i)
    rows.push_back({printable(model.inputs[i].name), type_text(inputs.values[i]), printable(inputs.sources[i])});
  std::printf("inputs\n%s", table(rows).c_str());
  rows.clear();
  for (const Output& output : outputs)
    rows.push_back({printable(output.name), type_text(output.value), summary(output.value)});
  std::printf("outputs, after %s ms\n%s", ms_text(milliseconds).c_str(), table(rows).c_str());
}

Status run_model(const Options& options) {
  LINNET_ASSIGN(const std::unique_ptr<Session> session, open_session(options.model, options.outputs));
  const Model& model = session->model();
  LINNET_ASSIGN(const Inputs inputs,
                make_inputs(model.inputs, *model.program->symbols, options.inputs, options.model.seed));
  RunOptions run;
  for (const Model::Port& port : model.outputs)
    run.wanted.push_back(options.outputs.empty() ||
                         std::count(options.outputs.begin(), options.outputs.end(), port.name) != 0);
  std::vector<Value> values(model.outputs.size());
  const auto begin = StopToken::Clock::now();
  if (options.timeout_ms > 0)
    run.deadline = begin + std::chrono::microseconds(static_cast<int64_t>(std::min(options.timeout_ms, 1e12) * 1e3));
  LINNET_TRY(explain(session->run(inputs.values, values, run), inputs, &model));
  const std::chrono::duration<double, std::milli> spent = StopToken::Clock::now() - begin;

  std::vector<Output> outputs;
  for (size_t k = 0; k < values.size(); ++k)
    if (run.wanted[k]) outputs.push_back({model.outputs[k].name, std::move(values[k])});
  if (!options.save_outputs.empty()) LINNET_TRY(save(options.save_outputs, outputs));
  if (options.json) return print_json(model, inputs, outputs, spent.count());
  print_text(model, inputs, outputs, spent.count());
  return {};
}

}  // namespace

void add_run(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("run", "Run a model once and show its outputs");
  add_model_options(*command, options->model);
  add_input_options(*command, options->inputs);
  add_repeatable(*command, "--output", options->outputs, "compute this output only, or this inner value");
  command->add_option("--save-outputs", options->save_outputs,
                      "folder to write one .npy per output to (.pb for sequences and maps)");
  command->add_option("--timeout", options->timeout_ms, "give up after this many milliseconds")->check(positive());
  command->add_flag("--json", options->json, "print one JSON object with every element");
  command->footer(
      "Examples:\n"
      "  linnet run model.onnx --input image=photo.png --save-outputs out\n"
      "  linnet run model.onnx --size batch=4 --output /encoder/Add_output_0");
  command->callback([options, &exit_code] {
    const Status status = run_model(*options);
    exit_code = status.ok() ? kSuccess : report_error("run", options->model.path, status);
  });
}

}  // namespace linnet::cli
