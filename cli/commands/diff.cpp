// linnet diff: the values inside two models, or inside one at two settings, on the same inputs.
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "commands/command.h"
#include "compare.h"
#include "inner_values.h"
#include "inputs.h"
#include "model_options.h"
#include "print_value.h"
#include "size_advice.h"
#include "terminal.h"

namespace linnet::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  ModelOptions a, b;
  InputOptions inputs;
  double rtol = -1, atol = -1;  // below 0: by the types of floats
  bool json = false, verbose = false;
};

struct Compared {
  std::string name, node;
  bool output = false;  // compared in models without further outputs
  Difference difference;
};

class Comparison {
 public:
  explicit Comparison(const Options& options) : options_(options) {}

  Result<std::vector<Compared>> run() {
    LINNET_ASSIGN(const InnerValues in_a, in(options_.a, inner_values(options_.a)));
    LINNET_ASSIGN(const InnerValues in_b, in(options_.b, inner_values(options_.b)));
    if (in_a.floats != in_b.floats) floats_ = in_a.floats == DType::f32 ? in_b.floats : in_a.floats;
    const std::vector<InnerValue> common = common_values(in_a, in_b);

    LINNET_TRY(make_first_inputs());
    LINNET_TRY(compare_batch({}));
    // Every n-th value of the graph, so that values of one batch are far apart and most rewrites happen as ever.
    const size_t batches = (common.size() + kInnerBatch - 1) / kInnerBatch;
    for (size_t batch = 0; batch < batches; ++batch) {
      show_progress(concat("comparing, ", batch * kInnerBatch, " of ", common.size(), " values"));
      std::vector<InnerValue> chosen;
      for (size_t i = batch; i < common.size(); i += batches) chosen.push_back(common[i]);
      LINNET_TRY(compare_batch(chosen));
    }
    clear_progress();
    LINNET_REQUIRE(!compared_.empty(), invalid_argument("the models have no value of the same name"));
    std::map<std::string, size_t> order;
    for (size_t i = 0; i < common.size(); ++i) order.emplace(common[i].name, i);
    const auto rank = [&](const Compared& c) {
      const auto at = order.find(c.name);
      return c.output || at == order.end() ? common.size() : at->second;
    };
    std::stable_sort(compared_.begin(), compared_.end(),
                     [&](const Compared& x, const Compared& y) { return rank(x) < rank(y); });
    return std::move(compared_);
  }

 private:
  template <class T>
  static Result<T> in(const ModelOptions& side, Result<T> result) {
    if (!result.ok()) return std::move(result).status().within(side.path);
    return result;
  }

  Status make_first_inputs() {
    LINNET_ASSIGN(const std::unique_ptr<Session> session, in(options_.a, open_session(options_.a)));
    const Model& model = session->model();
    LINNET_ASSIGN(made_,
                  in(options_.a, make_inputs(model.inputs, *model.program->symbols, options_.inputs, options_.a.seed)));
    for (size_t i = 0; i < model.inputs.size(); ++i) inputs_[model.inputs[i].name] = made_.values[i];
    return {};
  }

  // The models' own outputs when `extra` is empty.
  Status compare_batch(const std::vector<InnerValue>& extra) {
    std::vector<std::string> names;
    std::map<std::string, std::string> paths;
    for (const InnerValue& value : extra) {
      names.push_back(value.name);
      paths[value.name] = value.path;
    }
    auto a = run_for(options_.a, names, inputs_);
    if (!a.ok()) return explain(std::move(a).status(), made_, nullptr).within(options_.a.path);
    auto b = run_for(options_.b, names, inputs_);
    if (!b.ok()) return explain(std::move(b).status(), made_, nullptr).within(options_.b.path);
    for (const auto& [name, value] : *a)
      if (const auto other = b->find(name); other != b->end())
        compared_.push_back({name, paths[name], extra.empty(), compare(other->second, value, tolerance(value))});
    return {};
  }

  // Where one model has shorter floats than the other, as far apart as those round.
  Tolerance tolerance(const Value& expected) const {
    Tolerance t{1e-3, 1e-5, true};
    if (floats_ != DType::f32) {
      t.rtol = rounding_of(floats_);
      t.atol = std::max(t.atol, t.rtol * greatest(expected));
    }
    if (options_.rtol >= 0) t.rtol = options_.rtol;
    if (options_.atol >= 0) t.atol = options_.atol;
    return t;
  }

  const Options& options_;
  DType floats_ = DType::f32;  // of the model that has shorter ones than the other
  Inputs made_;                // for the first model
  std::map<std::string, Value> inputs_;
  std::vector<Compared> compared_;
};

Json json_of(const Compared& c) {
  return {{"name", c.name},
          {"node", c.node},
          {"output", c.output},
          {"equal", c.difference.equal},
          {"compared", c.difference.compared},
          {"max_abs", c.difference.max_abs},
          {"max_rel", c.difference.max_rel},
          {"types", c.difference.types},
          {"message", c.difference.message}};
}

