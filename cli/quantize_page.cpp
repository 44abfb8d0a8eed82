#include "quantize_page.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>

#include "html.h"
#include "terminal.h"

namespace linnet::cli {
namespace {

constexpr size_t kBars = 25;

std::string samples_text(size_t count) { return concat(count, count == 1 ? " sample" : " samples"); }
std::string percent(double share) { return fixed(100 * share, 2) + " %"; }
std::string small(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

std::string milliseconds_text(double time) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", time);
  return text;
}

HtmlCell decibels(const std::optional<double>& snr) { return snr ? HtmlCell(decibels_text(*snr), *snr) : HtmlCell(""); }
HtmlCell milliseconds(const std::optional<double>& time) {
  return time ? HtmlCell(milliseconds_text(*time), *time) : HtmlCell("");
}
HtmlCell number(const std::optional<double>& value, std::string (*text)(double)) {
  return value ? HtmlCell(text(*value), *value) : HtmlCell("");
}
std::string cosine_text(double cosine) { return fixed(cosine, 6); }

std::optional<double> gain(const NodeReport& row) {
  if (!row.milliseconds_before || !row.milliseconds_after || row.result.empty()) return std::nullopt;
  return *row.milliseconds_before - *row.milliseconds_after;
}

HtmlRow quality_row(std::string name, const OutputQuality& q) {
  return {std::move(name),
          number(q.mean_cosine, cosine_text),
          number(q.least_cosine, cosine_text),
          decibels(q.snr_db),
          number(q.max_abs_error, small),
          number(q.kl_divergence, small),
          number(q.top1_agreement, percent),
          number(q.equal, percent),
          q.not_comparable ? HtmlCell(std::to_string(q.not_comparable), static_cast<double>(q.not_comparable))
                           : HtmlCell("")};
}

void add_quality(HtmlPage& page, const Explanation& explanation) {
  const Quality& quality = explanation.quality;
  page.heading("Outputs beside the float model's");
  std::vector<HtmlRow> rows;
  rows.reserve(quality.outputs.size());
  for (const OutputQuality& output : quality.outputs) rows.push_back(quality_row(output.name, output));
  page.table({"output", "cosine, mean", "cosine, least", "signal to noise", "greatest error", "KL divergence",
              "same greatest element", "equal elements", "samples not comparable"},
             rows);
  page.paragraph(concat("Over ", samples_text(quality.samples),
                        ". The divergence is that of the last axis, as probabilities where the float model's "
                        "sum up to 1, else of its softmax, in nats."));
  if (!explanation.without_numbers.empty())
    page.paragraph(concat(
        "Not compared, as the float model gives no finite number: ", list_of_names(explanation.without_numbers), "."));
  if (quality.task)
    page.paragraph(concat("Right answers by output ", quality.task->output, ": ", percent(quality.task->accuracy),
                          "; the float model has ", percent(quality.task->reference_accuracy), "."));
}

// The bars of the greatest values, most first.
template <class Value, class Text>
void add_bars(HtmlPage& page, std::string title, const std::vector<NodeReport>& nodes, Value value, Text text) {
  std::vector<const NodeReport*> rows;
  for (const NodeReport& row : nodes)
    if (value(row) > 0) rows.push_back(&row);
  if (rows.empty()) return;
  std::stable_sort(rows.begin(), rows.end(),
                   [&](const NodeReport* a, const NodeReport* b) { return value(*a) > value(*b); });
  rows.resize(std::min(rows.size(), kBars));
  BarChart chart{std::move(title), {}};
  for (const NodeReport* row : rows) chart.bars.push_back({row->name, text(*row), value(*row)});
  page.bars(chart);
}

void add_charts(HtmlPage& page, const QuantizeReport& report) {
  page.heading("Where to look");
  add_bars(
      page, "What a node costs when no other is quantised: 1 - cosine of the worst output", report.nodes,
      [](const NodeReport& row) { return row.alone && row.alone->mean_cosine ? 1 - *row.alone->mean_cosine : 0; },
      [](const NodeReport& row) { return small(1 - *row.alone->mean_cosine); });
  add_bars(
      page, "What a node gains: milliseconds a run", report.nodes,
      [](const NodeReport& row) { return gain(row).value_or(0); },
      [](const NodeReport& row) { return milliseconds_text(*gain(row)) + " ms"; });
  add_bars(
      page, "What a node loses: milliseconds a run", report.nodes,
      [](const NodeReport& row) { return -gain(row).value_or(0); },
      [](const NodeReport& row) { return milliseconds_text(-*gain(row)) + " ms"; });
  const auto error = [](const NodeReport& row) {
    return row.weight_snr_db ? 100 * std::pow(10, -*row.weight_snr_db / 20) : 0;
  };
  add_bars(
      page, "Error of the weights: root mean square, in percent of theirs", report.nodes, error,
      [&](const NodeReport& row) { return fixed(error(row), 2) + " % (" + decibels_text(*row.weight_snr_db) + ")"; });
}

void add_nodes(HtmlPage& page, const QuantizeReport& report) {
  const bool explained = report.explanation.has_value();
  const bool alone = explained && report.explanation->sensitivity_samples != 0;
  std::vector<std::string> columns{"node", "became", "or stays, because", "weights", "bytes before", "bytes after"};
  if (explained) columns.insert(columns.end(), {"activation", "ms before", "ms after", "gain, ms"});
  if (alone) columns.insert(columns.end(), {"alone: cosine", "alone: KL", "alone: same greatest"});
  std::vector<HtmlRow> rows;
  for (const NodeReport& node : report.nodes) {
    const auto bytes = [&](uint64_t n) {
      return node.result.empty() ? HtmlCell("") : HtmlCell(std::to_string(n), static_cast<double>(n));
    };
    HtmlRow row{node.node,
                node.result,
                node.reason,
                decibels(node.weight_snr_db),
                bytes(node.bytes_before),
                bytes(node.bytes_after)};
    if (explained)
      row.insert(row.end(), {decibels(node.activation_snr_db), milliseconds(node.milliseconds_before),
                             milliseconds(node.milliseconds_after), milliseconds(gain(node))});
    if (alone) {
      const OutputQuality q = node.alone.value_or(OutputQuality());
      row.insert(row.end(), {number(q.mean_cosine, cosine_text), number(q.kl_divergence, small),
                             number(q.top1_agreement, percent)});
    }
    rows.push_back(std::move(row));
  }
  page.heading("Nodes");
  page.table(columns, rows);
  page.paragraph(
      "Weights, activation: signal to noise in decibels; of a node's weights by themselves, and of its output with all "
      "that is quantised before it. Bytes are those of weights with their scales; 0 where another node has the same "
      "weights.");
  if (!explained) return;
  const Explanation& e = *report.explanation;
  page.paragraph(concat(
      "Times are medians on this machine with ", e.threads, e.threads == 1 ? " thread" : " threads", ", over ",
      samples_text(e.timed_samples),
      ", of the optimised models as they are served. A step counts for the node whose name it carries: what is fused "
      "into another node's step has no time of its own, and an input that several nodes read as integers counts for "
      "the first of them. Activations were compared on ",
      samples_text(e.activation_samples),
      "; a value that is not there any more, or lies inside a subgraph, has no number."));
  if (alone)
    page.paragraph(concat("Alone: no other node was quantised; on ", samples_text(e.sensitivity_samples),
                          ". Nodes that are quantised only beside others have no numbers."));
}

}  // namespace

std::string decibels_text(double snr) { return std::isinf(snr) && snr > 0 ? "exact" : fixed(snr, 1) + " dB"; }

std::string quantize_page(const std::string& model, const std::string& output, const QuantizeReport& report) {
  HtmlPage page("Quantising " + std::filesystem::path(model).filename().string());
  const double ratio = static_cast<double>(report.bytes_after) / static_cast<double>(report.bytes_before);
  std::vector<std::pair<std::string, std::string>> facts{
      {"model", model},
      {"result", output},
      {"quantised", concat(report.quantized(), " of ", report.nodes.size(), " nodes")},
      {"size",
       concat(bytes_text(report.bytes_before), " to ", bytes_text(report.bytes_after), " (", fixed(ratio, 3), ")")}};
  if (report.explanation) {
    const Explanation& e = *report.explanation;
    const OutputQuality& q = e.quality.overall;
    facts.push_back({"a run", concat(ms_text(e.milliseconds_before), " ms to ", ms_text(e.milliseconds_after), " ms (",
                                     fixed(e.milliseconds_after / e.milliseconds_before, 3), ")")});
    if (q.mean_cosine) facts.push_back({"cosine of the worst output", cosine_text(*q.mean_cosine)});
    if (q.top1_agreement) facts.push_back({"same greatest element", percent(*q.top1_agreement)});
    if (e.quality.task) facts.push_back({"right answers", percent(e.quality.task->accuracy)});
  }
  page.facts(facts);
  if (report.explanation) add_quality(page, *report.explanation);
  add_charts(page, report);
  add_nodes(page, report);
  return std::move(page).finish();
}

}  // namespace linnet::cli
