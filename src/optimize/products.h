// Products by constant matrices, in whichever operator they stand.
#pragma once

#include <optional>
#include <string>

#include "graph/graph.h"

namespace linnet {

// activation(x b + bias), of floats; x has two axes or more.
struct ConstantProduct {
  ValueId x = kNoValue, matrix = kNoValue, bias = kNoValue;
  bool transposed = false;  // b is [columns, rows]
  bool activated = false;
  int64_t columns = 0;
};

// What a MatMul, Gemm or linnet.FusedMatMul computes; nothing where it is more than that.
std::optional<ConstantProduct> as_constant_product(const Graph& graph, const Node& node);

// A linnet.GroupedMatMul whose first product this is, without outputs. It may have so many products.
inline constexpr size_t kMostProducts = 8;
Node grouped_matmul(const ConstantProduct& first, std::string name);

}  // namespace linnet
