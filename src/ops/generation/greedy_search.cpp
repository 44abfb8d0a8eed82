// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.GreedySearch,
// #com.microsoft.Sampling
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include "ops/generation/decoder.h"

namespace linnet {
namespace {

class GreedySearch : public Op {
 public:
  Status parse(NodeReader& reader) {
    LINNET_TRY(attributes_.parse(reader));
    LINNET_REQUIRE(attributes_.model == GenerationModel::gpt,
                   unsupported("supports only decoder models (model_type 0)"));
    LINNET_TRY(decoder_.parse(reader, "decoder"));
    LINNET_TRY(initial_.parse(reader, "init_decoder"));
    reader.ignore("encoder");
    LINNET_REQUIRE(decoder_.present(), invalid_model("lacks the attribute 'decoder'"));
    return {};
  }

  Status infer(InferContext& context) const override {
    LINNET_TRY(decoder_.infer(context));
    LINNET_TRY(initial_.infer(context));
    LINNET_REQUIRE(context.dtype(0) == DType::i32,
                   invalid_model("input_ids are ", dtype_name(context.dtype(0)), ", not int32"));
    context.set(0, DType::i32, SymShape(2));
    context.set(1, DType::f32, SymShape(2));
    return {};
  }

  Status run(RunContext& context) const override {
    return generate(context, [](std::span<float> scores) {
      return std::max_element(scores.begin(), scores.end()) - scores.begin();
    });
  }

 protected:
  // `choose` takes the scores of a row and gives the position of the next token.
  template <class Choose>
  Status generate(RunContext& context, const Choose& choose) const {
    GenerationLimits limits;
    LINNET_TRY(read_limits(context, limits));
    std::vector<int32_t> sequences(limits.rows() * limits.max_length, attributes_.pad_token);
    std::vector<size_t> rows(limits.rows());
    for (size_t r = 0; r < limits.rows(); ++r) {
      rows[r] = r;
      std::copy_n(context.in(0).ptr<int32_t>() + r * limits.start_length, limits.start_length,
                  sequences.data() + r * limits.max_length);
    }
    GptDecoder decoder(decoder_, initial_, limits, attributes_.pad_token, context.maybe(6));
    std::vector<bool> done(limits.rows(), false);
    std::vector<float> scores;
    size_t length = limits.start_length, vocabulary = 0;
    for (size_t step = 1; length < limits.max_length; ++step, ++length) {
      LINNET_REQUIRE(!context.stop.stopped(), error(Code::cancelled, "stopped"));
      LINNET_TRY(step == 1 ? decoder.start(context, sequences, length)
                           : decoder.step(context, sequences, length, rows));
      LINNET_ASSIGN(vocabulary, decoder.logits(limits, attributes_.vocabulary, scores));
      LINNET_TRY(process_scores(attributes_, limits, sequences, length, step, vocabulary, scores));
      for (const size_t r : rows) {
        const int32_t token = static_cast<int32_t>(choose(std::span(scores).subspan(r * vocabulary, vocabulary)));
        done[r] = done[r] || token == attributes_.eos_token;
        sequences[r * limits.max_length + length] = done[r] ? attributes_.pad_token : token;
      }
      if (std::find(done.begin(), done.end(), false) == done.end()) break;
    }
    LINNET_TRY(context.allocate(0, DType::i32,
                                Shape{static_cast<int64_t>(limits.rows()), static_cast<int64_t>(limits.max_length)}));
    std::copy(sequences.begin(), sequences.end(), context.out(0).ptr<int32_t>());
    if (context.wants(1)) {  // what the last choice was made from
      LINNET_TRY(context.allocate(1, DType::f32,
                                  Shape{static_cast<int64_t>(limits.rows()), static_cast<int64_t>(vocabulary)}));
      std::copy(scores.begin(), scores.end(), context.out(1).ptr<float>());
    }
    return {};
  }

  GenerationAttributes attributes_;

