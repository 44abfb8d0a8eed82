#include "tune/search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "fake_workshop.h"

namespace linnet {
namespace {

using Fate = TuneCandidate::Fate;
using Scheme = Recipe::Scheme;

// Integers are small and fast and lose something; other schemes are in between.
FakeFigures plausible(const Recipe& recipe) {
  FakeFigures f;
  f.bytes = 4'000'000;
  switch (recipe.scheme) {
    case Scheme::optimize: f.ms = recipe.half ? 15 : 10; break;
    case Scheme::dynamic: f = {1'100'000, 9'000'000, 0.002, 6}; break;
    case Scheme::ranges: f = {1'000'000, 8'000'000, 0.008, 4}; break;
    case Scheme::weights: f = {recipe.blocks.bits == 4 ? 700'000u : 1'200'000u, 8'000'000, 0.004, 9}; break;
  }
  return f;
}

class SearchTest : public ::testing::Test {
 protected:
  SearchTest() {
    folder_ = std::filesystem::path(::testing::TempDir()) /
              ("tune_search_" + std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()));
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  ~SearchTest() override { std::filesystem::remove_all(folder_); }

  Status search(FakeWorkshop& workshop, bool resume = false) {
    report_ = {};
    report_.model_bytes = 4'000'000;
    report_.limits = options_.limits;
    TuneState state(folder_ / "tune.state", "test");
    LINNET_TRY(resume ? state.resume() : state.begin());
    Search search(workshop, options_, state);
    LINNET_TRY(search.run(report_));
    return state.save(true);
  }

  const TuneCandidate& chosen() const { return report_.candidates[report_.points[report_.chosen.value()].candidate]; }
  size_t fates(Fate fate) const {
    return static_cast<size_t>(std::count_if(report_.candidates.begin(), report_.candidates.end(),
                                             [&](const TuneCandidate& c) { return c.fate == fate; }));
  }
  TuneCandidate find(const std::string& key) const {
    const auto found = std::find_if(report_.candidates.begin(), report_.candidates.end(),
                                    [&](const TuneCandidate& c) { return c.key == key; });
    EXPECT_NE(found, report_.candidates.end()) << key;
    return found == report_.candidates.end() ? TuneCandidate() : *found;
  }

  std::filesystem::path folder_;
  TuneOptions options_;
  TuneReport report_;
};

TEST_F(SearchTest, TheFastestWithinTheLimitsIsChosen) {
  FakeWorkshop workshop(plausible);
  ASSERT_TRUE(search(workshop).ok());
  EXPECT_TRUE(chosen().key.starts_with("static")) << chosen().key;
  EXPECT_FALSE(report_.out_of_time);
}

TEST_F(SearchTest, WhatLosesTooMuchIsNeverTimed) {
  FakeWorkshop workshop(plausible);
  options_.limits.loss = 0.003;
  ASSERT_TRUE(search(workshop).ok());
  EXPECT_EQ(chosen().arguments[1], "dynamic");
  for (const char* event : {"run static", "memory static", "load weights"}) EXPECT_EQ(workshop.count(event), 0u);
  EXPECT_GT(fates(Fate::too_lossy), 0u);
}

TEST_F(SearchTest, WhatIsTooLargeIsNotJudged) {
  FakeWorkshop workshop(plausible);
  options_.limits.bytes = 1'150'000;
  ASSERT_TRUE(search(workshop).ok());
  EXPECT_EQ(workshop.count("judge optimize"), 0u);
  EXPECT_EQ(find("optimize --level extended").fate, Fate::too_large);
  EXPECT_EQ(find("optimize --level extended").reason, "size 4 MB instead of 1.15 MB (248 % more)");
  EXPECT_EQ(workshop.count("discard optimize"), 3u);
}

TEST_F(SearchTest, MemoryIsALimitToo) {
  FakeWorkshop workshop(plausible);
  options_.limits.memory = 8'500'000;
  ASSERT_TRUE(search(workshop).ok());
  EXPECT_EQ(workshop.count("run dynamic"), 0u);
  EXPECT_EQ(find("dynamic").fate, Fate::too_much_memory);
}

TEST_F(SearchTest, HarmfulNodesAreLeftOutUntilTheQualityIsMet) {
  // Each of the first five nodes costs 0.01 where it is quantised, the others nothing.
  const auto figures = [](const Recipe& recipe) {
    FakeFigures f = plausible(recipe);
    if (recipe.scheme != Scheme::ranges) return f;
    f.loss = 0.001;
    const auto& out = recipe.exclude;
    for (int i = 0; i < 5; ++i)
      if (std::find(out.begin(), out.end(), concat("node ", i)) == out.end()) f.loss += 0.01;
    return f;
  };
  FakeWorkshop workshop(figures);
  for (int i = 0; i < 40; ++i) workshop.names.push_back(concat("node ", i));
  options_.limits.loss = 0.0125;
  ASSERT_TRUE(search(workshop).ok());
  EXPECT_EQ(workshop.count("rank static"), 1u);
  EXPECT_EQ(std::count(chosen().arguments.begin(), chosen().arguments.end(), "--exclude"), 4) << chosen().key;
  EXPECT_NE(chosen().key.find("--exclude 'node 0' --exclude 'node 1'"), std::string::npos) << chosen().key;
}

TEST_F(SearchTest, ExclusionsThatDoNotHelpEnd) {
  FakeWorkshop workshop([](const Recipe& recipe) {
    FakeFigures f = plausible(recipe);
    if (recipe.scheme == Scheme::ranges) f.loss = 0.5;
    return f;
  });
  workshop.names = {"a", "b", "c", "d", "e"};
  ASSERT_TRUE(search(workshop).ok());
  EXPECT_EQ(workshop.count("rank static"), 1u);
  EXPECT_EQ(chosen().arguments[1], "dynamic");
}

TEST_F(SearchTest, EqualFilesAreMeasuredOnce) {
  FakeWorkshop workshop([](const Recipe& recipe) {
    FakeFigures f = plausible(recipe);
    if (recipe.scheme == Scheme::optimize) f.content = "float";
    return f;
  });
  ASSERT_TRUE(search(workshop).ok());
  EXPECT_EQ(workshop.count("judge optimize"), 1u);
  EXPECT_EQ(find("optimize --level basic").fate, Fate::same);
  EXPECT_EQ(find("optimize --level basic").reason, "the same file as optimize --level extended");
}

TEST_F(SearchTest, CandidatesThatCannotBeMadeAreTold) {
  FakeWorkshop workshop([](const Recipe& recipe) {
    FakeFigures f = plausible(recipe);
    if (recipe.scheme == Scheme::ranges) f.failure = "no ranges here";
    if (recipe.scheme == Scheme::weights) f.quantized = 0;
    return f;
  });
  ASSERT_TRUE(search(workshop).ok());
  EXPECT_EQ(find("static --activation-type uint8 --per-channel").reason, "no ranges here");
  EXPECT_EQ(find("static --activation-type uint8 --per-channel").fate, Fate::failed);
  EXPECT_EQ(find("weights --bits 8 --block 32 --embeddings").fate, Fate::not_applicable);
  EXPECT_EQ(find("weights --bits 8 --block 32 --embeddings").reason, "nothing in the model can be quantised so");
  EXPECT_EQ(chosen().arguments[1], "dynamic");
}

TEST_F(SearchTest, AFullDiskEndsTheSearch) {
  FakeWorkshop workshop([](const Recipe& recipe) {
    FakeFigures f = plausible(recipe);
    if (recipe.scheme == Scheme::dynamic) f.failure = "the disk is full";
    f.code = Code::io;
    return f;
  });
  EXPECT_EQ(search(workshop).code(), Code::io);
}

TEST_F(SearchTest, LimitsThatNothingKeepsNameTheNearest) {
  FakeWorkshop workshop(plausible);
  options_.limits.p95_ms = 3.5;
  ASSERT_TRUE(search(workshop).ok());
  EXPECT_FALSE(report_.chosen);
  ASSERT_TRUE(report_.nearest);
  EXPECT_TRUE(report_.candidates[*report_.nearest].key.starts_with("static"));
  EXPECT_NE(report_.beyond.find("instead of 3.5 ms"), std::string::npos) << report_.beyond;
}

TEST_F(SearchTest, WhereNothingIsSmallEnoughTheNearestIsJudgedAtTheEnd) {
  FakeWorkshop workshop(plausible);
  options_.limits.bytes = 500'000;
  ASSERT_TRUE(search(workshop).ok());
  EXPECT_FALSE(report_.chosen);
  ASSERT_TRUE(report_.nearest);
  EXPECT_TRUE(report_.candidates[*report_.nearest].key.starts_with("weights --bits 4"));
  EXPECT_EQ(report_.beyond, "size 0.7 MB instead of 0.5 MB (40 % more)");
}

TEST_F(SearchTest, TimeEndsTheCandidatesButNotTheChoice) {
  FakeWorkshop workshop(plausible);
  workshop.make_seconds = 10;
  options_.budget_seconds = 45;
  ASSERT_TRUE(search(workshop).ok());
  EXPECT_TRUE(report_.out_of_time);
  EXPECT_TRUE(report_.chosen);
  EXPECT_LT(report_.candidates.size(), 6u);
  EXPECT_LT(workshop.now, 60);
}

TEST_F(SearchTest, ThreadsArePoints) {
  FakeWorkshop workshop(plausible);
  options_.threads = {1, 2};
  ASSERT_TRUE(search(workshop).ok());
  EXPECT_EQ(report_.points[*report_.chosen].threads, 2u);
  EXPECT_EQ(report_.points.size() % 2, 0u);
}

TEST_F(SearchTest, RunsAreTakenInTurns) {
  FakeWorkshop workshop(plausible);
  ASSERT_TRUE(search(workshop).ok());
  std::vector<std::string> runs;
  for (const std::string& line : workshop.log)
    if (line.starts_with("run ")) runs.push_back(line);
  std::set<std::string> seen;
  size_t width = 0;
  while (seen.insert(runs[width]).second) ++width;
  const auto round = [&](size_t r) {
    const auto begin = runs.begin() + static_cast<std::ptrdiff_t>(r * width);
    return std::vector<std::string>(begin, begin + static_cast<std::ptrdiff_t>(width));
  };
  EXPECT_GT(width, 5u);
  for (size_t r = 1; r < 8; ++r) {
    const std::vector<std::string> a = round(r), b = round(0);
    EXPECT_EQ(std::set<std::string>(a.begin(), a.end()), std::set<std::string>(b.begin(), b.end())) << r;
    EXPECT_NE(a, b) << "the order turns";
  }
}

// ---- interruption

TEST_F(SearchTest, AnInterruptedSearchGoesOnWhereItWas) {
  FakeWorkshop whole(plausible);
  ASSERT_TRUE(search(whole).ok());
  const TuneReport expected = report_;
  std::filesystem::remove(folder_ / "tune.state");

  StopToken stop;
  options_.stop = &stop;
  FakeWorkshop first(plausible);
  first.watch = [&](const std::string&) {
    if (first.count("make") == 7) stop.request_stop();
  };
  EXPECT_EQ(search(first).code(), Code::cancelled);
  EXPECT_EQ(first.count("make"), 7u);

  FakeWorkshop again(plausible);
  EXPECT_NE(search(again).message().find("resume goes on with it"), std::string::npos);
  EXPECT_TRUE(again.log.empty());

  options_.stop = nullptr;
  FakeWorkshop second(plausible);
  ASSERT_TRUE(search(second, true).ok());
  EXPECT_EQ(second.count("make") + 7, whole.count("make"));
  ASSERT_EQ(report_.candidates.size(), expected.candidates.size());
  for (size_t i = 0; i < expected.candidates.size(); ++i) {
    EXPECT_EQ(report_.candidates[i].key, expected.candidates[i].key);
    EXPECT_EQ(report_.candidates[i].fate, expected.candidates[i].fate);
    EXPECT_EQ(report_.candidates[i].loss, expected.candidates[i].loss);
  }
  EXPECT_EQ(report_.chosen, expected.chosen);
}

TEST_F(SearchTest, OtherLimitsUseWhatWasMeasured) {
  FakeWorkshop first(plausible);
  options_.limits.bytes = 1'150'000;
  ASSERT_TRUE(search(first).ok());
  FakeWorkshop second(plausible);
  options_.limits = {};
  ASSERT_TRUE(search(second, true).ok());
  EXPECT_EQ(second.count("make static --activation-type uint8 --per-channel"), 0u);
  EXPECT_EQ(second.count("judge optimize --level basic"), 1u);  // it was too large to be judged
}

TEST_F(SearchTest, MemoryIsOfTheThreadsThatAreAskedFor) {
  FakeWorkshop first(plausible), second(plausible), third(plausible);
  ASSERT_TRUE(search(first).ok());
  EXPECT_EQ(first.count("memory optimize --level basic"), 1u);
  options_.threads = {2};
  ASSERT_TRUE(search(second, true).ok());
  EXPECT_EQ(second.count("memory optimize --level basic"), 1u);
  ASSERT_TRUE(search(third, true).ok());
  EXPECT_EQ(third.count("memory"), 0u);
}

TEST_F(SearchTest, AnInterruptWhileTimingEnds) {
  StopToken stop;
  options_.stop = &stop;
  FakeWorkshop workshop(plausible);
  workshop.watch = [&](const std::string& event) {
    if (event.starts_with("run")) stop.request_stop();
  };
  EXPECT_EQ(search(workshop).code(), Code::cancelled);
  EXPECT_EQ(workshop.count("run"), 1u);
}

}  // namespace
}  // namespace linnet
