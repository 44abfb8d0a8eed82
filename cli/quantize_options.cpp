#include "quantize_options.h"

#include <charconv>
#include <cmath>
#include <cstdio>
#include <optional>

#include "base/file.h"
#include "commands/command.h"
#include "interrupts.h"
#include "labels.h"
#include "model_options.h"
#include "quantize_page.h"
#include "samples.h"
#include "terminal.h"

namespace linnet::cli {
namespace {

constexpr std::string_view kSlower = "slower as ";  // how reasons of nodes that are slower as integers start

std::string percent(double share) { return fixed(100 * share, 1) + " %"; }

// What all nodes that stay for a reason like this have in common.
std::string kind_of(const std::string& reason) {
  return reason.starts_with(kSlower) ? "it is slower when it is quantised" : reason;
}

void print_explanation(const Explanation& explanation) {
  const OutputQuality& q = explanation.quality.overall;
  const size_t samples = explanation.quality.samples;
  std::string line = concat("on ", samples, samples == 1 ? " sample" : " samples");
  if (q.mean_cosine) line += concat(", cosine ", fixed(*q.mean_cosine, 5), " (least ", fixed(*q.least_cosine, 5), ")");
  if (q.top1_agreement) line += concat(", same greatest element ", percent(*q.top1_agreement));
  if (q.equal) line += concat(", equal elements ", percent(*q.equal));
  if (const auto& task = explanation.quality.task)
    line += concat(", right answers ", percent(task->accuracy), " instead of ", percent(task->reference_accuracy));
  if (q.not_comparable) line += concat(", not comparable on ", q.not_comparable);
  if (const auto& names = explanation.without_numbers; !names.empty())
    line += concat(names.size() == samples ? "\nnothing could be compared" : "\nnot compared",
                   ": the model as it was gives no finite number for ", printable(list_of_names(names)));
  std::printf("%s\na run takes %s ms instead of %s ms\n", line.c_str(), ms_text(explanation.milliseconds_after).c_str(),
              ms_text(explanation.milliseconds_before).c_str());
}

// The nodes that cost most when they alone are quantised.
void print_sensitive(const QuantizeReport& report) {
  constexpr size_t kMost = 10;
  std::vector<const NodeReport*> nodes;
  for (const NodeReport& row : report.nodes)
    if (row.alone && row.alone->mean_cosine) nodes.push_back(&row);
  if (nodes.empty()) return;
  std::stable_sort(nodes.begin(), nodes.end(), [](const NodeReport* a, const NodeReport* b) {
    return *a->alone->mean_cosine < *b->alone->mean_cosine;
  });
  std::vector<std::vector<std::string>> rows{{"cosine", "quantised alone"}};
  for (size_t i = 0; i < nodes.size() && i < kMost; ++i)
    rows.push_back({fixed(*nodes[i]->alone->mean_cosine, 6), printable(nodes[i]->node)});
  std::printf("%s", table(rows, {true}).c_str());
}

// Nodes with the same fate share a line.
void print_text(const QuantizeReport& report) {
  struct Group {
    size_t count = 0;
    double least_snr = INFINITY;
    std::string worst;
  };
  std::map<std::pair<bool, std::string>, Group> groups;
  for (const NodeReport& node : report.nodes) {
    Group& group = groups[{node.result.empty(), node.result.empty() ? kind_of(node.reason)
                                                : node.note.empty() ? node.result
                                                                    : concat(node.result, ", ", node.note)}];
    ++group.count;
    if (!node.weight_snr_db || *node.weight_snr_db >= group.least_snr) continue;
    group.least_snr = *node.weight_snr_db;
    group.worst = node.node;
  }
  std::vector<std::vector<std::string>> rows;
  for (const auto& [key, group] : groups)
    rows.push_back({std::to_string(group.count), printable((key.first ? "left: " : "") + key.second),
                    group.worst.empty() ? "" : concat("weights from ", fixed(group.least_snr, 1), " dB: "),
                    printable(group.worst)});
  const char* nothing = report.quantized() != 0 ? ""
                        : report.nodes.empty()  ? "nothing was quantised, the result is the model as it was: it has no "
                                                  "product or convolution with constant weights "
                                                  "that this scheme takes\n"
                                                : "nothing was quantised, the result is the model as it was; why:\n";
  const double ratio = static_cast<double>(report.bytes_after) / static_cast<double>(report.bytes_before);
  std::printf("%s%zu of %zu nodes quantised, %s to %s (%s)\n%s", nothing, report.quantized(), report.nodes.size(),
              bytes_text(report.bytes_before).c_str(), bytes_text(report.bytes_after).c_str(), fixed(ratio, 3).c_str(),
              table(rows, {true}).c_str());
  if (report.explanation) print_explanation(*report.explanation);
  print_sensitive(report);
}

Status write_report(const QuantizeArguments& arguments, const QuantizeReport& report) {
  if (arguments.report.empty()) return {};
  const std::string text =
      arguments.report.ends_with(".html") ? quantize_page(arguments.model, arguments.output, report) : report.to_json();
  return write_file(arguments.report, std::as_bytes(std::span(text)));
}

// Whether both name one file, which need not be there.
bool same_file(const std::filesystem::path& a, const std::filesystem::path& b) {
  std::error_code failed;
  if (std::filesystem::equivalent(a, b, failed)) return true;
  const std::filesystem::path whole = std::filesystem::weakly_canonical(a, failed);
  return !whole.empty() && whole == std::filesystem::weakly_canonical(b, failed);
}

// A file itself, or those in a folder.
bool holds(const std::filesystem::path& sample, const std::filesystem::path& file) {
  std::error_code failed;
  if (!std::filesystem::is_directory(sample, failed)) return std::filesystem::equivalent(sample, file, failed);
  for (const auto& entry : std::filesystem::directory_iterator(sample, failed))
    if (std::filesystem::equivalent(entry.path(), file, failed)) return true;
  return false;
}

// What is written must not replace what is read.
Status refuse_replacing(const QuantizeArguments& arguments, const std::optional<Samples>& samples) {
  const std::pair<const char*, const std::string&> written[] = {{"result", arguments.output},
                                                                {"report", arguments.report}};
  for (const auto& [what, path] : written) {
    const auto refuse = [what = what](const std::string& file) {
      return invalid_argument("the ", what, " would replace '", file, "', which is read for it");
    };
    if (path.empty()) continue;
    for (const std::string& file : {arguments.model, arguments.labels})
      if (!file.empty() && same_file(path, file)) return refuse(file);
    for (size_t i = 0; samples && i < samples->count && std::filesystem::exists(path); ++i)
      if (const std::string name = samples->name(i); holds(name, path)) return refuse(name);
  }
  LINNET_REQUIRE(arguments.report.empty() || !same_file(arguments.output, arguments.report),
                 invalid_argument("the report would replace the result '", arguments.output, "': name another file"));
  return {};
}

// What --sensitivity says: a number, or all.
std::optional<size_t> nodes_alone(const std::string& text) {
  if (text == "all") return SIZE_MAX;
  size_t count = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (failed != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return count;
}

}  // namespace

void add_quantize_options(CLI::App& command, QuantizeArguments& arguments) {
  command.add_option("MODEL", arguments.model, "an .onnx file")->required();
  command.add_option("-o,--output", arguments.output, "the .onnx file to write")->required();
  add_repeatable(command, "--include", arguments.include,
                 "quantise only nodes of this name, operator type or pattern (* and ?)");
  add_repeatable(command, "--exclude", arguments.exclude, "leave nodes of this name, operator type or pattern alone");
  add_repeatable(command, "--dim", arguments.sizes, "fix a size by its name, as in --dim batch=1");
  command.add_option("--report", arguments.report, "write what became of each node to this .html or .json file");
  command.add_option("--samples", arguments.samples,
                     "folder of inputs to explain with: quality, noise inside, and times of nodes join the report");
  command.add_option("--labels", arguments.labels,
                     "file with the right answer of each sample: a number a line, or the sample's name and a number");
  command.add_option("--label-output", arguments.label_output,
                     "the output that labels are for; without it, the first with one row of scores");
  command
      .add_option("--sensitivity", arguments.sensitivity,
                  "quantise so many nodes alone, those of the noisiest weights first, or `all`: what each one costs")
      ->check(
          [](const std::string& text) {
            return nodes_alone(text) ? std::string() : concat("a number of nodes or `all` is wanted, not '", text, "'");
          },
          "");
  command.add_flag("--only-faster", arguments.only_faster,
                   "leave nodes in floats that take longer on this machine when they are quantised");
  command.add_flag("--json", arguments.json, "tell what became of each node as JSON");
  add_threads(command, "--threads", arguments.threads);
}

void add_weight_options(CLI::App& command, QuantizeArguments& arguments) {
  command.add_option("--weight-type", arguments.weight_type, "int8 or uint8")
      ->check(CLI::IsMember({"int8", "uint8"}))
      ->capture_default_str();
  command.add_flag("--per-channel", arguments.per_channel, "a scale for each output channel of a weight");
  CLI::Option* symmetric =
      command.add_flag("--symmetric", arguments.symmetric, "zero points in the middle (int8: default)");
  command.add_flag("--asymmetric", arguments.asymmetric, "zero points where they fit (uint8: default)")
      ->excludes(symmetric);
  command.add_flag("--reduce-range", arguments.reduce_range, "weights of 7 bits, for runtimes whose sums saturate");
}

Status check_report_path(const std::string& path) {
  LINNET_REQUIRE(path.empty() || path.ends_with(".html") || path.ends_with(".json"),
                 invalid_argument("a report is a .html or .json file, not '", path, "'"));
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  LINNET_REQUIRE(folder.empty() || std::filesystem::is_directory(folder),
                 error(Code::not_found, "there is no folder '", folder.string(), "' for the report"));
  return {};
}

Status read_arguments(const QuantizeArguments& arguments, QuantizeOptions& options) {
  options.include = arguments.include;
  options.exclude = arguments.exclude;
  options.weight_type = arguments.weight_type == "uint8" ? DType::u8 : DType::i8;
  if (arguments.symmetric || arguments.asymmetric) options.weight_symmetric = arguments.symmetric;
  options.per_channel = arguments.per_channel;
  options.reduce_range = arguments.reduce_range;
  LINNET_TRY(fix_sizes(arguments.sizes, options.load));
  LINNET_TRY(check_report_path(arguments.report));
  options.stop = &stop_on_interrupt();
  options.progress = [](size_t done, size_t total, std::string_view node) {
    show_progress(concat("quantising ", done + 1, " of ", total, ": ", node));
  };
  return {};
}

Result<QuantizeReport> quantize_with(const QuantizeArguments& arguments, const std::shared_ptr<Engine>& engine,
                                     const QuantizeOptions& options, std::optional<Samples> samples,
                                     const Quantizer& scheme) {
  const std::pair<const char*, bool> wanted[] = {{"--labels", !arguments.labels.empty()},
                                                 {"--label-output", !arguments.label_output.empty()},
                                                 {"--sensitivity", !arguments.sensitivity.empty()},
                                                 {"--only-faster", arguments.only_faster}};
  const auto* first = std::find_if(std::begin(wanted), std::end(wanted), [](const auto& w) { return w.second; });
  LINNET_TRY(refuse_replacing(arguments, samples));
  if (!arguments.samples.empty()) {
    LINNET_ASSIGN(samples, find_samples(arguments.samples));
    LINNET_TRY(refuse_replacing(arguments, samples));
  } else {
    LINNET_REQUIRE(samples || first == std::end(wanted),
                   invalid_argument(first->first, " takes samples of inputs to run: name their folder with --samples"));
    if (first == std::end(wanted) && arguments.report.empty()) samples.reset();
  }
  if (!samples) return scheme(options, arguments.output);
  LINNET_REQUIRE(arguments.label_output.empty() || !arguments.labels.empty(),
                 invalid_argument("--label-output takes --labels to compare with"));
  ExplainOptions how;
  if (!arguments.labels.empty()) {
    LINNET_ASSIGN(how.labels, read_labels(arguments.labels, *samples));
  }
  how.labelled = arguments.label_output;
  how.only_faster = arguments.only_faster;
  if (!arguments.sensitivity.empty()) how.sensitivity = *nodes_alone(arguments.sensitivity);
  how.progress = [](std::string_view doing, size_t done, size_t total) {
    show_progress(concat(doing, ", ", done + 1, " of ", total));
  };
  return quantize_and_explain(engine, {arguments.model, {}, nullptr}, options, how, *samples, arguments.output, scheme);
}

int tell(const QuantizeArguments& arguments, const Result<QuantizeReport>& report) {
  if (!report.ok()) {
    const int code = report_error("quantize", arguments.model, report.status());
    return report.status().code() == Code::cancelled ? kInterrupted : code;
  }
  clear_progress();
  if (const Status status = write_report(arguments, *report); !status.ok())
    return report_error("quantize", arguments.report, status);
  if (arguments.json) std::fputs(report->to_json().c_str(), stdout);
  if (!arguments.json) print_text(*report);
  return kSuccess;
}

}  // namespace linnet::cli
