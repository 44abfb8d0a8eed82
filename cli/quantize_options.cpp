#include "quantize_options.h"

#include <charconv>
#include <cmath>
#include <cstdio>

#include "base/file.h"
#include "commands/command.h"
#include "model_options.h"
#include "terminal.h"

namespace linnet::cli {
namespace {

// Nodes with the same fate share a line.
void print_text(const QuantizeReport& report) {
  struct Group {
    size_t count = 0;
    double least_snr = INFINITY;
    std::string worst;
  };
  std::map<std::pair<bool, std::string>, Group> groups;
  for (const NodeReport& node : report.nodes) {
    Group& group = groups[{node.result.empty(), node.result.empty() ? node.reason
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
  const double ratio = static_cast<double>(report.bytes_after) / static_cast<double>(report.bytes_before);
  std::printf("%zu of %zu nodes quantised, %s to %s (%s)\n%s", report.quantized(), report.nodes.size(),
              bytes_text(report.bytes_before).c_str(), bytes_text(report.bytes_after).c_str(), fixed(ratio, 3).c_str(),
              table(rows, {true}).c_str());
}

}  // namespace

void add_quantize_options(CLI::App& command, QuantizeArguments& arguments) {
  command.add_option("MODEL", arguments.model, "an .onnx file")->required();
  command.add_option("-o,--output", arguments.output, "the .onnx file to write")->required();
  add_repeatable(command, "--include", arguments.include,
                 "quantise only nodes of this name, operator type or pattern (* and ?)");
  add_repeatable(command, "--exclude", arguments.exclude, "leave nodes of this name, operator type or pattern alone");
  add_repeatable(command, "--dim", arguments.sizes, "fix a size by its name, as in --dim batch=1");
  command.add_option("--report", arguments.report, "write what became of each node to this .json file");
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

Status read_arguments(const QuantizeArguments& arguments, QuantizeOptions& options) {
  options.include = arguments.include;
  options.exclude = arguments.exclude;
  options.weight_type = arguments.weight_type == "uint8" ? DType::u8 : DType::i8;
  if (arguments.symmetric || arguments.asymmetric) options.weight_symmetric = arguments.symmetric;
  options.per_channel = arguments.per_channel;
  options.reduce_range = arguments.reduce_range;
  for (const std::string& text : arguments.sizes) {
    const size_t at = text.rfind('=');
    int64_t size = 0;
    const char* begin = text.data() + (at == std::string::npos ? text.size() : at + 1);
    const auto [end, failed] = std::from_chars(begin, text.data() + text.size(), size);
    LINNET_REQUIRE(failed == std::errc() && end == text.data() + text.size(),
                   invalid_argument("--dim wants NAME=SIZE, not '", text, "'"));
    options.load.fixed_sizes[text.substr(0, at)] = size;
  }
  options.progress = [](size_t done, size_t total, std::string_view node) {
    show_progress(concat("quantising ", done + 1, " of ", total, ": ", node));
  };
  return {};
}

int tell(const QuantizeArguments& arguments, const Result<QuantizeReport>& report) {
  if (!report.ok()) return report_error("quantize", arguments.model, report.status());
  clear_progress();
  if (!arguments.report.empty() || arguments.json) {
    const std::string text = report->to_json();
    if (!arguments.report.empty()) {
      const Status status = write_file(arguments.report, std::as_bytes(std::span(text)));
      if (!status.ok()) return report_error("quantize", arguments.report, status);
    }
    if (arguments.json) std::fputs(text.c_str(), stdout);
  }
  if (!arguments.json) print_text(*report);
  return kSuccess;
}

}  // namespace linnet::cli
