// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.BeamSearch,
// #com.microsoft.WhisperBeamSearch
#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "kernels/softmax/softmax.h"
#include "ops/generation/beam_scorer.h"
#include "ops/generation/decoder.h"

namespace linnet {
namespace {

constexpr int64_t kMostLength = 1 << 20, kMostBeams = 1024;
// Of WhisperBeamSearch, whose temperature comes behind the inputs that it has more than BeamSearch.
constexpr size_t kCrossHeads = 12, kForcedTokens = 13;
constexpr size_t kCrossScores = 3, kNoSpeech = 4;

// The scores of chosen heads of cross attention, step by step, until it is known which beams they belong to.
class CrossScores {
 public:
  Status choose(const Tensor& pairs) {
    LINNET_REQUIRE(pairs.dtype == DType::i32 && pairs.shape.rank() == 2 && pairs.shape[1] == 2,
                   invalid_argument("cross_qk_layer_head is ", pairs, "; it must be [pairs, 2]"));
    pairs_ = pairs.as<int32_t>();
    return {};
  }

  // After a step: the layers' scores [rows, heads, tokens, frames], and which row of this step each of the next
  // continues.
  Status keep(std::span<const Value> layers, size_t rows, std::span<const size_t> parents) {
    parents_.emplace_back(parents.begin(), parents.end());
    std::vector<float>& scores = scores_.emplace_back();
    if (layers.empty()) return {};  // the encoder's own first step
    const Tensor& first = layers[0].tensor;
    LINNET_REQUIRE(layers[0].is_tensor() && first.shape.rank() == 4 &&
                       (scores_.size() < 2 || scores_[scores_.size() - 2].empty() ||
                        first.shape[3] == static_cast<int64_t>(frames_)),
                   invalid_model("the decoder gives cross scores ", first));
    frames_ = static_cast<size_t>(first.shape[3]);
    scores.resize(rows * count() * frames_);
    for (size_t p = 0; p < count(); ++p) {
      const int32_t layer = pairs_[2 * p], head = pairs_[2 * p + 1];
      LINNET_REQUIRE(
          layer >= 0 && static_cast<size_t>(layer) < layers.size() && layers[static_cast<size_t>(layer)].is_tensor(),
          invalid_argument("cross_qk_layer_head names layer ", layer, " of ", layers.size()));
      const Tensor& t = layers[static_cast<size_t>(layer)].tensor;
      LINNET_REQUIRE(is_float(t.dtype) && t.shape.rank() == 4 && t.shape[0] == static_cast<int64_t>(rows) &&
                         t.shape[2] > 0 && t.shape[3] == static_cast<int64_t>(frames_) && head >= 0 &&
                         head < t.shape[1],
                     invalid_argument("cross_qk_layer_head names head ", head, " of scores ", t));
      for (size_t r = 0; r < rows; ++r)
        for (size_t f = 0; f < frames_; ++f) {
          const int64_t at = ((static_cast<int64_t>(r) * t.shape[1] + head) * t.shape[2] + t.shape[2] - 1) * t.shape[3];
          scores[(r * count() + p) * frames_ + f] = static_cast<float>(number_at(t, at + static_cast<int64_t>(f)));
        }
    }
    return {};
  }

  // [batch, returned, pairs, steps, frames], 0 behind the end of a sequence.
  Status write(RunContext& context, const GenerationLimits& limits, std::span<const BeamScorer::Origin> origins) const {
    size_t skipped = 0;
    while (skipped < scores_.size() && scores_[skipped].empty()) ++skipped;
    const size_t steps = scores_.size() - skipped;
    const auto n = [](size_t x) { return static_cast<int64_t>(x); };
    LINNET_TRY(context.allocate(kCrossScores, DType::f32,
                                Shape{n(limits.batch), n(limits.returned), n(count()), n(steps), n(frames_)}));
    float* out = context.out(kCrossScores).ptr<float>();
    std::fill_n(out, context.out(kCrossScores).count(), 0.0f);
    for (size_t i = 0; i < origins.size(); ++i) {
      size_t row = origins[i].row;
      for (size_t step = origins[i].step; step > skipped; --step) {  // step numbers count from 1
        for (size_t p = 0; p < count(); ++p)
          std::copy_n(scores_[step - 1].data() + (row * count() + p) * frames_, frames_,
                      out + ((i * count() + p) * steps + step - 1 - skipped) * frames_);
        if (step > 1) row = parents_[step - 2][row];
      }
    }
    return {};
  }

