// Broadcasting plans of kernels from the shapes of tensors.
#pragma once

#include "kernels/elementwise/broadcast.h"
#include "ops/op.h"

namespace linnet {

template <class... Shapes>
Result<BroadcastPlan> broadcast_plan(const Shape& result, const Shapes&... operands) {
  const std::span<const int64_t> spans[] = {operands.sizes()...};
  if (std::optional<BroadcastPlan> plan = plan_broadcast(result.sizes(), spans)) return *plan;
  return unsupported("broadcasting to ", result, " alternates between too many axes");
}

// Of one operand that has the result's shape and another of one element.
inline BroadcastPlan scalar_plan(const Shape& result) {
  const int64_t count = result.count();
  const std::span<const int64_t> spans[] = {{&count, 1}, {}};
  return *plan_broadcast({&count, 1}, spans);
}

}  // namespace linnet
