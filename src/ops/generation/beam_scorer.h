// Which continuations of the beams survive, and which are finished.
#pragma once

#include <span>
#include <vector>

#include "ops/generation/options.h"

namespace linnet {

class BeamScorer {
 public:
  BeamScorer(const GenerationLimits& limits, int32_t eos_token, int32_t pad_token, bool early_stopping);

  // `scores` [rows, vocabulary] are those of whole sequences that go on with each token. Chooses the next token and the
  // parent of each row; `sequences` has max_length tokens a row, of which `length` are there.
  void process(std::span<const float> scores, size_t vocabulary, std::span<const int32_t> sequences, size_t length);
  bool done() const noexcept;
  std::span<const float> scores() const noexcept { return scores_; }
  std::span<const int32_t> tokens() const noexcept { return tokens_; }
  std::span<const size_t> parents() const noexcept { return parents_; }

  // Where a returned sequence came from: its row in the scores of the last step (from 1 on) that decided about it.
  // Step 0: there is none.
  struct Origin {
    size_t step = 0, row = 0;
  };
  const std::vector<Origin>& origins() const noexcept { return origins_; }  // [batch, returned], after finish

  // Adds the beams that are still open, then writes the best sequences [batch, returned, max_length], padded, and,
  // unless it is nullptr, their scores.
  void finish(std::span<const int32_t> sequences, size_t length, int32_t* best, float* best_scores);

 private:
  struct Finished {
    float score;
    std::vector<int32_t> tokens;
    Origin origin;
  };
  void add(size_t batch, std::span<const int32_t> tokens, float sum, Origin origin);
  float normalized(float sum, size_t length) const;

  const GenerationLimits& limits_;
  int32_t eos_token_, pad_token_;
  bool early_stopping_;
  std::vector<std::vector<Finished>> finished_;  // of each row of the batch, best first, at most `beams`
  std::vector<bool> done_;
  std::vector<float> scores_;
  std::vector<int32_t> tokens_;
  std::vector<size_t> parents_;
  std::vector<Origin> origins_;
  size_t steps_ = 0;
};

}  // namespace linnet
