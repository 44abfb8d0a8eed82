// Operators that the first releases of the standard listed as experimental and that it then gave up; models converted
// from CoreML hold them: https://github.com/onnx/onnx/blob/v1.2.3/docs/Operators.md#experimental-functions
#include <limits>

#include "ops/upgrade/replacement.h"

namespace linnet {
namespace {

// alpha f(beta x); Affine is alpha x + beta.
Status scaled(Graph& graph, NodeId id) {
  Replacement with(graph, id);
  const ValueId alpha = with.constant({with.node().float_or("alpha", 1.0f)}, {});
  const ValueId beta = with.constant({with.node().float_or("beta", with.node().is("Affine") ? 0.0f : 1.0f)}, {});
  if (with.node().is("Affine")) {
    with.finish("Add", {with.apply("Mul", {with.x(), alpha}), beta});
    return {};
  }
  const ValueId inner = with.apply("Mul", {with.x(), beta});
  with.finish("Mul", {with.apply(with.node().is("ScaledTanh") ? "Tanh" : "Softplus", {inner}), alpha});
  return {};
}

// x scale + bias[channel]
Status image_scaler(Graph& graph, NodeId id) {
  Replacement with(graph, id);
  const Attribute* found = with.node().find("bias");
  const auto* bias = found ? std::get_if<std::vector<float>>(&found->data) : nullptr;
  const ValueId scale = with.constant({with.node().float_or("scale", 1.0f)}, {});
  const ValueId product = with.apply("Mul", {with.x(), scale});
  const std::vector<float> none{0.0f};
  const std::vector<float>& elements = bias && !bias->empty() ? *bias : none;
  with.finish("Add", {product, with.constant(elements, {static_cast<int64_t>(elements.size()), 1, 1})});
  return {};
}

// The last two axes without `border` (left, top, right, bottom), or `scale` (height, width) of them.
Status crop(Graph& graph, NodeId id) {
  const std::vector<int64_t>* border = graph.node(id).ints("border");
  LINNET_REQUIRE(border && border->size() == 4, invalid_model("the border of Crop is not four numbers"));
  const std::vector<int64_t>* size = graph.node(id).ints("scale");
  LINNET_REQUIRE(!size || size->size() == 2, invalid_model("the scale of Crop is not two numbers"));
  const int64_t left = (*border)[0], top = (*border)[1];
  std::vector<int64_t> ends(2);
  for (size_t i = 0; i < 2; ++i) {
    const int64_t begin = i == 0 ? top : left, margin = (*border)[3 - i];
    LINNET_REQUIRE(begin >= 0 && margin >= 0, invalid_model("the border of Crop is negative"));
    const std::optional<int64_t> end = size         ? checked_add(begin, (*size)[i])
                                       : margin > 0 ? -margin
                                                    : std::numeric_limits<int64_t>::max();
    LINNET_REQUIRE(end, invalid_model("the scale of Crop is too large"));
    ends[i] = *end;
  }
  Replacement with(graph, id);
  with.finish("Slice", {with.x(), with.ints({top, left}), with.ints(ends), with.ints({2, 3})});
  return {};
}

constexpr Upgrade kUpgrades[] = {
    {"", "Affine", kEveryVersion, scaled},
    {"", "ScaledTanh", kEveryVersion, scaled},
    {"", "ParametricSoftplus", kEveryVersion, scaled},
    {"", "ImageScaler", kEveryVersion, image_scaler},
    {"", "Crop", kEveryVersion, crop},
};

}  // namespace

extern const std::span<const Upgrade> kRemovedUpgrades = kUpgrades;

}  // namespace linnet
