// linnet optimize: a model rewritten into a faster one, as an .onnx file.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "commands/command.h"
#include "compare.h"
#include "inputs.h"
#include "model_options.h"
#include "optimize_model.h"
#include "terminal.h"

namespace linnet::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  std::string input, output, level = "extended";
  std::vector<std::string> disabled, shapes, sizes, keep;
  bool float16 = false, bfloat16 = false, convert_io = false, external = false;
  size_t external_from = 1024;
  bool verify = false, explain = false, json = false;
  double rtol = -1, atol = -1;
  size_t threads = 0;
  uint64_t seed = 0;
  InputOptions inputs;
};

const std::map<std::string, OptimizationLevel> kLevels = {{"none", OptimizationLevel::none},
                                                          {"basic", OptimizationLevel::basic},
                                                          {"extended", OptimizationLevel::extended},
                                                          {"all", OptimizationLevel::all}};

Result<std::pair<std::string, Shape>> named_shape(const std::string& option, const std::string& text) {
  const size_t at = text.rfind('=');
  Shape shape;
  bool good = at != std::string::npos && at > 0;
  for (size_t begin = at + 1; good && begin <= text.size();) {
    const size_t end = std::min(text.find('x', begin), text.size());
    const std::string size = text.substr(begin, end - begin);
    good = !size.empty() && size.size() < 19 && size.find_first_not_of("0123456789") == std::string::npos;
    if (good) shape.push_back(std::stoll(size));
    begin = end + 1;
  }
  if (!good) return invalid_argument(option, " wants NAME=SIZE, or NAME=SIZExSIZE for a shape, not '", text, "'");
  return std::pair(text.substr(0, at), shape);
}

Result<OptimizeModelOptions> read_options(const Options& options) {
  OptimizeModelOptions to;
  to.load.optimize.level = kLevels.at(options.level);
  to.load.optimize.disabled.insert(options.disabled.begin(), options.disabled.end());
  to.load.optimize.explain = options.explain;
  for (const std::string& text : options.shapes) {
    LINNET_ASSIGN(const auto shape, named_shape("--shape", text));
    to.shapes.insert(shape);
  }
  for (const std::string& text : options.sizes) {
    LINNET_ASSIGN(const auto size, named_shape("--dim", text));
    LINNET_REQUIRE(size.second.rank() == 1, invalid_argument("--dim wants NAME=SIZE, not '", text, "'"));
    to.load.fixed_sizes[size.first] = size.second[0];
  }
  LINNET_REQUIRE(!options.float16 || !options.bfloat16, invalid_argument("choose one of --float16 and --bfloat16"));
  if (options.float16 || options.bfloat16) {
    to.floats.emplace();
    to.floats->to = options.float16 ? DType::f16 : DType::bf16;
    to.floats->keep_io = !options.convert_io;
    to.floats->keep.insert(options.keep.begin(), options.keep.end());
  }
  if (options.external) to.save.external_threshold = options.external_from;
  return to;
}

// ---- verifying

struct Agreement {
  std::string output;
  Difference difference;
};

// The same numbers in a type of floats.
Result<Value> as_type(const Value& value, DType type) {
  if (!value.is_tensor() || value.tensor.dtype == type || !is_float(value.tensor.dtype) || !is_float(type))
    return value;
  LINNET_ASSIGN(Tensor out, make_tensor(type, value.tensor.shape));
  for (int64_t i = 0; i < out.count(); ++i) {
    const auto number = static_cast<float>(number_at(value.tensor, i));
    if (type == DType::f16) out.ptr<f16>()[i] = f16(number);
    if (type == DType::bf16) out.ptr<bf16>()[i] = bf16(number);
    if (type == DType::f32) out.ptr<float>()[i] = number;
    if (type == DType::f64) out.ptr<double>()[i] = number_at(value.tensor, i);
  }
  return Value(std::move(out));
}

double greatest(const Value& value) {
  double most = 0;
  if (value.is_tensor() && is_float(value.tensor.dtype))
    for (int64_t i = 0; i < value.tensor.count(); ++i)
      if (const double number = std::fabs(number_at(value.tensor, i)); std::isfinite(number))
        most = std::max(most, number);
  return most;
}

