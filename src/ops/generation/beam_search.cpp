// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.BeamSearch
#include <algorithm>

#include "kernels/softmax/softmax.h"
#include "ops/generation/beam_scorer.h"
#include "ops/generation/decoder.h"

namespace linnet {
namespace {

constexpr int64_t kMostLength = 1 << 20, kMostBeams = 1024;

class BeamSearch final : public Op {
 public:
  Status parse(NodeReader& reader) {
    LINNET_TRY(attributes_.parse(reader));
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
      return search(context, limits, decoder, sequences);
    }
    EncoderDecoder decoder(encoder_, decoder_, limits, attributes_, context.in(0), mask);
    return search(context, limits, decoder, sequences);
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
    LINNET_REQUIRE(processor == 0, unsupported("logits_processor ", processor, " is not supported"));
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
    LINNET_ASSIGN(limits.temperature, float_input(context, 12, 1));
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

  Status search(RunContext& context, const GenerationLimits& limits, Decoder& decoder,
                std::vector<int32_t>& sequences) const {
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
      LINNET_TRY(process_scores(attributes_, limits, sequences, length, step, vocabulary, scores));
      for (size_t i = 0; i < scores.size(); ++i) scores[i] += scorer.scores()[i / vocabulary];
      if (context.wants(2)) LINNET_TRY(keep_scores(context, limits, step, vocabulary, scores));
      scorer.process(scores, vocabulary, sequences, length);
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
  bool early_stopping_ = false;
};

constexpr OpDef kDefs[] = {{"com.microsoft", "BeamSearch", 1, 2, 13, 1, 3, create<BeamSearch>}};

}  // namespace

extern const std::span<const OpDef> kBeamSearchOps = kDefs;

}  // namespace linnet