 private:
  size_t count() const noexcept { return pairs_.size() / 2; }

  std::span<const int32_t> pairs_;
  size_t frames_ = 0;
  std::vector<std::vector<float>> scores_;    // of each step: [rows, pairs, frames]
  std::vector<std::vector<size_t>> parents_;  // of each step
};

class BeamSearch final : public Op {
 public:
  Status parse(NodeReader& reader) {
    LINNET_TRY(attributes_.parse(reader));
    whisper_ = reader.op_type() == "WhisperBeamSearch";
    if (whisper_) gives_cross_scores_ = reader.flag("decoder_output_cross_qk", false);
    LINNET_REQUIRE(!reader.has_output(kCrossScores) || (gives_cross_scores_ && reader.has_input(kCrossHeads)),
                   invalid_model("the output cross_qk needs decoder_output_cross_qk and cross_qk_layer_head"));
    LINNET_REQUIRE(!reader.has_output(kNoSpeech) || attributes_.whisper.no_speech >= 0,
                   invalid_model("the output non_speech_probs needs no_speech_token_id"));
    early_stopping_ = reader.integer("early_stopping", 0) == 1;
    LINNET_TRY(decoder_.parse(reader, "decoder"));
    LINNET_TRY(encoder_.parse(reader, "encoder"));
    LINNET_TRY(initial_.parse(reader, "init_decoder"));
    LINNET_REQUIRE(decoder_.present(), invalid_model("lacks the attribute 'decoder'"));
    const bool gpt = attributes_.model == GenerationModel::gpt;
    LINNET_REQUIRE(gpt || encoder_.present(), invalid_model("lacks the attribute 'encoder'"));
    LINNET_REQUIRE(gpt || reader.has_input(10) || attributes_.decoder_start_token >= 0,
                   invalid_model("lacks decoder_start_token_id"));
    return {};
  }

  Status infer(InferContext& context) const override {
    for (const GenerationGraph* graph : {&decoder_, &encoder_, &initial_}) LINNET_TRY(graph->infer(context));
    LINNET_REQUIRE(attributes_.model == GenerationModel::whisper || context.dtype(0) == DType::i32,
                   invalid_model("input_ids are ", dtype_name(context.dtype(0)), ", not int32"));
    context.set(0, DType::i32, SymShape(3));
    context.set(1, DType::f32, SymShape(2));
    context.set(2, DType::f32, SymShape(4));
    context.set(kCrossScores, DType::f32, SymShape(5));
    context.set(kNoSpeech, DType::f32, SymShape(1));
    return {};
  }

  Status run(RunContext& context) const override {
    GenerationLimits limits;
    LINNET_TRY(read_limits(context, limits));
    std::vector<int32_t> sequences(limits.rows() * limits.max_length, attributes_.pad_token);
    first_tokens(context, limits, sequences);
    LINNET_TRY(context.allocate(0, DType::i32, shape_of({limits.batch, limits.returned, limits.max_length})));
    LINNET_TRY(context.allocate(1, DType::f32, shape_of({limits.batch, limits.returned})));
    const Tensor* mask = context.maybe(9);
    if (attributes_.model == GenerationModel::gpt) {
      GptDecoder decoder(decoder_, initial_, limits, attributes_.pad_token, mask);
      return search(context, limits, decoder, sequences, nullptr);
    }
    EncoderDecoder decoder(encoder_, decoder_, limits, attributes_, context.in(0), mask);
    CrossScores cross;
    if (context.wants(kCrossScores)) LINNET_TRY(cross.choose(context.in(kCrossHeads)));
    LINNET_TRY(search(context, limits, decoder, sequences, context.wants(kCrossScores) ? &cross : nullptr));
    return {};
  }

 private:
  static Shape shape_of(std::initializer_list<size_t> sizes) {
    Shape shape;
    for (const size_t size : sizes) shape.push_back(static_cast<int64_t>(size));
    return shape;
  }