 private:
  Status read_limits(const RunContext& context, GenerationLimits& limits) const {
    const Tensor& ids = context.in(0);
    LINNET_REQUIRE(ids.shape.rank() == 2 && ids.count() > 0,
                   invalid_argument("input_ids are ", ids, "; they must be [batch, tokens]"));
    LINNET_ASSIGN(const int64_t most, scalar_input(context, 1, 4096));
    LINNET_ASSIGN(const int64_t least, scalar_input(context, 2, 0));
    LINNET_REQUIRE(most > ids.shape[1] && most <= 1 << 20,
                   invalid_argument("max_length is ", most, " for ", ids.shape[1], " given tokens"));
    limits.batch = static_cast<size_t>(ids.shape[0]);
    limits.start_length = static_cast<size_t>(ids.shape[1]);
    limits.max_length = static_cast<size_t>(most);
    limits.min_length = static_cast<size_t>(std::max<int64_t>(least, 0));
    limits.temperature = attributes_.temperature;
    LINNET_ASSIGN(limits.repetition_penalty, float_input(context, 3, 1));
    LINNET_REQUIRE(limits.repetition_penalty > 0, invalid_argument("repetition_penalty is not above 0"));
    LINNET_ASSIGN(limits.vocabulary_mask, mask_input(context, 4));
    LINNET_ASSIGN(limits.prefix_vocabulary_mask, mask_input(context, 5));
    LINNET_ASSIGN(limits.presence_mask, mask_input(context, 7));
    return {};
  }

  GenerationGraph decoder_, initial_;
};

class Sampling final : public GreedySearch {
 public:
  Status parse(NodeReader& reader) {
    LINNET_TRY(GreedySearch::parse(reader));
    attributes_.temperature = reader.number("temperature", 1);
    attributes_.presence_penalty = reader.number("presence_penalty", 0);
    top_p_ = reader.number("top_p", 0);
    filter_value_ = reader.number("filter_value", -1e20f);
    custom_ = reader.flag("custom", false);
    const int64_t keep = reader.integer("min_tokens_to_keep", 0);
    LINNET_REQUIRE(keep >= 0, invalid_model("min_tokens_to_keep is ", keep));
    LINNET_REQUIRE(attributes_.temperature > 0, invalid_model("temperature is not above 0"));
    keep_ = static_cast<size_t>(keep);
    return {};
  }

  Status run(RunContext& context) const override {
    LINNET_ASSIGN(const int64_t seed, scalar_input(context, 8, static_cast<int64_t>(context.seed() & 0x7fffffff)));
    std::minstd_rand0 random(static_cast<uint32_t>(seed));
    std::vector<size_t> order;
    std::vector<double> sums;
    return generate(context, [&](std::span<float> scores) {
      filter(scores, order);
      return draw(scores, random, sums);
    });
  }

 private:
  // Keeps the likeliest tokens that together reach top_p.
  void filter(std::span<float> scores, std::vector<size_t>& order) const {
    order.resize(scores.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::sort(order.begin(), order.end(),
              [&](size_t a, size_t b) { return custom_ ? scores[a] > scores[b] : scores[a] < scores[b]; });
    const float most = scores[custom_ ? order.front() : order.back()];
    float total = 0;
    for (const size_t i : order) total += std::exp(scores[i] - most);
    float sum = 0;
    if (custom_) {  // from the likeliest down: what comes behind the sum is dropped
      for (size_t j = 0; j + 1 < order.size(); ++j) {
        sum += std::exp(scores[order[j]] - most) / total;
        if (sum > top_p_) {
          for (size_t k = j + 1; k < order.size(); ++k) scores[order[k]] = filter_value_;
          return;
        }
      }
      return;
    }
    const size_t end = order.size() - std::min(keep_, order.size());
    for (size_t j = 0; j < std::max<size_t>(end, 1); ++j) {  // from the least likely up
      sum += std::exp(scores[order[j]] - most) / total;
      if (sum > 1 - top_p_) return;
      scores[order[j]] = filter_value_;
    }
  }

  static ptrdiff_t draw(std::span<const float> scores, std::minstd_rand0& random, std::vector<double>& sums) {
    float most = std::numeric_limits<float>::lowest();
    for (const float s : scores)
      if (std::isfinite(s)) most = std::max(most, s);
    sums.assign(scores.size(), 0);
    double sum = 0;
    for (size_t i = 0; i < scores.size(); ++i) {
      if (std::isfinite(scores[i])) sum += std::exp(static_cast<double>(scores[i]) - static_cast<double>(most));
      sums[i] = sum;
    }
    const double wanted = std::uniform_real_distribution<double>()(random) * sum;
    const auto found = std::upper_bound(sums.begin(), sums.end(), wanted);
    return std::min<ptrdiff_t>(found - sums.begin(), static_cast<ptrdiff_t>(sums.size()) - 1);
  }

  float top_p_ = 0, filter_value_ = 0;
  bool custom_ = false;
  size_t keep_ = 0;
};

constexpr OpDef kDefs[] = {
    {"com.microsoft", "GreedySearch", 1, 2, 7, 1, 1, create<GreedySearch>},
    {"com.microsoft", "Sampling", 1, 2, 9, 1, 2, create<Sampling>, OpDef::kNonDeterministic},
};

}  // namespace

extern const std::span<const OpDef> kGreedySearchOps = kDefs;

}  // namespace linnet
