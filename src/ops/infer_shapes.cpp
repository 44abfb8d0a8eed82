#include "ops/infer_shapes.h"

#include <algorithm>

namespace linnet {

Result<SymShape> broadcast_shapes(const SymShape& a, const SymShape& b, SymbolTable& symbols) {
  const SymShape& longer = a.size() >= b.size() ? a : b;
  const SymShape& shorter = a.size() >= b.size() ? b : a;
  SymShape out = longer;
  const size_t shift = longer.size() - shorter.size();
  for (size_t i = 0; i < shorter.size(); ++i) {
    const Dim x = longer[shift + i], y = shorter[i];
    Dim& size = out[shift + i];
    if (x == y || y.is(1)) continue;
    if (x.is(1)) {
      size = y;
    } else if (x.known() && y.known()) {
      return invalid_argument("shapes ", symbols.to_string(a), " and ", symbols.to_string(b), " do not broadcast");
    } else if (y.known()) {
      size = y;  // the other can only be this size or 1
    } else if (!x.known() && symbols.max(x, y) == y) {
      size = y;  // x is what a limit left of y (of a table of positions, say): as large, or the shapes do not fit
    } else if (!x.known() && symbols.max(x, y) != x) {
      size = symbols.fresh();
    }
  }
  return out;
}

Result<std::optional<SymShape>> broadcast_inputs(const InferContext& context, size_t first, size_t last) {
  SymShape shape;
  for (size_t i = first; i < last; ++i) {
    if (!context.has(i)) continue;
    if (!context.ranked(i)) return std::optional<SymShape>();
    LINNET_ASSIGN(shape, broadcast_shapes(shape, context.shape(i), context.symbols()));
  }
  return std::optional<SymShape>(std::move(shape));
}

Status infer_same_as_input(InferContext& context) {
  if (context.ranked(0)) {
    context.set(0, context.dtype(0), context.shape(0));
  } else {
    context.set_unranked(0, context.dtype(0));
  }
  return {};
}

Result<size_t> checked_axis(int64_t axis, size_t rank) {
  const std::optional<size_t> normal = normalize_axis(axis, rank);
  if (!normal) return invalid_argument("axis ", axis, " is out of range for rank ", rank);
  return *normal;
}

Result<InlineVector<size_t, 8>> checked_axes(std::span<const int64_t> axes, size_t rank) {
  InlineVector<size_t, 8> out;
  for (const int64_t axis : axes) {
    LINNET_ASSIGN(const size_t normal, checked_axis(axis, rank));
    if (std::find(out.begin(), out.end(), normal) != out.end())
      return invalid_argument("axis ", axis, " appears twice");
    out.push_back(normal);
  }
  return out;
}

}  // namespace linnet
