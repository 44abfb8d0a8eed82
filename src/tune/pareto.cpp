#include "tune/pareto.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <tuple>

namespace linnet {
namespace {

std::string percent(double part) {
  char text[32];
  std::snprintf(text, sizeof text, part < 0.1 ? "%.1f %%" : "%.0f %%", 100 * part);
  return text;
}

std::string number(double value, const char* format) {
  char text[48];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

}  // namespace

TuneFigures figures_of(const TuneReport& report, const TunePoint& point) {
  const TuneCandidate& candidate = report.candidates[point.candidate];
  return {
      candidate.loss.value_or(0),   point.times.median_ms, point.times.p95_ms, point.times.spread_ms, candidate.bytes,
      candidate.memory.value_or(0), point.threads};
}

TuneSteps steps_of(const TuneFigures& figures, const TuneReport& report, double fastest_ms) {
  constexpr double kLeastLoss = 1e-6, kLossSteps = 100, kTimeSteps = 100, kSizeSteps = 200, kMemoryStep = 1e6;
  const auto steps = [](double value, double step) { return step > 0 ? std::llround(value / step) : 0; };
  return {steps(figures.loss, std::max(report.limits.loss / kLossSteps, kLeastLoss)),
          steps(figures.median_ms, fastest_ms / kTimeSteps),
          steps(static_cast<double>(figures.bytes), static_cast<double>(report.model_bytes) / kSizeSteps),
          steps(static_cast<double>(figures.memory), kMemoryStep), static_cast<int64_t>(figures.threads)};
}

bool no_worse_untimed(const TuneSteps& a, const TuneSteps& b) noexcept {
  return a.loss <= b.loss && a.bytes <= b.bytes && a.memory <= b.memory && a.threads <= b.threads;
}

bool dominates(const TuneSteps& a, const TuneSteps& b) noexcept {
  return no_worse_untimed(a, b) && a.ms <= b.ms &&
         (a.loss < b.loss || a.ms < b.ms || a.bytes < b.bytes || a.memory < b.memory || a.threads < b.threads);
}

double excess(const TuneFigures& figures, const TuneLimits& limits, std::string* words) {
  double sum = 0;
  const auto add = [&](double value, double limit, const char* name, const char* format, double unit) {
    if (!(value > limit)) return;
    // A limit of nothing is exceeded by as many times this.
    constexpr double kLeast = 1e-4;
    const double part = (value - limit) / std::max(limit, kLeast);
    sum += part;
    if (words)
      *words += concat(words->empty() ? "" : ", ", name, " ", number(value / unit, format), " instead of ",
                       number(limit / unit, format), " (", percent(part), " more)");
  };
  add(figures.loss, limits.loss, "loss", "%.4g", 1);
  if (limits.p95_ms) add(figures.p95_ms, *limits.p95_ms, "p95", "%.3g ms", 1);
  if (limits.bytes) add(static_cast<double>(figures.bytes), static_cast<double>(*limits.bytes), "size", "%.4g MB", 1e6);
  if (limits.memory)
    add(static_cast<double>(figures.memory), static_cast<double>(*limits.memory), "memory", "%.4g MB", 1e6);
  return sum;
}

void choose(TuneReport& report, TunePreference preference) {
  std::vector<TuneFigures> figures;
  for (const TunePoint& point : report.points) figures.push_back(figures_of(report, point));
  // Points that left are compared with others only where none of those keeps the limits.
  bool with_left = true;
  for (size_t i = 0; i < figures.size(); ++i)
    with_left &= report.points[i].left || excess(figures[i], report.limits) != 0;
  const auto counts = [&](size_t i) { return with_left || !report.points[i].left; };
  double least_ms = INFINITY;
  for (size_t i = 0; i < figures.size(); ++i)
    if (counts(i)) least_ms = std::min(least_ms, figures[i].median_ms);
  std::vector<TuneSteps> steps;
  for (const TuneFigures& f : figures) steps.push_back(steps_of(f, report, least_ms));
  report.chosen = report.nearest = std::nullopt;
  report.beyond.clear();
  double fastest_end = INFINITY, fastest = INFINITY, least_excess = INFINITY;
  TuneFigures nearest;
  for (size_t i = 0; i < figures.size(); ++i) {
    TunePoint& point = report.points[i];
    const double beyond = excess(figures[i], report.limits);
    point.within = beyond == 0;
    point.front = !point.left;
    for (size_t j = 0; j < figures.size() && point.front; ++j)
      point.front = report.points[j].left || !dominates(steps[j], steps[i]);
    if (!counts(i)) continue;
    if (point.within && figures[i].median_ms < fastest) {
      fastest = figures[i].median_ms;
      fastest_end = fastest + figures[i].spread_ms / 2;
    }
    if (beyond < least_excess) {
      least_excess = beyond;
      nearest = figures[i];
      report.nearest = point.candidate;
    }
  }
  // What counts first, then the rest. Those that are as fast as the fastest differ in that only if in nothing else.
  const auto rank = [&](size_t i) {
    const TuneSteps& f = steps[i];
    const double ms = std::max(figures[i].median_ms, fastest_end);
    const double first = preference == TunePreference::size      ? static_cast<double>(f.bytes)
                         : preference == TunePreference::quality ? static_cast<double>(f.loss)
                         : preference == TunePreference::memory  ? static_cast<double>(f.memory)
                                                                 : ms;
    return std::tuple(first, ms, f.bytes, f.loss, f.threads, figures[i].median_ms);
  };
  for (size_t i = 0; i < figures.size(); ++i) {
    bool beaten = !report.points[i].within || !counts(i);
    for (size_t j = 0; j < figures.size() && !beaten; ++j)
      beaten = report.points[j].within && counts(j) && dominates(steps[j], steps[i]);
    if (!beaten && (!report.chosen || rank(i) < rank(*report.chosen))) report.chosen = i;
  }
  if (report.chosen) {
    report.nearest.reset();
    return;
  }
  // What was given up for its loss has no memory measured: of that one it cannot be said how far beyond the limits it
  // is.
  const auto measured = [&](const TuneCandidate& c) {
    return c.bytes != 0 && c.loss && (!report.limits.memory || c.memory);
  };
  const bool any = std::any_of(report.candidates.begin(), report.candidates.end(), measured);
  if (figures.empty())
    for (size_t i = 0; i < report.candidates.size(); ++i) {
      const TuneCandidate& candidate = report.candidates[i];
      if (candidate.bytes == 0 || !candidate.loss || (any && !measured(candidate))) continue;
      const TuneFigures f = figures_of(report, {i, 1, {}, false, false, false});
      if (const double beyond = excess(f, report.limits); beyond < least_excess) {
        least_excess = beyond;
        nearest = f;
        report.nearest = i;
      }
    }
  if (report.nearest) excess(nearest, report.limits, &report.beyond);
}

}  // namespace linnet
