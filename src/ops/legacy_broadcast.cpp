#include "ops/legacy_broadcast.h"

namespace linnet {

LegacyBroadcast read_legacy_broadcast(NodeReader& reader) {
  LegacyBroadcast legacy;
  legacy.applies = reader.version() < 7;
  if (!legacy.applies) return legacy;
  reader.ignore("consumed_inputs");
  if (reader.op_type() == "PRelu") {  // always broadcasts: one slope, or one for each channel
    legacy.enabled = true;
    legacy.axis = 1;
    return legacy;
  }
  legacy.enabled = reader.flag("broadcast", false);
  if (reader.has("axis")) legacy.axis = reader.integer("axis", 0);
  return legacy;
}

Shape legacy_shape(const LegacyBroadcast& legacy, const Shape& second, size_t first_rank) {
  Shape shape = second;
  if (!legacy.applies || !legacy.axis || second.count() == 1) return shape;
  const int64_t rank = static_cast<int64_t>(first_rank);
  const int64_t axis = *legacy.axis < 0 ? *legacy.axis + rank : *legacy.axis;
  for (int64_t i = axis + static_cast<int64_t>(second.rank()); i < rank; ++i) shape.push_back(1);
  return shape;
}

Status check_legacy_broadcast(InferContext& context, const LegacyBroadcast& legacy) {
  if (!context.ranked(0) || !context.ranked(1) || !context.shape(0).known() || !context.shape(1).known()) return {};
  const Shape first = context.shape(0).values();
  const Shape second = context.shape(1).values();
  const auto mismatch = [&] {
    return invalid_argument("an operand of shape ", second, " does not broadcast to ", first);
  };
  if (!legacy.enabled) return first == second ? Status() : mismatch();
  if (legacy.axis) {
    const int64_t rank = static_cast<int64_t>(first.rank());
    LINNET_REQUIRE(*legacy.axis >= -rank && *legacy.axis < std::max<int64_t>(rank, 1),
                   invalid_argument("axis ", *legacy.axis, " is out of range for rank ", rank));
  }
  const Shape aligned = legacy_shape(legacy, second, first.rank());
  // A single element fits whatever its rank.
  if (second.count() != 1 && aligned.rank() > first.rank()) return mismatch();
  for (size_t back = 1; back <= std::min(aligned.rank(), first.rank()); ++back) {
    const int64_t size = aligned[aligned.rank() - back];
    if (size != 1 && size != first[first.rank() - back]) return mismatch();
  }
  return {};
}

}  // namespace linnet
