#include "ops/generation/options.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace linnet {
namespace {

constexpr float kNever = std::numeric_limits<float>::lowest();

Result<int32_t> token(NodeReader& reader, std::string_view name) {
  const int64_t value = reader.integer(name, -1);
  LINNET_REQUIRE(value >= -1 && value < INT32_MAX, invalid_model("attribute '", name, "' is ", value));
  return static_cast<int32_t>(value);
}

// Tokens that would complete an n-gram that the sequence already has.
void forbid_repeated_ngrams(std::span<const int32_t> sequence, size_t n, std::span<float> scores) {
  if (n > sequence.size()) return;
  const auto last = sequence.end() - static_cast<ptrdiff_t>(n - 1);
  for (size_t i = 0; i + n <= sequence.size(); ++i) {
    const auto first = sequence.begin() + static_cast<ptrdiff_t>(i);
    if (!std::equal(last, sequence.end(), first)) continue;
    const int32_t next = first[static_cast<ptrdiff_t>(n - 1)];
    if (next >= 0 && static_cast<size_t>(next) < scores.size()) scores[static_cast<size_t>(next)] = kNever;
  }
}

void penalize_repetition(std::span<const int32_t> sequence, float penalty, std::span<float> scores,
                         std::vector<bool>& seen) {
  seen.assign(scores.size(), false);
  for (const int32_t id : sequence) {
    if (id < 0 || static_cast<size_t>(id) >= scores.size() || seen[static_cast<size_t>(id)]) continue;
    seen[static_cast<size_t>(id)] = true;
    float& score = scores[static_cast<size_t>(id)];
    score = score < 0 ? score * penalty : score / penalty;
  }
}

// Timestamps come in pairs and do not go back; `scores` are those of the next token.
// https://github.com/openai/whisper/blob/main/whisper/decoding.py (ApplyTimestampRules)
void apply_timestamp_rules(const GenerationAttributes& attributes, std::span<const int32_t> sequence,
                           std::span<float> scores) {
  constexpr size_t kLatestStart = 50;
  const WhisperTokens& tokens = attributes.whisper;
  const auto forbid = [&](size_t from, size_t to) {
    for (size_t v = from; v < std::min(to, scores.size()); ++v) scores[v] = kNever;
  };
  const auto forbid_one = [&](int32_t token) {
    if (token >= 0) forbid(static_cast<size_t>(token), static_cast<size_t>(token) + 1);
  };
  const auto first = static_cast<size_t>(tokens.first_timestamp);
  const auto is_timestamp = [&](int32_t token) { return token >= tokens.first_timestamp; };
  const size_t length = sequence.size();
  const auto start = std::find_if(sequence.begin(), sequence.end(), is_timestamp);
  const size_t begin = std::min(length, static_cast<size_t>(start - sequence.begin()) + 1);
  forbid_one(tokens.no_timestamps);
  forbid_one(tokens.start_of_lm);
  if (length > begin) {
    forbid_one(attributes.decoder_start_token);
    forbid_one(tokens.translate);
    forbid_one(tokens.transcribe);
  }
  const bool last = length > 0 && is_timestamp(sequence[length - 1]);
  const bool before = length <= begin || is_timestamp(sequence[length - 2]);
  if (last && before) forbid(first, scores.size());
  if (last && !before) forbid(0, static_cast<size_t>(attributes.eos_token));
  const auto latest = std::find_if(sequence.rbegin(), sequence.rend(), is_timestamp);
  if (latest != sequence.rend()) forbid(first, static_cast<size_t>(*latest) + (last && !before ? 0 : 1));
  if (length == begin) forbid(first + kLatestStart + 1, scores.size());

  // A timestamp, if all of them together are likelier than any text.
  float greatest = kNever, greatest_text = kNever, sum = 0;
  for (size_t v = 0; v < scores.size(); ++v)
    (v < first ? greatest_text : greatest) = std::max(v < first ? greatest_text : greatest, scores[v]);
  for (size_t v = first; v < scores.size(); ++v)
    if (scores[v] > kNever) sum += std::exp(scores[v] - greatest);
  if (sum > 0 && std::log(sum) + greatest > greatest_text) forbid(0, first);
}

}  // namespace

