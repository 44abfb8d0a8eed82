// https://onnx.ai/onnx/operators/onnx__ConvTranspose.html
#include <algorithm>

#include "ops/conv_base.h"

namespace linnet {
namespace {

constexpr int64_t kMostResidues = 1 << 16;

class ConvTranspose final : public ConvBase {
 public:
  ConvTranspose() : ConvBase(true) {}

  Status parse(NodeReader& reader) {
    output_padding_ = reader.integers("output_padding");
    output_shape_ = reader.integers("output_shape");
    for (const int64_t v : output_padding_)
      LINNET_REQUIRE(v >= 0 && v < (int64_t{1} << 30), invalid_model("output_padding has an entry of ", v));
    for (const int64_t v : output_shape_) LINNET_REQUIRE(v >= 0, invalid_model("output_shape has an entry of ", v));
    return ConvBase::parse(reader);
  }

  Status infer(InferContext& context) const override {
    LINNET_ASSIGN(const std::optional<SpatialLayout> layout, infer_common(context));
    if (!layout) return {};
    const size_t axes = layout->axes();
    LINNET_REQUIRE(output_padding_.empty() || output_padding_.size() == axes,
                   invalid_model("output_padding has ", output_padding_.size(), " entries instead of ", axes));
    LINNET_REQUIRE(output_shape_.empty() || output_shape_.size() == axes || output_shape_.size() == axes + 2,
                   invalid_model("output_shape has ", output_shape_.size(), " entries instead of ", axes));
    // The kernel makes one pass for each residue of the output position modulo the strides.
    int64_t residues = 1;
    for (size_t a = 0; a < axes && residues <= kMostResidues; ++a) residues *= window_.axis(a, 1).stride;
    LINNET_REQUIRE(residues <= kMostResidues, unsupported("the strides multiply to more than ", kMostResidues));
    SymbolTable& symbols = context.symbols();
    SymShape sizes(axes);
    for (size_t a = 0; a < axes; ++a) {
      const Dim kernel = kernel_size(context, a);
      const Dim in = context.ranked(0) ? context.shape(0)[layout->spatial_axis(a)] : symbols.fresh();
      if (!output_shape_.empty()) {
        sizes[a] = output_shape_[output_shape_.size() - axes + a];
      } else if (is_same()) {
        sizes[a] = symbols.mul(in, window_.axis(a, 1).stride);
      } else if (kernel.known()) {
        const WindowAxis axis = window_.axis(a, kernel.value());
        sizes[a] = symbols.add(symbols.mul(symbols.sub(in, 1), axis.stride),
                               axis.extent() + output_padding(a) - axis.pad_begin - axis.pad_end);
        LINNET_REQUIRE(!sizes[a].known() || sizes[a].value() >= 0,
                       invalid_argument("the pads leave an output of size ", sizes[a].value()));
      } else {
        sizes[a] = symbols.fresh();
      }
    }
    set_output(context, *layout, {sizes.data(), sizes.size()});
    return {};
  }

 protected:
  void resolve_pads(WindowAxis& axis, size_t a, int64_t in, int64_t out) const override {
    if (output_shape_.empty() && !is_same()) return;
    const int64_t full = (in - 1) * axis.stride + axis.extent() + output_padding(a);
    const int64_t total = std::max<int64_t>(0, full - out);
    axis.pad_begin = window_.auto_pad() == AutoPad::same_upper ? total / 2 : total - total / 2;
  }

 private:
  bool is_same() const noexcept {
    return window_.auto_pad() == AutoPad::same_upper || window_.auto_pad() == AutoPad::same_lower;
  }
  int64_t output_padding(size_t a) const noexcept { return output_padding_.empty() ? 0 : output_padding_[a]; }

  std::vector<int64_t> output_padding_, output_shape_;
};

constexpr OpDef kDefs[] = {{"", "ConvTranspose", 11, 2, 4, 1, 1, create<ConvTranspose>}};

}  // namespace

extern const std::span<const OpDef> kConvTransposeOps = kDefs;

}  // namespace linnet
