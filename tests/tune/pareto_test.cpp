#include "tune/pareto.h"

#include <gtest/gtest.h>

namespace linnet {
namespace {

TuneReport report_of(const std::vector<TuneFigures>& all) {
  TuneReport report;
  report.model_bytes = 100'000'000;
  for (const TuneFigures& f : all) {
    TuneCandidate candidate;
    candidate.fate = TuneCandidate::Fate::kept;
    candidate.bytes = f.bytes;
    candidate.loss = f.loss;
    candidate.memory = f.memory;
    report.points.push_back(
        {report.candidates.size(), f.threads, {f.median_ms, f.p95_ms, f.spread_ms, 10}, false, false, false});
    report.candidates.push_back(candidate);
  }
  return report;
}

TuneFigures point(double loss, double ms, uint64_t megabytes, double spread = 0) {
  return {loss, ms, ms * 1.2, spread, megabytes * 1'000'000, megabytes * 2'000'000, 1};
}

std::vector<bool> front(const TuneReport& report) {
  std::vector<bool> out;
  for (const TunePoint& p : report.points) out.push_back(p.front);
  return out;
}

TEST(Choose, TheFrontHasWhatNothingElseBeats) {
  TuneReport report = report_of({point(0, 10, 100), point(0.001, 5, 30), point(0.002, 6, 40), point(0.005, 7, 20)});
  choose(report, TunePreference::speed);
  EXPECT_EQ(front(report), (std::vector<bool>{true, true, false, true}));
  EXPECT_EQ(report.chosen, 1u);
}

TEST(Choose, WhatDiffersLittleIsTheSame) {
  TuneReport report = report_of({point(0.001, 5, 30), point(0.00102, 5.01, 30)});
  choose(report, TunePreference::speed);
  EXPECT_EQ(front(report), (std::vector<bool>{true, true}));
  report = report_of({point(0.001, 5, 30), point(0.0013, 5.01, 30)});
  choose(report, TunePreference::speed);
  EXPECT_EQ(front(report), (std::vector<bool>{true, false}));
}

TEST(Choose, Preferences) {
  const std::vector<TuneFigures> points = {point(0, 10, 100), point(0.001, 5, 30), point(0.005, 7, 20)};
  const std::pair<TunePreference, size_t> cases[] = {
      {TunePreference::speed, 1}, {TunePreference::size, 2}, {TunePreference::quality, 0}, {TunePreference::memory, 2}};
  for (const auto& [preference, expected] : cases) {
    TuneReport report = report_of(points);
    choose(report, preference);
    EXPECT_EQ(report.chosen, expected);
  }
}

TEST(Choose, AsFastAsTheFastestIsDecidedBySize) {
  TuneReport report = report_of({point(0.001, 5.0, 30, 0.5), point(0.002, 5.2, 20), point(0.003, 5.4, 10)});
  choose(report, TunePreference::speed);
  EXPECT_EQ(report.chosen, 1u);  // 5.4 is beyond half the spread
}

TEST(Choose, WhatLeftWasBeaten) {
  // Its times are of an earlier, quieter part of the search.
  TuneReport report = report_of({point(0.001, 4, 30), point(0.001, 5, 30)});
  report.points[0].left = true;
  choose(report, TunePreference::speed);
  EXPECT_EQ(report.chosen, 1u);
  EXPECT_EQ(front(report), (std::vector<bool>{false, true}));
  report.limits.p95_ms = 5;  // which the other one does not keep
  choose(report, TunePreference::speed);
  EXPECT_EQ(report.chosen, 0u);
}

TEST(Choose, LimitsComeFirst) {
  TuneReport report = report_of({point(0, 10, 100), point(0.001, 5, 30), point(0.005, 7, 20)});
  report.limits.loss = 0.0005;
  choose(report, TunePreference::size);
  EXPECT_EQ(report.chosen, 0u);
  report.limits.bytes = 50'000'000;
  choose(report, TunePreference::size);
  EXPECT_FALSE(report.chosen);
  EXPECT_EQ(report.nearest, 0u);
  EXPECT_EQ(report.beyond, "size 100 MB instead of 50 MB (100 % more)");
  report.limits.loss = 0.01;
  report.limits.p95_ms = 5.5;
  choose(report, TunePreference::size);
  EXPECT_EQ(report.nearest, 1u);
  EXPECT_EQ(report.beyond, "p95 6 ms instead of 5.5 ms (9.1 % more)");
}

}  // namespace
}  // namespace linnet
