// linnet profile: where a run's time goes.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "commands/command.h"
#include "inputs.h"
#include "model_options.h"
#include "run/profiler.h"
#include "size_advice.h"
#include "terminal.h"

namespace linnet::cli {
namespace {

using Json = nlohmann::ordered_json;
using Milliseconds = std::chrono::duration<double, std::milli>;

struct Options {
  ModelOptions model;
  InputOptions inputs;
  int runs = 10;
  size_t top = 30;
  std::string by = "both", trace;
  bool json = false;
};

struct Line {
  std::string name, op, inputs;
  size_t count = 0;
  std::vector<double> runs;  // its own time in each, without the nodes of its subgraphs
  double milliseconds = 0;   // their median
};

// Of nothing at all: 0.
double median(std::vector<double> numbers) {
  if (numbers.empty()) return 0;
  std::sort(numbers.begin(), numbers.end());
  const size_t half = numbers.size() / 2;
  return numbers.size() % 2 ? numbers[half] : (numbers[half - 1] + numbers[half]) / 2;
}

class Tally {
 public:
  // Of one run.
  void add(const std::vector<Profiler::Event>& events) {
    sums_.push_back(0);
    std::vector<double> inner;  // by depth: time of the events since the last one above them
    for (const Profiler::Event& e : events) {
      const size_t depth = static_cast<size_t>(e.depth);
      inner.resize(std::max(inner.size(), depth + 2));
      const double total = Milliseconds(e.duration).count();
      const double own = std::max(0.0, total - inner[depth + 1]);
      inner[depth + 1] = 0;
      inner[depth] += total;
      sums_.back() += own;
      enter(nodes_[e.path], e.path, e, own);
      enter(operators_[e.op], e.op, e, own);
    }
  }

  // Of a run.
  double in_nodes() const { return median(sums_); }
  std::vector<Line> by_node() const { return sorted(nodes_); }
  std::vector<Line> by_operator() const { return sorted(operators_); }

 private:
  void enter(Line& line, const std::string& name, const Profiler::Event& e, double milliseconds) const {
    line.name = name;
    line.op = e.op;
    line.inputs = e.inputs;
    ++line.count;
    line.runs.resize(sums_.size());
    line.runs.back() += milliseconds;
  }

  std::vector<Line> sorted(const std::map<std::string, Line>& lines) const {
    std::vector<Line> out;
    for (const auto& [name, line] : lines) {
      Line& to = out.emplace_back(line);
      to.runs.resize(sums_.size());
      to.milliseconds = median(to.runs);
    }
    std::stable_sort(out.begin(), out.end(),
                     [](const Line& a, const Line& b) { return a.milliseconds > b.milliseconds; });
    return out;
  }

