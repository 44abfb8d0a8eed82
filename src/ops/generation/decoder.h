// The subgraphs that generation runs: what goes in for each step, and how the cache goes from one step to the next.
#pragma once

#include <memory>

#include "ops/generation/options.h"

namespace linnet {

// The ports of a decoder or encoder, as the model declares them.
struct GenerationGraph {
  int index = -1;
  std::vector<std::string> inputs, outputs;
  std::vector<ValueInfo> input_infos;

  // Does nothing when there is no such attribute.
  Status parse(NodeReader& reader, std::string_view attribute);
  // Infers the types inside from the declared ones of the inputs.
  Status infer(InferContext& context) const;
  bool present() const noexcept { return index >= 0; }
  // The position of an input, or inputs.size().
  size_t input(std::string_view name) const noexcept;
};

// One generation under way.
class Decoder {
 public:
  virtual ~Decoder() = default;
  // Runs the first step over the given tokens. `sequences` is [rows, max_length] and has its first tokens already.
  virtual Status start(RunContext& context, std::span<const int32_t> sequences, size_t length) = 0;
  // Runs a step: row r continues what was row parents[r], with the last of its `length` tokens new.
  virtual Status step(RunContext& context, std::span<const int32_t> sequences, size_t length,
                      std::span<const size_t> parents) = 0;
  // The scores of the next token after the last step, [rows, vocabulary].
  Result<size_t> logits(const GenerationLimits& limits, int64_t vocabulary, std::vector<float>& out) const;

 protected:
  std::vector<Value> in_, out_;
};

class GptDecoder final : public Decoder {
 public:
  // `initial` runs the first step where the model has one.
  GptDecoder(const GenerationGraph& graph, const GenerationGraph& initial, const GenerationLimits& limits,
             int32_t pad_token, const Tensor* attention_mask)
      : graph_(graph), initial_(initial), limits_(limits), pad_token_(pad_token), given_mask_(attention_mask) {}
  Status start(RunContext& context, std::span<const int32_t> sequences, size_t length) override;
  Status step(RunContext& context, std::span<const int32_t> sequences, size_t length,
              std::span<const size_t> parents) override;

 private:
  const GenerationGraph& graph_;
  const GenerationGraph& initial_;
  const GenerationLimits& limits_;
  int32_t pad_token_;
  const Tensor* given_mask_;
  std::vector<int32_t> positions_;  // of each row's next token
};

class EncoderDecoder final : public Decoder {
 public:
  EncoderDecoder(const GenerationGraph& encoder, const GenerationGraph& decoder, const GenerationLimits& limits,
                 const GenerationAttributes& attributes, const Tensor& input, const Tensor* attention_mask)
      : encoder_(encoder),
        decoder_(decoder),
        limits_(limits),
        attributes_(attributes),
        input_(input),
        given_mask_(attention_mask) {}
  Status start(RunContext& context, std::span<const int32_t> sequences, size_t length) override;
  Status step(RunContext& context, std::span<const int32_t> sequences, size_t length,
              std::span<const size_t> parents) override;

 private:
  Status run_encoder(RunContext& context, std::span<const int32_t> sequences, size_t length);
  Result<Value> decoder_tokens(RunContext& context, std::span<const int32_t> sequences, size_t length) const;
  Status run_decoder(RunContext& context);
  size_t self_caches() const noexcept { return (decoder_.inputs.size() - first_cache_) / 2; }

  const GenerationGraph& encoder_;
  const GenerationGraph& decoder_;
  const GenerationLimits& limits_;
  const GenerationAttributes& attributes_;
  const Tensor& input_;
  const Tensor* given_mask_;
  size_t first_cache_ = 0;
  bool encoder_gave_logits_ = false;
};

}  // namespace linnet
