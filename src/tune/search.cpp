#include "tune/search.h"

#include <algorithm>
#include <set>

#include "tune/pareto.h"

namespace linnet {
namespace {

using Fate = TuneCandidate::Fate;
using Stage = TuneProgress::Stage;

// Parts of the budget after which nothing more of a phase is begun.
constexpr double kPresets = 0.5, kExclusions = 0.6, kFirstTimes = 0.7, kRefinement = 0.8;
constexpr std::string_view kNotApplicable = "nothing in the model can be quantised so";
constexpr size_t kFirstRounds = 8, kMostRounds = 256;
// Of models that are in memory to be timed.
constexpr uint64_t kLoadedBytes = uint64_t{3} << 29;

// What concerns one candidate only; anything else ends the search.
bool is_of_candidate(Code code) {
  return code == Code::invalid_argument || code == Code::invalid_model || code == Code::unsupported ||
         code == Code::not_found || code == Code::internal;
}

}  // namespace

bool Search::is_past(double time) {
  const bool is_late = workshop_.seconds() >= time;
  report_->out_of_time |= is_late;
  return is_late;
}

Status Search::stopped() const {
  if (options_.stop && options_.stop->stop_requested()) return error(Code::cancelled, "tuning was cancelled");
  return {};
}

void Search::tell(Stage stage, size_t done, size_t total, std::string_view what) const {
  if (options_.progress) options_.progress({stage, done, total, what});
}

Status Search::run(TuneReport& report) {
  report_ = &report;
  LINNET_TRY(try_presets());
  LINNET_TRY(exclude_harmful());
  LINNET_TRY(time_points(kFirstRounds, deadline(kFirstTimes)));
  choose(report, options_.preference);
  LINNET_TRY(refine_front());
  LINNET_TRY(time_points(kMostRounds, deadline(1)));
  if (report.points.empty()) LINNET_TRY(judge_large_ones());
  choose(report, options_.preference);
  return {};
}

// ---- candidates

Result<size_t> Search::evaluate(const Recipe& recipe) {
  const std::string key = recipe.key();
  if (const auto found = known_.find(key); found != known_.end()) return found->second;
  LINNET_TRY(stopped());
  const size_t index = report_->candidates.size();
  tell(Stage::candidates, index, 0, key);
  TuneCandidate candidate;
  candidate.arguments = recipe.arguments();
  candidate.key = key;
  LINNET_TRY(measure(recipe, candidate));
  if (candidate.fate != Fate::kept) workshop_.discard(recipe);
  LINNET_TRY(state_.save(false));
  report_->candidates.push_back(std::move(candidate));
  recipes_.push_back(recipe);
  known_.emplace(key, index);
  return index;
}

// Cheapest first: once a limit is exceeded nothing more is measured.
Status Search::measure(const Recipe& recipe, TuneCandidate& candidate) {
  const auto [at, is_new] = state_.records.try_emplace(candidate.key);
  TuneRecord& record = at->second;
  const auto fail = [&](Status status) -> Status {
    if (!is_of_candidate(status.code())) {
      if (is_new) state_.records.erase(at);
      return status;
    }
    record.failure = status.message();
    return {};
  };
  if (is_new) {
    Result<MadeModel> made = workshop_.make(recipe);
    if (!made.ok()) {
      LINNET_TRY(fail(std::move(made).status()));
    } else if (recipe.quantizes() && made->quantized == 0) {
      record.failure = kNotApplicable;
    } else {
      record.bytes = made->bytes;
      record.sha256 = made->sha256;
      record.quantized = made->quantized;
    }
  }
  candidate.reason = record.failure;
  if (record.failure == kNotApplicable) candidate.fate = Fate::not_applicable;
  if (!record.failure.empty()) return {};
  candidate.bytes = record.bytes;
  candidate.sha256 = record.sha256;
  candidate.quantized = static_cast<size_t>(record.quantized);
  if (const auto [same, first] = by_content_.try_emplace(record.sha256, report_->candidates.size()); !first) {
    candidate.fate = Fate::same;
    candidate.reason = concat("the same file as ", report_->candidates[same->second].key);
    candidate.bytes = 0;
    return {};
  }
  const TuneLimits& limits = options_.limits;
  candidate.loss = record.loss;
  candidate.quality = record.quality;
  candidate.memory = record.memory;
  const auto beyond = [&](Fate fate, const TuneFigures& figures) {
    if (excess(figures, limits, &candidate.reason) == 0) return false;
    candidate.fate = fate;
    return true;
  };
  if (beyond(Fate::too_large, {0, 0, 0, 0, record.bytes, 0, 1})) return {};
  if (!record.loss) {
    Result<Judgement> judged = workshop_.judge(recipe);
    if (!judged.ok()) {
      LINNET_TRY(fail(std::move(judged).status()));
      candidate.reason = record.failure;
      return {};
    }
    candidate.loss = record.loss = judged->loss;
    candidate.quality = record.quality = judged->quality;
  }
  if (beyond(Fate::too_lossy, {*record.loss, 0, 0, 0, 0, 0, 1})) return {};
  const size_t most_threads = *std::max_element(options_.threads.begin(), options_.threads.end());
  if (!record.memory || record.memory_threads != most_threads) {
    LINNET_ASSIGN(record.memory, workshop_.memory(recipe, most_threads));
    record.memory_threads = most_threads;
    candidate.memory = record.memory;
  }
  if (beyond(Fate::too_much_memory, {0, 0, 0, 0, 0, *record.memory, 1})) return {};
  candidate.fate = Fate::kept;
  return {};
}

Status Search::try_presets() {
  const std::vector<Recipe> presets = preset_recipes();
  for (const Recipe& recipe : presets) {
    if (!report_->candidates.empty() && late(kPresets)) return {};  // the first one is always tried
    LINNET_TRY(evaluate(recipe).status());
  }
  return {};
}

std::optional<size_t> Search::best_of(const Family& family) const {
  std::optional<size_t> best;
  for (size_t i = 0; i < recipes_.size(); ++i) {
    const TuneCandidate& c = report_->candidates[i];
    if (family_of(recipes_[i]) != family || !c.loss || c.fate == Fate::failed || c.fate == Fate::same) continue;
    if (!best || *c.loss < *report_->candidates[*best].loss) best = i;
  }
  return best;
}

// Where no candidate of a scheme keeps the limit on loss, the best of them leaves nodes out. Schemes share the time.
Status Search::exclude_harmful() {
  std::set<Family> families;
  for (const Recipe& recipe : recipes_)
    if (recipe.quantizes()) families.insert(family_of(recipe));
  std::vector<size_t> bases;
  for (const Family& family : families)
    if (const std::optional<size_t> best = best_of(family); best && report_->candidates[*best].fate == Fate::too_lossy)
      bases.push_back(*best);
  const double now = workshop_.seconds();
  for (size_t i = 0; i < bases.size(); ++i)
    LINNET_TRY(exclude_from(bases[i], now + (deadline(kExclusions) - now) * static_cast<double>(i + 1) /
                                                static_cast<double>(bases.size())));
  return {};
}

// Doubles the number of excluded nodes until the loss is within the limit, then looks for the least number.
Status Search::exclude_from(size_t base, double end) {
  if (is_past(end)) return {};
  const Recipe recipe = recipes_[base];
  const std::string key = recipe.key();
  auto ranking = state_.rankings.find(key);
  if (ranking == state_.rankings.end()) {
    tell(Stage::candidates, report_->candidates.size(), 0, concat("ranking nodes: ", key));
    Result<std::vector<std::string>> names = workshop_.rank(recipe, end);
    if (!names.ok()) return is_of_candidate(names.status().code()) ? Status() : std::move(names).status();
    ranking = state_.rankings.emplace(key, std::move(*names)).first;
    LINNET_TRY(state_.save(false));
  }
  const std::vector<std::string>& names = ranking->second;
  // Without its most harmful nodes; nothing when time is over.
  const auto without = [&](size_t count) -> Result<std::optional<bool>> {
    if (is_past(end)) return std::optional<bool>();
    Recipe next = recipe;
    next.exclude.insert(next.exclude.end(), names.begin(), names.begin() + static_cast<std::ptrdiff_t>(count));
    LINNET_ASSIGN(const size_t index, evaluate(next));
    const TuneCandidate& c = report_->candidates[index];
    return std::optional<bool>(c.fate != Fate::too_lossy && c.fate != Fate::failed && c.fate != Fate::not_applicable);
  };
  size_t too_few = 0, enough = 0;
  for (size_t count = 1; enough == 0 && count < names.size(); count = std::min(count * 2, names.size() - 1)) {
    LINNET_ASSIGN(const std::optional<bool> good, without(count));
    if (!good) return {};
    (*good ? enough : too_few) = count;
    if (!*good && count == names.size() - 1) return {};
  }
  while (enough > too_few + 1) {
    const size_t count = too_few + (enough - too_few) / 2;
    LINNET_ASSIGN(const std::optional<bool> good, without(count));
    if (!good) return {};
    (*good ? enough : too_few) = count;
  }
  return {};
}

// One change of options at a time, around points of the front, the fastest first.
Status Search::refine_front() {
  std::vector<size_t> order;
  for (size_t i = 0; i < report_->points.size(); ++i)
    if (report_->points[i].front) order.push_back(i);
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return report_->points[a].times.median_ms < report_->points[b].times.median_ms;
  });
  std::set<size_t> expanded;
  std::vector<std::pair<Family, std::vector<Recipe>>> lists;
  for (const size_t point : order) {
    const size_t base = report_->points[point].candidate;
    if (expanded.insert(base).second) lists.emplace_back(family_of(recipes_[base]), neighbours(recipes_[base]));
  }
  // In turns, so that no point takes all the time.
  for (size_t turn = 0;; ++turn) {
    bool any = false;
    for (size_t i = 0; i < lists.size(); ++i) {
      if (turn >= lists[i].second.size()) continue;
      any = true;
      if (late(kRefinement)) return {};
      const std::optional<size_t> before = best_of(lists[i].first);
      LINNET_ASSIGN(const size_t index, evaluate(lists[i].second[turn]));
      // What loses least of its scheme is worth a look around it, too.
      if (const std::optional<size_t> best = best_of(lists[i].first); best == index && best != before && kept(index)) {
        std::vector<Recipe> more = neighbours(recipes_[index]);
        lists[i].second.insert(lists[i].second.end(), more.begin(), more.end());
      }
    }
    if (!any) return {};
  }
}

