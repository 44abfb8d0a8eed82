// How scores are bent, and which beams survive: small cases that can be followed by hand.
#include <limits>

#include "gtest/gtest.h"
#include "ops/generation/beam_scorer.h"

namespace linnet {
namespace {

constexpr float kNever = std::numeric_limits<float>::lowest();

GenerationLimits limits_of(size_t batch, size_t beams, size_t max_length) {
  GenerationLimits limits;
  limits.batch = batch;
  limits.beams = beams;
  limits.returned = beams;
  limits.max_length = max_length;
  limits.start_length = 1;
  return limits;
}

TEST(ProcessScores, PenalizesRepetitionOnceForEachToken) {
  GenerationLimits limits = limits_of(1, 1, 4);
  limits.repetition_penalty = 2;
  GenerationAttributes attributes;
  attributes.eos_token = 0;
  const std::vector<int32_t> sequence{1, 2, 1, 99};  // the last one is not there yet
  std::vector<float> scores{-1, -1, 4, -1};
  ASSERT_TRUE(process_scores(attributes, limits, sequence, 3, 1, 4, scores).ok());
  EXPECT_EQ(scores, (std::vector<float>{-1, -2, 2, -1}));
}

TEST(ProcessScores, ForbidsRepeatedNgramsMaskedTokensAndAnEarlyEnd) {
  GenerationLimits limits = limits_of(1, 1, 5);
  limits.min_length = 5;
  const std::vector<int32_t> mask{1, 1, 1, 0};
  limits.vocabulary_mask = mask;
  GenerationAttributes attributes;
  attributes.eos_token = 0;
  attributes.no_repeat_ngram = 2;
  const std::vector<int32_t> sequence{1, 2, 2, 1, 0};
  std::vector<float> scores{-1, -1, -1, -1};
  ASSERT_TRUE(process_scores(attributes, limits, sequence, 4, 1, 4, scores).ok());
  EXPECT_EQ(scores, (std::vector<float>{kNever, -1, kNever, kNever}));  // "1 2" is there already
}

TEST(ProcessScores, UsesThePrefixMaskInTheFirstStepOnly) {
  GenerationLimits limits = limits_of(2, 1, 3);
  const std::vector<int32_t> mask{1, 0, 0, 1};
  limits.prefix_vocabulary_mask = mask;
  GenerationAttributes attributes;
  attributes.eos_token = 0;
  const std::vector<int32_t> sequences(6, 1);
  std::vector<float> scores{-1, -1, -1, -1};
  ASSERT_TRUE(process_scores(attributes, limits, sequences, 1, 2, 2, scores).ok());
  EXPECT_EQ(scores, (std::vector<float>{-1, -1, -1, -1}));
  ASSERT_TRUE(process_scores(attributes, limits, sequences, 1, 1, 2, scores).ok());
  EXPECT_EQ(scores, (std::vector<float>{-1, kNever, kNever, -1}));
  EXPECT_FALSE(process_scores(attributes, limits, sequences, 1, 1, 3, scores).ok());  // a mask for another vocabulary
}

TEST(ProcessScores, TokensOutsideOfTheVocabularyAreLeftAlone) {
  GenerationLimits limits = limits_of(1, 1, 4);
  limits.repetition_penalty = 2;
  GenerationAttributes attributes;
  attributes.eos_token = 50;
  attributes.no_repeat_ngram = 1;
  limits.min_length = 4;
  const std::vector<int32_t> sequence{-7, 1000, INT32_MAX, 0};
  std::vector<float> scores{-1, std::numeric_limits<float>::quiet_NaN()};
  ASSERT_TRUE(process_scores(attributes, limits, sequence, 3, 1, 2, scores).ok());
  EXPECT_EQ(scores, (std::vector<float>{-1, kNever}));
}

TEST(BeamScorer, KeepsTheBestContinuationsAndFinishedSequences) {
  const GenerationLimits limits = limits_of(1, 2, 4);
  BeamScorer scorer(limits, /*eos_token=*/0, /*pad_token=*/9, /*early_stopping=*/false);
  EXPECT_EQ(scorer.scores()[0], 0);
  std::vector<int32_t> sequences{5, 9, 9, 9, 5, 9, 9, 9};
  // Of tokens 0, 1, 2 for each beam; the end is second best and finishes "5" with -1 / 1.
  scorer.process(std::vector<float>{-1, -0.5f, -2, -10, -11, -12}, 3, sequences, 1);
  EXPECT_EQ(std::vector(scorer.tokens().begin(), scorer.tokens().end()), (std::vector<int32_t>{1, 2}));
  EXPECT_EQ(std::vector(scorer.parents().begin(), scorer.parents().end()), (std::vector<size_t>{0, 0}));
  EXPECT_FALSE(scorer.done());
  sequences = {5, 1, 9, 9, 5, 2, 9, 9};
  // The second beam goes on best; its end is worse than the two best and does not count.
  scorer.process(std::vector<float>{-9, -8, -3, -2.6f, -2.5f, -2.4f}, 3, sequences, 2);
  EXPECT_EQ(std::vector(scorer.tokens().begin(), scorer.tokens().end()), (std::vector<int32_t>{2, 1}));
  EXPECT_EQ(std::vector(scorer.parents().begin(), scorer.parents().end()), (std::vector<size_t>{1, 1}));
  EXPECT_FALSE(scorer.done());
  sequences = {5, 2, 2, 9, 5, 2, 1, 9};
  std::vector<int32_t> best(8);
  std::vector<float> best_scores(2);
  scorer.finish(sequences, 3, best.data(), best_scores.data());
  // -2.4 / 3 and -2.5 / 3 beat the finished -1 / 1.
  EXPECT_EQ(best, (std::vector<int32_t>{5, 2, 2, 9, 5, 2, 1, 9}));
  EXPECT_FLOAT_EQ(best_scores[0], -2.4f / 3);
  EXPECT_FLOAT_EQ(best_scores[1], -2.5f / 3);
}

TEST(BeamScorer, EarlyStoppingDoesNotWaitForBetterSequences) {
  const GenerationLimits limits = limits_of(1, 2, 5);
  for (const bool early : {false, true}) {
    BeamScorer scorer(limits, 0, 9, early);
    const std::vector<int32_t> sequences{5, 1, 9, 9, 9, 5, 2, 9, 9, 9};
    scorer.process(std::vector<float>{-1, -0.1f, -2, -10, -11, -12}, 3, sequences, 1);
    scorer.process(std::vector<float>{-3, -0.2f, -4, -5, -6, -7}, 3, sequences, 2);
    EXPECT_EQ(scorer.done(), early);  // -0.2 / 2 may still beat -3 / 2
    std::vector<int32_t> best(10);
    std::vector<float> best_scores(2);
    scorer.finish(sequences, 2, best.data(), best_scores.data());
    EXPECT_FLOAT_EQ(best_scores[0], early ? -1.0f : -0.1f);
  }
}

}  // namespace
}  // namespace linnet