  std::map<std::string, Line> nodes_, operators_;
  std::vector<double> sums_;  // of all nodes' own times, by run
};

struct Profile {
  Tally tally;
  std::vector<double> walls;  // of the runs, in ms
};

Result<Profile> profile(const Options& options) {
  LINNET_ASSIGN(const std::unique_ptr<Session> session, open_session(options.model));
  const Model& model = session->model();
  LINNET_ASSIGN(const Inputs inputs,
                make_inputs(model.inputs, *model.program->symbols, options.inputs, options.model.seed));
  std::vector<Value> outputs(model.outputs.size());
  LINNET_TRY(explain(session->run(inputs.values, outputs), inputs, &model));
  Profile result;
  Profiler profiler;
  RunOptions run;
  run.profiler = &profiler;
  for (int i = 0; i < options.runs; ++i) {
    show_progress(concat("run ", i + 1, " of ", options.runs));
    profiler.clear();
    const auto begin = Profiler::Clock::now();
    LINNET_TRY(session->run(inputs.values, outputs, run));
    result.walls.push_back(Milliseconds(Profiler::Clock::now() - begin).count());
    result.tally.add(profiler.events());
  }
  clear_progress();
  if (!options.trace.empty()) {
    const std::string trace = profiler.chrome_trace();
    LINNET_TRY(write_file(options.trace, std::as_bytes(std::span(trace))));
  }
  return result;
}

double sum_of(const std::vector<Line>& lines) {
  double sum = 0;
  for (const Line& line : lines) sum += line.milliseconds;
  return sum;
}

Json lines_json(const std::vector<Line>& lines, double runs, bool nodes) {
  const double sum = sum_of(lines);
  Json list = Json::array();
  for (const Line& line : lines) {
    Json entry{{"name", line.name}};
    if (nodes) entry.update({{"operator", line.op}, {"inputs", line.inputs}});
    entry.update({{"milliseconds", line.milliseconds},
                  {"share", sum > 0 ? line.milliseconds / sum : 0},
                  {"count", static_cast<double>(line.count) / runs}});
    list.push_back(std::move(entry));
  }
  return list;
}

void print_lines(const char* title, const std::vector<Line>& lines, double runs, size_t top, bool nodes) {
  const double sum = sum_of(lines);
  const int digits = !lines.empty() && lines[0].milliseconds < 0.1 ? 6 : 4;  // the longest comes first
  std::vector<std::vector<std::string>> rows{{"ms", "share", "count", title, nodes ? "inputs" : ""}};
  for (size_t i = 0; i < lines.size() && i < top; ++i) {
    const Line& line = lines[i];
    rows.push_back({fixed(line.milliseconds, digits), fixed(sum > 0 ? 100 * line.milliseconds / sum : 0, 1) + " %",
                    fixed(static_cast<double>(line.count) / runs, 0), printable(line.name),
                    nodes ? printable(line.inputs) : ""});
  }
  std::printf("%s", table(rows, {true, true, true}).c_str());
  if (lines.size() > top) std::printf("  and %zu more (--top 0 shows all)\n", lines.size() - top);
}

int run(const Options& options) {
  const Result<Profile> result = profile(options);
  if (!result.ok()) return report_error("profile", options.model.path, result.status());
  const Tally& tally = result->tally;
  const double runs = options.runs, wall = median(result->walls), in_nodes = tally.in_nodes();
  const bool nodes = options.by != "operator", operators = options.by != "node";
  if (options.json) {
    Json report{{"runs", options.runs}, {"milliseconds", wall}, {"in_nodes_milliseconds", in_nodes}};
    if (operators) report["operators"] = lines_json(tally.by_operator(), runs, false);
    if (nodes) report["nodes"] = lines_json(tally.by_node(), runs, true);
    std::printf("%s\n", report.dump(1, ' ', false, Json::error_handler_t::replace).c_str());
    return kSuccess;
  }
  const size_t top = options.top ? options.top : SIZE_MAX;
  std::printf(
      "%s ms a run (median of %d, as all times), %s ms of them in nodes; a node's time is without the nodes of its "
      "subgraphs\n",
      ms_text(wall).c_str(), options.runs, ms_text(in_nodes).c_str());
  if (operators) print_lines("operator", tally.by_operator(), runs, top, false);
  if (nodes) print_lines("node", tally.by_node(), runs, top, true);
  return kSuccess;
}

}  // namespace

void add_profile(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("profile", "Show where the time of a run goes, by operator and by node");
  add_model_options(*command, options->model);
  add_input_options(*command, options->inputs);
  command->add_option("--runs", options->runs, "runs to take medians of, after one that is not counted")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  command->add_option("--by", options->by, "operator, node or both")
      ->check(CLI::IsMember({"operator", "node", "both"}))
      ->capture_default_str();
  command->add_option("--top", options->top, "lines of a table; 0: all")->check(not_negative())->capture_default_str();
  command->add_option("--trace", options->trace,
                      "file for the last run in Chrome's trace format (open it in ui.perfetto.dev)");
  command->add_flag("--json", options->json, "print one JSON object");
  command->footer("Example:\n  linnet profile model.onnx --threads 2 --by operator --trace trace.json");
  command->callback([options, &exit_code] { exit_code = run(*options); });
}

}  // namespace linnet::cli
