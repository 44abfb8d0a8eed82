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
  };

  struct State {
    AttentionArgs args;  // sizes and strides
    HeadStrides k_fresh, v_fresh;
    size_t past, fresh;
    size_t kernel;  // bytes of the kernel's scratch
    bool cached;    // keys and values come from present, or from scratch in its place
  };

  static size_t size_of(int64_t n) noexcept { return static_cast<size_t>(n); }
  template <class Context>
  static bool has(const Context& context, size_t slot) {
    return slot != kNone && context.has(slot);
  }

  Status parse_common(NodeReader& reader, const Slots& slots);
  // Fills what follows from the sizes; checks the mask's and the bias's shapes. Returns bytes of scratch behind the
  // kernel's.
  Result<size_t> bind_common(BindContext& context, State& s, DType type) const;
  // Makes a bias of the mask and the attention bias.
  void apply_mask(RunContext& context, AttentionArgs& a, FloatScratch& floats) const;
  // Puts new keys or values (as floats) behind the past ones. Returns the floats of all of them.
  const float* extend(RunContext& context, const State& s, const Tensor* past, size_t part, void* present, DType type,
                      const float* fresh, const HeadStrides& strides, size_t size, FloatScratch& floats) const;

  Slots slots_{};
  int64_t heads_ = 0;
  float scale_ = 0.0f, filter_ = -10000.0f;
  bool causal_ = false;
};

}  // namespace linnet
