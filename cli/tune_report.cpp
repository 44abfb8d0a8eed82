#include "tune_report.h"

#include <algorithm>
#include <map>

#include "html.h"
#include "terminal.h"

namespace linnet::cli {
namespace {

// The options of a candidate; nodes that were left out are counted.
std::string label(const TuneCandidate& candidate) {
  std::string text;
  size_t excluded = 0;
  for (size_t i = candidate.arguments[0] == "quantize" ? 1 : 0; i < candidate.arguments.size(); ++i) {
    if (candidate.arguments[i] == "--exclude") {
      ++excluded;
      ++i;
    } else {
      text += (text.empty() ? "" : " ") + candidate.arguments[i];
    }
  }
  if (excluded != 0) text += concat(" without ", excluded, excluded == 1 ? " node" : " nodes");
  return printable(text);
}

std::string loss_text(double loss) { return fixed(loss, 6); }

// Points by time, those on the front first.
std::vector<size_t> ordered(const TuneReport& report) {
  std::vector<size_t> order(report.points.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    const TunePoint &p = report.points[a], &q = report.points[b];
    return p.front != q.front ? p.front : p.times.median_ms < q.times.median_ms;
  });
  return order;
}

std::string limits_text(const TuneReport& report) {
  const TuneLimits& limits = report.limits;
  std::string text = concat("loss of ", report.measure, " at most ", fixed(limits.loss, 4));
  if (limits.p95_ms) text += concat(", p95 at most ", ms_text(*limits.p95_ms), " ms");
  if (limits.bytes) text += concat(", size at most ", bytes_text(*limits.bytes));
  if (limits.memory) text += concat(", memory at most ", bytes_text(*limits.memory));
  return text;
}

std::string choice_text(const TuneReport& report) {
  if (report.chosen) {
    const TunePoint& point = report.points[*report.chosen];
    return concat("chosen: ", label(report.candidates[point.candidate]), ", on ", point.threads,
                  point.threads == 1 ? " thread" : " threads", ": ", printable(report.output.string()));
  }
  if (report.nearest)
    return concat("no candidate keeps the limits; the nearest, ", label(report.candidates[*report.nearest]), ", has ",
                  report.beyond);
  return "no candidate could be made";
}

}  // namespace

std::string tune_text(const TuneReport& report) {
  constexpr size_t kRows = 16;
  size_t more = 0;
  std::vector<std::vector<std::string>> rows;
  for (const size_t i : ordered(report)) {
    const TunePoint& point = report.points[i];
    if (!point.front && report.chosen != i) continue;
    if (rows.size() > kRows && report.chosen != i) {
      ++more;
      continue;
    }
    if (rows.empty())
      rows.push_back({"", "threads", "median ms", "p95 ms", "spread ms", "size", "memory", "loss", "on the front"});
    const TuneCandidate& c = report.candidates[point.candidate];
    rows.push_back({report.chosen == i ? "*" : "", std::to_string(point.threads), ms_text(point.times.median_ms),
                    ms_text(point.times.p95_ms), ms_text(point.times.spread_ms), bytes_text(c.bytes),
                    bytes_text(c.memory.value_or(0)), loss_text(c.loss.value_or(0)), label(c)});
  }
  std::map<std::string, size_t> fates;
  for (const TuneCandidate& c : report.candidates)
    if (c.fate != TuneCandidate::Fate::kept) ++fates[std::string(fate_name(c.fate))];
  std::string text = table(rows, {false, true, true, true, true, true, true, true});
  if (more != 0) text += concat("  and ", more, " more, see the report\n");
  text += concat(report.candidates.size(), " candidates in ", fixed(report.seconds, 1), " s");
  for (const auto& [fate, count] : fates) text += concat(", ", count, " ", fate);
  text += report.out_of_time ? "; the budget ended before the candidates did\n" : "\n";
  text += concat("limits: ", limits_text(report), "; the model itself has ", fixed(report.reference, 4), "\n",
                 choice_text(report), "\n");
  if (report.chosen) text += concat("made again by: ", printable(report.command), "\n");
  return text;
}

