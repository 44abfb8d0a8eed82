// Which points are worth having, and which one is wanted.
#pragma once

#include "tune/tune.h"

namespace linnet {

// What a point is judged by. What was not measured counts as nothing.
struct TuneFigures {
  double loss = 0, median_ms = 0, p95_ms = 0, spread_ms = 0;
  uint64_t bytes = 0, memory = 0;
  size_t threads = 1;
};
TuneFigures figures_of(const TuneReport& report, const TunePoint& point);

// The same as points are compared: in steps, so that a difference that says nothing is none. A step of the loss is a
// hundredth of its limit, of the size half a percent of the tuned model's, of the memory a megabyte, of the median time
// a percent of `fastest_ms`.
struct TuneSteps {
  int64_t loss = 0, ms = 0, bytes = 0, memory = 0, threads = 0;
};
TuneSteps steps_of(const TuneFigures& figures, const TuneReport& report, double fastest_ms);

// At least as good in all but time.
bool no_worse_untimed(const TuneSteps& a, const TuneSteps& b) noexcept;
// At least as good in all, and better in one.
bool dominates(const TuneSteps& a, const TuneSteps& b) noexcept;

// How far beyond the limits: the sum of the parts by which each is exceeded, 0 where all are kept. `words`: which.
double excess(const TuneFigures& figures, const TuneLimits& limits, std::string* words = nullptr);

// Sets `front` and `within` of the report's points, and `chosen`, or `nearest` and `beyond`. The choice is among points
// within the limits that no other such point dominates. With the preference for speed those count as the fastest whose
// median is within half the spread of the fastest one; among them the smallest file decides, then the least loss, then
// the fewest threads. Other preferences come before that. Points that left the timing early are not on the front, and
// are chosen only where no other one keeps the limits.
void choose(TuneReport& report, TunePreference preference);

}  // namespace linnet
