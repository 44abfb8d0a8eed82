// linnet optimize: a model rewritten into a faster one, as an .onnx file.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "commands/command.h"
#include "inputs.h"
#include "interrupts.h"
#include "model_options.h"
#include "optimize_model.h"
#include "terminal.h"
#include "verify.h"

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

Result<std::pair<std::string, Shape>> named_shape(const std::string& text) {
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
  if (!good) return invalid_argument("--shape wants NAME=SIZExSIZE, as in input=1x3x224x224, not '", text, "'");
  return std::pair(text.substr(0, at), shape);
}

Result<OptimizeModelOptions> read_options(const CLI::App& command, const Options& options) {
  const bool shorter = options.float16 || options.bfloat16;
  const Use uses[] = {{"--keep-float", shorter, "--float16 or --bfloat16"},
                      {"--convert-io", shorter, "--float16 or --bfloat16"},
                      {"--disable-pass", options.level != "none", "a --level that has passes"}};
  LINNET_TRY(refuse_useless(command, uses));
  OptimizeModelOptions to;
  to.load.optimize.level = kLevels.at(options.level);
  to.load.optimize.disabled.insert(options.disabled.begin(), options.disabled.end());
  to.load.optimize.explain = options.explain;
  for (const std::string& text : options.shapes) {
    LINNET_ASSIGN(const auto shape, named_shape(text));
    to.shapes.insert(shape);
  }
  LINNET_TRY(fix_sizes(options.sizes, to.load));
  LINNET_REQUIRE(!options.float16 || !options.bfloat16, invalid_argument("choose one of --float16 and --bfloat16"));
  if (shorter) {
    to.floats.emplace();
    to.floats->to = options.float16 ? DType::f16 : DType::bf16;
    to.floats->keep_io = !options.convert_io;
    to.floats->keep.insert(options.keep.begin(), options.keep.end());
  }
  if (options.external) to.save.external_threshold = options.external_from;
  return to;
}

// ---- telling

Json json_of(const Options& options, const OptimizeModelReport& report, const Verification& verified) {
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
  for (const Agreement& a : verified.agreements)
    json["verified"].push_back({{"output", a.output},
                                {"agrees", a.difference.equal && a.difference.compared},
                                {"compared", a.difference.compared},
                                {"rtol", a.tolerance.rtol},
                                {"atol", a.tolerance.atol},
                                {"max_abs", a.difference.max_abs},
                                {"max_rel", a.difference.max_rel},
                                {"message", a.difference.message}});
  if (!verified.advice.empty()) json["advice"] = verified.advice;
  return json;
}

void print_text(const Options& options, const OptimizeModelReport& report, const Verification& verified) {
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
  for (const Agreement& a : verified.agreements) {
    if (a.difference.equal && !a.difference.compared) {
      std::printf("output '%s' could not be compared: the model gives no finite number for these inputs\n",
                  printable(a.output).c_str());
      continue;
    }
    std::printf("output '%s' %s: max abs %.3g, max rel %.3g; tolerances: %.3g + %.3g of the number%s\n",
                printable(a.output).c_str(), a.difference.equal ? "agrees" : "DIFFERS", a.difference.max_abs,
                a.difference.max_rel, a.tolerance.atol, a.tolerance.rtol,
                a.difference.equal ? "" : printable(": " + a.difference.message).c_str());
  }
  if (verified.nothing_compared()) std::printf("nothing could be compared: give other inputs\n");
  if (!verified.advice.empty()) std::printf("%s\n", printable(verified.advice).c_str());
}

int run(const CLI::App& command, const Options& options) {
  const auto failed = [&](const std::string& what, const Status& status) {
    return report_error("optimize", what, status);
  };
  Result<OptimizeModelOptions> how = read_options(command, options);
  if (!how.ok()) return failed(options.input, how.status());
  VerifyOptions checking{{}, {}, options.inputs, options.rtol, options.atol};
  checking.before.path = options.input;
  checking.after.path = options.output;
  checking.before.threads = checking.after.threads = options.threads;
  checking.before.seed = checking.after.seed = options.seed;
  checking.before.no_optimize = true;
  if (how->floats) checking.floats = how->floats->to;
  Original original;
  // What is wrong with the inputs must not cost the file that the output replaces.
  if (options.verify)
    how->before_writing = [&](const LoadedGraph& rewritten) -> Status {
      checking.stop = &stop_on_interrupt();
      LINNET_ASSIGN(original, run_original(checking, rewritten));
      return {};
    };
  show_progress(concat("optimizing ", options.input));
  const Result<OptimizeModelReport> report = optimize_model({options.input, {}, nullptr}, *how, options.output);
  const auto code = [](const Status& status) { return status.code() == Code::cancelled ? kInterrupted : kError; };
  if (!report.ok()) {
    failed(options.input, report.status());
    return code(report.status());
  }
  Verification verified;
  if (options.verify) {
    show_progress("verifying");
    Result<Verification> result = verify(checking, original);
    if (!result.ok()) {
      failed(options.output, Status(result.status()).within("it is written, but not verified"));
      return code(result.status());
    }
    verified = std::move(*result);
  }
  clear_progress();
  if (options.json) {
    std::printf("%s\n",
                json_of(options, *report, verified).dump(1, ' ', false, Json::error_handler_t::replace).c_str());
  } else {
    print_text(options, *report, verified);
  }
  return verified.agrees() ? kSuccess : kFailed;
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
  CLI::Option* external = command->add_flag("--external-data", options->external,
                                            "keep weights in a file beside the model; those beyond 2 GB always are");
  command
      ->add_option("--external-from", options->external_from,
                   "bytes from which on a weight goes there; with --external-data")
      ->check(not_negative())
      ->needs(external)
      ->capture_default_str();
  CLI::Option* verify = command->add_flag("--verify", options->verify, "run both models and compare");
  add_input_options(*command, options->inputs);
  command
      ->add_option("--rtol", options->rtol,
                   "relative tolerance of --verify; default: by the types that the models compute in")
      ->check(not_negative());
  command->add_option("--atol", options->atol, "absolute tolerance of --verify; default: by the outputs' size")
      ->check(not_negative());
  add_threads(*command, "--threads", options->threads);
  command->add_option("--seed", options->seed, "of random inputs and operators")
      ->check(not_negative())
      ->capture_default_str();
  for (const char* input : kInputOptions) command->get_option(input)->needs(verify);
  for (const char* option : {"--rtol", "--atol", "--threads", "--seed"}) command->get_option(option)->needs(verify);
  command->add_flag("--explain", options->explain,
                    "tell what almost fitted a rewrite and why it did not, and what stays in 32-bit floats");
  command->add_flag("--json", options->json, "print one JSON object");
  command->footer(
      "Examples:\n  linnet optimize model.onnx -o fast.onnx --verify\n  linnet optimize model.onnx -o half.onnx "
      "--float16 --level basic --keep-float Softmax\nExit codes: 0 written, and the outputs agree; 1 they do not, or "
      "nothing could "
      "be compared; 2 an error.");
  command->callback([command, options, &exit_code] { exit_code = run(*command, *options); });
}

}  // namespace linnet::cli
