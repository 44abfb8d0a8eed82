// What BeamSearch, GreedySearch and Sampling of com.microsoft have in common: attributes, limits, and how a score is
// bent. https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.BeamSearch
#pragma once

#include <span>
#include <vector>

#include "ops/op.h"

namespace linnet {

enum class GenerationModel : uint8_t { gpt = 0, encoder_decoder = 1, whisper = 2 };

// The tokens of Whisper that mean something; -1 where there is none.
struct WhisperTokens {
  int32_t no_speech = -1, translate = -1, transcribe = -1, start_of_lm = -1, no_timestamps = -1, first_timestamp = -1;
};

struct GenerationAttributes {
  GenerationModel model = GenerationModel::gpt;
  int32_t eos_token = -1, pad_token = -1, decoder_start_token = -1;
  int64_t no_repeat_ngram = 0;
  int64_t vocabulary = 0;  // 0: as many as the logits have
  float temperature = 1;
  float presence_penalty = 0;
  WhisperTokens whisper;

  Status parse(NodeReader& reader);
};

// The values of one run.
struct GenerationLimits {
  size_t batch = 0, beams = 1, returned = 1;
  size_t start_length = 0, max_length = 0, min_length = 0;  // of sequences, the given tokens included
  float length_penalty = 1, repetition_penalty = 1, temperature = 1;
  std::span<const int32_t> vocabulary_mask;         // [V] or empty
  std::span<const int32_t> prefix_vocabulary_mask;  // [batch, V] or empty
  std::span<const int32_t> presence_mask;           // [batch, V] or empty
  bool timestamps = false;                          // only sequences that Whisper's timestamps allow

  size_t rows() const noexcept { return batch * beams; }
};

// One number that an input holds, or the fallback where it is left out.
Result<int64_t> scalar_input(const RunContext& context, size_t i, int64_t fallback);
Result<float> float_input(const RunContext& context, size_t i, float fallback);
Result<std::span<const int32_t>> mask_input(const RunContext& context, size_t i);

// Bends the scores [rows, vocabulary] of the next token, in this order: repetition, repeated n-grams, masks, least
// length, temperature, presence, timestamps. `sequences` has max_length tokens a row, of which `length` are there. Step
// 1 is the first.
Status process_scores(const GenerationAttributes& attributes, const GenerationLimits& limits,
                      std::span<const int32_t> sequences, size_t length, size_t step, size_t vocabulary,
                      std::span<float> scores);

}  // namespace linnet
