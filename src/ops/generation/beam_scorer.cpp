#include "ops/generation/beam_scorer.h"

#include <algorithm>
#include <cmath>

namespace linnet {

BeamScorer::BeamScorer(const GenerationLimits& limits, int32_t eos_token, int32_t pad_token, bool early_stopping)
    : limits_(limits),
      eos_token_(eos_token),
      pad_token_(pad_token),
      early_stopping_(early_stopping),
      finished_(limits.batch),
      done_(limits.batch, false),
      scores_(limits.rows(), -1e9f),  // so that the beams of a row do not all take the same tokens
      tokens_(limits.rows()),
      parents_(limits.rows()) {
  for (size_t b = 0; b < limits.batch; ++b) scores_[b * limits.beams] = 0;
}

float BeamScorer::normalized(float sum, size_t length) const {
  return sum / std::pow(static_cast<float>(length), limits_.length_penalty);
}

void BeamScorer::add(size_t batch, std::span<const int32_t> tokens, float sum, Origin origin) {
  std::vector<Finished>& best = finished_[batch];
  const float score = normalized(sum, tokens.size());
  if (best.size() == limits_.beams && !(score > best.back().score)) return;
  const auto place = std::find_if(best.begin(), best.end(), [&](const Finished& f) { return f.score < score; });
  best.insert(place, {score, {tokens.begin(), tokens.end()}, origin});
  if (best.size() > limits_.beams) best.pop_back();
}

void BeamScorer::process(std::span<const float> scores, size_t vocabulary, std::span<const int32_t> sequences,
                         size_t length) {
  const size_t beams = limits_.beams;
  ++steps_;
  std::vector<size_t> order;  // of the best continuations
  for (size_t b = 0; b < limits_.batch; ++b) {
    const size_t first = b * beams;
    if (done_[b]) {
      for (size_t j = 0; j < beams; ++j) {
        scores_[first + j] = 0;
        tokens_[first + j] = pad_token_;
        parents_[first + j] = 0;  // as ONNX Runtime has it, which shows in the scores of later steps
      }
      continue;
    }
    const std::span<const float> all = scores.subspan(first * vocabulary, beams * vocabulary);
    const size_t candidates = std::min(2 * beams, all.size());
    order.clear();
    for (size_t i = 0; i < all.size(); ++i) {
      if (order.size() == candidates && !(all[i] > all[order.back()])) continue;
      const auto place = std::find_if(order.begin(), order.end(), [&](size_t o) { return all[i] > all[o]; });
      order.insert(place, i);
      if (order.size() > candidates) order.pop_back();
    }
    size_t kept = 0;
    for (size_t j = 0; j < candidates && kept < beams; ++j) {
      const size_t parent = first + order[j] / vocabulary;
      const int32_t token = static_cast<int32_t>(order[j] % vocabulary);
      if (token == eos_token_) {
        if (j < beams) add(b, sequences.subspan(parent * limits_.max_length, length), all[order[j]], {steps_, parent});
        continue;
      }
      scores_[first + kept] = all[order[j]];
      tokens_[first + kept] = token;
      parents_[first + kept] = parent;
      ++kept;
    }
    for (; kept < beams; ++kept) {  // a vocabulary of one token
      scores_[first + kept] = -1e9f;
      tokens_[first + kept] = pad_token_;
      parents_[first + kept] = first + kept;
    }
    if (finished_[b].size() < beams) continue;
    done_[b] = early_stopping_ || finished_[b].back().score >= normalized(all[order[0]], length);
  }
}

bool BeamScorer::done() const noexcept { return std::find(done_.begin(), done_.end(), false) == done_.end(); }

void BeamScorer::finish(std::span<const int32_t> sequences, size_t length, int32_t* best, float* best_scores) {
  origins_.assign(limits_.batch * limits_.returned, {});
  std::fill_n(best, limits_.batch * limits_.returned * limits_.max_length, pad_token_);
  for (size_t b = 0; b < limits_.batch; ++b) {
    for (size_t j = 0; j < limits_.beams && !done_[b]; ++j) {
      const size_t row = b * limits_.beams + j;
      add(b, sequences.subspan(row * limits_.max_length, length), scores_[row], {steps_, parents_[row]});
    }
    for (size_t j = 0; j < limits_.returned; ++j) {
      const size_t place = b * limits_.returned + j;
      if (j < finished_[b].size()) origins_[place] = finished_[b][j].origin;
      if (best_scores) best_scores[place] = j < finished_[b].size() ? finished_[b][j].score : 0;
      if (j < finished_[b].size())
        std::copy(finished_[b][j].tokens.begin(), finished_[b][j].tokens.end(), best + place * limits_.max_length);
    }
  }
}

}  // namespace linnet
