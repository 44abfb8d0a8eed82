// What com.microsoft's attention operators share: everything after the projections.
// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#commicrosoftattention
#pragma once

#include "ops/attention_cache.h"

namespace linnet {

class FusedAttention : public Op {
 protected:
  static constexpr size_t kNone = SIZE_MAX;

  // Where an operator has its inputs and outputs; kNone for what it does not have.
  struct Slots {
    size_t bias, mask, attention_bias, past_key, past_value, present_key, present_value;
    // A cache with room for more rows, of which past_length says how many are there; cache_indirection says from which
    // of a batch item's beams each of them comes: [batch / beams][beams][rows].
    size_t past_length = kNone, beam_width = kNone, indirection = kNone;
  };

  struct State {
    AttentionArgs args;  // sizes and strides
    HeadStrides k_fresh, v_fresh;
    size_t past, fresh;  // rows; of a shared cache, only the run tells the past ones
    size_t past_capacity;
    size_t kernel;  // bytes of the kernel's scratch
    bool cached;    // keys and values come from present, or from scratch in its place
  };

  static size_t size_of(int64_t n) noexcept { return static_cast<size_t>(n); }
  template <class Context>
  static bool has(const Context& context, size_t slot) {
    return slot != kNone && context.has(slot);
  }

  Status parse_common(NodeReader& reader, const Slots& slots);
  // The types of all that the slots name; `type` is the attention's.
  Status check_types(const InferContext& context, DType type) const;
  // Fills what follows from the sizes; checks the mask's and the bias's shapes where the past is known. Returns bytes
  // of scratch behind the kernel's.
  Result<size_t> bind_common(BindContext& context, State& s, DType type) const;
  // The past rows of this run. Sets what the kernel must know of them.
  Result<size_t> read_past(RunContext& context, const State& s, AttentionArgs& a, FloatScratch& floats) const;
  // Makes a bias of the mask and the attention bias, for `total` rows of keys.
  void apply_mask(RunContext& context, AttentionArgs& a, size_t total, FloatScratch& floats) const;
  // Puts new keys (part 0) or values (1), as floats, behind `past` ones. Returns the floats of all of them, each row
  // from its beam.
  const float* extend(RunContext& context, const State& s, size_t past, const Tensor* cache, size_t part, void* present,
                      DType type, const float* fresh, const HeadStrides& strides, size_t size,
                      FloatScratch& floats) const;

  Slots slots_{};
  int64_t heads_ = 0;
  float scale_ = 0.0f, filter_ = -10000.0f;
  bool causal_ = false, shared_ = false;

 private:
  Status check_masks(const AttentionArgs& a, size_t total, const Shape* mask, const Shape* bias) const;
};

}  // namespace linnet
