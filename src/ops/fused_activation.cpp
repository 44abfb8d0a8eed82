#include "ops/fused_activation.h"

#include <array>
#include <limits>

namespace linnet {
namespace {

struct Known {
  std::string_view name;  // of the ONNX operator
  Activation kind;
  std::array<float, 2> defaults;
};

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr Known kKnown[] = {
    {"Relu", Activation::relu, {}},
    {"Clip", Activation::clip, {-kInfinity, kInfinity}},
    {"LeakyRelu", Activation::leaky_relu, {0.01f}},
    {"HardSigmoid", Activation::hard_sigmoid, {0.2f, 0.5f}},
    {"HardSwish", Activation::hard_swish, {}},
    {"Sigmoid", Activation::sigmoid, {}},
    {"Swish", Activation::silu, {1.0f}},
    {"QuickGelu", Activation::silu, {1.702f}},
    {"Gelu", Activation::gelu_erf, {}},
    {"FastGelu", Activation::gelu_tanh, {}},
    {"Tanh", Activation::tanh, {}},
};

}  // namespace

Result<ActivationSpec> parse_fused_activation(NodeReader& reader) {
  const std::string name = reader.text("activation", "");
  const std::vector<float> parameters = reader.numbers("activation_params");
  if (name.empty()) return ActivationSpec{};
  for (const Known& known : kKnown) {
    if (known.name != name) continue;
    LINNET_REQUIRE(parameters.size() <= 2, invalid_model("activation_params has ", parameters.size(), " numbers"));
    std::array<float, 2> values = known.defaults;
    std::copy(parameters.begin(), parameters.end(), values.begin());
    return ActivationSpec{known.kind, values[0], values[1]};
  }
  return unsupported("activation '", name, "' cannot be fused");
}

}  // namespace linnet
