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

// The inputs that follow the caches of a decoder whose caches have room for max_length tokens from the start: how many
// are there, and for each beam in which beam's rows they lie (always its own, since caches follow their beams).
class SharedCache {
 public:
  // `extra` inputs: none, past_sequence_length alone, or beam_width and cache_indirection with it.
  static Result<SharedCache> make(size_t extra);
  bool present() const noexcept { return extra_ > 0; }
  size_t inputs() const noexcept { return extra_; }
  // A tensor with its `axis` lengthened to max_length.
  Result<Value> lengthened(RunContext& context, const GenerationLimits& limits, const Value& cache, size_t axis) const;
  Status fill(RunContext& context, const GenerationLimits& limits, size_t past, std::span<Value> inputs) const;

 private:
  size_t extra_ = 0;
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
  SharedCache shared_;
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
  // What the last step gave besides logits and caches: the scores of cross attention of each layer.
  std::span<const Value> cross_scores() const noexcept;

 private:
  Status run_encoder(RunContext& context, std::span<const int32_t> sequences, size_t length);
  Result<Value> decoder_tokens(RunContext& context, std::span<const int32_t> sequences, size_t length) const;
  Status run_decoder(RunContext& context, std::span<const int32_t> sequences, size_t length);
  size_t self_caches() const noexcept { return (decoder_.inputs.size() - shared_.inputs() - first_cache_) / 2; }

  const GenerationGraph& encoder_;
  const GenerationGraph& decoder_;
  const GenerationLimits& limits_;
  const GenerationAttributes& attributes_;
  const Tensor& input_;
  const Tensor* given_mask_;
  size_t first_cache_ = 0;
  bool encoder_gave_logits_ = false;
  SharedCache shared_;
};

}  // namespace linnet
