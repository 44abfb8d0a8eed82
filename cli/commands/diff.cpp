// linnet diff: the values inside two models, or inside one at two settings, on the same inputs.
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>

#include "commands/command.h"
#include "compare.h"
#include "inputs.h"
#include "model_options.h"
#include "print_value.h"
#include "terminal.h"

namespace linnet::cli {
namespace {

using Json = nlohmann::ordered_json;

// Inner values become outputs so many at a time: each of them keeps the rewrites around it from happening.
constexpr size_t kBatch = 32;

struct Options {
  ModelOptions a, b;
  InputOptions inputs;
  double rtol = 1e-3, atol = 1e-5;
  bool json = false, verbose = false;
};

struct Compared {
  std::string name, node;
  bool output = false;  // compared in models without further outputs
  Difference difference;
};

// Values that nodes of the main graph make, in order, with the node's path.
using Named = std::vector<std::pair<std::string, std::string>>;

Result<Named> inner_values(const ModelOptions& options) {
  LINNET_ASSIGN(const LoadedGraph loaded, load_graph(model_source(options), load_options(options)));
  const Graph& graph = *loaded.graph;
  Named values;
  for (const NodeId id : graph.order())
    for (const ValueId v : graph.node(id).outputs)
      if (v != kNoValue && !graph.value(v).name.empty()) values.emplace_back(graph.value(v).name, graph.node_path(id));
  return values;
}

class Comparison {
 public:
  explicit Comparison(const Options& options) : options_(options) {}

  Result<std::vector<Compared>> run() {
    LINNET_ASSIGN(const Named in_a, in(options_.a, inner_values(options_.a)));
    LINNET_ASSIGN(const Named in_b, in(options_.b, inner_values(options_.b)));
    std::set<std::string> names_b;
    for (const auto& [name, path] : in_b) names_b.insert(name);
    Named common;
    for (const auto& value : in_a)
      if (names_b.contains(value.first)) common.push_back(value);

    LINNET_TRY(compare_batch({}));
    // Every n-th value of the graph, so that values of one batch are far apart and most rewrites happen as ever.
    const size_t batches = (common.size() + kBatch - 1) / kBatch;
    for (size_t batch = 0; batch < batches; ++batch) {
      show_progress(concat("comparing, ", batch * kBatch, " of ", common.size(), " values"));
      Named chosen;
      for (size_t i = batch; i < common.size(); i += batches) chosen.push_back(common[i]);
      LINNET_TRY(compare_batch(chosen));
    }
    clear_progress();
    LINNET_REQUIRE(!compared_.empty(), invalid_argument("the models have no value of the same name"));
    std::map<std::string, size_t> order;
    for (size_t i = 0; i < common.size(); ++i) order.emplace(common[i].first, i);
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

  // Outputs by name. The first run of all makes the inputs.
  Result<std::map<std::string, Value>> run_side(const ModelOptions& side, const Named& extra) {
    std::vector<std::string> names;
    for (const auto& [name, path] : extra) names.push_back(name);
    LINNET_ASSIGN(const std::unique_ptr<Session> session, open_session(side, names));
    const Model& model = session->model();
    if (!made_) {
      LINNET_ASSIGN(const Inputs inputs,
                    make_inputs(model.inputs, *model.program->symbols, options_.inputs, side.seed));
      for (size_t i = 0; i < model.inputs.size(); ++i) inputs_[model.inputs[i].name] = inputs.values[i];
      made_ = true;
    }
    std::vector<Value> inputs, outputs(model.outputs.size());
    for (const Model::Port& port : model.inputs) {
      const auto found = inputs_.find(port.name);
      LINNET_REQUIRE(found != inputs_.end(),
                     invalid_argument("input '", port.name, "' is not an input of the first model"));
      inputs.push_back(found->second);
    }
    RunOptions run;
    for (const Model::Port& port : model.outputs)
      run.wanted.push_back(names.empty() || std::count(names.begin(), names.end(), port.name) != 0);
    LINNET_TRY(session->run(inputs, outputs, run));
    std::map<std::string, Value> by_name;
    for (size_t k = 0; k < outputs.size(); ++k)
      if (run.wanted[k]) by_name[model.outputs[k].name] = std::move(outputs[k]);
    return by_name;
  }

  // The models' own outputs when `extra` is empty.
  Status compare_batch(const Named& extra) {
    LINNET_ASSIGN(auto a, in(options_.a, run_side(options_.a, extra)));
    LINNET_ASSIGN(auto b, in(options_.b, run_side(options_.b, extra)));
    std::map<std::string, std::string> paths(extra.begin(), extra.end());
    for (const auto& [name, value] : a)
      if (const auto other = b.find(name); other != b.end())
        compared_.push_back(
            {name, paths[name], extra.empty(), compare(other->second, value, options_.rtol, options_.atol)});
    return {};
  }

  const Options& options_;
  bool made_ = false;
  std::map<std::string, Value> inputs_;
  std::vector<Compared> compared_;
};

Json json_of(const Compared& c) {
  return {{"name", c.name},
          {"node", c.node},
          {"output", c.output},
          {"equal", c.difference.equal},
          {"max_abs", c.difference.max_abs},
          {"max_rel", c.difference.max_rel},
          {"message", c.difference.message}};
}

void print_text(const std::vector<Compared>& all, size_t differing, bool verbose) {
  const auto place = [](const Compared& c) {
    return c.output ? std::string("output of the model") : printable(c.node);
  };
  if (verbose) {
    std::vector<std::vector<std::string>> rows{{"", "max abs", "max rel", "value", "made by"}};
    for (const Compared& c : all)
      rows.push_back({c.difference.equal ? "equal" : "differs", number_text(c.difference.max_abs),
                      number_text(c.difference.max_rel), printable(c.name), place(c)});
    std::printf("%s", table(rows, {false, true, true}).c_str());
  }
  if (!differing) {
    std::printf("all %zu values agree\n", all.size());
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
  if (options.json) {
    Json report{{"equal", differing == 0}, {"values", Json::array()}};
    for (const Compared& c : *all) report["values"].push_back(json_of(c));
    std::printf("%s\n", report.dump(1, ' ', false, Json::error_handler_t::replace).c_str());
  } else {
    print_text(*all, differing, options.verbose);
  }
  return differing ? kFailed : kSuccess;
}

void add_side(CLI::App& command, ModelOptions& side, const std::string& letter) {
  add_threads(command, "--threads-" + letter, side.threads);
  command.add_flag("--no-optimize-" + letter, side.no_optimize, "run " + letter + " as the model has it");
  add_repeatable(command, "--disable-pass-" + letter, side.disabled, "leave out a rewrite of " + letter);
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
      ->capture_default_str();
  command->add_option("--rtol", options->rtol, "relative tolerance")->capture_default_str();
  command->add_option("--atol", options->atol, "absolute tolerance")->capture_default_str();
  command->add_flag("--verbose", options->verbose, "print a line for each value");
  command->add_flag("--json", options->json, "print one JSON object");
  command->footer(
      "Examples:\n  linnet diff model.onnx model.onnx --no-optimize-b\n  linnet diff old.onnx new.onnx --inputs "
      "inputs/ --rtol 1e-2");
  command->callback([options, &exit_code] { exit_code = run(*options); });
}

}  // namespace linnet::cli
