#include "tune/state.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace linnet {
namespace {

class StateTest : public ::testing::Test {
 protected:
  StateTest() {
    path_ = std::filesystem::path(::testing::TempDir()) /
            ("tune_" + std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()) + ".state");
    std::filesystem::remove(path_);
  }
  ~StateTest() override { std::filesystem::remove(path_); }

  void write(const std::string& text) { std::ofstream(path_, std::ios::binary) << text; }
  std::string read() const {
    std::ifstream file(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  std::filesystem::path path_;
};

TEST_F(StateTest, WhatIsWrittenIsRead) {
  TuneState state(path_, "model 1");
  ASSERT_TRUE(state.begin().ok());
  state.records["dynamic"] = {"", 123, 4, "abc", 0.1 + 0.2, "{\"a\": 1}", 456, 2};
  state.records["static 'a\tb\nc\\'"] = {"it\tfailed\n", 0, 0, "", std::nullopt, "", std::nullopt, 0};
  state.rankings["dynamic"] = {"first", "", "tab\there"};
  ASSERT_TRUE(state.save(true).ok());
  TuneState other(path_, "model 1");
  ASSERT_TRUE(other.resume().ok());
  EXPECT_EQ(other.records, state.records);
  EXPECT_EQ(other.rankings, state.rankings);
}

TEST_F(StateTest, AnInterruptedSearchIsNotThrownAway) {
  TuneState state(path_, "model 1");
  ASSERT_TRUE(state.begin().ok());
  for (const char* identity : {"model 1", "model 2"}) {
    TuneState other(path_, identity);
    EXPECT_NE(other.begin().message().find("was interrupted"), std::string::npos);
  }
  state.records["dynamic"].bytes = 1;
  ASSERT_TRUE(state.save(true).ok());
  TuneState other(path_, "model 1");
  ASSERT_TRUE(other.begin().ok());
  EXPECT_TRUE(other.records.empty());
}

TEST_F(StateTest, OnlyTheSameSearchIsResumed) {
  TuneState state(path_, "model 1");
  EXPECT_EQ(state.resume().code(), Code::not_found);
  ASSERT_TRUE(state.begin().ok());
  EXPECT_TRUE(state.resume().ok());
  TuneState other(path_, "model 2");
  EXPECT_NE(other.resume().message().find("is of another search"), std::string::npos);
}

TEST_F(StateTest, DamageIsNamedByItsLine) {
  const std::string head = "linnet tune 1\tunfinished\n", of = head + "of\tmodel 1\n";
  const std::pair<std::string, const char*> cases[] = {{"", "line 1"},
                                                       {"hello\n", "line 1"},
                                                       {head, "line 2"},
                                                       {of + "other\n", "line 3"},
                                                       {of + "candidate\tx\t\t1e\t0\t\t\t\t\t\n", "line 3"},
                                                       {of + "candidate\tx\t\t-1\t0\t\t\t\t\t\n", "line 3"},
                                                       {of + "candidate\tx\n", "line 3"}};
  for (const auto& [text, line] : cases) {
    write(text);
    const Status status = TuneState(path_, "model 1").resume();
    EXPECT_NE(status.message().find(line), std::string::npos) << text << ": " << status.message();
  }
}

TEST_F(StateTest, NoChangedByteCrashesIt) {
  TuneState state(path_, "model 1");
  ASSERT_TRUE(state.begin().ok());
  state.records["dynamic"] = {"", 123, 4, "abc", 0.5, "{}", 456, 1};
  state.rankings["dynamic"] = {"first"};
  ASSERT_TRUE(state.save(false).ok());
  const std::string good = read();
  for (size_t i = 0; i < good.size(); ++i) {
    std::string other = good;
    other[i] = static_cast<char>(other[i] ^ 1);
    for (const std::string& text : {good.substr(0, i), other}) {
      write(text);
      TuneState changed(path_, "model 1");
      if (changed.resume().ok()) {
        EXPECT_LE(changed.records.size(), 1u);
      }
    }
  }
}

TEST_F(StateTest, AFolderThatCannotBeWrittenTo) {
  EXPECT_FALSE(TuneState("/proc/nowhere/tune.state", "model 1").begin().ok());
}

}  // namespace
}  // namespace linnet