// Only where nothing keeps the limits: what is told of how near they are should be true.
Status Search::judge_large_ones() {
  for (size_t i = 0; i < recipes_.size(); ++i) {
    TuneCandidate& c = report_->candidates[i];
    if (c.fate != Fate::too_large || c.loss) continue;
    LINNET_TRY(stopped());
    tell(Stage::candidates, i, recipes_.size(), c.key);
    Result<Judgement> judged = workshop_.judge(recipes_[i]);
    workshop_.discard(recipes_[i]);
    if (!judged.ok()) {
      if (!is_of_candidate(judged.status().code())) return std::move(judged).status();
      continue;
    }
    c.loss = judged->loss;
    c.quality = judged->quality;
    TuneRecord& record = state_.records[c.key];
    record.loss = c.loss;
    record.quality = c.quality;
  }
  return {};
}

// ---- times

Status Search::time_points(size_t most_rounds, double until) {
  std::set<size_t> timed;
  for (const TunePoint& point : report_->points) timed.insert(point.candidate);
  for (size_t i = 0; i < report_->candidates.size(); ++i)
    if (kept(i) && !timed.contains(i))
      for (const size_t threads : options_.threads) report_->points.push_back({i, threads, {}, false, false, false});
  if (report_->points.empty()) return {};

  TimingPlan plan{kFirstRounds, most_rounds, until};
  // What does not fit into memory at once is timed in groups.
  std::vector<std::vector<size_t>> groups(1);
  std::set<size_t> loaded;
  uint64_t bytes = 0;
  for (size_t p = 0; p < report_->points.size(); ++p) {
    if (timing_.left(p)) continue;
    const size_t candidate = report_->points[p].candidate;
    if (!loaded.contains(candidate)) {
      if (bytes + report_->candidates[candidate].bytes > kLoadedBytes && !groups.back().empty()) {
        groups.emplace_back();
        bytes = 0;
      }
      loaded.insert(candidate);
      bytes += report_->candidates[candidate].bytes;
    }
    groups.back().push_back(p);
  }
  const double now = workshop_.seconds();
  const double share = std::max(0.0, until - now) / static_cast<double>(groups.size());
  for (size_t i = 0; i < groups.size(); ++i) {
    plan.deadline = now + share * static_cast<double>(i + 1);
    LINNET_TRY(time_group(groups[i], plan));
  }
  for (size_t p = 0; p < report_->points.size(); ++p) {
    report_->points[p].times = timing_.times(p);
    report_->points[p].left = timing_.left(p);
  }
  return {};
}

Status Search::time_group(const std::vector<size_t>& points, const TimingPlan& plan) {
  std::set<size_t> candidates;
  for (const size_t p : points) candidates.insert(report_->points[p].candidate);
  Status status;
  for (const size_t c : candidates)
    if (status.ok()) {
      tell(Stage::timing, 0, plan.most_rounds, report_->candidates[c].key);
      status = workshop_.load(recipes_[c]);
    }
  const auto run = [&](size_t p, size_t round) -> Result<double> {
    LINNET_TRY(stopped());
    const TunePoint& point = report_->points[p];
    tell(Stage::timing, round, plan.most_rounds, report_->candidates[point.candidate].key);
    return workshop_.run_ms(recipes_[point.candidate], point.threads, round);
  };
  const auto steps = [&](size_t p) { return steps_of(figures_of(*report_, report_->points[p]), *report_, 0); };
  const auto no_worse = [&](size_t a, size_t b) { return no_worse_untimed(steps(a), steps(b)); };
  if (status.ok()) status = timing_.run(points, plan, run, no_worse, [&] { return workshop_.seconds(); });
  for (const size_t c : candidates) workshop_.unload(recipes_[c]);
  return status;
}

}  // namespace linnet