  Status read_limits(const RunContext& context, GenerationLimits& limits) const {
    const Tensor& ids = context.in(0);
    const bool whisper = attributes_.model == GenerationModel::whisper;
    LINNET_REQUIRE(ids.shape.rank() == (whisper ? 3u : 2u) && ids.count() > 0,
                   invalid_argument("input_ids are ", ids, "; they must be [batch, tokens]"));
    LINNET_REQUIRE(!context.has(10) || (context.in(10).dtype == DType::i32 && context.in(10).shape.rank() == 2 &&
                                        context.in(10).count() > 0 && context.in(10).shape[0] == ids.shape[0]),
                   invalid_argument("decoder_input_ids do not fit the batch"));
    int64_t start = attributes_.model == GenerationModel::gpt ? ids.shape[1] : 1;
    if (whisper && context.has(10)) start = context.in(10).shape[1];
    LINNET_ASSIGN(const int64_t most, scalar_input(context, 1, 4096));
    LINNET_ASSIGN(const int64_t least, scalar_input(context, 2, 0));
    LINNET_ASSIGN(const int64_t beams, scalar_input(context, 3, 1));
    LINNET_ASSIGN(const int64_t returned, scalar_input(context, 4, 1));
    LINNET_REQUIRE(most > start && most <= kMostLength,
                   invalid_argument("max_length is ", most, " for ", start, " given tokens"));
    LINNET_REQUIRE(beams >= 1 && beams <= kMostBeams, invalid_argument("num_beams is ", beams));
    LINNET_REQUIRE(returned >= 1 && returned <= beams,
                   invalid_argument("num_return_sequences is ", returned, " for ", beams, " beams"));
    LINNET_ASSIGN(const int64_t processor, scalar_input(context, 11, 0));
    LINNET_REQUIRE(processor >= 0, invalid_argument("logits_processor is ", processor));
    limits.timestamps = whisper && processor == 1;
    LINNET_REQUIRE(!limits.timestamps || attributes_.whisper.first_timestamp > 0,
                   invalid_model("logits_processor 1 needs beginning_timestamp_token_id"));
    const Tensor* forced = whisper_ ? context.maybe(kForcedTokens) : nullptr;
    LINNET_REQUIRE(
        !forced || (forced->dtype == DType::i32 && forced->shape.rank() == 2 && forced->shape[0] == ids.shape[0]),
        invalid_argument("extra_decoding_ids do not fit the batch"));
    limits.batch = static_cast<size_t>(ids.shape[0]);
    limits.start_length = static_cast<size_t>(start);
    limits.max_length = static_cast<size_t>(most);
    limits.min_length = static_cast<size_t>(std::max<int64_t>(least, 0));
    limits.beams = static_cast<size_t>(beams);
    limits.returned = static_cast<size_t>(returned);
    LINNET_ASSIGN(limits.length_penalty, float_input(context, 5, 1));
    LINNET_ASSIGN(limits.repetition_penalty, float_input(context, 6, 1));
    LINNET_REQUIRE(limits.repetition_penalty > 0, invalid_argument("repetition_penalty is not above 0"));
    LINNET_ASSIGN(limits.vocabulary_mask, mask_input(context, 7));
    LINNET_ASSIGN(limits.prefix_vocabulary_mask, mask_input(context, 8));
    LINNET_ASSIGN(limits.temperature, float_input(context, whisper_ ? 14 : 12, 1));
    return {};
  }

  void first_tokens(const RunContext& context, const GenerationLimits& limits, std::vector<int32_t>& sequences) const {
    const Tensor* given = attributes_.model == GenerationModel::gpt       ? &context.in(0)
                          : attributes_.model == GenerationModel::whisper ? context.maybe(10)
                                                                          : nullptr;
    for (size_t r = 0; r < limits.rows(); ++r) {
      int32_t* row = sequences.data() + r * limits.max_length;
      if (given) {
        std::copy_n(given->ptr<int32_t>() + r / limits.beams * limits.start_length, limits.start_length, row);
      } else {
        row[0] = attributes_.decoder_start_token;
      }
    }
  }

  // Only the tokens that extra_decoding_ids ask for at this step, if any.
  void force_tokens(const RunContext& context, const GenerationLimits& limits, size_t step, size_t vocabulary,
                    std::span<float> scores) const {
    const Tensor* forced = whisper_ ? context.maybe(kForcedTokens) : nullptr;
    if (!forced || static_cast<int64_t>(step) > forced->shape[1]) return;
    for (size_t r = 0; r < limits.rows(); ++r) {
      const int64_t b = static_cast<int64_t>(r / limits.beams);
      const int32_t token = forced->ptr<int32_t>()[b * forced->shape[1] + static_cast<int64_t>(step) - 1];
      for (size_t v = 0; token >= 0 && v < vocabulary; ++v)
        if (v != static_cast<size_t>(token)) scores[r * vocabulary + v] = std::numeric_limits<float>::lowest();
    }
  }