// Whether none of the models' outputs has a finite number.
bool nothing_compared(const std::vector<Compared>& all) {
  const bool outputs = std::any_of(all.begin(), all.end(), [](const Compared& c) { return c.output; });
  return std::none_of(all.begin(), all.end(),
                      [&](const Compared& c) { return c.output == outputs && c.difference.compared; });
}

void print_text(const std::vector<Compared>& all, size_t differing, bool verbose) {
  const auto place = [](const Compared& c) {
    return c.output ? std::string("output of the model") : printable(c.node);
  };
  if (verbose) {
    std::vector<std::vector<std::string>> rows{{"", "max abs", "max rel", "value", "made by"}};
    for (const Compared& c : all)
      rows.push_back({!c.difference.equal     ? "differs"
                      : c.difference.compared ? "equal"
                                              : "no numbers",
                      number_text(c.difference.max_abs), number_text(c.difference.max_rel), printable(c.name),
                      place(c)});
    std::printf("%s", table(rows, {false, true, true}).c_str());
  }
  std::map<std::string, size_t> types;
  for (const Compared& c : all)
    if (!c.difference.types.empty()) ++types[c.difference.types];
  for (const auto& [names, count] : types)
    std::printf("%zu %s %s in B; their numbers are compared\n", count, count == 1 ? "value is" : "values are",
                names.c_str());
  if (!differing) {
    const auto poor = std::find_if(all.begin(), all.end(), [](const Compared& c) { return !c.difference.compared; });
    const auto count = static_cast<size_t>(
        std::count_if(all.begin(), all.end(), [](const Compared& c) { return !c.difference.compared; }));
    std::printf("%s%zu values agree\n", poor == all.end() ? "all " : "", all.size() - count);
    if (poor != all.end())
      std::printf("%zu could not be compared, as they have no finite number; the first is '%s' (%s)\n", count,
                  printable(poor->name).c_str(), place(*poor).c_str());
    if (nothing_compared(all)) std::printf("no output could be compared: give other inputs\n");
    return;
  }
  const auto first = std::find_if(all.begin(), all.end(), [](const Compared& c) { return !c.difference.equal; });
  std::printf("%zu of %zu values differ; the first is '%s' (%s): %s\n", differing, all.size(),
              printable(first->name).c_str(), place(*first).c_str(), printable(first->difference.message).c_str());
}

int run(Options options) {
  options.b.seed = options.a.seed;
  Result<std::vector<Compared>> all = Comparison(options).run();
  if (!all.ok()) {
    clear_progress();
    std::fprintf(stderr, "linnet diff: %s\n", printable(all.status().message()).c_str());
    return kError;
  }
  const auto differing = static_cast<size_t>(
      std::count_if(all->begin(), all->end(), [](const Compared& c) { return !c.difference.equal; }));
  const bool equal = differing == 0 && !nothing_compared(*all);
  if (options.json) {
    Json report{{"equal", equal}, {"values", Json::array()}};
    for (const Compared& c : *all) report["values"].push_back(json_of(c));
    std::printf("%s\n", report.dump(1, ' ', false, Json::error_handler_t::replace).c_str());
  } else {
    print_text(*all, differing, options.verbose);
  }
  return equal ? kSuccess : kFailed;
}

void add_side(CLI::App& command, ModelOptions& side, const std::string& letter) {
  add_threads(command, "--threads-" + letter, side.threads, "run " + letter + " ");
  CLI::Option* plain =
      command.add_flag("--no-optimize-" + letter, side.no_optimize, "run " + letter + " as the model has it");
  add_repeatable(command, "--disable-pass-" + letter, side.disabled, "leave out a rewrite of " + letter)
      ->excludes(plain);
}

}  // namespace

void add_diff(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("diff", "Find the first value that differs between two models, or one model at two settings");
  command->add_option("A", options->a.path, "an .onnx file")->required();
  command->add_option("B", options->b.path, "an .onnx file; the same as A to compare settings")->required();
  add_side(*command, options->a, "a");
  add_side(*command, options->b, "b");
  add_input_options(*command, options->inputs);
  command->add_option("--seed", options->a.seed, "of random inputs and of random operators without a seed")
      ->check(not_negative())
      ->capture_default_str();
  command
      ->add_option("--rtol", options->rtol,
                   "relative tolerance; default: 1e-3, or more where one model has shorter floats")
      ->check(not_negative());
  command
      ->add_option("--atol", options->atol,
                   "absolute tolerance; default: 1e-5, or by the values' size where one model has shorter floats")
      ->check(not_negative());
  command->add_flag("--verbose", options->verbose, "print a line for each value");
  command->add_flag("--json", options->json, "print one JSON object");
  command->footer(
      "Examples:\n  linnet diff model.onnx model.onnx --no-optimize-b\n  linnet diff old.onnx new.onnx --inputs "
      "inputs/ --rtol 1e-2");
  command->callback([options, &exit_code] { exit_code = run(*options); });
}

}  // namespace linnet::cli
