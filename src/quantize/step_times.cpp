#include "quantize/step_times.h"

#include <algorithm>

#include "run/profiler.h"

namespace linnet {
namespace {

using Milliseconds = std::chrono::duration<double, std::milli>;

constexpr size_t kLeastRounds = 5, kMostRounds = 41;
constexpr double kEnoughMilliseconds = 2000;

class Timed {
 public:
  explicit Timed(Session& session) : session_(session), outputs_(session.model().outputs.size()) {}

  Status run(std::span<const std::vector<Value>> samples, const StopToken* stop) {
    Profiler profiler;
    RunOptions options;
    options.stop = stop;
    options.profiler = &profiler;
    StepTimes& round = rounds_.emplace_back();
    const double share = 1.0 / static_cast<double>(samples.size());
    for (const std::vector<Value>& inputs : samples) {
      profiler.clear();
      const auto begin = Profiler::Clock::now();
      LINNET_TRY(session_.run(inputs, outputs_, options));
      round.milliseconds += share * Milliseconds(Profiler::Clock::now() - begin).count();
      std::vector<double> inner;  // by depth: of the steps since the last one above them
      for (const Profiler::Event& event : profiler.events()) {
        const auto depth = static_cast<size_t>(event.depth);
        inner.resize(std::max(inner.size(), depth + 2));
        const double whole = Milliseconds(event.duration).count();
        round.own[std::string(NodeNames::without_operator(event.path))] +=
            share * std::max(0.0, whole - inner[depth + 1]);
        inner[depth + 1] = 0;
        inner[depth] += whole;
      }
    }
    return {};
  }

  void forget() { rounds_.clear(); }
  size_t rounds() const { return rounds_.size(); }
  double last() const { return rounds_.back().milliseconds; }

  StepTimes medians() const {
    StepTimes out;
    std::vector<double> all;
    for (const StepTimes& round : rounds_) {
      all.push_back(round.milliseconds);
      for (const auto& [step, time] : round.own) out.own.try_emplace(step);
    }
    out.milliseconds = median(all);
    for (auto& [step, time] : out.own) {
      all.clear();
      for (const StepTimes& round : rounds_) {
        const auto found = round.own.find(step);
        all.push_back(found == round.own.end() ? 0 : found->second);
      }
      time = median(all);
    }
    return out;
  }

 private:
  static double median(std::vector<double>& all) {
    const auto middle = all.begin() + static_cast<ptrdiff_t>(all.size() / 2);
    std::nth_element(all.begin(), middle, all.end());
    return *middle;
  }

  Session& session_;
  std::vector<Value> outputs_;
  std::vector<StepTimes> rounds_;
};

}  // namespace

Result<StepTimesOfBoth> time_steps(Session& first, Session& second, std::span<const std::vector<Value>> samples,
                                   const StopToken* stop) {
  Timed a(first), b(second);
  double spent = 0;
  for (size_t round = 0; round <= kMostRounds && (round <= kLeastRounds || spent < kEnoughMilliseconds); ++round) {
    if (round == 1) {  // the first one warmed up
      a.forget();
      b.forget();
    }
    LINNET_TRY(a.run(samples, stop));
    LINNET_TRY(b.run(samples, stop));
    spent += (a.last() + b.last()) * static_cast<double>(samples.size());
  }
  return StepTimesOfBoth{a.medians(), b.medians()};
}

}  // namespace linnet
