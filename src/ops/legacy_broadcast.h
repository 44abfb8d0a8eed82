// Operator sets before 7 broadcast only the second operand, aligned at an axis of the first instead of at the end. The
// operators keep this form themselves: a rewrite without shapes could not express it.
// https://github.com/onnx/onnx/blob/main/docs/Changelog.md#Add-6
#pragma once

#include "ops/op.h"

namespace linnet {

struct LegacyBroadcast {
  bool applies = false;
  bool enabled = false;         // attribute `broadcast`
  std::optional<int64_t> axis;  // none: at the end
};

LegacyBroadcast read_legacy_broadcast(NodeReader& reader);
// Fails when known shapes do not fit.
Status check_legacy_broadcast(InferContext& context, const LegacyBroadcast& legacy);
// The second operand's shape followed by as many ones as align it from the right; itself when the rule does not apply.
Shape legacy_shape(const LegacyBroadcast& legacy, const Shape& second, size_t first_rank);

}  // namespace linnet
