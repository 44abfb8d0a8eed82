#include "tune/timing.h"

#include <gtest/gtest.h>

namespace linnet {
namespace {

TEST(Summarize, QuantilesLieBetweenNeighbours) {
  std::vector<double> ms = {5, 1, 2, 4, 3};
  const TuneTimes times = summarize(ms);
  EXPECT_DOUBLE_EQ(times.median_ms, 3);
  EXPECT_DOUBLE_EQ(times.p95_ms, 4.8);
  EXPECT_DOUBLE_EQ(times.spread_ms, 2);
  EXPECT_EQ(times.runs, 5u);
}

TEST(Summarize, OneAndNone) {
  std::vector<double> one = {7}, none;
  EXPECT_DOUBLE_EQ(summarize(one).p95_ms, 7);
  EXPECT_DOUBLE_EQ(summarize(one).spread_ms, 0);
  EXPECT_EQ(summarize(none).runs, 0u);
}

struct Race {
  std::vector<double> ms;
  double now = 0;
  std::vector<size_t> runs = std::vector<size_t>(ms.size());

  void run(Timing& timing, const TimingPlan& plan, bool comparable) {
    std::vector<size_t> points(ms.size());
    for (size_t i = 0; i < points.size(); ++i) points[i] = i;
    const auto once = [&](size_t p, size_t) -> Result<double> {
      ++runs[p];
      now += 1;
      return ms[p];
    };
    EXPECT_TRUE(timing
                    .run(
                        points, plan, once, [&](size_t, size_t) { return comparable; }, [&] { return now; })
                    .ok());
  }
};

TEST(Timing, WhatIsSurelyBeatenLeavesEarly) {
  Race race{{10, 20, 30, 5}};
  Timing timing;
  race.run(timing, {4, 64, 1e9}, true);
  EXPECT_EQ(race.runs, (std::vector<size_t>{4, 4, 4, 64}));
  EXPECT_DOUBLE_EQ(timing.times(1).median_ms, 20);  // what left keeps its times
  EXPECT_EQ(timing.times(1).runs, 4u);
}

TEST(Timing, PointsThatAreBetterInSomethingElseStay) {
  Race race{{10, 20, 30, 5}};
  Timing timing;
  race.run(timing, {4, 16, 1e9}, false);
  EXPECT_EQ(race.runs, (std::vector<size_t>{16, 16, 16, 16}));
}

TEST(Timing, TheDeadlineEndsItAfterTheFirstRounds) {
  Race race{{10, 20}};
  Timing timing;
  race.run(timing, {4, 1000, 3}, false);
  EXPECT_EQ(race.runs, (std::vector<size_t>{4, 4}));
  EXPECT_EQ(timing.times(1).runs, 4u);
}

TEST(Timing, WhatLeftIsNotRunAgain) {
  Race race{{10, 20, 5}};
  Timing timing;
  race.run(timing, {4, 8, 1e9}, true);
  EXPECT_TRUE(timing.left(0) && timing.left(1));
  race.run(timing, {4, 16, 1e9}, true);
  EXPECT_EQ(race.runs, (std::vector<size_t>{4, 4, 24}));
  EXPECT_EQ(timing.times(2).runs, 16u);
}

TEST(Timing, AFailedRunIsTold) {
  Timing timing;
  const auto fail = [](size_t, size_t) -> Result<double> { return error(Code::io, "gone"); };
  const Status status = timing.run(
      {0}, {4, 8, 10}, fail, [](size_t, size_t) { return false; }, [] { return 0.0; });
  EXPECT_EQ(status.message(), "gone");
}

}  // namespace
}  // namespace linnet
