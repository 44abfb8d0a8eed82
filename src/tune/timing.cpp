#include "tune/timing.h"

#include <algorithm>
#include <cmath>

namespace linnet {
namespace {

double quantile(const std::vector<double>& sorted, double q) {
  const double at = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(at);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (at - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

// Twice the standard error of the median, of times that are spread as normal ones are.
double doubt(const TuneTimes& times) {
  constexpr double kErrorOfMedian = 1.2533, kQuartiles = 1.349;
  return 2 * kErrorOfMedian * times.spread_ms / (kQuartiles * std::sqrt(static_cast<double>(times.runs)));
}

}  // namespace

TuneTimes summarize(std::vector<double>& ms) {
  TuneTimes times;
  if (ms.empty()) return times;
  std::sort(ms.begin(), ms.end());
  times.runs = ms.size();
  times.median_ms = quantile(ms, 0.5);
  times.p95_ms = quantile(ms, 0.95);
  times.spread_ms = quantile(ms, 0.75) - quantile(ms, 0.25);
  return times;
}

Status Timing::run(std::vector<size_t> points, const TimingPlan& plan, Run run, NoWorse no_worse, Clock clock) {
  std::erase_if(points, [&](size_t p) { return left(p); });
  for (const size_t p : points) points_[p].ms.clear();
  const auto ms_of = [&](size_t p) { return times(p).median_ms; };
  size_t rounds = plan.first_rounds;
  for (size_t round = 0; !points.empty(); ++round) {
    const bool is_over = clock() >= plan.deadline && round >= plan.first_rounds;
    if (round == rounds || is_over)
      for (const size_t p : points) points_[p].times = summarize(points_[p].ms);
    if (round >= plan.most_rounds || is_over) break;
    if (round == rounds) {
      const auto beats = [&](size_t a, size_t b, double margin) {
        return a != b && no_worse(a, b) && ms_of(a) + margin < ms_of(b);
      };
      std::vector<size_t> leaving, beaten;
      for (const size_t p : points) {
        const auto surely = [&](size_t q) { return beats(q, p, doubt(times(p)) + doubt(times(q))); };
        const auto maybe = [&](size_t q) { return beats(q, p, 0); };
        if (std::any_of(points.begin(), points.end(), surely)) {
          leaving.push_back(p);
        } else if (std::any_of(points.begin(), points.end(), maybe)) {
          beaten.push_back(p);
        }
      }
      std::sort(beaten.begin(), beaten.end(), [&](size_t a, size_t b) { return ms_of(a) < ms_of(b); });
      leaving.insert(leaving.end(), beaten.begin() + static_cast<std::ptrdiff_t>((beaten.size() + 1) / 2),
                     beaten.end());
      for (const size_t p : leaving) {
        points_[p].left = true;
        std::erase(points, p);
      }
      rounds *= 2;
    }
    for (size_t i = 0; i < points.size(); ++i) {
      const size_t p = points[(i + round) % points.size()];
      LINNET_ASSIGN(const double ms, run(p, round));
      points_[p].ms.push_back(ms);
    }
  }
  return {};
}

}  // namespace linnet