// Runs the model as it was, without any rewrite, and what became of it, as it is loaded by default.
Result<std::vector<Agreement>> verify(const Options& options) {
  ModelOptions before, after;
  before.path = options.input;
  after.path = options.output;
  before.threads = after.threads = options.threads;
  before.seed = after.seed = options.seed;
  before.no_optimize = true;
  LINNET_ASSIGN(const std::unique_ptr<Session> original, open_session(before));
  LINNET_ASSIGN(const std::unique_ptr<Session> optimized, open_session(after));
  const Model& model = optimized->model();
  // Sizes that were fixed are in the optimized model's inputs, the types in the original's.
  std::vector<Model::Port> ports = model.inputs;
  LINNET_REQUIRE(
      ports.size() == original->model().inputs.size() && model.outputs.size() == original->model().outputs.size(),
      error(Code::internal, "the models have different inputs or outputs"));
  for (size_t i = 0; i < ports.size(); ++i) ports[i].info.dtype = original->model().inputs[i].info.dtype;
  LINNET_ASSIGN(Inputs inputs, make_inputs(ports, *model.program->symbols, options.inputs, options.seed));
  std::vector<Value> expected(model.outputs.size()), actual(model.outputs.size());
  LINNET_TRY(explain(original->run(inputs.values, expected), inputs));
  for (size_t i = 0; i < ports.size(); ++i) {
    LINNET_ASSIGN(inputs.values[i], as_type(inputs.values[i], model.inputs[i].info.dtype));
  }
  LINNET_TRY(explain(optimized->run(inputs.values, actual), inputs));
  const double loose = options.float16 ? 1e-2 : options.bfloat16 ? 5e-2 : 1e-3;
  std::vector<Agreement> agreements;
  for (size_t o = 0; o < expected.size(); ++o) {
    LINNET_ASSIGN(const Value value, as_type(actual[o], expected[o].tensor.dtype));
    const double rtol = options.rtol >= 0 ? options.rtol : loose;
    const double relative = options.float16 || options.bfloat16 ? loose : 1e-4;
    const double atol = options.atol >= 0 ? options.atol : std::max(1e-6, relative * greatest(expected[o]));
    agreements.push_back({model.outputs[o].name, compare(value, expected[o], rtol, atol)});
  }
  return agreements;
}

// ---- telling

Json json_of(const Options& options, const OptimizeModelReport& report, const std::vector<Agreement>& agreements) {
  Json json{{"level", options.level},
            {"output", options.output},
            {"nodes", {{"before", report.nodes_before}, {"after", report.nodes_after}}},
            {"bytes", {{"before", report.bytes_before}, {"after", report.bytes_after}}},
            {"passes", Json::array()}};
  for (const PassReport& pass : report.passes) {
    Json entry{{"pass", pass.pass}, {"changes", pass.changes}, {"ms", pass.milliseconds}};
    if (options.explain) entry["near_misses"] = Json::array();
    for (const NearMiss& miss : pass.misses)
      entry["near_misses"].push_back({{"node", miss.node}, {"reason", miss.reason}});
    json["passes"].push_back(std::move(entry));
  }
  if (options.float16 || options.bfloat16)
    json["floats"] = {{"type", options.float16 ? "float16" : "bfloat16"},
                      {"constants", report.floats.constants},
                      {"casts", report.floats.casts},
                      {"kept", report.floats.kept}};
  if (options.verify) json["verified"] = Json::array();
  for (const Agreement& a : agreements)
    json["verified"].push_back({{"output", a.output},
                                {"agrees", a.difference.equal},
                                {"max_abs", a.difference.max_abs},
                                {"max_rel", a.difference.max_rel},
                                {"message", a.difference.message}});
  return json;
}

void print_text(const Options& options, const OptimizeModelReport& report, const std::vector<Agreement>& agreements) {
  std::vector<std::vector<std::string>> rows;
  for (const PassReport& pass : report.passes)
    if (pass.changes != 0)
      rows.push_back({pass.pass, concat(pass.changes, pass.changes == 1 ? " change" : " changes"),
                      fixed(pass.milliseconds, 1) + " ms"});
  std::printf("%s", table(rows, {false, true, true}).c_str());
  for (const PassReport& pass : report.passes)
    for (const NearMiss& miss : pass.misses)
      std::printf("  %s left %s: %s\n", pass.pass.c_str(), printable(miss.node).c_str(),
                  printable(miss.reason).c_str());
  if (options.float16 || options.bfloat16)
    std::printf("%s: %zu constants converted, %zu casts, %zu nodes stay in float\n",
                options.float16 ? "float16" : "bfloat16", report.floats.constants, report.floats.casts,
                report.floats.kept.size());
  if (options.explain)
    for (const std::string& node : report.floats.kept) std::printf("  stays in float: %s\n", printable(node).c_str());
  std::printf("%zu nodes became %zu, %s became %s: %s\n", report.nodes_before, report.nodes_after,
              bytes_text(report.bytes_before).c_str(), bytes_text(report.bytes_after).c_str(),
              printable(options.output).c_str());
  for (const Agreement& a : agreements)
    std::printf("output '%s' %s: max abs %.3g, max rel %.3g%s\n", printable(a.output).c_str(),
                a.difference.equal ? "agrees" : "DIFFERS", a.difference.max_abs, a.difference.max_rel,
                a.difference.equal ? "" : printable(": " + a.difference.message).c_str());
}