Status GenerationAttributes::parse(NodeReader& reader) {
  const bool is_whisper = reader.op_type() == "WhisperBeamSearch";
  const int64_t type = reader.integer("model_type", is_whisper ? 2 : 0);
  LINNET_REQUIRE(!is_whisper || type == 2, invalid_model("model_type of Whisper must be 2"));
  LINNET_REQUIRE(type >= 0 && type <= 2, invalid_model("model_type ", type, " is not known"));
  model = static_cast<GenerationModel>(type);
  LINNET_ASSIGN(eos_token, token(reader, "eos_token_id"));
  LINNET_ASSIGN(pad_token, token(reader, "pad_token_id"));
  LINNET_ASSIGN(decoder_start_token, token(reader, "decoder_start_token_id"));
  LINNET_REQUIRE(eos_token >= 0 && pad_token >= 0, invalid_model("needs eos_token_id and pad_token_id"));
  no_repeat_ngram = reader.integer("no_repeat_ngram_size", 0);
  LINNET_REQUIRE(no_repeat_ngram >= 0, invalid_model("no_repeat_ngram_size is ", no_repeat_ngram));
  vocabulary = std::max<int64_t>(reader.integer("vocab_size", 0), 0);
  if (!is_whisper) return {};
  for (const auto& [name, id] :
       {std::pair("no_speech_token_id", &whisper.no_speech), std::pair("translate_token_id", &whisper.translate),
        std::pair("transcribe_token_id", &whisper.transcribe), std::pair("start_of_lm_token_id", &whisper.start_of_lm),
        std::pair("no_timestamps_token_id", &whisper.no_timestamps),
        std::pair("beginning_timestamp_token_id", &whisper.first_timestamp)}) {
    LINNET_ASSIGN(*id, token(reader, name));
  }
  return {};
}

Result<int64_t> scalar_input(const RunContext& context, size_t i, int64_t fallback) {
  if (!context.has(i)) return fallback;
  const Tensor& tensor = context.in(i);
  LINNET_REQUIRE(tensor.count() == 1 && is_integer(tensor.dtype),
                 invalid_argument("input ", i, " is ", tensor, ", not one integer"));
  return integer_at(tensor, 0);
}

Result<float> float_input(const RunContext& context, size_t i, float fallback) {
  if (!context.has(i)) return fallback;
  const Tensor& tensor = context.in(i);
  LINNET_REQUIRE(tensor.count() == 1 && is_float(tensor.dtype),
                 invalid_argument("input ", i, " is ", tensor, ", not one number"));
  return static_cast<float>(number_at(tensor, 0));
}

Result<std::span<const int32_t>> mask_input(const RunContext& context, size_t i) {
  if (!context.has(i)) return std::span<const int32_t>();
  LINNET_REQUIRE(context.in(i).dtype == DType::i32,
                 invalid_argument("input ", i, " is ", context.in(i), ", not an int32 mask"));
  return context.in(i).as<int32_t>();
}

Status process_scores(const GenerationAttributes& attributes, const GenerationLimits& limits,
                      std::span<const int32_t> sequences, size_t length, size_t step, size_t vocabulary,
                      std::span<float> scores) {
  LINNET_REQUIRE(limits.vocabulary_mask.empty() || limits.vocabulary_mask.size() == vocabulary,
                 invalid_argument("the vocabulary mask has ", limits.vocabulary_mask.size(), " elements for ",
                                  vocabulary, " tokens"));
  for (const auto& mask : {limits.prefix_vocabulary_mask, limits.presence_mask})
    LINNET_REQUIRE(mask.empty() || mask.size() == limits.batch * vocabulary,
                   invalid_argument("a mask has ", mask.size(), " elements for ", limits.batch, " x ", vocabulary));
  std::vector<bool> seen;
  for (size_t row = 0; row < limits.rows(); ++row) {
    const std::span<float> line = scores.subspan(row * vocabulary, vocabulary);
    const std::span<const int32_t> sequence = sequences.subspan(row * limits.max_length, length);
    const size_t batch_offset = row / limits.beams * vocabulary;
    for (float& score : line)
      if (score != score) score = kNever;  // NaN has no place in an order
    if (limits.repetition_penalty != 1) penalize_repetition(sequence, limits.repetition_penalty, line, seen);
    if (attributes.no_repeat_ngram > 0)
      forbid_repeated_ngrams(sequence, static_cast<size_t>(attributes.no_repeat_ngram), line);
    for (size_t v = 0; v < limits.vocabulary_mask.size(); ++v)
      if (limits.vocabulary_mask[v] == 0) line[v] = kNever;
    if (!limits.prefix_vocabulary_mask.empty() && step == 1) {
      for (size_t v = 0; v < vocabulary; ++v)
        if (limits.prefix_vocabulary_mask[batch_offset + v] == 0) line[v] = kNever;
    }
    if (length < limits.min_length && static_cast<size_t>(attributes.eos_token) < vocabulary)
      line[static_cast<size_t>(attributes.eos_token)] = kNever;
    if (limits.temperature > 0 && limits.temperature != 1)
      for (float& score : line) score /= limits.temperature;
    if (attributes.presence_penalty != 0 && !limits.presence_mask.empty()) {
      for (size_t v = 0; v < vocabulary; ++v)
        line[v] -= static_cast<float>(limits.presence_mask[batch_offset + v]) * attributes.presence_penalty;
    }
    if (limits.timestamps) {
      LINNET_REQUIRE(static_cast<size_t>(attributes.whisper.first_timestamp) < vocabulary,
                     invalid_model("beginning_timestamp_token_id is outside of the vocabulary"));
      apply_timestamp_rules(attributes, sequence, line);
    }
  }
  return {};
}

}  // namespace linnet