  template <class AnyDecoder>
  Status search(RunContext& context, const GenerationLimits& limits, AnyDecoder& decoder,
                std::vector<int32_t>& sequences, CrossScores* cross) const {
    BeamScorer scorer(limits, attributes_.eos_token, attributes_.pad_token, early_stopping_);
    std::vector<float> scores;
    std::vector<int32_t> next(sequences.size());
    size_t length = limits.start_length;
    for (size_t step = 1; length < limits.max_length; ++step) {
      LINNET_REQUIRE(!context.stop.stopped(), error(Code::cancelled, "stopped"));
      LINNET_TRY(step == 1 ? decoder.start(context, sequences, length)
                           : decoder.step(context, sequences, length, scorer.parents()));
      LINNET_ASSIGN(const size_t vocabulary, decoder.logits(limits, attributes_.vocabulary, scores));
      softmax(true, {limits.rows(), vocabulary, 1}, scores.data(), scores.data(), context.parallel);
      if (step == 1 && context.wants(kNoSpeech)) LINNET_TRY(write_no_speech(context, limits, vocabulary, scores));
      LINNET_TRY(process_scores(attributes_, limits, sequences, length, step, vocabulary, scores));
      force_tokens(context, limits, step, vocabulary, scores);
      for (size_t i = 0; i < scores.size(); ++i) scores[i] += scorer.scores()[i / vocabulary];
      if (context.wants(2)) LINNET_TRY(keep_scores(context, limits, step, vocabulary, scores));
      scorer.process(scores, vocabulary, sequences, length);
      if constexpr (std::is_same_v<AnyDecoder, EncoderDecoder>)
        if (cross) LINNET_TRY(cross->keep(decoder.cross_scores(), limits.rows(), scorer.parents()));
      for (size_t r = 0; r < limits.rows(); ++r) {
        int32_t* row = next.data() + r * limits.max_length;
        std::copy_n(sequences.data() + scorer.parents()[r] * limits.max_length, length, row);
        row[length] = scorer.tokens()[r];
      }
      sequences.swap(next);
      ++length;
      if (scorer.done()) break;
    }
    scorer.finish(sequences, length, context.out(0).ptr<int32_t>(),
                  context.wants(1) ? context.out(1).ptr<float>() : nullptr);
    return cross ? cross->write(context, limits, scorer.origins()) : Status();
  }

  // The probability, after the given tokens, that there is no speech.
  Status write_no_speech(RunContext& context, const GenerationLimits& limits, size_t vocabulary,
                         std::span<const float> scores) const {
    const auto token = static_cast<size_t>(attributes_.whisper.no_speech);
    LINNET_REQUIRE(token < vocabulary,
                   invalid_model("no_speech_token_id is outside of the vocabulary of ", vocabulary));
    LINNET_TRY(context.allocate(kNoSpeech, DType::f32, shape_of({limits.batch})));
    for (size_t b = 0; b < limits.batch; ++b)
      context.out(kNoSpeech).ptr<float>()[b] = std::exp(scores[b * limits.beams * vocabulary + token]);
    return {};
  }

  static Status keep_scores(RunContext& context, const GenerationLimits& limits, size_t step, size_t vocabulary,
                            const std::vector<float>& scores) {
    if (step == 1) {
      LINNET_TRY(context.allocate(
          2, DType::f32, shape_of({limits.max_length - limits.start_length, limits.batch, limits.beams, vocabulary})));
      std::fill_n(context.out(2).ptr<float>(), context.out(2).count(), 0.0f);
    }
    std::copy(scores.begin(), scores.end(), context.out(2).ptr<float>() + (step - 1) * scores.size());
    return {};
  }

  GenerationAttributes attributes_;
  GenerationGraph decoder_, encoder_, initial_;
  bool early_stopping_ = false, whisper_ = false, gives_cross_scores_ = false;
};

constexpr OpDef kDefs[] = {
    {"com.microsoft", "BeamSearch", 1, 2, 13, 1, 3, create<BeamSearch>},
    {"com.microsoft", "WhisperBeamSearch", 1, 2, 15, 1, 5, create<BeamSearch>},
};

}  // namespace

extern const std::span<const OpDef> kBeamSearchOps = kDefs;

}  // namespace linnet