int run(const Options& options) {
  const auto failed = [&](const std::string& what, const Status& status) {
    return report_error("optimize", what, status);
  };
  const Result<OptimizeModelOptions> how = read_options(options);
  if (!how.ok()) return failed(options.input, how.status());
  show_progress(concat("optimizing ", options.input));
  const Result<OptimizeModelReport> report = optimize_model({options.input, {}, nullptr}, *how, options.output);
  if (!report.ok()) return failed(options.input, report.status());
  std::vector<Agreement> agreements;
  if (options.verify) {
    show_progress("verifying");
    Result<std::vector<Agreement>> verified = verify(options);
    if (!verified.ok()) return failed(options.output, std::move(verified).status().within("verifying"));
    agreements = std::move(*verified);
  }
  clear_progress();
  if (options.json) {
    std::printf("%s\n",
                json_of(options, *report, agreements).dump(1, ' ', false, Json::error_handler_t::replace).c_str());
  } else {
    print_text(options, *report, agreements);
  }
  const bool agree =
      std::all_of(agreements.begin(), agreements.end(), [](const Agreement& a) { return a.difference.equal; });
  return agree ? kSuccess : kFailed;
}

}  // namespace

void add_optimize(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("optimize", "Rewrite a model into a faster one, as an .onnx file");
  command->add_option("MODEL", options->input, "an .onnx file")->required();
  command->add_option("-o,--output", options->output, "the file to write")->required();
  command
      ->add_option("--level", options->level,
                   "none; basic: standard operators only; extended: and com.microsoft's; all: for Linnet alone")
      ->check(CLI::IsMember({"none", "basic", "extended", "all"}))
      ->capture_default_str();
  add_repeatable(*command, "--disable-pass", options->disabled,
                 "leave out a rewrite, by name (see `linnet inspect --passes`)");
  add_repeatable(*command, "--shape", options->shapes, "fix an input's shape, as in --shape input=1x3x224x224");
  add_repeatable(*command, "--dim", options->sizes, "fix a size by its name, as in --dim batch=1");
  command->add_flag("--float16", options->float16, "turn 32-bit floats into 16-bit ones");
  command->add_flag("--bfloat16", options->bfloat16, "the same with the range of 32 bits and fewer digits");
  add_repeatable(*command, "--keep-float", options->keep, "an operator, or a node by name, that computes in 32 bits");
  command->add_flag("--convert-io", options->convert_io, "inputs and outputs become 16-bit floats, too");
  command->add_flag("--external-data", options->external,
                    "keep weights in a file beside the model; those beyond 2 GB always are");
  command->add_option("--external-from", options->external_from, "bytes from which on a weight goes there")
      ->capture_default_str();
  command->add_flag("--verify", options->verify, "run both models and compare");
  add_input_options(*command, options->inputs);
  command->add_option("--rtol", options->rtol, "relative tolerance of --verify; default: by the type of floats");
  command->add_option("--atol", options->atol, "absolute tolerance of --verify; default: by the outputs' size");
  add_threads(*command, "--threads", options->threads);
  command->add_option("--seed", options->seed, "of random inputs and operators")->capture_default_str();
  command->add_flag("--explain", options->explain,
                    "tell what almost fitted a rewrite and why it did not, and what stays in 32-bit floats");
  command->add_flag("--json", options->json, "print one JSON object");
  command->footer(
      "Examples:\n  linnet optimize model.onnx -o fast.onnx --verify\n  linnet optimize model.onnx -o half.onnx "
      "--float16 --keep-float Softmax\nExit codes: 0 written, and the outputs agree; 1 they do not; 2 an error.");
  command->callback([options, &exit_code] { exit_code = run(*options); });
}

}  // namespace linnet::cli
