// The order in which candidates are tried, and what is given up when.
#pragma once

#include <map>

#include "tune/state.h"
#include "tune/timing.h"
#include "tune/tune.h"
#include "tune/workshop.h"

namespace linnet {

// First the presets, and where a scheme loses too much, exclusions: of its most harmful nodes as few as will do. What
// keeps the limits on size, loss and memory is timed briefly; around those on the front one option at a time is
// changed. All that are left run in turns until it is clear who is best, or the time is over.
class Search {
 public:
  // `state` has been begun or resumed, and is saved after each candidate.
  Search(Workshop& workshop, const TuneOptions& options, TuneState& state)
      : workshop_(workshop), options_(options), state_(state), started_(workshop.seconds()) {}

  // Fills in candidates, points, the choice and whether time ran out.
  Status run(TuneReport& report);

  const Recipe& recipe(size_t candidate) const { return recipes_[candidate]; }

 private:
  using Scheme = Recipe::Scheme;
  // Candidates of a scheme, 4-bit weights apart from others, are refined on their own.
  using Family = std::pair<Scheme, int>;
  static Family family_of(const Recipe& recipe) { return {recipe.scheme, recipe.blocks.bits}; }

  double deadline(double part) const { return started_ + options_.budget_seconds * part; }
  bool is_past(double time);  // says so in the report
  bool late(double part) { return is_past(deadline(part)); }
  Status stopped() const;
  void tell(TuneProgress::Stage stage, size_t done, size_t total, std::string_view what) const;

  // The candidate's index: made, judged, recorded.
  Result<size_t> evaluate(const Recipe& recipe);
  Status measure(const Recipe& recipe, TuneCandidate& candidate);
  bool kept(size_t candidate) const { return report_->candidates[candidate].fate == TuneCandidate::Fate::kept; }

  Status try_presets();
  Status exclude_harmful();
  Status exclude_from(size_t base, double end);
  Status refine_front();
  // The candidate of the family that loses least; nothing where none was judged.
  std::optional<size_t> best_of(const Family& family) const;
  Status judge_large_ones();

  Status time_points(size_t most_rounds, double until);
  Status time_group(const std::vector<size_t>& points, const TimingPlan& plan);

  Workshop& workshop_;
  const TuneOptions& options_;
  TuneState& state_;
  const double started_;
  TuneReport* report_ = nullptr;
  std::vector<Recipe> recipes_;  // by candidate
  std::map<std::string, size_t> known_;
  std::map<std::string, size_t> by_content_;
  Timing timing_;
};

}  // namespace linnet
