// https://onnx.ai/onnx/operators/onnx__Conv.html
// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.FusedConv
#include "ops/conv_base.h"

namespace linnet {
namespace {

class Conv final : public ConvBase {
 public:
  Conv() : ConvBase(false) {}

  Status infer(InferContext& context) const override {
    LINNET_ASSIGN(const std::optional<SpatialLayout> layout, infer_common(context));
    if (!layout) return {};
    const SpatialLayout src = src_layout(*layout);
    SymShape sizes(layout->axes());
    for (size_t a = 0; a < layout->axes(); ++a) {
      const Dim kernel = kernel_size(context, a);
      sizes[a] = context.symbols().fresh();
      if (!kernel.known() || !context.ranked(0)) continue;
      LINNET_ASSIGN(sizes[a], window_.output_size(window_.axis(a, kernel.value()),
                                                  context.shape(0)[src.spatial_axis(a)], false, context.symbols()));
    }
    set_output(context, *layout, {sizes.data(), sizes.size()});
    return {};
  }

 protected:
  void resolve_pads(WindowAxis& axis, size_t, int64_t in, int64_t out) const override {
    window_.resolve_pads(axis, in, out);
  }
};

constexpr OpDef kDefs[] = {
    {"", "Conv", 11, 2, 4, 1, 1, create<Conv>},
    {"com.microsoft", "FusedConv", 1, 2, 4, 1, 1, create<Conv>},
};

}  // namespace

extern const std::span<const OpDef> kConvOps = kDefs;

}  // namespace linnet
