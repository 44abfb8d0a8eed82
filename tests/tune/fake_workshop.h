// A workshop whose candidates' figures are a function of the recipe, and whose clock only work moves.
#pragma once

#include <algorithm>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "tune/workshop.h"

namespace linnet {

struct FakeFigures {
  uint64_t bytes = 1'000'000, memory = 10'000'000;
  double loss = 0, ms = 10;
  size_t quantized = 1;
  std::string failure = {};
  Code code = Code::unsupported;  // of the failure
  std::string content = {};       // of the file; empty: the key
};

class FakeWorkshop final : public Workshop {
 public:
  explicit FakeWorkshop(std::function<FakeFigures(const Recipe&)> figures) : figures_(std::move(figures)) {}

  double now = 0;
  double make_seconds = 0.1;
  std::vector<std::string> names;  // what rank() answers
  std::vector<std::string> log;    // "make KEY", "judge KEY", ...
  std::function<void(const std::string& event)> watch;

  size_t count(const std::string& event) const {
    return static_cast<size_t>(
        std::count_if(log.begin(), log.end(), [&](const std::string& line) { return line.starts_with(event); }));
  }

  double seconds() override { return now; }
  Result<MadeModel> make(const Recipe& recipe) override {
    note("make", recipe);
    now += make_seconds;
    const FakeFigures f = figures_(recipe);
    if (!f.failure.empty()) return error(f.code, f.failure);
    return MadeModel{f.bytes, f.content.empty() ? recipe.key() : f.content, f.quantized};
  }
  Result<Judgement> judge(const Recipe& recipe) override {
    note("judge", recipe);
    return Judgement{figures_(recipe).loss, "{}"};
  }
  Result<std::vector<std::string>> rank(const Recipe& recipe, double) override {
    note("rank", recipe);
    return names;
  }
  Result<uint64_t> memory(const Recipe& recipe, size_t) override {
    note("memory", recipe);
    return figures_(recipe).memory;
  }
  void discard(const Recipe& recipe) override { note("discard", recipe); }
  Status load(const Recipe& recipe) override {
    note("load", recipe);
    loaded_.insert(recipe.key());
    return {};
  }
  void unload(const Recipe& recipe) override { loaded_.erase(recipe.key()); }
  Result<double> run_ms(const Recipe& recipe, size_t threads, size_t round) override {
    if (!loaded_.contains(recipe.key())) return error(Code::internal, "not loaded");
    note("run", recipe);
    // Every tenth run takes twice as long.
    const double ms = figures_(recipe).ms / static_cast<double>(threads) * (round % 10 == 9 ? 2 : 1);
    now += ms * 1e-3;
    return ms;
  }

 private:
  void note(const char* what, const Recipe& recipe) {
    log.push_back(std::string(what) + " " + recipe.key());
    if (watch) watch(log.back());
  }

  std::function<FakeFigures(const Recipe&)> figures_;
  std::set<std::string> loaded_;
};

}  // namespace linnet
