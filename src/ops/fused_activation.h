// The activation that a fused operator applies to its result: com.microsoft's `activation` and `activation_params`.
#pragma once

#include "kernels/activation.h"
#include "ops/op.h"

namespace linnet {

// Reads both attributes. Without `activation` the result is Activation::none.
Result<ActivationSpec> parse_fused_activation(NodeReader& reader);

}  // namespace linnet
