// What Conv and ConvTranspose share: packing, layouts, element types, the call of the kernel.
//
// Both take an optional fourth input of the output's shape that is added before the activation (com.microsoft's
// FusedConv). Attributes that only passes set: channels_last (input, residual and output are [batch][...][channels])
// and, with it, src_channels_first (the input alone stays as ONNX has it: for a first layer).
#pragma once

#include "kernels/conv/conv.h"
#include "ops/fused_activation.h"
#include "ops/sliding_window.h"

namespace linnet {

class ConvBase : public Op {
 public:
  Status parse(NodeReader& reader);
  Status prepare(PrepareContext& context) override;
  Status bind(BindContext& context) const override;
  Status run(RunContext& context) const override;
  bool can_overwrite(size_t input, size_t) const override { return input == 3; }

 protected:
  explicit ConvBase(bool transposed) noexcept : transposed_(transposed) {}

  // Checks the types and what is known of the shapes; gives the layout. Without a rank the output is set here, and
  // the result is empty.
  Result<std::optional<SpatialLayout>> infer_common(InferContext& context) const;
  // Kernel size of axis a: from the attribute or the weights' shape; unknown when neither tells.
  Dim kernel_size(const InferContext& context, size_t a) const;
  // The layout of the input, given that of the output.
  SpatialLayout src_layout(const SpatialLayout& layout) const noexcept {
    return {layout.rank, layout.channels_last && !src_channels_first_};
  }
  void set_output(InferContext& context, const SpatialLayout& layout, std::span<const Dim> sizes) const;
  // Fills the padding before the first element, for sizes that infer has accepted.
  virtual void resolve_pads(WindowAxis& axis, size_t a, int64_t in, int64_t out) const = 0;

  Window window_;
  int64_t groups_ = 1;

 private:
  struct State;

  // What the weights and attributes alone decide.
  ConvGeometry weight_geometry(const Shape& weights) const;
  ConvGeometry geometry(const Shape& x, const Shape& weights, const Shape& y) const;
  Status run_double(RunContext& context, const State& state) const;
  Status run_many_axes(RunContext& context) const;

  bool transposed_;
  bool channels_last_ = false, src_channels_first_ = false;
  ActivationSpec activation_;
  const float* packed_ = nullptr;
};

}  // namespace linnet
