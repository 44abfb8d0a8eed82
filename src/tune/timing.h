// Runs of several points in turns, more of those that may be among the best.
#pragma once

#include <map>
#include <vector>

#include "base/function_ref.h"
#include "base/result.h"
#include "tune/tune.h"

namespace linnet {

// The times' summary; `ms` is reordered. Quantiles lie between neighbours where they fall there.
TuneTimes summarize(std::vector<double>& ms);

struct TimingPlan {
  size_t first_rounds = 8;  // of all points, whatever it takes
  size_t most_rounds = 256;
  double deadline = 0;  // on the clock; no further rounds begin after it
};

class Timing {
 public:
  // One run of a point.
  using Run = FunctionRef<Result<double>(size_t point, size_t round)>;
  // Whether the first point is at least as good as the second one in all but time.
  using NoWorse = FunctionRef<bool(size_t a, size_t b)>;
  using Clock = FunctionRef<double()>;

  // In each round every point runs once; the order turns from round to round. When all have had `first_rounds`, and
  // then each time that their number has doubled, those leave that another one beats for sure, and the slower half of
  // those that are beaten at all. Points that left an earlier run are not run again, and the others' times begin anew.
  Status run(std::vector<size_t> points, const TimingPlan& plan, Run run, NoWorse no_worse, Clock clock);

  const TuneTimes& times(size_t point) { return points_[point].times; }
  bool left(size_t point) { return points_[point].left; }

 private:
  struct Point {
    std::vector<double> ms;
    TuneTimes times;
    bool left = false;
  };
  std::map<size_t, Point> points_;
};

}  // namespace linnet