std::string tune_page(const TuneReport& report) {
  HtmlPage page(concat("Tuning of ", report.model.filename().string()));
  page.facts({{"model", concat(report.model.string(), ", ", bytes_text(report.model_bytes))},
              {"samples", concat(report.samples_path.string(), ", ", report.samples)},
              {"limits", limits_text(report)},
              {"measure", concat(report.measure, ", of the model itself ", fixed(report.reference, 4))},
              {"engine", concat("Linnet ", report.engine, ", ", report.isa)},
              {"candidates", concat(report.candidates.size(), " in ", fixed(report.seconds, 1), " s",
                                    report.out_of_time ? "; the budget ended before the candidates did" : "")}});
  page.paragraph(choice_text(report));
  if (report.chosen) page.preformatted(report.command);

  struct Axis {
    const char *title, *label;
    double (*value)(const TuneCandidate&);
  };
  const Axis axes[] = {
      {"Loss and time", "loss", [](const TuneCandidate& c) { return c.loss.value_or(0); }},
      {"Size and time", "size in MB", [](const TuneCandidate& c) { return static_cast<double>(c.bytes) * 1e-6; }},
      {"Memory and time", "memory in MB",
       [](const TuneCandidate& c) { return static_cast<double>(c.memory.value_or(0)) * 1e-6; }}};
  if (!report.points.empty())
    page.paragraph(
        "Large: on the front of all figures, which no other candidate beats in each. Circled: chosen. Hollow: left the "
        "timing early. The line joins those that are best in the two figures shown.");
  for (const Axis& axis : axes) {
    ScatterPlot plot{axis.title, "median in ms", axis.label, {}};
    for (size_t i = 0; i < report.points.size(); ++i) {
      const TunePoint& p = report.points[i];
      const TuneCandidate& c = report.candidates[p.candidate];
      plot.points.push_back({p.times.median_ms, axis.value(c),
                             concat(label(c), ", threads: ", p.threads, ", ", ms_text(p.times.median_ms), " ms"),
                             p.front, report.chosen == i, p.left});
    }
    if (!plot.points.empty()) page.scatter(plot);
  }

  std::vector<HtmlRow> rows;
  for (const size_t i : ordered(report)) {
    const TunePoint& p = report.points[i];
    const TuneCandidate& c = report.candidates[p.candidate];
    HtmlCell name(label(c));
    name.strong = report.chosen == i;
    const auto count = [](uint64_t n) { return HtmlCell(std::to_string(n), static_cast<double>(n)); };
    const auto bytes = [](uint64_t n) { return HtmlCell(bytes_text(n), static_cast<double>(n)); };
    const auto ms = [](double n) { return HtmlCell(ms_text(n), n); };
    rows.push_back({std::move(name),
                    count(p.threads),
                    ms(p.times.median_ms),
                    ms(p.times.p95_ms),
                    ms(p.times.spread_ms),
                    count(p.times.runs),
                    bytes(c.bytes),
                    bytes(c.memory.value_or(0)),
                    {loss_text(c.loss.value_or(0)), c.loss.value_or(0)},
                    p.front  ? "front"
                    : p.left ? "left early"
                             : "",
                    p.within ? "yes" : "no"});
  }
  page.heading("Timed");
  page.paragraph(concat("Each ran in turns with the others. Spread: between the quartiles. Memory: of ",
                        report.memory_of == "process" ? "a process that loads and runs the model, at its peak"
                                                      : "what the engine keeps: weights and arena"));
  page.table(
      {"candidate", "threads", "median ms", "p95 ms", "spread ms", "runs", "size", "memory", "loss", "", "limits"},
      rows);
  rows.clear();
  for (const TuneCandidate& c : report.candidates) {
    if (c.fate == TuneCandidate::Fate::kept) continue;
    rows.push_back({label(c), std::string(fate_name(c.fate)), c.reason,
                    c.loss ? HtmlCell(loss_text(*c.loss), *c.loss) : HtmlCell("")});
  }
  page.heading("Not timed");
  page.table({"candidate", "", "why", "loss"}, rows);
  return std::move(page).finish();
}

}  // namespace linnet::cli
